"""Encodes one video to one file: runs a plan from its first step to the renamed file."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.evaluation import compare
from inr.files import check_free
from inr.layout import weights
from inr.reading import read_video
from inr.spec import FrameTree
from inr.video import Video
from train.encode.outcome import Encoded
from train.encode.own_contexts import control_rate_with_contexts, follow_share
from train.encode.tree_run import run_tree
from train.encode.verified_file import write_verified
from train.fit.candidate import RateControlSetup
from train.fit.fitter import Fitter
from train.fit.interrupts import Interrupts, StopRequest
from train.fit.loop import Fitted, fit
from train.fit.problem import Problem
from train.fit.progress import Display, Progress, Reporter
from train.fit.rate_control import control_rate
from train.fit.tensorboard import TensorBoardLog, started_log
from train.plan.duration import duration_line
from train.plan.encode_plan import EncodePlan, check_mask, fit_deadline, make_plan, weights_of_mask
from train.plan.fingerprint import fingerprint_of
from train.plan.memory import check_memory
from train.plan.options import EncodeOptions


def encode_video(video: Video, output: Path, options: EncodeOptions, reporter: Reporter | None = None) -> Encoded | None:
    """Fit a network to `video` and write `output`; None if `output` is the finished file of the same run already.

    InrError for every expected error, Preempted if a signal asks to leave. Neither leaves a half-written file.
    """
    started = time.monotonic() if options.run.started is None else options.run.started
    check_mask(options)
    mask = options.selection.mask
    pixel_weights = None if mask is None else weights_of_mask(read_video(mask).frames, video)
    plan = make_plan(video, output, options, pixel_weights)
    if is_up_to_date(plan, output, options.run.overwrite):
        return None
    run = run_tree if isinstance(plan.problem.spec.frame_input, FrameTree) else run_plan
    return run(plan, video, output, started, reporter or Reporter(), options.run.workdir)


def run_plan(plan: EncodePlan, video: Video, output: Path, started: float, reporter: Reporter, log_folder: Path | None = None) -> Encoded:
    """Run a plan: fit, control the rate, write and verify.

    `started` is the run's start in seconds of the monotonic clock. `log_folder` gets a TensorBoard log (None: no log). After Ctrl-C, a plan
    for a file of its own writes a valid file of the fit so far. A plan that adds to a bundle, or one that is `whole`, saves its state
    instead, leaves the output as it is, and raises Preempted.
    """
    with Interrupts() as interrupts:
        run = Run.ready(plan, video, output, started)
        plan, fitter = run.plan, run.fitter
        reporter.say(spec_line(plan.problem))
        if plan.options.time_budget is None:
            reporter.say(duration_line(plan.problem, fitter.dry_run(1)))
        with reporter.display as shown:
            deadline = started + fit_deadline(plan.options.time_budget, plan.spared)

            def stop_requested() -> StopRequest:
                return interrupts.request_by(deadline, whole=plan.whole or plan.base is not None)

            log = None if log_folder is None else started_log(log_folder, video, fitter)
            fitted = _fit(fitter, plan, shown, stop_requested, log)
            interrupted = interrupts.interrupted
            if interrupted:  # the user waits: RDOQ and extra steps would have to be compiled
                deadline = min(deadline, time.monotonic())
            encoded = run.finished(fitted, deadline, reporter.say, interrupted)
    if fitted.stopped and not interrupted:
        reporter.say(f"the machine slowed down: stopped after {fitted.steps} steps to keep to the time budget; other runs may differ")
    return encoded


@dataclass(frozen=True)
class Run:
    """A run whose step is compiled: its plan with the final number of steps, and its fit before the first step.

    `started` is the run's start in seconds of the monotonic clock; `first_step` are the seconds from there to the end of a first step.
    """

    plan: EncodePlan
    fitter: Fitter
    video: Video
    output: Path
    started: float
    first_step: float

    @classmethod
    def ready(cls, plan: EncodePlan, video: Video, output: Path, started: float) -> "Run":
        """Prepare the run of a plan; the errors are those of `train.plan.memory.check_memory`."""
        plan = plan.sized(video)
        check_memory(plan.problem.spec, plan.problem.video, plan.problem.config)
        fitter = plan.fitter(video)
        fitter.dry_run(1)
        first_step = time.monotonic() - started
        plan = plan.with_step_count(fitter, started)
        fitter.problem = plan.problem
        return cls(plan, fitter, video, output, started, first_step)

    def finished(self, fitted: Fitted, deadline: float, say: Callable[[str], None], interrupted: bool = False) -> Encoded:
        """Control the rate until `deadline` (seconds of the monotonic clock), write and verify the file."""
        plan, fitter = self.plan, self.fitter
        fingerprint = b"" if interrupted else fingerprint_of(plan.key)
        setup = RateControlSetup(self.video, plan.target, fingerprint, deadline)
        # After Ctrl-C, the user waits: context models take seconds.
        found = (control_rate if interrupted else control_rate_with_contexts)(fitter, fitted, setup, say)
        frames = write_verified(found.data, found.model, self.output)
        seconds = time.monotonic() - self.started
        if not interrupted:
            plan.workdir.remove()
        return Encoded(
            output=self.output,
            report=compare(frames, self.video.frames, found.size),
            problem=fitter.problem,
            target=plan.target,
            estimated_bits=found.estimated_bits,
            steps=fitted.steps,
            seconds=seconds,
            seconds_to_first_step=self.first_step,
            step_seconds=fitted.step_seconds,
            interrupted=interrupted,
            model=found.model,
        )


def _fit(fitter: Fitter, plan: EncodePlan, shown: Display, stop_requested: Callable[[], StopRequest], log: TensorBoardLog | None) -> Fitted:
    follow = follow_share(fitter, plan)

    def watch(progress: Progress) -> None:
        shown(progress)
        follow()
        if log is not None:
            log(progress)

    try:
        return fit(fitter, plan.workdir, watch, stop_requested)
    finally:
        if log is not None:
            log.close()


def is_up_to_date(plan: EncodePlan, output: Path, overwrite: bool) -> bool:
    """Whether `output` is this plan's finished file; OutputError if it is another file that must not be replaced."""
    if not output.exists() or overwrite:
        return False
    try:
        if decode(output.read_bytes()).fingerprints == fingerprint_of(plan.key):
            return True
    except (BitstreamError, OSError):
        pass
    check_free(output, overwrite=plan.workdir.unfinished)
    return False


def spec_line(problem: Problem) -> str:
    """The size of the video, the number of weights, the device and the number of steps, as a line of text."""
    video, count = problem.video, jax.device_count()
    where = jax.default_backend() if count == 1 else f"{problem.devices} of {count} {jax.default_backend()} devices"
    count = weights(problem.spec, video)
    return f"{video.width}x{video.height}, {video.frames} frames: {count} weights on {where}; {problem.config.steps} steps"
