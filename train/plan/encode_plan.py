"""The plan of an encode: its problem, target, key and folder. All of them are known before the first step."""

import math
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec.encoder import encode
from codec.fields import check_limits
from codec.model import QuantizedModel, single_video
from inr.errors import InputError, TargetMissed, UsageError
from inr.layout import tensor_specs
from inr.pixels import MAX_LEVEL, Frames
from inr.spec import FrameTree, NetworkSpec, VideoSpec
from inr.video import Video
from train.fit.base_layers import BaseLayers
from train.fit.checkpoint import Workdir
from train.fit.fitter import FINISH_SECONDS, FINISH_SHARE, Fitter, PixelWeights, zero_tensor
from train.fit.problem import Problem
from train.fit.rdoq import cost_in_steps, worthwhile
from train.fit.target import RateTarget
from train.plan.duration import relative_cost
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.initial_values import initial_values
from train.plan.motion import CameraPath, camera_path, margins
from train.plan.network_size import modulated_spec
from train.plan.options import CANVAS_MODELS, PICTURE_MODELS, EncodeOptions, FitOptions
from train.plan.picture import picture_spec
from train.plan.picture_curve import PictureCurve
from train.plan.pilot import Pilot
from train.plan.presets import plan
from train.plan.tree import needs_full_chroma, tree_spec

CAP_AIM = 0.99  # share of a cap that the controller of a fit aims at; rate control after the fit may need the rest
PICTURE_AIM = 0.96  # the same for a picture: symbols fill a file that is too small better than they leave one that is too large
CHUNK_SECONDS = 1.0  # expected seconds of a chunk of steps, between which signals are heard; on the machine of `train.plan.duration`
CONTEXT_SECONDS = 9.0  # kept for context models of single tensors: seconds
SPARED_SECONDS, SPARED_SHARE = 6.0, 0.1  # kept for rate control, verification and slow moments: seconds, and share of a time budget
EXTRA_SHARE = 0.12  # extra steps towards a target PSNR that the fit narrowly missed, as a share of its steps
PICTURE_ATTEMPTS = 120  # least steps of a picture's time budget that are kept for extra steps towards a cap
PICTURE_SHARE = 1.04  # steps of a picture's time budget, those for extra steps included, over those of its fit
LEAST_STEPS = 50  # fewest steps of a fit, however small its time budget is
# Context models save nothing in a file of SMALL_FILE bytes. A file of LARGE_FILE bytes has LARGE_SHARE of its bytes without them: the
# geometric mean over the set of eight clips.
SMALL_FILE, LARGE_FILE, LARGE_SHARE = 5e3, 3e4, 0.91
LEAST_FOR_MARGINS = 1000  # bytes; in a smaller file, the bytes of margins are better spent on other tensors


@dataclass(frozen=True)
class EncodePlan:
    """The plan of an encode.

    `key` identifies the run, and `workdir` is its folder. `target` is resolved for the file, or for the growth of the bundle `base`.
    `pixel_weights` is None if all pixels count equally. `path` is the camera's path, None if it is not known. `spared` are seconds of a
    time budget for the work after the fit. `step_seconds` is the duration of a step if a similar fit ran before, else None. `whole` tells
    whether a part of the fit is of no use, as in `train.plan.options.RunOptions`.
    """

    problem: Problem
    options: FitOptions
    key: str
    workdir: Workdir
    target: RateTarget
    base: BaseLayers | None = None
    pixel_weights: PixelWeights | None = None
    path: CameraPath | None = None
    spared: float = SPARED_SECONDS
    step_seconds: float | None = None
    whole: bool = False

    def fitter(self, video: Video) -> Fitter:
        """The fit of `video` before its first step.

        A further segment of a scene starts with the canvas of the segment before, so its fit gets no initial flow.
        """
        initial: Mapping[str, np.ndarray] = {}
        if self.path is not None or self.base is None or not self.base.continues:
            initial = initial_values(self.problem.spec, self.problem.video, video.frames, self.path, self.pixel_weights)
        fitter = Fitter(with_rate_weight(self.problem, video), video, self.base, self.pixel_weights, initial)
        fitter.chunk = min(fitter.chunk, max(1, int(CHUNK_SECONDS / relative_cost(self.problem))))
        return fitter

    def sized(self, video: Video) -> "EncodePlan":
        """The plan with a network for the rate that its target PSNR is expected to need.

        A pilot predicts this rate once, and the run's folder keeps it; for a picture, `PictureCurve` predicts it. Without a target PSNR, or
        with a base, the plan stays as it is.
        """
        psnr = self.options.target.target_psnr
        if psnr is None or self.base is not None or isinstance(self.problem.spec.frame_input, FrameTree):
            return self
        bpp = self.workdir.facts.get("expected_bpp")
        if bpp is None and self.problem.grids:
            bpp = PictureCurve(video.frames[0]).at_psnr(psnr).bpp
        elif bpp is None:
            bpp = Pilot.of(video, self.options, self.path).expected_bpp(psnr)
            self.workdir.remember(expected_bpp=bpp)
        problem = planned_problem(self.problem.video, self.options, bpp, self.key)
        problem = replace(problem, config=replace(problem.config, target_psnr=psnr), devices=self.problem.devices)
        return replace(self, problem=problem)

    def with_step_count(self, fitter: Fitter, started: float) -> "EncodePlan":
        """The plan with its final number of steps, which the run's folder keeps for a process that resumes the run.

        `started` is the run's start in seconds of the monotonic clock. A time budget becomes a number of steps only once: those that fit
        into the rest of the budget, but not more than the preset allows.
        """
        budget = self.options.time_budget
        steps: int = self.problem.config.steps if budget is None else self.workdir.facts.get("steps", 0)
        if budget is not None and steps == 0:
            step_seconds = self.step_seconds or fitter.measured_step_seconds()
            within = steps_within(budget, time.monotonic() - started, step_seconds, self.spared)
            share = 1.0 if self.problem.config.target_psnr is None else 1 + EXTRA_SHARE
            rest = int((within - cost_in_steps(self.problem)) / share)
            # Time is kept for RDOQ only if the remaining steps are enough for RDOQ to be worthwhile.
            steps = rest if worthwhile(self.problem.with_steps(rest)) else int(within / share)
            if self.problem.grids and self.target.target_bytes is not None:
                steps = max(LEAST_STEPS, min(steps - PICTURE_ATTEMPTS, int(steps / PICTURE_SHARE)))
            steps = int(min(steps, self.options.preset.most_steps))
        self.workdir.remember(steps=steps)
        return replace(self, problem=self.problem.with_steps(steps))


