"""train/groups.py: long videos as chains of groups, one in memory at a time."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from conftest import Outcome, moving_square

import train.plan.presets
from codec.bundle import extracted, checksums_match
from codec.decoder import decode
from codec.encoder import encode
from codec.model import QuantizedModel
from inr.errors import InputError, UsageError
from inr.layout import is_private
from inr.reading import Source, read_video
from inr.video import Video
from inr.writing import write_video
from train.fit.base_layers import PreviousSegment
from train.encode.run import EncodeOptions
from train.plan.estimate import estimate
from train.encode.segments import FEWEST, MOST, boundaries, encode_segments
from train.fit.interrupts import Preempted
from train.fit.target import RateTarget

FRAMES, STEPS = 8, 120
OPTIONS = EncodeOptions(preset="fast", model="nirvana", target=RateTarget(target_bpp=2.0), chunk=3, key_every=2)


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    with patch.dict(train.plan.presets.PRESETS, fast=STEPS):
        yield


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames: groups of three, three and two."""
    path = tmp_path_factory.mktemp("long") / "long.mkv"
    write_video(moving_square(FRAMES, 24, 32), str(path))
    return path


@pytest.fixture(scope="module")
def grouped(long_file: Path, few_steps: None) -> bytes:
    target = long_file.with_suffix(".inr")
    done = encode_segments(long_file, target, OPTIONS)
    assert done is not None
    assert done.target_hit
    assert done.report.bytes == target.stat().st_size
    assert done.steps == 3 * STEPS
    assert not target.with_name(target.name + ".work").exists()
    return target.read_bytes()


# Reading


def test_a_source_gives_what_is_asked_for(long_file: Path):
    whole, source = read_video(long_file), Source(long_file)
    assert len(source) == FRAMES
    for start, end in ((0, 3), (3, 6), (1, 2), (6, 8)):  # on, and back
        part = source[start:end]
        assert np.array_equal(part.frames, whole.frames[start:end])
        assert (part.fps, part.colour, part.name) == (whole.fps, whole.colour, whole.name)
    cut = Source(long_file, (2, -1), "1/2")
    assert len(cut) == FRAMES - 3
    assert np.array_equal(cut[1:3].frames, read_video(long_file, (3, 5), "1/2").frames)


def test_a_source_may_be_a_folder(long_file: Path, tmp_path: Path):
    write_video(read_video(long_file), str(tmp_path / "p_%03d.png"))
    source = Source(tmp_path)
    assert len(source) == FRAMES
    assert np.array_equal(source[2:5].frames, read_video(long_file, (2, 5)).frames)


def test_a_source_is_decoded_once(long_file: Path):
    source, has_network = Source(long_file), []
    honest = source._stream._frames
    source._stream._frames = lambda: has_network.append(None) or honest()
    for start in range(FRAMES):
        assert len(source[start : start + 1]) == 1
    assert len(has_network) == 1


def test_a_source_that_cannot_be_read_is_refused(long_file: Path, tmp_path: Path):
    (tmp_path / "text.mp4").write_text("no video")
    for path, span in ((tmp_path / "none.mp4", (None, None)), (tmp_path / "text.mp4", (None, None)), (long_file, (9, 12))):
        with pytest.raises(InputError):
            Source(path, span)


# Where groups begin


def test_groups_end_where_much_moves_or_a_scene_does(tmp_path: Path):
    still = np.full((90, 16, 16, 3), 80, np.uint8)
    scenes = still.copy()
    scenes[20:] = 200
    restless = still.copy()
    restless[::2] += 20  # 0.08 a frame
    for name, frames in (("still", still), ("scenes", scenes), ("restless", restless)):
        write_video(Video(frames), str(tmp_path / f"{name}.mkv"))
    found = {path.stem: boundaries(Source(path), 0) for path in tmp_path.glob("*.mkv")}
    assert found["still"] == [0, MOST, 90]
    assert found["scenes"] == [0, 20, 20 + MOST, 90]
    lengths = np.diff(found["restless"])
    assert FEWEST <= lengths[:-1].min() <= lengths[:-1].max() <= 5
    source = Source(tmp_path / "still.mkv")
    assert boundaries(source, 30) == [0, 30, 60, 90]
    assert boundaries(source, 35) == [0, 35, 70, 90]
    assert boundaries(source, 40) == [0, 40, 90]  # ten frames could not stand alone
    assert boundaries(source, 200) == [0, 90]


