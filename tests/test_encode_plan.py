"""train/plan/encode_plan.py: the number of steps that a time budget becomes, caps out of reach, memory, and resumed plans."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from short_fits import STEPS, short_plan

from codec.encoder import encode
from inr.errors import ResourceError, TargetMissed, UsageError
from inr.video import Video
from train.encode.run import encode_video
from train.fit.fitter import Fitter
from train.fit.rdoq import cost_in_steps, worthwhile
from train.plan.encode_plan import CAP_AIM, LEAST_STEPS, EncodePlan, fit_deadline, steps_within, zero_model
from train.plan.memory import check_memory, fit_bytes
from train.plan.options import encode_options
from train.plan.pilot import Pilot

NOW = 1000.0  # of a clock that stands still
RDOQ_COST = 100  # steps


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan's clock stands still at NOW, and RDOQ costs as much as RDOQ_COST steps."""
    monkeypatch.setattr("train.plan.encode_plan.time", SimpleNamespace(monotonic=lambda: NOW))
    monkeypatch.setattr("train.fit.rdoq.cost_in_steps", lambda problem: RDOQ_COST)
    monkeypatch.setattr("train.plan.encode_plan.cost_in_steps", lambda problem: RDOQ_COST)


def planned_steps(plan: EncodePlan, started: float = NOW, fitter: Fitter | None = None) -> int:
    """The number of steps that the plan gets; a fitter is needed only if the time of a step is not known."""
    return plan.with_step_count(fitter, started).problem.config.steps


# Steps


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize(
    ("step_seconds", "steps"),
    [
        (0.012, 900),  # 1000 steps fit, 100 of which are RDOQ's
        (0.024, 400),  # 500 fit, and 400 are just enough for RDOQ to pay
        (0.025, 480),  # 380 would not be: all of the time is the fit's
        (0.12, 100),
        (1.0, LEAST_STEPS),
    ],
)
def test_a_time_budget_leaves_time_for_rdoq_only_if_the_fit_is_long_enough(clip: Video, tmp_path: Path, step_seconds: float, steps: int):
    """Of 20 seconds 12 are for steps: a tenth and 6 seconds are kept. RDOQ may cost a quarter of the fit's steps."""
    plan = replace(short_plan(clip, tmp_path, time_budget=20.0, preset="fast"), step_seconds=step_seconds)
    assert planned_steps(plan) == steps


@pytest.mark.usefixtures("still_clock")
def test_a_time_budget_counts_from_the_start_and_keeps_what_it_must(clip: Video, tmp_path: Path):
    seconds = 1 / 64
    plan = replace(short_plan(clip, tmp_path / "a", time_budget=20.0, preset="fast"), step_seconds=seconds)
    assert planned_steps(plan, started=NOW - 100 * seconds) == 768 - 100 - RDOQ_COST
    spared = replace(short_plan(clip, tmp_path / "b", time_budget=20.0, preset="fast"), step_seconds=seconds, spared=2.0)
    assert planned_steps(spared) == 1024 - RDOQ_COST
    quality = replace(short_plan(clip, tmp_path / "c", time_budget=20.0, preset="fast", target_psnr=30), step_seconds=seconds)
    problem = replace(quality.problem, config=replace(quality.problem.config, target_psnr=30.0))
    assert planned_steps(replace(quality, problem=problem)) == math.floor(668 / 1.12)  # 12 % for a quality that is narrowly missed


@pytest.mark.usefixtures("still_clock")
def test_a_time_budget_becomes_a_number_of_steps_once(clip: Video, tmp_path: Path):
    """A resumed run takes the number that stands in its folder, however fast the machine is now."""
    plan = replace(short_plan(clip, tmp_path, time_budget=20.0, preset="fast"), step_seconds=0.012)
    assert planned_steps(plan) == 900
    resumed = replace(short_plan(clip, tmp_path, time_budget=20.0, preset="fast"), step_seconds=0.5)
    assert planned_steps(resumed) == 900


@pytest.mark.usefixtures("still_clock")
def test_the_time_of_a_step_is_measured_if_it_is_not_known(clip: Video, tmp_path: Path):
    plan, measured = short_plan(clip, tmp_path, time_budget=20.0, preset="fast"), SimpleNamespace(measured_step_seconds=lambda: 0.012)
    assert planned_steps(plan, fitter=measured) == 900


@pytest.mark.usefixtures("still_clock")
def test_a_preset_that_is_a_number_bounds_the_steps_of_a_time_budget(clip: Video, tmp_path: Path):
    bounded = replace(short_plan(clip, tmp_path / "a", time_budget=20.0, preset="70"), step_seconds=0.012)
    assert planned_steps(bounded) == 70
    tight = replace(short_plan(clip, tmp_path / "b", time_budget=20.0, preset="70"), step_seconds=0.2)
    assert planned_steps(tight) == 60


