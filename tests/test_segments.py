"""train/encode/segments.py and train/plan/segmentation.py: long videos as segments, one in memory at a time."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.bundle import checksums_match, extracted
from codec.decoder import decode
from codec.encoder import encode
from codec.model import QuantizedModel
from inr.decoding import Decoding
from inr.errors import InputError, UsageError
from inr.layout import tensor_specs
from inr.reading import Source, read_video
from inr.scale import Scale
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import write_video
from train.encode.segments import encode_segments
from train.fit.base_layers import PreviousSegment
from train.fit.interrupts import Preempted
from train.fit.progress import Reporter
from train.fit.target import RateTarget
from train.plan.estimate import estimate
from train.plan.options import Segmentation, Selection, encode_options
from train.plan.segmentation import FEWEST, MOST, boundaries, segment_target

FRAMES, STEPS = 9, 300
OPTIONS = encode_options(preset=str(STEPS), model="nirvana", target_bpp=2.0, chunk=3, key_every=2)
QUIET = Reporter()


@pytest.fixture(scope="module", autouse=True)
def quick_rdoq() -> Iterator[None]:
    """RDOQ tries one share of a tensor's promising moves instead of four."""
    with patch("train.fit.rdoq.SHARES", (0.06,)):
        yield


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine frames: three segments of three."""
    path = tmp_path_factory.mktemp("long") / "long.mkv"
    write_video(moving_square(FRAMES, 24, 32), str(path))
    return path


@pytest.fixture(scope="module")
def segmented(long_file: Path, quick_rdoq: None) -> bytes:
    """The file of its three segments."""
    target = long_file.with_suffix(".inr")
    done = encode_segments(long_file, target, OPTIONS, QUIET)
    assert done is not None
    assert done.target_hit
    assert done.report.bytes == target.stat().st_size
    assert done.steps == 3 * STEPS
    assert not target.with_name(target.name + ".work").exists()
    return target.read_bytes()


# Sources


def test_a_source_gives_the_frames_that_are_asked_for(long_file: Path):
    whole, source = read_video(long_file), Source(long_file)
    assert len(source) == FRAMES
    for start, end in ((0, 3), (3, 6), (1, 2), (6, 9)):  # forwards, and backwards
        part = source[start:end]
        assert np.array_equal(part.frames, whole.frames[start:end])
        assert (part.fps, part.colour, part.name) == (whole.fps, whole.colour, whole.name)
    cut = Source(long_file, (2, -1), Scale.parse("1/2"))
    assert len(cut) == FRAMES - 3
    assert np.array_equal(cut[1:3].frames, read_video(long_file, (3, 5), Scale.parse("1/2")).frames)


def test_a_source_may_be_a_folder(long_file: Path, tmp_path: Path):
    write_video(read_video(long_file), str(tmp_path / "p_%03d.png"))
    source = Source(tmp_path)
    assert len(source) == FRAMES
    assert np.array_equal(source[2:5].frames, read_video(long_file, (2, 5)).frames)


def test_a_source_is_decoded_once(long_file: Path, monkeypatch: pytest.MonkeyPatch):
    source, passes, honest = Source(long_file), [], Decoding.__iter__
    monkeypatch.setattr(Decoding, "__iter__", lambda decoding: passes.append(None) or honest(decoding))
    for start in range(FRAMES):
        assert len(source[start : start + 1]) == 1
    assert len(passes) == 1


def test_a_source_that_cannot_be_read_is_refused(long_file: Path, tmp_path: Path):
    (tmp_path / "text.mp4").write_text("no video")
    for path, span in ((tmp_path / "none.mp4", (None, None)), (tmp_path / "text.mp4", (None, None)), (long_file, (10, 12))):
        with pytest.raises(InputError):
            Source(path, span)


# Boundaries and targets


def test_segments_end_after_much_motion_or_at_a_cut(tmp_path: Path):
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


def test_segments_share_a_cap_by_frames():
    """The next ones get what a segment leaves of its share; a quality is each segment's own."""
    segment, cap = VideoSpec(32, 24, 3), RateTarget(target_bytes=800)
    assert segment_target(cap, segment, frames=8, rest=8) == RateTarget(target_bytes=300)
    assert segment_target(cap, segment, frames=8, rest=5, used=200) == RateTarget(target_bytes=360)
    assert segment_target(RateTarget(target_bpp=2.0), segment, frames=8, rest=8) == RateTarget(target_bytes=2 * 3 * 24 * 32 // 8)
    assert segment_target(RateTarget(target_psnr=30.0), segment, frames=8, rest=5, used=200) == RateTarget(target_psnr=30.0)


# Files


def test_segments_are_one_video(segmented: bytes):
    model = decode(segmented)
    assert [entry.spec.frames for entry in model.videos] == [3, 3, 3]
    assert [entry.continues for entry in model.videos] == [False, True, True]
    assert model.clips == (range(3),)
    assert model.clip_spec(0).frames == FRAMES
    again = decode(encode(model))  # records in another order
    assert np.array_equal(again.render(), model.render())
    assert again.clips == model.clips
    assert checksums_match(model, 0)
    assert len(segmented) <= 2.0 * FRAMES * 24 * 32 / 8


def test_every_second_segment_references_no_other(segmented: bytes):
    assert [entry.layers for entry in decode(segmented).videos] == [(0,), (0, 1), (2,)]


def test_only_the_segments_of_wanted_frames_are_rendered(segmented: bytes, monkeypatch: pytest.MonkeyPatch):
    model, rendered = decode(segmented), []
    frames, honest = model.render(), QuantizedModel.render_entry
    assert len(frames) == FRAMES
    monkeypatch.setattr(QuantizedModel, "render_entry", lambda self, entry, *rest: rendered.append(entry) or honest(self, entry, *rest))
    backwards = model.render([7, 3])
    assert np.abs(backwards.astype(int) - frames[[7, 3]]).max() <= 1
    assert rendered == [1, 2]
    between = model.render([2.5, 3.5])
    assert np.abs(between[0].astype(int) - frames[2]).max() <= 1  # frames of different segments do not mix
    assert between[1].tolist() != frames[3].tolist()


def test_a_segment_starts_as_the_one_before(segmented: bytes):
    """At first there is nothing to code: a residual of zeros, on the weights of the last segment and on its step sizes."""
    model = decode(segmented)
    previous = PreviousSegment(segmented, replace(model, videos=model.videos[:2], layers=model.layers[:2]), key_every=8)
    before = model.tensors(1)
    assert previous.layers == (0, 1)
    private = {tensor.name for tensor in tensor_specs(model.spec, model.videos[1].spec) if tensor.private}
    assert previous.initial_values.keys() == before.keys()
    for name, values in previous.initial_values.items():
        assert np.array_equal(values, before[name])
        assert name in private or np.array_equal(values, previous.sums[name])
    assert previous.exponents
    assert all(previous.exponents[name] == tensor.exponent for name, tensor in model.layers[1].tensors.items() if tensor.symbols.any())


def test_residuals_take_fewer_bits_than_fresh_segments(tmp_path: Path):
    """Of a still video, at the same quality: the second segment has little to change."""
    still, found = tmp_path / "still.mkv", {}
    write_video(Video(np.repeat(moving_square(1, 24, 32).frames, 6, axis=0)), str(still))
    for key_every in (1, 8):
        target = tmp_path / f"{key_every}.inr"
        options = encode_options(preset=str(STEPS), model="nirvana", quality=40, chunk=3, key_every=key_every)
        done = encode_segments(still, target, options, QUIET)
        assert done is not None
        second = decode(target.read_bytes()).layers[1].tensors
        found[key_every] = (done.report.bytes, sum(int(np.count_nonzero(tensor.symbols)) for tensor in second.values()))
    (fresh_bytes, fresh_symbols), (residual_bytes, residual_symbols) = found[1], found[8]
    assert residual_symbols < 0.5 * fresh_symbols
    assert residual_bytes < 0.8 * fresh_bytes


def test_a_video_is_extracted_with_all_its_segments(segmented: bytes):
    model = decode(segmented)
    again = decode(encode(extracted(model, 0)))
    assert np.array_equal(again.render(), model.render())
    assert again.fingerprints == model.fingerprints


# Runs


def test_the_same_command_again_changes_nothing(long_file: Path, segmented: bytes):
    target = long_file.with_suffix(".inr")
    assert encode_segments(long_file, target, OPTIONS, QUIET) is None
    assert target.read_bytes() == segmented


def test_unfinished_segments_are_resumed(long_file: Path, segmented: bytes, tmp_path: Path):
    """Told to leave in the second segment, then run again, it gives the same file as in one go."""
    target, said = tmp_path / "a.inr", []

    def leave(line: str) -> None:
        if line.startswith("segment 2"):
            raise Preempted

    with pytest.raises(Preempted):
        encode_segments(long_file, target, OPTIONS, Reporter(say=leave))
    assert not target.exists()
    with pytest.raises(UsageError) as raised:
        encode_segments(long_file, target, OPTIONS.with_fit(seed=1), QUIET)
    assert raised.value.identifier == "other-run"
    assert encode_segments(long_file, target, OPTIONS, Reporter(say=said.append)) is not None
    assert [line.split(":")[0] for line in said if line.startswith("segment")] == ["segment 2 of 3", "segment 3 of 3"]
    assert target.read_bytes() == segmented


def test_the_shell_gives_the_same_file(long_file: Path, segmented: bytes, tmp_path: Path, inr: Callable[..., Outcome]):
    target = tmp_path / "a.inr"
    options = ["--model", "nirvana", "--chunk", 3, "--key-every", 2, "--target-bpp", 2, "--preset", STEPS, "--json"]
    outcome = inr("encode", long_file, target, *options)
    assert outcome.code == 0, outcome.err
    assert outcome.last["frames"] == FRAMES
    assert outcome.last["target_hit"]
    assert outcome.last["bpp"] <= 2
    assert target.read_bytes() == segmented
    assert inr("decode", target, tmp_path / "a.npy", "--frames", "4:7").code == 0
    assert np.load(tmp_path / "a.npy").shape == (3, 24, 32, 3)
    described = inr("info", target, "--json").last
    assert described["segments"] == [3, 3, 3]
    assert sum(described["sections"].values()) == target.stat().st_size
    assert inr("eval", target, "--ref", long_file, "--json").last["psnr_rgb"] == pytest.approx(outcome.last["psnr_rgb"])
    assert inr("retarget", target, tmp_path / "b.inr", "--target-size", "100").code == 2


def test_segments_may_be_masked(long_file: Path, tmp_path: Path):
    """Masked pixels count in no segment; the mask is one image, or has an image for each frame."""
    clip = read_video(long_file)
    hidden = np.zeros((FRAMES, 24, 32, 3), np.uint8)
    hidden[:, 4:12, 10:20] = 255
    other = clip.frames.copy()
    other[:, 4:12, 10:20] = 255 - other[:, 4:12, 10:20]
    changed = tmp_path / "changed" / long_file.name  # the name is in the file, so it is the same
    changed.parent.mkdir()
    write_video(Video(other), str(changed))
    write_video(Video(hidden), str(tmp_path / "each.mkv"))
    write_video(Video(hidden[:1]), str(tmp_path / "all.png"))
    write_video(Video(hidden[:3]), str(tmp_path / "few.mkv"))
    found, options = [], encode_options(preset="32", model="nirvana", quality=60, chunk=3, key_every=1)
    for source, mask in ((long_file, "all.png"), (changed, "each.mkv")):
        target = tmp_path / f"{mask}.inr"
        assert encode_segments(source, target, replace(options, selection=Selection(mask=tmp_path / mask)), QUIET) is not None
        found.append(decode(target.read_bytes()).render())
    assert np.array_equal(*found)
    with pytest.raises(InputError, match="3 frames") as refused:
        encode_segments(long_file, tmp_path / "b.inr", replace(options, selection=Selection(mask=tmp_path / "few.mkv")), QUIET)
    assert refused.value.identifier == "mask-size"
    masked = replace(options.with_fit(target=RateTarget(target_psnr=30)), selection=Selection(mask=tmp_path / "all.png"))
    with pytest.raises(UsageError) as refused:
        encode_segments(long_file, tmp_path / "b.inr", masked, QUIET)
    assert refused.value.identifier == "mask-psnr"


def test_an_estimate_of_segments_is_of_all_of_them(long_file: Path, monkeypatch: pytest.MonkeyPatch):
    """Bytes and steps are those of the whole video, network and memory those of one segment."""
    monkeypatch.setattr("train.plan.estimate.PILOT_STEPS", 10)
    whole, one = estimate(long_file, OPTIONS), estimate(long_file, replace(OPTIONS, selection=Selection((0, 3))))
    assert whole["estimated_bytes"] == pytest.approx([size * FRAMES / 3 for size in one["estimated_bytes"]], abs=2)
    assert whole["steps"] == round(STEPS * FRAMES / 3)
    assert whole["weights"] == one["weights"]
    assert whole["estimated_memory_bytes"] == one["estimated_memory_bytes"]


def test_segments_are_asked_for_by_a_number_of_frames_or_by_motion():
    assert OPTIONS.segmentation == Segmentation(3, key_every=2)
    assert encode_options(chunk=0).segmentation == Segmentation(0, key_every=8)
    assert encode_options(key_every=4).segmentation is None
