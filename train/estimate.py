"""What an encode would take and give, before anything is spent on it: a pilot fit and a few real steps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from inr.layout import weights
from inr.reading import read_video
from inr.spec import VideoSpec
from inr.video import Video
from train.encoding import EncodeOptions, prepare, steps_within
from train.fitting import Fitter
from train.groups import SPARED_SECONDS, Frames, share_of
from train.memory import fit_bytes
from train.pilot import SLOPE, Pilot

SPREAD = 1.5  # decibels that a pilot may be wrong by, either way
UNTARGETED = 0.5  # octaves of rate that a quality dial may be off by, either way
OTHER_SECONDS = 12.0  # start, compilation, landing, verification


def estimate(source: str | Path, options: EncodeOptions) -> dict[str, object]:
    """Facts for a result line: ranges of bytes and decibels, seconds, bytes of memory. Writes nothing.

    Of a video in groups, the first one's, multiplied; memory is one group's.
    Raises what the encode itself would raise beforehand: an unreadable source, a cap out of reach.
    """
    if options.chunk is None:
        return estimate_of(read_video(source, options.frames, options.scale), options)
    frames = Frames(source, options)
    video, whole = frames.group(0), len(frames.source)
    wish = share_of(options.wish, VideoSpec.of(video), whole, whole)
    budget = None if options.time_budget is None else options.time_budget * len(video) / whole
    facts: dict[str, Any] = estimate_of(video, replace(options, wish=wish, time_budget=budget))
    count = whole / len(video)
    seconds = (facts["steps"] * facts["step_seconds"] + SPARED_SECONDS) * count + OTHER_SECONDS
    return facts | {
        "estimated_bytes": [round(size * count) for size in facts["estimated_bytes"]],
        "estimated_seconds": options.time_budget or seconds,
        "steps": round(facts["steps"] * count),
    }


def estimate_of(video: Video, options: EncodeOptions) -> dict[str, object]:
    """The same of a video in memory, fitted as one."""
    described, wish = VideoSpec.of(video), options.wish
    run = prepare(video, Path("estimate.inr"), options)
    pilot = Pilot.of(video, options.model, options.seed, wish.target_psnr, run.path)
    if wish.target_psnr is not None:
        bpp = pilot.expected_bpp(wish.target_psnr)
        run, psnr, octaves = run.for_rate(options, bpp), (wish.target_psnr, wish.target_psnr + 0.3), SPREAD / SLOPE
    else:
        bpp = wish.nominal_bpp(described)
        expected = pilot.expected_psnr(bpp)
        psnr, octaves = (expected - SPREAD, expected + SPREAD), UNTARGETED if run.cap is None else 0.0
    fitter = Fitter(run.problem, video, path=run.path)
    fitter.rehearse(1)
    step_seconds = fitter.measured_step_seconds()
    budget = options.time_budget
    steps = run.problem.config.steps if budget is None else steps_within(budget, OTHER_SECONDS / 2, step_seconds)
    size = bpp * described.pixels / 8
    return {
        "output": None,
        "estimated_bytes": [round(size * 2**-octaves), round(size * 2**octaves)],
        "estimated_psnr_rgb": [round(decibels, 1) for decibels in psnr],
        "estimated_seconds": budget or steps * step_seconds + OTHER_SECONDS,
        "estimated_memory_bytes": fit_bytes(run.problem.spec, run.problem.video, run.problem.config),
        "steps": steps,
        "step_seconds": step_seconds,
        "weights": weights(run.problem.spec, run.problem.video),
    }


def estimate_line(facts: dict) -> str:
    """The same for a person."""
    (least, most), (worst, best) = facts["estimated_bytes"], facts["estimated_psnr_rgb"]
    memory = facts["estimated_memory_bytes"] / 1e9
    return (
        f"about {least} to {most} bytes, {worst} to {best} dB, {facts['estimated_seconds']:.0f} s "
        f"({facts['steps']} steps of {1e3 * facts['step_seconds']:.1f} ms), {memory:.1f} GB of memory; nothing was written"
    )