def test_without_a_time_budget_the_preset_is_the_number_of_steps(clip: Video, tmp_path: Path):
    plan = short_plan(clip, tmp_path)
    assert planned_steps(plan) == STEPS
    assert plan.workdir.facts["steps"] == STEPS


def test_steps_within_a_budget_that_is_gone_are_the_least():
    assert steps_within(100, 0, 0.1, spared=10) == 800
    assert steps_within(100, 40, 0.1, spared=10) == 400
    assert steps_within(100, 1000, 0.1) == LEAST_STEPS


def test_the_deadline_leaves_time_to_round_and_to_write():
    """At most 8 seconds or a twentieth of the budget for rounding, a third of what is spared, and 3 % of the budget."""
    assert fit_deadline(None) == math.inf
    assert fit_deadline(300, spared=6) == pytest.approx(300 - 9 - 8 - 2)
    assert fit_deadline(20, spared=6) == pytest.approx(20 - 0.6 - 1 - 2)
    assert fit_deadline(20, spared=0) == pytest.approx(20 - 0.6 - 1)


def test_rdoq_costs_more_steps_for_more_frames_and_for_a_quality(clip: Video, tmp_path: Path):
    problem = short_plan(clip, tmp_path).problem
    cost = cost_in_steps(problem)
    assert [worthwhile(problem.with_steps(steps)) for steps in (4 * cost - 1, 4 * cost)] == [False, True]
    assert cost_in_steps(replace(problem, video=replace(problem.video, frames=60))) > 2 * cost
    quality = replace(problem, config=replace(problem.config, target_psnr=30.0))
    assert cost_in_steps(quality) == pytest.approx(2 * cost, abs=1)


# Networks and targets


def test_a_cap_is_aimed_at_a_little_below(clip: Video, tmp_path: Path):
    """Steps are steered at 99 % of the cap; the bytes beside the tensors are those of the file whose tensors are all zero."""
    plan = short_plan(clip, tmp_path, target_size=4000)
    assert plan.target.target_bytes == 4000
    assert plan.problem.config.target_bpp * clip.pixels / 8 == pytest.approx(CAP_AIM * 4000)
    blank = zero_model(plan.problem.spec, plan.problem.video)
    assert plan.problem.overhead_bits == 8 * len(encode(replace(blank, fingerprints=b"1234")))


def test_a_cap_out_of_reach_is_refused_before_anything_is_written(clip: Video, tmp_path: Path):
    with pytest.raises(TargetMissed) as raised:
        encode_video(clip, tmp_path / "a.inr", encode_options(target_bpp=0.05))
    assert (raised.value.identifier, raised.value.exit_code) == ("target-too-small", 6)
    least = int(raised.value.fix.removeprefix("--target-size ").split()[0])
    assert not list(tmp_path.iterdir())
    assert short_plan(clip, tmp_path, target_size=least).target.target_bytes == least


def test_a_quality_gets_the_network_of_the_rate_that_a_pilot_expects(clip: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The pilot is run once: its rate stands in the run's folder."""
    plan, pilots = short_plan(clip, tmp_path, target_psnr=30.0), []

    def pilot(video: Video, options: object, path: object) -> Pilot:
        pilots.append(video)
        return Pilot(bpp=1.0, psnr=28.0, problem=plan.problem)

    monkeypatch.setattr(Pilot, "of", pilot)
    sized = plan.sized(clip)
    assert sized.workdir.facts["expected_bpp"] == 2.0  # an octave for 2 dB
    assert sized.problem.config.target_psnr == 30.0
    assert sized.problem.spec == short_plan(clip, tmp_path / "b", target_bpp=2.0).problem.spec
    assert short_plan(clip, tmp_path, target_psnr=30.0).sized(clip).problem == sized.problem
    assert len(pilots) == 1
    capped = short_plan(clip, tmp_path / "c")
    assert capped.sized(clip) is capped


def test_a_folder_of_another_run_is_refused(clip: Video, tmp_path: Path):
    short_plan(clip, tmp_path).workdir.remember(steps=1)
    backwards = Video(np.ascontiguousarray(clip.frames[::-1]), name=clip.name)
    for video, seed in ((clip, 1), (backwards, 0)):
        with pytest.raises(UsageError) as raised:
            short_plan(video, tmp_path, seed=seed)
        assert raised.value.identifier == "other-run"
    assert "steps" not in short_plan(clip, tmp_path, seed=1, resume=False).workdir.facts


# Memory


def test_a_fit_that_needs_more_memory_than_is_free_is_refused(clip: Video, tmp_path: Path):
    problem = short_plan(clip, tmp_path).problem
    assert check_memory(problem.spec, problem.video, problem.config) == fit_bytes(problem.spec, problem.video, problem.config)
    huge = replace(problem.video, width=40_000, height=40_000, frames=10_000)
    with pytest.raises(ResourceError) as raised:
        check_memory(problem.spec, huge, problem.config)
    assert (raised.value.identifier, raised.value.exit_code) == ("memory", 8)