# Files


def test_groups_are_one_video(grouped: bytes):
    model = decode(grouped)
    assert [entry.spec.frames for entry in model.videos] == [3, 3, 2]
    assert [entry.continues for entry in model.videos] == [False, True, True]
    assert model.clips == (range(3),)
    assert model.clip_spec(0).frames == FRAMES
    again = decode(encode(model))  # records in another order, the same video
    assert np.array_equal(again.render(), model.render())
    assert again.clips == model.clips
    assert checksums_match(model, 0)
    assert len(grouped) <= 2.0 * FRAMES * 24 * 32 / 8


def test_every_second_group_is_a_key(grouped: bytes):
    assert [entry.layers for entry in decode(grouped).videos] == [(0,), (0, 1), (2,)]


def test_only_the_groups_wanted_are_rendered(grouped: bytes, monkeypatch: pytest.MonkeyPatch):
    model, rendered = decode(grouped), []
    frames, honest = model.render(), QuantizedModel.render_entry
    assert len(frames) == FRAMES
    monkeypatch.setattr(QuantizedModel, "render_entry", lambda self, entry, *rest: rendered.append(entry) or honest(self, entry, *rest))
    backwards = model.render([7, 3])
    assert np.abs(backwards.astype(int) - frames[[7, 3]]).max() <= 1
    assert rendered == [1, 2]
    between = model.render([2.5, 3.5])
    assert np.abs(between[0].astype(int) - frames[2]).max() <= 1  # groups do not mix
    assert between[1].tolist() != frames[3].tolist()


def test_a_group_begins_as_the_one_before(grouped: bytes):
    """Nothing to code as yet: a residual of zeros on the weights, and on the steps, of the last group."""
    model = decode(grouped)
    chain = PreviousSegment(grouped, replace(model, videos=model.videos[:2], layers=model.layers[:2]), key_every=8)
    before = model.tensors(1)
    assert chain.layers == (0, 1)
    for name, values in chain.begins.items():
        assert np.array_equal(values, before[name])
        assert is_private(name) or np.array_equal(values, chain.sums[name])


def test_residuals_take_fewer_bits_than_groups_afresh(long_file: Path, grouped: bytes, tmp_path: Path):
    """At the same quality: what is still stays as it is."""
    still = tmp_path / "still.mkv"
    write_video(Video(np.repeat(moving_square(1, 24, 32).frames, 6, axis=0)), str(still))
    sizes = {}
    for key_every in (1, 8):
        target = tmp_path / f"{key_every}.inr"
        done = encode_segments(still, target, replace(OPTIONS, target=RateTarget(quality=40), key_every=key_every))
        assert done is not None
        records = [layer.tensors for layer in decode(target.read_bytes()).layers]
        sizes[key_every] = (done.report.bytes, done.report.psnr_rgb, sum(int(np.count_nonzero(t.symbols)) for t in records[1].values()))
    assert sizes[8][2] < 0.5 * sizes[1][2]
    assert sizes[8][0] < 0.8 * sizes[1][0]


def test_a_chain_is_extracted_whole(grouped: bytes):
    model = decode(grouped)
    again = decode(encode(extracted(model, 0)))
    assert np.array_equal(again.render(), model.render())
    assert again.fingerprints == model.fingerprints


# Runs


def test_the_same_command_again_changes_nothing(long_file: Path, grouped: bytes):
    target = long_file.with_suffix(".inr")
    assert encode_segments(long_file, target, OPTIONS) is None
    assert target.read_bytes() == grouped


