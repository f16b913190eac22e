"""train/plan/pilot.py, estimate.py and duration.py: short fits of reduced videos, and the estimates that are made of them."""

from pathlib import Path

import numpy as np
import pytest

from inr.spec import NetworkSpec, VideoSpec
from inr.video import Video
from inr.writing import write_video
from train.fit.config import FitConfig
from train.fit.problem import Problem
from train.plan import estimate as estimate_module
from train.plan.duration import duration_line, fit_seconds, relative_cost, spoken
from train.plan.estimate import PILOT_FRAMES, PILOT_PIXELS, estimate, estimate_line
from train.plan.options import FitOptions, Model, Preset, encode_options
from train.plan.pilot import MOST_FRAMES, MOST_PIXELS, Pilot, reduced
from train.plan.presets import plan


@pytest.fixture
def problem(clip: Video) -> Problem:
    spec, config = plan(VideoSpec.of(clip), 1.0, FitOptions())
    return Problem(spec, VideoSpec.of(clip), config)


# Reduced videos


@pytest.mark.parametrize("size", [(720, 1280), (90, 3000), (400, 300)])
def test_a_reduced_video_has_few_pixels_and_few_frames(size: tuple[int, int]):
    video = Video(np.zeros((3, *size, 3), np.uint8), name="large")
    small = reduced(video, pixels=40_000, frames=2)
    assert len(small) == 2
    assert small.height * small.width == pytest.approx(40_000, rel=0.02)
    assert small.width / small.height == pytest.approx(size[1] / size[0], rel=0.02)
    assert (small.name, small.fps, small.colour) == (video.name, video.fps, video.colour)


def test_a_reduced_video_has_the_middle_frames():
    frames = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None, None], (9, 4, 4, 3))
    video = Video(np.ascontiguousarray(frames))
    assert reduced(video, frames=3).frames[:, 0, 0, 0].tolist() == [3, 4, 5]
    assert reduced(video) is video


def test_a_pilot_of_a_large_video_fits_a_reduced_one(monkeypatch: pytest.MonkeyPatch):
    """Its point is of the whole size: larger frames take fewer bits per pixel at equal quality."""
    fitted = []

    def at(bpp: float, video: Video, options: FitOptions, path: object = None, steps: int = 0) -> Pilot:
        fitted.append((len(video), video.height * video.width, bpp))
        spec, config = plan(VideoSpec.of(video), bpp, options)
        return Pilot(bpp, 30.0, Problem(spec, VideoSpec.of(video), config))

    monkeypatch.setattr(Pilot, "at", at)
    pilot = Pilot.of(Video(np.zeros((MOST_FRAMES + 5, 240, 640, 3), np.uint8)), FitOptions())
    ((frames, pixels, bpp),) = fitted
    assert frames == MOST_FRAMES
    assert 0.95 * MOST_PIXELS < pixels <= MOST_PIXELS * 1.02
    assert pilot.bpp < bpp
    fitted.clear()
    small = Video(np.zeros((8, 240, 320, 3), np.uint8))
    Pilot.of(small, encode_options(target_psnr=31.0).fit)
    assert [frames for frames, _, _ in fitted] == [8]  # near enough to the first pilot
    Pilot.of(small, encode_options(target_psnr=36.0).fit)
    assert len(fitted) == 3  # far from it: a second one at the rate that the first expects
    assert fitted[2][2] == pytest.approx(8 * fitted[1][2])


def test_larger_frames_take_fewer_bits_per_pixel_at_equal_quality(problem: Problem):
    """But more bits altogether."""
    pilot = Pilot(bpp=0.1, psnr=30.0, problem=problem)
    area = problem.video.height * problem.video.width
    larger = pilot.for_area(4 * area)
    assert larger.psnr == 30.0
    assert 0.1 / 4 < larger.bpp < 0.1 / 2
    assert pilot.for_area(area).bpp == pytest.approx(0.1)


def test_a_pilots_rate_and_quality_are_each_others_inverse(problem: Problem):
    pilot = Pilot(bpp=0.1, psnr=30.0, problem=problem)
    assert (pilot.expected_bpp(32.0), pilot.expected_psnr(0.2)) == (pytest.approx(0.2), pytest.approx(32.0))
    for psnr in (25.0, 30.0, 37.0):
        assert pilot.expected_psnr(pilot.expected_bpp(psnr)) == pytest.approx(psnr)
    assert pilot.expected_bpp(200.0) == 8.0
    assert pilot.expected_bpp(0.0) == 0.001


