"""train/encode/default_segments.py: segments for a video that is too large or too long for one fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import moving_square

from codec.decoder import decode
from inr.reading import Extent
from inr.writing import write_video
from train.encode.files import encode_file
from train.encode.outcome import Encoded
from train.encode.segments import _SegmentsRun
from train.fit.interrupts import Preempted
from train.fit.progress import Reporter
from train.plan.options import encode_options
from train.plan.segment_length import LEAST_VISITS, frames_visited, frames_within
from train.plan.segmentation import FEWEST, parts_of


def test_a_video_that_needs_too_much_memory_is_fitted_in_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same command afterwards finds its file, though it would choose other segments."""
    extent, fit = Extent(640, 360, 5000), encode_options(target_bpp=0.1).fit
    whole = frames_within(extent, fit, None)
    lengths = [frames_within(extent, fit, available) for available in (10**12, 6 * 10**9, 3 * 10**9, 10**8)]
    assert whole is None
    assert lengths[0] is None
    assert FEWEST <= (lengths[2] or 0) < (lengths[1] or 0) < 5000
    assert lengths[3] is None  # not even a segment fits: the error of `check_memory` says so

    said, source, target = list[str](), tmp_path / "long.mkv", tmp_path / "a.inr"
    write_video(moving_square(9, 24, 32), str(source))
    options = encode_options(preset="40", target_bpp=2.0)
    monkeypatch.setattr("train.plan.segment_length.frames_within", lambda *facts: 4)
    monkeypatch.setattr("train.plan.segment_length.available_bytes", lambda: 0)
    assert encode_file(source, target, options, Reporter(say=said.append)) is not None
    assert any("--chunk 4" in line for line in said)
    assert [video.spec.frames for video in decode(target.read_bytes()).videos] == [4, 5]
    monkeypatch.setattr("train.plan.segment_length.frames_within", lambda *facts: 8)
    assert encode_file(source, target, options) is None
    assert not list(tmp_path.glob("*.work"))


@pytest.mark.parametrize("options", [{"time_budget": 600.0}, {"preset": "300"}])
def test_a_video_that_is_too_long_for_the_steps_of_a_fit_is_fitted_in_segments(options: dict, monkeypatch: pytest.MonkeyPatch):
    """Steps of a network for more frames take longer, because it has more weights."""
    monkeypatch.setattr("train.plan.segment_length.foreseen_step_seconds", lambda problem: 1e-3 * problem.video.frames)
    fit = encode_options(target_bpp=0.1, model="cam", **options).fit
    lengths = [frames_visited(Extent(320, 180, frames), fit, frames) for frames in (8, 100, 3000)]
    assert lengths[:2] == [None, None]
    assert 2 * 300 / LEAST_VISITS >= (lengths[2] or 3000) > FEWEST
    assert frames_visited(Extent(320, 180, 3000), fit, 8) is None  # every scene is short


def test_segments_that_would_not_be_visited_more_often_are_not_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("train.plan.segment_length.foreseen_step_seconds", lambda problem: 0.1)
    fit = encode_options(target_bpp=0.1, model="cam", time_budget=60.0).fit
    assert frames_visited(Extent(320, 180, 3000), fit, 3000) is None


def test_trees_and_networks_of_papers_are_never_too_long():
    for model in ("tree", "hnerv"):
        fit = encode_options(target_bpp=0.1, model=model, preset="10").fit
        assert frames_visited(Extent(320, 180, 3000), fit, 3000) is None, model


def test_a_long_scene_is_divided():
    assert parts_of([0, 10, 50], 60, 16) == [0, 10, 26, 42, 50, 60]
    assert parts_of([0, 10, 50], 60, 0) == [0, 10, 50, 60]
    assert parts_of([0], 41, 16) == [0, 16, 32, 41]
    assert parts_of([0], 39, 16) == [0, 16, 39]  # the last part would be too short


def test_a_long_video_in_segments_can_be_resumed_and_is_up_to_date_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that resumes the run, or finds it finished, does not look at the speed of the machine again."""
    said, source, target = list[str](), tmp_path / "long.mkv", tmp_path / "a.inr"
    write_video(moving_square(10, 24, 32), str(source))
    options = encode_options(preset="40", target_bpp=2.0, model="cam")
    monkeypatch.setattr("train.plan.segment_length.frames_visited", lambda *facts: 5)
    monkeypatch.setattr("train.encode.segments._SegmentsRun._add", leave_before_second(_SegmentsRun._add))
    with pytest.raises(Preempted):
        encode_file(source, target, options, Reporter(say=said.append))
    assert any("--chunk 5" in line for line in said)
    monkeypatch.undo()
    monkeypatch.setattr("train.plan.segment_length.frames_visited", lambda *facts: None)
    encoded = encode_file(source, target, options)
    assert encoded is not None
    assert [video.spec.frames for video in decode(target.read_bytes()).videos] == [5, 5]
    assert encoded.steps == 40  # of the second segment: it gets all steps of the preset
    assert encode_file(source, target, options) is None
    assert not list(tmp_path.glob("*.work"))


def leave_before_second(add: Callable[[_SegmentsRun, int], Encoded]) -> Callable[[_SegmentsRun, int], Encoded]:
    def added(run: _SegmentsRun, index: int) -> Encoded:
        if index:
            raise Preempted
        return add(run, index)

    return added
