"""The plan of an encode: the problem to fit, the target of its file, its key and its folder, all known before the first step."""

import math
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec.encoder import encode
from codec.model import QuantizedModel, single_video
from inr.errors import InputError, TargetMissed, UsageError
from inr.layout import tensor_specs
from inr.pixels import MAX_LEVEL, Frames
from inr.spec import NetworkSpec, VideoSpec
from inr.video import Video
from train.fit.base_layers import BaseLayers
from train.fit.checkpoint import Workdir
from train.fit.fitter import FINISH_SECONDS, FINISH_SHARE, Fitter, PixelWeights, zero_tensor
from train.fit.problem import Problem
from train.fit.rdoq import cost_in_steps, worthwhile
from train.fit.target import RateTarget
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.motion import CameraPath, camera_path, initial_flow, margins
from train.plan.network_size import modulated_spec
from train.plan.options import EncodeOptions, FitOptions
from train.plan.pilot import Pilot
from train.plan.presets import plan

CAP_AIM = 0.99  # share of a cap at which the rate's controller aims; the rest is what rate control may need
SPARED_SECONDS, SPARED_SHARE = 6.0, 0.1  # of a time budget, kept for rate control, verifying and the machine's moods
EXTRA_SHARE = 0.12  # of a fit's steps, kept for reaching a quality that it narrowly missed
LEAST_STEPS = 50
LEAST_FOR_MARGINS = 1000  # bytes; a smaller file has better use for the bytes that margins take


