"""One video to one file: plan, fit, land, verify."""

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import Report, compare
from codec.model import QuantizedModel, QuantizedTensor, single_video
from inr.errors import InputError, TargetMissed, UsageError
from inr.layout import tensor_shapes, weights
from inr.reading import read_video
from inr.spec import NetworkSpec, VideoSpec
from inr.video import Video
from inr.writing import check_free
from train.checkpoint import Workdir
from train.continual import Ground
from train.display import Display, Quiet
from train.fitting import FINISH_SECONDS, FINISH_SHARE, Fitted, Fitter, fit
from train.interrupts import Interrupts, Preempted, Wanted
from train.landing import Target, landed, write_verified
from train.logbook import Logbook
from train.memory import check_memory
from train.motion import CameraPath, camera_path, margins
from train.origin import origin_of, run_key
from train.pilot import Pilot
from train.presets import counts_steps, modulated_spec, plan, steps_of
from train.refining import cost_in_steps, worthwhile
from train.step import Problem
from train.wish import Wish

CAP_AIM = 0.99  # of the cap, where the rate's controller aims: the rest is what landing may need
SPARED_SECONDS, SPARED_SHARE = 6.0, 0.1  # of a time budget, kept for landing, verifying and the machine's moods
LANDING_SHARE = 0.12  # of a fit's steps, kept for reaching a quality that it narrowly missed
LEAST_STEPS = 50
LEAST_FOR_MARGINS = 1000


Counted = UInt8[np.ndarray, "t h w 1"]


@dataclass(frozen=True)
class EncodeOptions:
    """What a user can ask of an encode; see `inr encode --help`."""

    preset: str = "medium"
    model: str = "cam"
    wish: Wish = field(default_factory=Wish)
    frames: tuple[int | None, int | None] = (None, None)
    scale: str = ""
    time_budget: float | None = None  # seconds from `started` to the renamed file
    seed: int = 0
    chunk: int | None = None  # frames of a group; 0: as many as their motion suggests; None: all frames are one
    key_every: int = 8  # of the groups, how often one stands on no other
    mask: Path | None = None  # white where the source does not count
    workdir: Path | None = None
    resume: bool = True
    overwrite: bool = False
    density: float | None = (
        None  # in a bundle: of the weights claimed so far, what a further video keeps; None: see `train.adding.density_of`
    )
    corrections: bool = True  # in a bundle: whether a further video's layer may change them
    every_layer: bool = False  # in a bundle: whether a further video stands on all layers, or on the first alone
    started: float | None = None  # time.monotonic() of the process's start

    @property
    def most_steps(self) -> float:
        """Steps that a time budget is not to be filled beyond: a preset that is a number says so."""
        return steps_of(self.preset) if counts_steps(self.preset) else math.inf

    def folder(self, target: Path) -> Path:
        """Where a run that makes `target` keeps what it has so far."""
        return self.workdir or target.with_name(target.name + ".work")