def with_rate_weight(problem: Problem, video: Video) -> Problem:
    """`problem` with an initial rate weight that is predicted for its target, if it is that of a picture with a target."""
    bpp, psnr = problem.config.target_bpp, problem.config.target_psnr
    if not problem.grids or (bpp is None and psnr is None):
        return problem
    curve = PictureCurve(video.frames[0])
    point = curve.at_bpp(bpp) if bpp is not None else curve.at_psnr(psnr or 0.0)
    return replace(problem, config=replace(problem.config, rate_weight=point.rate_weight))


def steps_within(budget: float, spent: float, step_seconds: float, spared: float = SPARED_SECONDS) -> int:
    """The number of steps that fit into a time budget; at least LEAST_STEPS.

    Of the `budget` in seconds, `spent` have passed, and `spared` are kept for the work after the fit.
    """
    return max(LEAST_STEPS, int((budget * (1 - SPARED_SHARE) - spared - spent) / step_seconds))


def make_plan(video: Video, output: Path, options: EncodeOptions, pixel_weights: PixelWeights | None = None) -> EncodePlan:
    """Plan an encode to a file of its own.

    TargetMissed if no file fits under the cap. UsageError if the run's folder holds another run, or for a mask together with a target PSNR.
    """
    check_mask(options)
    check_model(video, options.fit)
    path, described = analyse_motion(video, options.fit, pixel_weights)
    target = options.fit.target.resolved(described)
    key = run_key(video, options.identity(*weights_identity(pixel_weights)))
    if target.target_bytes is not None:
        check_reachable(described, target.target_bytes)
    problem = planned_problem(described, options.fit, target.nominal_bpp(described), key)
    if isinstance(problem.spec.frame_input, FrameTree) and needs_full_chroma(video.frames, problem.config.rate_weight):
        problem = replace(problem, spec=tree_spec(full_chroma=True))
    if target.target_bytes is not None:
        aim = PICTURE_AIM if problem.grids else CAP_AIM
        if any(tensor.own_contexts for tensor in problem.layout.tensors):
            aim /= share_with_contexts(target.target_bytes)
        bpp = aim * 8 * target.target_bytes / described.pixels
        problem = replace(problem, config=replace(problem.config, target_bpp=bpp))
    workdir = Workdir(options.run.folder(output), key, fresh=not options.run.resume)
    spared = SPARED_SECONDS
    if target.nominal_bpp(described) * described.pixels > 8 * SMALL_FILE and any(tensor.own_contexts for tensor in problem.layout.tensors):
        spared += CONTEXT_SECONDS
    more = {"pixel_weights": pixel_weights, "path": path, "spared": spared, "whole": options.run.whole}
    return EncodePlan(problem.on_devices(options.run.devices), options.fit, key, workdir, target, **more)


