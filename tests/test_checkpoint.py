"""train/fit/checkpoint.py: states on disks that are full, and states that a power cut has damaged."""

import errno
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from short_fits import STEPS, short_plan

import train.fit.checkpoint
from inr.errors import StateWarning
from inr.video import Video
from train.fit.checkpoint import Workdir
from train.fit.progress import Progress
from train.fit.tensorboard import TensorBoardLog, started_log


class State(NamedTuple):
    step: np.ndarray
    values: np.ndarray


def state(step: int) -> State:
    return State(np.int32(step), np.arange(3.0, dtype=np.float32) * step)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a run with states after 16 and 32 steps."""
    workdir = Workdir(tmp_path / "work", "key")
    assert workdir.save(state(16))
    assert workdir.save(state(32))
    return tmp_path / "work"


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def damage(folder: Path) -> None:
    """Cut every file of a checkpoint short."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def test_the_newest_state_is_restored(saved: Path):
    found = Workdir(saved, "key").restore(state(0))
    assert found is not None
    assert int(found.step) == 32
    assert np.array_equal(found.values, state(32).values)


def test_a_damaged_state_gives_way_to_the_one_before(saved: Path):
    damage(saved / "checkpoints" / "32")
    workdir = Workdir(saved, "key")
    with pytest.warns(StateWarning, match="after 32 steps"):
        found = workdir.restore(state(0))
    assert found is not None
    assert int(found.step) == 16
    assert workdir.save(state(32))  # again, from the steps that are done again
    again = Workdir(saved, "key").restore(state(0))
    assert again is not None
    assert int(again.step) == 32


def test_without_a_readable_state_the_run_starts_over(saved: Path):
    damage(saved / "checkpoints")
    with pytest.warns(StateWarning) as warned:
        assert Workdir(saved, "key").restore(state(0)) is None
    assert len(warned) == 2


@pytest.mark.parametrize("text", ["", '{"key": "ke', "[]", "\x00\x00"])
def test_without_readable_facts_the_run_starts_over(saved: Path, text: str):
    (saved / "run.json").write_text(text)
    with pytest.warns(StateWarning, match="starts over"):
        workdir = Workdir(saved, "key")
    assert workdir.restore(state(0)) is None
    assert workdir.save(state(16))


def test_a_full_disk_does_not_stop_a_run(saved: Path, monkeypatch: pytest.MonkeyPatch):
    workdir = Workdir(saved, "key")
    with monkeypatch.context() as patched:
        patched.setattr("orbax.checkpoint.CheckpointManager.save", full)
        with pytest.warns(StateWarning, match="48 steps cannot be saved in .*: No space left"):
            assert not workdir.save(state(48))
    with monkeypatch.context() as patched:
        patched.setattr(train.fit.checkpoint, "write_atomically", full)
        with pytest.warns(StateWarning, match="facts cannot be saved"):
            workdir.remember(steps=100)
    assert workdir.facts["steps"] == 100
    found = Workdir(saved, "key").restore(state(0))
    assert found is not None
    assert int(found.step) == 32
    assert workdir.save(state(64))
    assert not [path.name for path in (saved / "checkpoints").iterdir() if "tmp" in path.name]


def test_a_full_disk_ends_the_log_and_not_the_fit(clip: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A thread of tensorboardX writes the log. If it ended by an error, the fit would wait for it forever."""
    fitter = short_plan(clip, tmp_path).fitter(clip)
    log = TensorBoardLog(tmp_path, clip, fitter)
    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", full)
    log(Progress(1, STEPS, 20.0, 1.0, 0.0, fitter.state))
    with pytest.warns(StateWarning, match="log in .* is incomplete: No space left"):
        log.close()
    monkeypatch.setattr("tensorboardX.SummaryWriter.__init__", full)
    with pytest.warns(StateWarning, match="there is no TensorBoard log"):
        assert started_log(tmp_path, clip, fitter) is None
