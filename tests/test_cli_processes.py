"""The command line in processes of its own: signals, exit codes, a decoder without training code, a pipe."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE, Outcome

import train.cli.display
from codec.decoder import decode
from train.fit.progress import Progress

# `inr` with a line of progress after every chunk of steps, so that a test can wait for one.
TALKATIVE = """
import codec.interruption, train.cli.display
from train.cli.main import main
train.cli.display.PLAIN_SECONDS = 0
codec.interruption.GRACE = 600  # a slow machine needs longer to write the file
main()
"""
PRESET, LAST_STEP = "slow", 32_000  # far more steps than any test waits for


def first_step_of(line: str) -> int:
    """The step in a line of progress, 'fit 40/32000 ..'; 0 in any other line."""
    word = line.split()[1] if line.startswith("fit ") else "0/1"
    return int(word.split("/")[0])


def test_ctrl_c_leaves_a_valid_file_and_sigterm_saves_the_state(
    clip_file: Path, tmp_path: Path, inr: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
):
    target, work = tmp_path / "a.inr", tmp_path / "a.inr.work"
    arguments = ("encode", clip_file, target, "--preset", PRESET, "--target-bpp", 6)

    # Ctrl-C: a valid file under its cap, and a process that dies by the signal.
    process = subprocess.Popen(
        [sys.executable, "-c", TALKATIVE, *map(str, arguments)], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    )
    stuck = threading.Timer(PATIENCE, process.kill)
    stuck.start()
    reached = next(filter(None, map(first_step_of, process.stderr)), None)
    stuck.cancel()
    assert reached is not None
    assert reached < LAST_STEP
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT, messages
    model = decode(target.read_bytes())
    assert model.videos[0].spec.frames == 6
    assert model.fingerprints == b""
    assert 8 * target.stat().st_size / (6 * 32 * 48) <= 6
    assert (work / "run.json").is_file()

    # SIGTERM, in this process: the same command goes on from there, and saves its state again.
    steps: list[int] = []

    def terminate(self, progress: Progress) -> None:
        steps.append(progress.step)
        if len(steps) == 1:
            signal.raise_signal(signal.SIGTERM)

    before = target.read_bytes()
    monkeypatch.setattr(train.cli.display.Lines, "__call__", terminate)
    pre_empted = inr(*arguments, "--json")  # the unfinished file is its own: no --overwrite needed
    assert (pre_empted.code, pre_empted.last["id"]) == (75, "pre-empted")
    assert reached < steps[0] < LAST_STEP
    assert target.read_bytes() == before
    assert (work / "run.json").is_file()
    other = inr("encode", clip_file, target, "--seed", 5, "--json")
    assert (other.code, other.last["id"]) == (2, "other-run")  # the folder beside the file is another run's


def test_a_decoder_needs_no_training_code(encoded: tuple[Path, Outcome], inr: Callable[..., Outcome], tmp_path: Path):
    """`python -m codec` writes to a pipe with our training code and its log library out of reach."""
    target, _ = encoded
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("train", "tensorboardX"):
        (blocked / f"{name}.py").write_text("raise ImportError('blocked')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(blocked), str(Path(__file__).parent.parent)])}
    command = [sys.executable, "-m", "codec", "decode", str(target), "-"]
    piped = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, timeout=PATIENCE, check=True).stdout
    assert piped.startswith(b"YUV4MPEG2 W48 H32 F25:1")
    assert inr("decode", target, tmp_path / "a.y4m").code == 0
    ours = np.frombuffer((tmp_path / "a.y4m").read_bytes(), np.uint8).astype(int)
    assert np.abs(np.frombuffer(piped, np.uint8) - ours).max() <= 2  # pixels agree within a level, and so does luma


def test_an_exit_code_reaches_the_shell(encoded: tuple[Path, Outcome], inr_process: Callable[..., Outcome], tmp_path: Path):
    data = encoded[0].read_bytes()
    (tmp_path / "cut.inr").write_bytes(data[: len(data) // 2])
    outcome = inr_process("train", "decode", tmp_path / "cut.inr", tmp_path / "x.mkv", "--json")
    assert outcome.code == outcome.last["exit_code"] == 5