@dataclass(frozen=True)
class EncodePlan:
    """A planned encode.

    `target` is resolved for the file, or for the file's growth if it adds to `base`. `pixel_weights` is None if all pixels count,
    `path` the camera's path if it is known. `spared` are seconds of a time budget for the work after the fit, and `step_seconds` the
    time of a step if a fit like this one ran before.
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

    def fitter(self, video: Video) -> Fitter:
        """The fit of `video`, not begun. A further segment starts on the canvas of the one before, so it gets no initial flow."""
        flow: Mapping[str, np.ndarray] = {}
        if self.problem.spec.canvas and not (self.base is not None and self.base.continues):
            path = camera_path(video.frames, self.pixel_weights) if self.path is None else self.path
            flow = initial_flow(self.problem.spec, self.problem.video, path)
        return Fitter(self.problem, video, self.base, self.pixel_weights, flow)

    def sized(self, video: Video) -> "EncodePlan":
        """The plan with a network for the rate that its quality is expected to take, found once by a pilot."""
        psnr = self.options.target.target_psnr
        if psnr is None or self.base is not None:
            return self
        bpp = self.workdir.facts.get("expected_bpp")
        if bpp is None:
            bpp = Pilot.of(video, self.options, self.path).expected_bpp(psnr)
            self.workdir.remember(expected_bpp=bpp)
        problem = planned_problem(self.problem.video, self.options, bpp, self.key)
        return replace(self, problem=replace(problem, config=replace(problem.config, target_psnr=psnr)))

    def with_step_count(self, fitter: Fitter, started: float) -> "EncodePlan":
        """The plan with its number of steps, noted in the run's folder for a run that resumes it.

        A time budget becomes a number once: the steps that fit into the rest of it, but not more than the preset allows.
        """
        budget = self.options.time_budget
        steps: int = self.problem.config.steps if budget is None else self.workdir.facts.get("steps", 0)
        if budget is not None and steps == 0:
            step_seconds = self.step_seconds or fitter.measured_step_seconds()
            within = steps_within(budget, time.monotonic() - started, step_seconds, self.spared)
            share = 1.0 if self.problem.config.target_psnr is None else 1 + EXTRA_SHARE
            rest = int((within - cost_in_steps(self.problem)) / share)
            # Time is kept for RDOQ only if the rest makes a fit that is long enough for it.
            steps = rest if worthwhile(self.problem.with_steps(rest)) else int(within / share)
            steps = int(min(steps, self.options.preset.most_steps))
        self.workdir.remember(steps=steps)
        return replace(self, problem=self.problem.with_steps(steps))


def steps_within(budget: float, spent: float, step_seconds: float, spared: float = SPARED_SECONDS) -> int:
    """Steps that fit into a time budget (seconds) of which `spent` are gone and `spared` are kept."""
    return max(LEAST_STEPS, int((budget * (1 - SPARED_SHARE) - spared - spent) / step_seconds))


def make_plan(video: Video, output: Path, options: EncodeOptions, pixel_weights: PixelWeights | None = None) -> EncodePlan:
    """Plan an encode to a file of its own; TargetMissed if its cap is out of reach, UsageError if its folder holds another run."""
    check_mask(options)
    path, described = analyse_motion(video, options.fit, pixel_weights)
    target = options.fit.target.resolved(described)
    key = run_key(video, options.identity(*weights_identity(pixel_weights)))
    problem = planned_problem(described, options.fit, target.nominal_bpp(described), key)
    if target.target_bytes is not None:
        check_reachable(described, target.target_bytes)
        bpp = CAP_AIM * 8 * target.target_bytes / described.pixels
        problem = replace(problem, config=replace(problem.config, target_bpp=bpp))
    workdir = Workdir(options.run.folder(output), key, fresh=not options.run.resume)
    return EncodePlan(problem, options.fit, key, workdir, target, pixel_weights=pixel_weights, path=path)


def analyse_motion(video: Video, options: FitOptions, pixel_weights: PixelWeights | None = None) -> tuple[CameraPath | None, VideoSpec]:
    """The camera's path over `video` (None for networks without a canvas), and the video's spec, with margins that hold all it sees."""
    described = VideoSpec.of(video)
    if options.model.name != "cam":
        return None, described
    path = camera_path(video.frames, pixel_weights)
    if options.target.nominal_bpp(described) * described.pixels <= 8 * LEAST_FOR_MARGINS:
        return path, described
    return path, replace(described, margins=margins(path, video.height, video.width))


def planned_problem(video: VideoSpec, options: FitOptions, bpp: float, key: str) -> Problem:
    """The problem of fitting `video` at about `bpp`, with the bits that its file takes beside its tensors."""
    spec, config = plan(video, bpp, options)
    overhead = 8 * len(encode(replace(zero_model(spec, video), fingerprints=fingerprint_of(key))))
    return Problem(spec, video, config, overhead)


def zero_model(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """The model whose tensors are all zero. Its file is what any file takes beside its tensors."""
    return single_video(spec, video, {tensor.name: zero_tensor(tensor.shape) for tensor in tensor_specs(spec, video)})


def least_bytes(video: VideoSpec) -> int:
    """Bytes of the smallest file that `video` can have: the zeros of the smallest network."""
    return len(encode(zero_model(modulated_spec(video, 0.0), video)))


def check_reachable(video: VideoSpec, cap: int) -> None:
    """TargetMissed, before anything is spent, if no file of `video` fits into `cap` bytes."""
    least = least_bytes(video)
    if cap < least:
        raise TargetMissed(
            "target-too-small",
            f"{cap} bytes is below what any file of {video.frames} frames of {video.width}x{video.height} takes: {least} bytes",
            f"--target-size {2 * least}   or more frames in one file",
        )


def fit_deadline(budget: float | None, spared: float = SPARED_SECONDS) -> float:
    """Seconds after which a fit must round and end to keep to `budget`, however slow the machine has become."""
    return math.inf if budget is None else 0.97 * budget - min(FINISH_SECONDS, FINISH_SHARE * budget) - spared / 3


# The mask: white pixels do not count


def check_mask(options: EncodeOptions) -> None:
    """UsageError if a mask is given together with a quality."""
    if options.selection.mask is not None and options.fit.target.target_psnr is not None:
        raise UsageError("mask-psnr", "--mask and --target-psnr: masked pixels have no quality to reach", "--target-bpp 0.05")


def weights_of_mask(mask: Frames, video: Video) -> PixelWeights:
    """Pixel weights of `video` from a mask whose white pixels do not count: one image for all frames, or one for each.

    InputError if its size is not the video's, if its length is neither 1 nor the video's, or if no pixel counts.
    """
    if mask.shape[1:] != video.frames.shape[1:] or len(mask) not in (1, len(video)):
        (count, height, width, _), of = mask.shape, f"{video.width}x{video.height}"
        raise InputError(
            "mask-size",
            f"the mask is {width}x{height}, {count} frames; the video {of}, {len(video)} frames",
            f"a mask of {of}, one image or as many as the video has frames",
        )
    pixel_weights = MAX_LEVEL - mask.max(axis=-1, keepdims=True)
    if not pixel_weights.any():
        raise InputError("mask-full", "the mask is white all over: no pixel of the video counts", "a mask with black pixels")
    return np.broadcast_to(pixel_weights, (*video.frames.shape[:3], 1))


def weights_identity(pixel_weights: PixelWeights | None) -> tuple[int, ...]:
    """The pixel weights' part of a run's identity; empty without a mask."""
    return () if pixel_weights is None else (zlib.crc32(pixel_weights.tobytes()),)
