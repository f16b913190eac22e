"""What an encode would take and give, before anything is spent on it: a pilot fit and a few real steps."""

from pathlib import Path

from inr.errors import UsageError
from inr.layout import weights
from inr.reading import read_video
from inr.spec import VideoSpec
from train.encoding import EncodeOptions, prepare, steps_within
from train.fitting import Fitter
from train.memory import fit_bytes
from train.pilot import SLOPE, Pilot

SPREAD = 1.5  # decibels that a pilot may be wrong by, either way
UNTARGETED = 0.5  # octaves of rate that a quality dial may be off by, either way
OTHER_SECONDS = 12.0  # start, compilation, landing, verification


def estimate(source: str | Path, options: EncodeOptions) -> dict[str, object]:
    """Facts for a result line: ranges of bytes and decibels, seconds, bytes of memory. Writes nothing.

    Raises what the encode itself would raise beforehand: an unreadable source, a cap out of reach.
    """
    if options.chunk is not None:
        raise UsageError("estimate-chunk", "--estimate looks at one fit, --chunk makes many", "--frames 0:16 --estimate   for one group")
    video = read_video(source, options.frames, options.scale)
    described, wish = VideoSpec.of(video), options.wish
    run = prepare(video, Path("estimate.inr"), options)
    pilot = Pilot.of(video, options.model, options.seed, wish.target_psnr)
    if wish.target_psnr is not None:
        bpp = pilot.expected_bpp(wish.target_psnr)
        run, psnr, octaves = run.for_rate(described, options, bpp), (wish.target_psnr, wish.target_psnr + 0.3), SPREAD / SLOPE
    else:
        bpp = wish.nominal_bpp(described)
        expected = pilot.expected_psnr(bpp)
        psnr, octaves = (expected - SPREAD, expected + SPREAD), UNTARGETED if run.cap is None else 0.0
    fitter = Fitter(run.problem, video)
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
        "estimated_memory_bytes": fit_bytes(run.problem.spec, described, run.problem.config),
        "steps": steps,
        "step_seconds": step_seconds,
        "weights": weights(run.problem.spec, described),
    }


def estimate_line(facts: dict) -> str:
    """The same for a person."""
    (least, most), (worst, best) = facts["estimated_bytes"], facts["estimated_psnr_rgb"]
    memory = facts["estimated_memory_bytes"] / 1e9
    return (
        f"about {least} to {most} bytes, {worst} to {best} dB, {facts['estimated_seconds']:.0f} s "
        f"({facts['steps']} steps of {1e3 * facts['step_seconds']:.1f} ms), {memory:.1f} GB of memory; nothing was written"
    )
