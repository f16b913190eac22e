"""`inr encode --estimate` predicts size, quality, time and memory of an encode, within 30 s on two cores for any input.

It reads only the source's header and a few frames. A pilot, which is a short fit, runs on a small copy of these frames. The duration of a
step at full size is predicted from that of the pilot's steps, because compiling and running the full network takes minutes for a large
source.
"""

from dataclasses import replace
from pathlib import Path

from inr.layout import weights
from inr.reading import Extent, probe, read_video
from inr.span import Span
from inr.spec import VideoSpec
from train.fit.problem import Problem
from train.plan.duration import DEFAULT_SHORTER, OTHER_SECONDS, WORTH_A_HINT, fit_seconds, relative_cost, spoken
from train.plan.encode_plan import check_mask, check_reachable, least_bytes, steps_within
from train.plan.memory import fit_bytes
from train.plan.model_choice import chosen_model
from train.plan.options import EncodeOptions
from train.plan.pilot import BPP, DB_PER_OCTAVE, LEAST_BITS, Pilot, reduced, tree_pilot
from train.plan.presets import plan
from train.plan.segment_length import segment_length

PILOT_PIXELS, PILOT_FRAMES, PILOT_STEPS = 40_000, 24, 120  # of the pilot: most pixels of a frame, most frames, and steps
SPREAD = 2.0  # largest expected error of the predicted PSNR, in decibels
UNTARGETED_OCTAVES = 0.5  # largest expected error of the predicted size in octaves, for a quality setting
AUTO_FRAMES = 16  # assumed frames of a segment whose length follows the motion


def estimate(source: str | Path, options: EncodeOptions) -> dict[str, object]:
    """The fields of the result line: ranges of bytes and of PSNR in decibels, seconds, bytes of memory, steps and weights.

    Nothing is written. A video in segments needs the memory of one segment; cuts, which end a scene, are not looked for. InputError if the
    source cannot be read, TargetMissed if no file fits under the cap, UsageError for a mask together with a target PSNR.
    """
    check_mask(options)
    options = chosen_model(source, options)
    selection, fit = options.selection, options.fit
    extent = probe(source, selection.frames, selection.scale)
    video = VideoSpec(extent.width, extent.height, max(1, extent.frames))  # a header without frames may be wrong: reading will tell
    target = fit.target.resolved(video)
    if target.target_bytes is not None:
        check_reachable(video, target.target_bytes)
    sample = reduced(read_video(source, first_frames(selection.frames, extent), selection.scale), PILOT_PIXELS, PILOT_FRAMES)
    bpp = max(BPP, LEAST_BITS / VideoSpec.of(sample).pixels)
    pilot = tree_pilot(bpp, sample, fit) if fit.model.name == "tree" else Pilot.at(bpp, sample, fit, steps=PILOT_STEPS)
    point = pilot.for_area(video.height * video.width)
    if target.target_psnr is not None:
        bpp, psnr, octaves = point.expected_bpp(target.target_psnr), (target.target_psnr, target.target_psnr + 0.3), SPREAD / DB_PER_OCTAVE
    else:
        bpp = target.nominal_bpp(video)
        expected = point.expected_psnr(bpp)
        psnr, octaves = (expected - SPREAD, expected + SPREAD), 0.0 if target.target_bytes is not None else UNTARGETED_OCTAVES
    if options.segmentation:
        length = min(options.segmentation.frames or AUTO_FRAMES, video.frames)
    else:
        length = segment_length(extent, fit, video.frames) or video.frames
    part = replace(video, frames=length)
    spec, config = plan(part, bpp, fit)
    problem = Problem(spec, part, config)
    step_seconds = pilot.step_seconds * relative_cost(problem) / relative_cost(pilot.problem)
    segments = video.frames / length
    budget = fit.time_budget
    per_segment = problem.config.steps if budget is None else steps_within(budget / segments, OTHER_SECONDS / 2 / segments, step_seconds)
    steps = round(per_segment * segments)
    size, least = bpp * video.pixels / 8, least_bytes(video)
    return {
        "output": None,
        "estimated_bytes": [max(round(size * 2**-octaves), least), max(round(size * 2**octaves), least)],
        "estimated_psnr_rgb": [round(decibels, 1) for decibels in psnr],
        "estimated_seconds": budget or segments * fit_seconds(problem, step_seconds) + OTHER_SECONDS,
        "estimated_memory_bytes": fit_bytes(problem.spec, problem.video, problem.config),
        "steps": steps,
        "step_seconds": step_seconds,
        "weights": weights(problem.spec, problem.video),
    }


def first_frames(span: Span, extent: Extent) -> Span:
    """The first PILOT_FRAMES frames of the source's part `span`; `span` itself if its start counts from the end."""
    start = span[0] or 0
    return (start, start + min(PILOT_FRAMES, extent.frames)) if start >= 0 else (start, span[1])


def estimate_line(facts: dict) -> str:
    """The fields that `estimate` returns, as text."""
    (least, most), (worst, best) = facts["estimated_bytes"], facts["estimated_psnr_rgb"]
    seconds, memory = facts["estimated_seconds"], facts["estimated_memory_bytes"] / 1e9
    line = (
        f"about {least} to {most} bytes, {worst} to {best} dB, {spoken(seconds)} "
        f"({facts['steps']} steps of {1e3 * facts['step_seconds']:.1f} ms), {memory:.1f} GB of memory; nothing was written"
    )
    return line if seconds < WORTH_A_HINT else f"{line}\nshorter: {DEFAULT_SHORTER}"
