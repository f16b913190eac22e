"""Encodes one video as a tree of frames: runs a plan from its first step to the renamed file."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codec.evaluation import compare
from inr.video import Video
from train.encode.outcome import Encoded
from train.encode.verified_file import write_verified
from train.fit.candidate import RateControlSetup
from train.fit.interrupts import Interrupts, StopRequest
from train.fit.loop import LoopOutcome, run_loop
from train.fit.progress import Display, Progress, Reporter
from train.fit.tensorboard import started_log
from train.plan.encode_plan import SPARED_SHARE, EncodePlan, fit_deadline
from train.plan.fingerprint import fingerprint_of
from train.plan.memory import check_memory
from train.tree.fitter import TreeFit
from train.tree.frame_fit import compile_rest, no_request
from train.tree.rate_control import control_tree
from train.tree.state import first_state


def run_tree(plan: EncodePlan, video: Video, output: Path, started: float, reporter: Reporter, log_folder: Path | None = None) -> Encoded:
    """Run the plan of a tree: fit, control the rate, write and verify. The arguments are those of `train.encode.run.run_plan`."""
    check_memory(plan.problem.spec, plan.problem.video, plan.problem.config)
    fit, deadline = TreeFit(plan.problem, video, plan.pixel_weights), started + fit_deadline(plan.options.time_budget, plan.spared)
    if plan.options.time_budget is not None:
        fit.pace.until = started + plan.options.time_budget * (1 - SPARED_SHARE) - plan.spared
        fit.pace.most_updates = plan.options.preset.most_steps
    ahead = fit.source_motion.ahead(fit.order, fit.has_motion)
    with Interrupts() as interrupts, reporter.display as shown, ahead, ThreadPoolExecutor(1) as aside:
        contexts = first_state(plan.problem.spec, plan.problem.video, plan.problem.config.rate_weight).contexts.tensors
        aside.submit(compile_rest, fit.order, (video.height, video.width), contexts, fit.kinds)

        def stop_requested() -> StopRequest:
            return interrupts.request_by(deadline, whole=plan.whole)

        fit.asked = stop_requested
        outcome = _fitted(fit, plan, shown, stop_requested, log_folder)
        fit.asked = no_request
        interrupted = interrupts.interrupted
        seconds = outcome.first_chunk - started
        if interrupted:
            deadline = min(deadline, time.monotonic())
        fingerprint = b"" if interrupted else fingerprint_of(plan.key)
        setup = RateControlSetup(video, plan.target, fingerprint, deadline)
        found = control_tree(fit, setup, reporter.say, hurry=interrupted)
        frames = write_verified(found.data, found.model, output)
    if not interrupted:
        plan.workdir.remove()
    if fit.slowed and not interrupted:
        reporter.say("the machine slowed down: some frames got fewer updates to keep to the time budget; other runs may differ")
    return Encoded(
        output=output,
        report=compare(frames, video.frames, found.size),
        problem=plan.problem,
        target=plan.target,
        estimated_bits=found.estimated_bits,
        steps=fit.done,
        seconds=time.monotonic() - started,
        seconds_to_first_step=seconds,
        step_seconds=outcome.step_seconds,
        interrupted=interrupted,
        model=found.model,
    )


def _fitted(fit: TreeFit, plan: EncodePlan, shown: Display, stop: Callable[[], StopRequest], log_folder: Path | None) -> LoopOutcome:
    log = None if log_folder is None else started_log(log_folder, fit.video, fit)

    def watch(progress: Progress) -> None:
        shown(progress)
        if log is not None:
            log(progress)

    try:
        return run_loop(fit, plan.workdir, watch, stop)
    finally:
        if log is not None:
            log.close()