def analyse_motion(video: Video, options: FitOptions, pixel_weights: PixelWeights | None = None) -> tuple[CameraPath | None, VideoSpec]:
    """The camera's path over `video` (None for a network without a canvas), and the video's spec. InputError if no file can hold it.

    The spec has margins of the canvas for all content that the camera sees, unless the target is a very small file.
    """
    described = VideoSpec.of(video)
    check_limits(described)
    if options.model.name not in CANVAS_MODELS or video.frames.shape[0] == 1:
        return None, described
    path = camera_path(video.frames, pixel_weights)
    if options.target.nominal_bpp(described) * described.pixels <= 8 * LEAST_FOR_MARGINS:
        return path, described
    return path, replace(described, margins=margins(path, video.height, video.width))


def planned_problem(video: VideoSpec, options: FitOptions, bpp: float, key: str) -> Problem:
    """The problem of a fit of `video` at about `bpp` bits per pixel.

    Its `overhead_bits` are those of a file whose symbols are all zero, with the fingerprint of the run that `key` identifies.
    """
    spec, config = plan(video, bpp, options)
    overhead = 8 * len(encode(replace(zero_model(spec, video), fingerprints=fingerprint_of(key))))
    return Problem(spec, video, config, overhead)


def zero_model(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """The model whose symbols are all zero. The bytes of its file are those that any file of this spec takes outside its tensors."""
    return single_video(spec, video, {tensor.name: zero_tensor(tensor.shape) for tensor in tensor_specs(spec, video)})


def least_bytes(video: VideoSpec) -> int:
    """The bytes of the smallest file that `video` can have: the smallest network, with symbols that are all zero."""
    spec = picture_spec(video, 0.0) if video.frames == 1 else modulated_spec(video, 0.0)
    return len(encode(zero_model(spec, video)))


def share_with_contexts(cap: int) -> float:
    """The expected bytes of a file of about `cap` bytes, divided by its bytes before `train.encode.own_contexts`; between 0 and 1."""
    return float(np.interp(np.log(max(cap, 1)), np.log([SMALL_FILE, LARGE_FILE]), [1.0, LARGE_SHARE]))


def check_reachable(video: VideoSpec, cap: int) -> None:
    """Check a cap before any work is done; TargetMissed if no file of `video` fits into `cap` bytes."""
    least = least_bytes(video)
    if cap < least:
        raise TargetMissed(
            "target-too-small",
            f"{cap} bytes is below what any file of {video.frames} frames of {video.width}x{video.height} takes: {least} bytes",
            f"--target-size {2 * least}   or more frames in one file",
        )


def fit_deadline(budget: float | None, spared: float = SPARED_SECONDS) -> float:
    """The seconds from a run's start after which its fit must end early to keep to `budget` (seconds); infinite without a budget.

    A fit reaches this deadline only if its steps become slower than planned. `spared` is as for `steps_within`.
    """
    return math.inf if budget is None else 0.97 * budget - min(FINISH_SECONDS, FINISH_SHARE * budget) - spared / 3


def check_model(video: Video, options: FitOptions) -> None:
    """Check the model; UsageError for a coordinate network, which draws one picture, and a video of several frames."""
    if options.model.name in PICTURE_MODELS and len(video) > 1:
        what = f"--model {options.model} draws one picture, and '{video.name}' has {len(video)} frames"
        raise UsageError("model-of-pictures", what, "--frames 0:1   or --model cam")


# The mask, whose white pixels have no weight


def check_mask(options: EncodeOptions) -> None:
    """Check the options; UsageError if they have both a mask and a target PSNR."""
    if options.selection.mask is not None and options.fit.target.target_psnr is not None:
        raise UsageError("mask-psnr", "--mask excludes --target-psnr: masked pixels have no quality to reach", "--target-bpp 0.05")


def weights_of_mask(mask: Frames, video: Video) -> PixelWeights:
    """The pixel weights of `video` from a mask whose white pixels have no weight: one image for all frames, or one for each.

    InputError if the size of the mask is not that of the video, if its length is neither 1 nor the video's, or if all weights are 0.
    """
    if mask.shape[1:] != video.frames.shape[1:] or len(mask) not in (1, len(video)):
        (count, height, width, _), size = mask.shape, f"{video.width}x{video.height}"
        raise InputError(
            "mask-size",
            f"the mask is {width}x{height}, {count} frames; the video is {size}, {len(video)} frames",
            f"a mask of {size}, one image or as many as the video has frames",
        )
    pixel_weights = MAX_LEVEL - mask.max(axis=-1, keepdims=True)
    if not pixel_weights.any():
        raise InputError("mask-full", "the mask is white all over: no pixel of the video counts", "a mask with black pixels")
    return np.broadcast_to(pixel_weights, (*video.frames.shape[:3], 1))


def weights_identity(pixel_weights: PixelWeights | None) -> tuple[int, ...]:
    """The part of a run's identity that depends on the pixel weights, a CRC-32; empty without a mask."""
    return () if pixel_weights is None else (zlib.crc32(pixel_weights.tobytes()),)