@dataclass(frozen=True)
class Encoded:
    """An encode's outcome. `seconds` run from `started` to the renamed file, `first_step` to the first step's end."""

    output: Path
    report: Report
    problem: Problem
    estimated_bits: float
    steps: int
    seconds: float
    seconds_to_first_step: float
    step_seconds: float
    interrupted: bool
    target_hit: bool
    model: QuantizedModel

    def __repr__(self) -> str:
        report = self.report
        return f"<Encoded '{self.output.name}': {report.bytes} bytes, {report.bpp:.4f} bpp, {report.psnr_rgb:.2f} dB, {self.steps} steps>"

    def _repr_html_(self) -> str:
        """A poster, the figures, and PSNR over the frames: a picture that needs no kernel."""
        from codec.card import card, picture, sparkline

        report, video = self.report, self.problem.video
        lines = [
            f"<b>{self.output.name}</b>",
            f"{video.width}x{video.height}, {video.frames} frames: {report.bytes} bytes, {report.bpp:.4f} bpp",
            f"PSNR {report.psnr_rgb:.2f} dB, decoded file, R'G'B'" + (", stopped early" if self.interrupted else ""),
            sparkline(report.frame_psnr_rgb, "dB"),
            f"{self.steps} steps in {self.seconds:.0f} s",
        ]
        return card(picture(self.model.render_entry(-1, [self.model.videos[-1].spec.frames // 2])[0]), lines)


def encode_video(
    video: Video,
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
    started: float | None = None,
) -> Encoded | None:
    """Fit `video` and write `target`; None if `target` is this very run's finished file already.

    Raises the `InrError` of whatever is wrong, and Preempted when told to leave; neither leaves half a file.
    """
    started = time.monotonic() if started is None else started
    counted = None if options.mask is None else counted_of(read_video(options.mask).frames, video)
    run = prepare(video, target, options, counted)
    if up_to_date(run, target, options.overwrite):
        return None
    return carried_out(run, video, target, options, display, say, started)


def check_mask(options: EncodeOptions) -> None:
    """UsageError where a mask is given together with a quality."""
    if options.mask is not None and options.wish.target_psnr is not None:
        raise UsageError("mask-psnr", "--mask and --target-psnr: what is masked has no quality to reach", "--target-bpp 0.05")


def counted_of(mask: UInt8[np.ndarray, "n h w 3"], video: Video) -> Counted:
    """What of `video` counts, 255 or less, from a mask in which white does not: an image for all frames, or one for each.

    InputError if its size is not the video's, its length neither 1 nor the video's, or if nothing counts.
    """
    if mask.shape[1:] != video.frames.shape[1:] or len(mask) not in (1, len(video)):
        (count, height, width, _), of = mask.shape, f"{video.width}x{video.height}"
        raise InputError(
            "mask-size",
            f"the mask is {width}x{height}, {count} frames; the video {of}, {len(video)} frames",
            f"a mask of {of}, one image or as many as the video has frames",
        )
    counted = 255 - mask.max(axis=-1, keepdims=True)
    if not counted.any():
        raise InputError("mask-full", "the mask is white all over: nothing of the video counts", "a mask that leaves something")
    return np.broadcast_to(counted, (*video.frames.shape[:3], 1))


def carried_out(
    run: "Run", video: Video, target: Path, options: EncodeOptions, display: Display | None, say: Callable[[str], None], started: float
) -> Encoded:
    """Fit, land, write: a planned encode from its first step to the renamed file.

    Asked to stop early, one that makes a file of its own writes a valid one; one that adds to a bundle leaves that alone,
    saves what it has, and raises Preempted.
    """
    with Interrupts() as interrupts:
        run = run.sized(video, options)
        check_memory(run.problem.spec, run.problem.video, run.problem.config)
        fitter = Fitter(run.problem, video, run.ground, run.counted, run.path)
        fitter.rehearse(1)
        first_step = time.monotonic() - started
        fitter.problem = run.settled(fitter, options.time_budget, started, options.most_steps)
        say(f"{spec_line(fitter.problem)}; {fitter.problem.config.steps} steps")
        with display or Quiet() as shown:
            deadline = started + last_call(options.time_budget, run.spared)
            try:
                fitted = _fit(fitter, video, options, run.workdir, shown, lambda: interrupts.wish_by(deadline, run.ground is not None))
            except Preempted as left:
                left.by_hand = interrupts.interrupted
                raise
            interrupted = interrupts.interrupted
            if interrupted:  # who asks to stop does not wait for many attempts, nor for refining
                deadline = min(deadline, time.monotonic() + FINISH_SECONDS)
            origin = b"" if interrupted else origin_of(run.key)
            found = landed(fitter, fitted, video, Target(run.cap, options.wish.target_psnr), origin, deadline, say)
            frames = write_verified(found.data, found.model, target)
    seconds = time.monotonic() - started
    if fitted.stopped and not interrupted:
        say(f"the machine slowed down: stopped after {fitted.steps} steps to keep to the time budget; another run may differ")
    if not interrupted:
        run.workdir.remove()
    return Encoded(
        output=target,
        report=compare(frames, video.frames, found.size),
        problem=fitter.problem,
        estimated_bits=found.estimated_bits,
        steps=fitted.steps,
        seconds=seconds,
        seconds_to_first_step=first_step,
        step_seconds=fitted.step_seconds,
        interrupted=interrupted,
        target_hit=found.hit,
        model=found.model,
    )


@dataclass(frozen=True)
class Run:
    """A planned encode: what is fitted, its key, its folder, the cap on its bytes, and the bundle that it adds to."""

    problem: Problem
    key: str
    workdir: Workdir
    cap: int | None
    ground: Ground | None = None
    counted: Counted | None = None  # what of the source counts; None: all of it
    path: CameraPath | None = None  # what the camera does; None: not looked for yet
    spared: float = SPARED_SECONDS  # of a time budget, for what follows the fit
    step_seconds: float | None = None  # of a fit like this one, if that is known

    def sized(self, video: Video, options: EncodeOptions) -> "Run":
        """The run with a network for the rate that its quality is expected to take, found once by a short pilot fit."""
        psnr = options.wish.target_psnr
        if psnr is None or self.ground is not None:
            return self
        bpp = self.workdir.facts.get("expected_bpp")
        if bpp is None:
            bpp = Pilot.of(video, options.model, options.seed, psnr, self.path).expected_bpp(psnr)
            self.workdir.remember(expected_bpp=bpp)
        return self.for_rate(options, bpp)

    def for_rate(self, options: EncodeOptions, bpp: float) -> "Run":
        """The run with a network for `bpp`, steered at the quality asked for."""
        problem = planned(self.problem.video, options, bpp, self.key)
        return replace(self, problem=replace(problem, config=replace(problem.config, target_psnr=options.wish.target_psnr)))

    def settled(self, fitter: Fitter, budget: float | None, started: float, most: float = math.inf) -> Problem:
        """The problem with its number of steps, noted in the run's folder for whoever resumes it.

        A budget in seconds becomes a number once: as many steps as fit into what is left of it, `most` of them at most.
        """
        steps: int = self.problem.config.steps if budget is None else self.workdir.facts.get("steps", 0)
        if budget is not None and steps == 0:
            step_seconds = self.step_seconds or fitter.measured_step_seconds()
            within = steps_within(budget, time.monotonic() - started, step_seconds, self.spared)
            share = 1.0 if self.problem.config.target_psnr is None else 1 + LANDING_SHARE
            left = int((within - cost_in_steps(self.problem)) / share)
            # Time is kept for refining only where what is left makes a fit that will be refined.
            steps = left if worthwhile(self.lasting(left)) else int(within / share)
            steps = int(min(steps, most))
        self.workdir.remember(steps=steps)
        return self.lasting(steps)

    def lasting(self, steps: int) -> Problem:
        """The problem with so many steps."""
        return replace(self.problem, config=replace(self.problem.config, steps=steps))


def steps_within(budget: float, spent: float, step_seconds: float, spared: float = SPARED_SECONDS) -> int:
    """Steps that fit into a time budget of which `spent` seconds are gone and `spared` ones kept."""
    return max(LEAST_STEPS, int((budget * (1 - SPARED_SHARE) - spared - spent) / step_seconds))


def prepare(video: Video, target: Path, options: EncodeOptions, counted: Counted | None = None) -> Run:
    """Plan an encode; TargetMissed if its cap is out of reach, UsageError if its folder holds another run."""
    check_mask(options)
    (path, described), wish = observed(video, options, counted), options.wish
    key = run_key(video, wish, options.preset, options.model, options.seed, options.time_budget, *mask_key(counted))
    problem, cap = planned(described, options, wish.nominal_bpp(described), key), wish.cap(described)
    if cap is not None:
        check_reachable(described, cap)
        problem = replace(problem, config=replace(problem.config, target_bpp=CAP_AIM * 8 * cap / described.pixels))
    return Run(problem, key, Workdir(options.folder(target), key, fresh=not options.resume), cap, counted=counted, path=path)


def observed(video: Video, options: EncodeOptions, counted: Counted | None = None) -> tuple[CameraPath | None, VideoSpec]:
    """What the camera does in `video`, None for networks without a canvas; and the video's spec, with margins that hold what it sees.

    A file of LEAST_FOR_MARGINS bytes or less has better use for the bytes that say so.
    """
    described = VideoSpec.of(video)
    if options.model != "cam":
        return None, described
    path = camera_path(video.frames, counted)
    if options.wish.nominal_bpp(described) * described.pixels <= 8 * LEAST_FOR_MARGINS:
        return path, described
    return path, replace(described, margins=margins(path, video.height, video.width))


def mask_key(counted: Counted | None) -> tuple[int, ...]:
    """A mask's part of what a run's key is made of; nothing without one."""
    return () if counted is None else (zlib.crc32(counted.tobytes()),)


def planned(video: VideoSpec, options: EncodeOptions, bpp: float, key: str) -> Problem:
    """The problem of fitting `video` at about `bpp`, knowing what its file takes beside its tensors."""
    spec, config = plan(video, bpp, options.preset, options.model, options.seed)
    overhead = 8 * len(encode(replace(silent_model(spec, video), origin=origin_of(key))))
    return Problem(spec, video, config, overhead)


def up_to_date(run: Run, target: Path, overwrite: bool) -> bool:
    """Whether `target` is this run's finished file; OutputError if it is someone else's and may not be replaced."""
    if not target.exists() or overwrite:
        return False
    try:
        if decode(target.read_bytes()).origin == origin_of(run.key):
            return True
    except (BitstreamError, OSError):
        pass
    check_free(target, overwrite=run.workdir.unfinished)
    return False


def last_call(budget: float | None, spared: float = SPARED_SECONDS) -> float:
    """Seconds after which a fit must round and end to stay within `budget`, however slow the machine has become."""
    return math.inf if budget is None else 0.97 * budget - min(FINISH_SECONDS, FINISH_SHARE * budget) - spared / 3


def _fit(fitter: Fitter, video: Video, options: EncodeOptions, workdir: Workdir, display: Display, asked: Callable[[], Wanted]) -> Fitted:
    if options.workdir is None:
        return fit(fitter, workdir, display, asked)
    logbook = Logbook(options.workdir, video, fitter)
    try:

        def watch(progress):
            display(progress)
            logbook(progress)

        return fit(fitter, workdir, watch, asked)
    finally:
        logbook.close()


def silent_model(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """The model whose tensors are all zero: what its file takes is what any file takes."""
    return single_video(spec, video, silent_tensors(spec, video))


def silent_tensors(spec: NetworkSpec, video: VideoSpec) -> dict[str, QuantizedTensor]:
    """Tensors of nothing but zeros."""
    return {name: QuantizedTensor(np.zeros(shape, np.int32), 0) for name, shape in tensor_shapes(spec, video).items()}


def check_reachable(video: VideoSpec, cap: int) -> None:
    """TargetMissed, before anything is spent, if not even the smallest network's zeros fit into `cap` bytes."""
    least = len(encode(silent_model(modulated_spec(video, 0.0), video)))
    if cap < least:
        raise TargetMissed(
            "target-too-small",
            f"{cap} bytes is below what any file of {video.frames} frames of {video.width}x{video.height} takes: {least} bytes",
            f"--target-size {2 * least}   or more frames in one file",
        )


def spec_line(problem: Problem) -> str:
    """What is about to be fitted, in a line."""
    video, where = problem.video, f"{jax.default_backend()}:{jax.local_device_count()}"
    return f"{video.width}x{video.height}, {video.frames} frames: {weights(problem.spec, video)} weights on {where}"