# Estimates


def test_an_estimate_of_a_large_source_reads_and_fits_little_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows, columns = np.mgrid[:720, :1280]
    picture = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)
    source, count = tmp_path / "large.y4m", PILOT_FRAMES + 4
    write_video(Video(np.broadcast_to(picture, (count, *picture.shape))), str(source))
    read, pilots = [], []
    honest_read, honest_pilot = estimate_module.read_video, Pilot.at

    def read_video(*arguments: object) -> Video:
        read.append(honest_read(*arguments))
        return read[-1]

    def pilot_at(*arguments: object, **keywords: object) -> Pilot:
        pilots.append(honest_pilot(*arguments, **keywords))
        return pilots[-1]

    monkeypatch.setattr(estimate_module, "read_video", read_video)
    monkeypatch.setattr(estimate_module, "PILOT_STEPS", 5)
    monkeypatch.setattr(Pilot, "at", pilot_at)
    options = encode_options(target_bpp=0.05, preset="fast", model="nerv")
    facts = estimate(source, options)
    assert [len(video) for video in read] == [PILOT_FRAMES]
    (pilot,) = pilots
    fitted = pilot.problem.video
    assert fitted.frames == PILOT_FRAMES
    assert fitted.height * fitted.width <= 1.02 * PILOT_PIXELS
    assert pilot.problem.config.steps == 5
    assert facts["estimated_bytes"] == [round(0.05 * count * 720 * 1280 / 8)] * 2
    whole = VideoSpec(1280, 720, count)
    spec, config = plan(whole, 0.05, options.fit)
    times = relative_cost(Problem(spec, whole, config)) / relative_cost(pilot.problem)
    assert facts["step_seconds"] == pytest.approx(pilot.step_seconds * times)
    assert facts["estimated_seconds"] == pytest.approx(2500 * facts["step_seconds"] + 12)
    assert sorted(tmp_path.iterdir()) == [source]


def test_an_estimate_in_words_says_how_to_make_a_long_fit_shorter():
    facts = {
        "estimated_bytes": [900, 1100],
        "estimated_psnr_rgb": [29.0, 33.0],
        "estimated_seconds": 40.0,
        "estimated_memory_bytes": 1.23e9,
        "steps": 2500,
        "step_seconds": 0.01,
    }
    line = estimate_line(facts)
    assert line == "about 900 to 1100 bytes, 29.0 to 33.0 dB, 40 seconds (2500 steps of 10.0 ms), 1.2 GB of memory; nothing was written"
    assert "--preset fast" in estimate_line({**facts, "estimated_seconds": 4000.0})


# Durations


def test_durations_are_said_in_words():
    assert [spoken(seconds) for seconds in (40, 720, 12_600)] == ["40 seconds", "12 minutes", "3.5 hours"]
    video = VideoSpec(64, 48, 9)
    problem = Problem(*plan_of(video, "cam"))
    assert duration_line(problem, 0.012) == "the fit takes about 30 seconds: 2500 steps of 12 ms"
    assert duration_line(problem.with_steps(10_000), 0.1).endswith("; shorter: --time-budget 5m, --preset fast, or --scale 1/2")
    tree = Problem(*plan_of(video, "tree")).with_steps(100)
    assert fit_seconds(tree, 1.0) == 100 + 4 * 12 + 8 * 9  # a quick pass, in which key frames have a larger share, and other work
    assert "and as much as a few steps for each frame" in duration_line(tree, 1.0)


def plan_of(video: VideoSpec, model: str) -> tuple[NetworkSpec, VideoSpec, FitConfig]:
    """The spec and the config of a fast fit."""
    spec, config = plan(video, 0.1, FitOptions(preset=Preset.parse("fast"), model=Model(model)))
    return spec, video, config


def test_a_step_costs_more_for_larger_frames_and_more_weights(problem: Problem):
    larger = Problem(problem.spec, VideoSpec(96, 64, 6), problem.config)
    assert relative_cost(larger) > 3 * relative_cost(problem)
    assert relative_cost(problem) > 0
