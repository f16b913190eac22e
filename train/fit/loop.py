"""The training loop: it runs a fit of one or several videos to its last step, saves and resumes states, and recovers from divergence."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from codec.model import QuantizedModel
from inr.errors import InrError
from train.fit.fitter import FINISH_SECONDS, HURRY_SECONDS, Fitter, Reading
from train.fit.interrupts import Preempted, StopRequest
from train.fit.progress import Progress
from train.fit.state import TrainState

MAX_RESTORES = 8  # most returns of a fit to its last good state
SNAPSHOT_SECONDS, SAVE_SECONDS = 10.0, 60.0  # seconds between good states kept in memory, and between checkpoints on disk


class Trainable(Protocol):
    """A fit that the loop can run: `train.fit.fitter.Fitter`, or `train.fit.joint_fitter.JointFitter` for several videos."""

    @property
    def steps(self) -> int:
        """The number of steps of the whole fit."""
        ...

    @property
    def done(self) -> int:
        """The number of steps done so far."""
        ...

    def snapshot(self) -> Any:
        """The state, a tree of arrays; the next step donates them."""
        ...

    def resume(self, state: Any) -> None:
        """Continue from `state`."""
        ...

    def run_chunk(self) -> Reading:
        """Run the next few steps, a chunk; returns their measures."""
        ...

    def backed_off(self, state: Any) -> Any:
        """`state` with half of each learning rate."""
        ...


class Store(Protocol):
    """A store for states that outlives the process, such as `train.fit.checkpoint.Workdir`.

    `restore` returns the newest state (None if there is none); `like` is a state of the same shapes. `save` returns whether the state is
    saved.
    """

    def restore(self, like: Any) -> Any | None: ...
    def save(self, state: Any) -> bool: ...


class NoStore:
    """A store that keeps nothing."""

    def restore(self, like: Any) -> None:
        return None

    def save(self, state: Any) -> bool:
        return False


@dataclass(frozen=True)
class LoopOutcome:
    """The outcome of one call of `run_loop`.

    `steps` is the number of steps that this call ran, `seconds` their duration. `stopped` tells whether a request ended the loop early,
    and `hurried` whether it was HURRY.
    `first_chunk` is the time when the first chunk of steps ended, in seconds of the monotonic clock; if there was none, the time when the
    loop began.
    """

    steps: int
    seconds: float
    stopped: bool
    first_chunk: float
    hurried: bool = False

    @property
    def step_seconds(self) -> float:
        """The mean duration of a step in seconds."""
        return self.seconds / max(self.steps, 1)


def run_loop(
    fit: Trainable,
    store: Store | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop_requested: Callable[[], StopRequest] = lambda: StopRequest.NOTHING,
    save_seconds: float = SAVE_SECONDS,
) -> LoopOutcome:
    """Run `fit` to its last step, from the newest state in `store` if it has one.

    After each chunk of steps, the loop calls `watch` with a progress report. Before each chunk, it calls `stop_requested`: on FINISH or
    HURRY, it saves the state and returns early; on LEAVE, it saves the state and raises Preempted. At least `save_seconds` lie between two
    checkpoints. If the loss is not finite, the fit returns to its last good state with half of each learning rate; InrError after more than
    MAX_RESTORES returns.
    """
    store = store or NoStore()
    if (restored := store.restore(fit.snapshot())) is not None:
        fit.resume(restored)
    first = fit.done
    began = saved = kept = first_chunk = time.monotonic()
    good, restores = copied(fit.snapshot()), 0
    while fit.done < fit.steps:
        if (request := stop_requested()) is not StopRequest.NOTHING:
            kept = store.save(fit.snapshot())
            if request is StopRequest.LEAVE:
                raise Preempted(kept)
            hurried = request is StopRequest.HURRY
            return LoopOutcome(fit.done - first, time.monotonic() - began, True, first_chunk, hurried)
        before = fit.done
        reading, now = fit.run_chunk(), time.monotonic()
        if not math.isfinite(reading.psnr + reading.bpp):
            restores += 1
            if restores > MAX_RESTORES:
                raise InrError("diverged", f"the loss was not finite {restores} times around step {before}", "--seed 1")
            good = fit.backed_off(good)
            fit.resume(copied(good))
            continue
        first_chunk = now if before == first else first_chunk
        if now - kept > SNAPSHOT_SECONDS or before == 0:
            good, kept = copied(fit.snapshot()), now
        if now - saved > save_seconds:
            store.save(fit.snapshot())
            saved = now
        watch(Progress(fit.done, fit.steps, reading.psnr, reading.bpp, now - began, fit.snapshot()))
    return LoopOutcome(fit.done - first, time.monotonic() - began, False, first_chunk)


def copied(state: Any) -> Any:
    """A copy of `state`, because a step donates the arrays of the state before it."""
    return jax.tree.map(jnp.copy, state)


@dataclass(frozen=True)
class Fitted:
    """The result of a fit.

    `estimated_bits` are the bits of the tensors as the loss computes them at the last step, plus the bits of the file outside its tensors.
    """

    model: QuantizedModel
    estimated_bits: float
    steps: int
    step_seconds: float  # mean duration of the steps that this process ran
    stopped: bool  # whether a request ended the fit before its last step
    state: TrainState


def fit(
    fitter: Fitter,
    store: Store | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop_requested: Callable[[], StopRequest] = lambda: StopRequest.NOTHING,
    save_seconds: float = SAVE_SECONDS,
) -> Fitted:
    """Run the training loop on the fit of a single video. The arguments are those of `run_loop`.

    If a request ends the fit early, a few steps of hard rounding follow, so that the result is rounded as that of a whole fit.
    """
    outcome = run_loop(fitter, store, watch, stop_requested, save_seconds)
    step_seconds, before = outcome.step_seconds, fitter.done
    if outcome.stopped:
        began = time.monotonic()
        fitter.finish_early(outcome.seconds, HURRY_SECONDS if outcome.hurried else FINISH_SECONDS)
        taken = outcome.steps + fitter.done - before
        step_seconds = (outcome.seconds + time.monotonic() - began) / max(taken, 1)
    model = fitter.model()
    return Fitted(model, fitter.estimated_bits(model), fitter.done, step_seconds, outcome.stopped, fitter.state)
