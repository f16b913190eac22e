"""The length of segments for a video that is too large or too long for one fit."""

import math
from collections.abc import Callable
from dataclasses import replace

from codec.fields import MAX_WEIGHTS
from inr.layout import weights
from inr.reading import Extent
from inr.spec import VideoSpec
from train.fit.problem import Problem
from train.fit.target import RateTarget
from train.plan.duration import foreseen_step_seconds
from train.plan.encode_plan import steps_within
from train.plan.memory import available_bytes, fit_bytes
from train.plan.options import CANVAS_MODELS, FitOptions
from train.plan.presets import plan
from train.plan.segmentation import FEWEST, OVERHEAD_FRAMES

SHARE = 0.8  # of the free memory that the fit of a segment may need: the file so far is in memory as well
LEAST_VISITS = 4  # times that the steps of a fit must visit each frame, or else the video is too long for one fit
LEAST_GAIN = 1.1  # factor of the visits by which shorter segments must be better, if none has enough of them


def segment_length(extent: Extent, options: FitOptions, longest: int) -> int | None:
    """The frames of a segment, if the longest scene, of `longest` frames, is too large or too long for one fit; else None."""
    frames = frames_within(extent, options, available_bytes(), longest)
    return frames_visited(extent, options, frames or longest) or frames


def frames_within(extent: Extent, options: FitOptions, available: int | None, longest: int | None = None) -> int | None:
    """The frames of a segment whose fit needs less than `available` bytes (None: unknown), and whose network a file can hold.

    None if the whole video is like that, or if no segment is. `longest` is the number of frames of the longest scene, if there are several.
    """
    problem_of = _problems(extent, options)

    def needed(frames: int) -> float:
        problem = problem_of(frames)
        return fit_bytes(problem.spec, problem.video, problem.config) if weights(problem.spec, problem.video) <= MAX_WEIGHTS else math.inf

    free, frames = math.inf if available is None else available, longest or extent.frames
    if frames < 2 * FEWEST or (needed(frames) <= free and needed(frames) < math.inf):
        return None
    return next((length for length in _halves(frames) if needed(length) < math.inf and needed(length) <= SHARE * free), None)


def frames_visited(extent: Extent, options: FitOptions, longest: int) -> int | None:
    """The most frames of a segment whose steps visit each frame at least LEAST_VISITS times; None if those of a fit of `longest` frames do.

    If no segment is like that, the result is the length whose frames are visited most often. None for a tree, whose frames are fitted one
    by one, and for papers' networks, which are fitted as in the papers.
    """
    if options.model.name not in CANVAS_MODELS or longest < 2 * FEWEST:
        return None
    problem_of = _problems(extent, options)

    def visits(frames: int) -> float:
        problem, steps = problem_of(frames), options.preset.steps
        if options.time_budget is not None:
            share = (frames + OVERHEAD_FRAMES) / (extent.frames + OVERHEAD_FRAMES * math.ceil(extent.frames / frames))
            within = steps_within(options.time_budget * share, 0.0, foreseen_step_seconds(problem), 0.0)
            steps = min(within, options.preset.most_steps)
        return steps * min(problem.config.batch, frames) / frames

    frames, best = longest, visits(longest)
    for length in _halves(longest):
        if best >= LEAST_VISITS or (found := visits(length)) < LEAST_GAIN * best:
            break
        frames, best = length, found
    return None if frames == longest else frames


def _problems(extent: Extent, options: FitOptions) -> Callable[[int], Problem]:
    """A function of the frames of a segment that gives the problem of its fit."""

    def problem_of(frames: int) -> Problem:
        video = VideoSpec(extent.width, extent.height, frames)
        cap = options.target.cap(replace(video, frames=extent.frames))
        target = options.target if cap is None else RateTarget(target_bytes=cap * frames // extent.frames)
        spec, config = plan(video, target.nominal_bpp(video), options)
        return Problem(spec, video, config)

    return problem_of


def _halves(frames: int) -> list[int]:
    """Half of `frames`, a quarter, and so on, down to FEWEST."""
    return [frames >> shift for shift in range(1, frames.bit_length()) if frames >> shift >= FEWEST]
