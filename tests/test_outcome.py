"""train/encode/outcome.py and train/cli: the outcome of an encode as a result line, a remark and an exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from short_fits import short_plan

from codec.evaluation import Report
from inr.video import Video
from train.cli.messages import summary, target_note
from train.encode.outcome import Encoded
from train.fit.target import RateTarget
from train.plan.encode_plan import EncodePlan, zero_model

CAP = 1000


@pytest.fixture(scope="module")
def plan(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> EncodePlan:
    return short_plan(clip, tmp_path_factory.mktemp("plan"))


def outcome(plan: EncodePlan, target: RateTarget, size: int = 900, psnr: float = 30.0, **changes: Any) -> Encoded:
    """The outcome of an encode to `size` bytes at `psnr` decibels."""
    problem = plan.problem
    facts = {
        "output": Path("a.inr"),
        "report": Report(size, 8 * size / problem.video.pixels, psnr, psnr - 0.1, None, (psnr,) * problem.video.frames),
        "problem": problem,
        "target": target,
        "estimated_bits": 8.0 * size,
        "steps": 96,
        "seconds": 12.0,
        "seconds_to_first_step": 5.0,
        "step_seconds": 0.05,
        "interrupted": False,
        "model": zero_model(problem.spec, problem.video),
    }
    return Encoded(**{**facts, **changes})


# (target, bytes, decibels, whether the target is hit, share of the cap, whether there is a remark)
OUTCOMES = [
    (RateTarget(target_bytes=CAP), 990, 30.0, True, 0.99, False),
    (RateTarget(target_bytes=CAP), 900, 30.0, True, 0.9, True),
    (RateTarget(target_bytes=CAP), 1001, 30.0, False, 1.001, False),
    (RateTarget(target_psnr=30.0), 900, 30.0, True, None, False),
    (RateTarget(target_psnr=30.0), 900, 31.5, True, None, False),
    (RateTarget(target_psnr=30.0), 900, 29.9, False, None, True),
    (RateTarget(quality=70), 900, 20.0, True, None, False),
]


@pytest.mark.parametrize(("target", "size", "psnr", "hit", "used", "remark"), OUTCOMES)
def test_a_file_under_its_cap_or_good_enough_is_a_success(
    plan: EncodePlan, target: RateTarget, size: int, psnr: float, hit: bool, used: float | None, remark: bool
):
    encoded = outcome(plan, target, size, psnr)
    assert encoded.target_hit is hit
    assert encoded.cap_used == (None if used is None else pytest.approx(used))
    assert ("--preset slow" in target_note(encoded)) is remark


def test_a_result_line_holds_the_measures_and_the_target(plan: EncodePlan):
    fields = outcome(plan, RateTarget(target_bytes=CAP)).fields()
    assert json.loads(json.dumps(fields)) == fields
    assert (fields["output"], fields["bytes"], fields["psnr_rgb"]) == ("a.inr", 900, 30.0)
    assert (fields["target_hit"], fields["cap_used"]) == (True, 0.9)
    assert (fields["width"], fields["height"], fields["frames"], fields["fps"]) == (48, 32, 6, 25.0)
    assert fields["bpp"] == 8 * 900 / (6 * 32 * 48)
    assert {"estimated_bits", "steps", "seconds", "seconds_to_first_step", "step_seconds", "interrupted"} <= fields.keys()
    assert "frame_psnr_rgb" not in fields
    assert "900 bytes" in summary(outcome(plan, RateTarget(target_bytes=CAP)), "a.inr")


@pytest.mark.parametrize(("target", "size", "psnr", "hit", "used", "remark"), OUTCOMES)
def test_the_shell_exits_with_0_for_a_success_and_6_for_a_missed_target(
    plan: EncodePlan,
    clip_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inr: Callable[..., Outcome],
    target: RateTarget,
    size: int,
    psnr: float,
    hit: bool,
    used: float | None,
    remark: bool,
):
    """A file at 90 % of its cap, or one that is better than asked for, is a success; the encode itself is left out."""
    encoded = outcome(plan, target, size, psnr)
    monkeypatch.setattr("train.encode.files.encode_file", lambda *arguments: encoded)
    finished = inr("encode", clip_file, tmp_path / "a.inr", "--json")
    assert finished.code == (0 if hit else 6)
    assert (finished.last["type"], finished.last["target_hit"], finished.last["bytes"]) == ("result", hit, size)
    assert finished.last["cap_used"] == encoded.cap_used
    assert bool(finished.err.strip()) is remark


def test_an_outcome_shows_itself(plan: EncodePlan):
    encoded = outcome(plan, RateTarget(target_bytes=CAP))
    assert repr(encoded) == f"<Encoded 'a.inr': 900 bytes, {8 * 900 / 9216:.4f} bpp, 30.00 dB, 96 steps>"
    page = encoded._repr_html_()
    assert "48x32, 6 frames: 900 bytes" in page
    assert "stopped early" not in page
    assert "stopped early" in outcome(plan, RateTarget(target_bytes=CAP), interrupted=True)._repr_html_()