def test_what_is_left_is_taken_up_again(long_file: Path, grouped: bytes, tmp_path: Path):
    """Told to leave in the second group, then run again: the same file as in one go."""
    target, calls = tmp_path / "a.inr", []

    def leave(line: str) -> None:
        calls.append(line)
        if line.startswith("group 2"):
            raise Preempted

    with pytest.raises(Preempted):
        encode_segments(long_file, target, OPTIONS, say=leave)
    assert not target.exists()
    with pytest.raises(UsageError, match="another input"):
        encode_segments(long_file, target, replace(OPTIONS, seed=1))
    calls.clear()
    assert encode_segments(long_file, target, OPTIONS, say=calls.append) is not None
    assert not any(line.startswith("group 1") for line in calls)
    assert target.read_bytes() == grouped


def test_at_the_shell(long_file: Path, tmp_path: Path, inr: Callable[..., Outcome]):
    target = tmp_path / "a.inr"
    options = ["--chunk", 5, "--target-bpp", "2", "--time-budget", "24s", "--json"]
    outcome = inr("encode", long_file, target, *options)
    assert outcome.code == 0, outcome.err
    assert outcome.last["frames"] == FRAMES
    assert 1.94 <= outcome.last["bpp"] <= 2
    assert inr("decode", target, tmp_path / "a.npy", "--frames", "4:7").code == 0
    assert np.load(tmp_path / "a.npy").shape == (3, 24, 32, 3)
    described = inr("info", target, "--json").last
    assert described["groups"] == [5, 3]
    assert sum(described["sections"].values()) == target.stat().st_size
    assert inr("eval", target, "--ref", long_file, "--json").last["psnr_rgb"] == pytest.approx(outcome.last["psnr_rgb"])
    assert inr("retarget", target, tmp_path / "b.inr", "--target-size", "100").code == 2


def test_groups_may_be_masked(long_file: Path, tmp_path: Path):
    """What a mask hides does not count in any group; one image serves all, or one for each frame."""
    clip = read_video(long_file)
    hidden = np.zeros((FRAMES, 24, 32, 3), np.uint8)
    hidden[:, 4:12, 10:20] = 255
    other = clip.frames.copy()
    other[:, 4:12, 10:20] = 255 - other[:, 4:12, 10:20]
    changed = tmp_path / "changed" / long_file.name  # the same name: it is in the file, and takes its bytes
    changed.parent.mkdir()
    write_video(Video(other), str(changed))
    write_video(Video(hidden), str(tmp_path / "each.mkv"))
    write_video(Video(hidden[:1]), str(tmp_path / "all.png"))
    write_video(Video(hidden[:3]), str(tmp_path / "few.mkv"))
    found = []
    for source, mask in ((long_file, "all.png"), (changed, "each.mkv")):
        target = tmp_path / f"{mask}.inr"
        assert encode_segments(source, target, replace(OPTIONS, mask=tmp_path / mask)) is not None
        found.append(decode(target.read_bytes()).render())
    assert np.array_equal(*found)
    with pytest.raises(InputError, match="the mask has 3 frames, the video 8"):
        encode_segments(long_file, tmp_path / "b.inr", replace(OPTIONS, mask=tmp_path / "few.mkv"))
    with pytest.raises(UsageError, match="--target-psnr"):
        encode_segments(long_file, tmp_path / "b.inr", replace(OPTIONS, target=RateTarget(target_psnr=30), mask=tmp_path / "all.png"))


def test_an_estimate_of_groups_is_of_all_of_them(long_file: Path):
    one, all_of_them = (estimate(long_file, replace(OPTIONS, frames=span)) for span in ((0, 3), (None, None)))
    assert all_of_them["estimated_bytes"] == pytest.approx([size * FRAMES / 3 for size in one["estimated_bytes"]], abs=2)
    assert all_of_them["steps"] == round(STEPS * FRAMES / 3)
    assert all_of_them["weights"] == one["weights"]
    assert all_of_them["estimated_seconds"] > one["estimated_seconds"]
