"""The one loop: it runs a fit, of one video or of several at once, to its last step, and saves, resumes and backs off on the way."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from codec.model import QuantizedModel
from inr.errors import InrError
from train.fit.fitter import Fitter, Reading
from train.fit.interrupts import Preempted, StopRequest
from train.fit.progress import Progress
from train.fit.state import TrainState

MAX_RESTORES = 8  # times that a fit goes back to its last good state before it gives up
SNAPSHOT_SECONDS, SAVE_SECONDS = 10.0, 60.0  # between good states kept in memory, and between checkpoints on disk


class Trainable(Protocol):
    """A fit that the loop can run: `train.fit.fitter.Fitter`, or `train.fit.joint_fitter.JointFitter` for several videos."""

    @property
    def steps(self) -> int:
        """Steps of the whole fit."""
        ...

    @property
    def done(self) -> int:
        """Steps done so far."""
        ...

    def snapshot(self) -> Any:
        """The state: a tree of arrays that the next step may give up."""
        ...

    def resume(self, state: Any) -> None:
        """Go on from `state`."""
        ...

    def run_chunk(self) -> Reading:
        """Run the next few steps."""
        ...

    def backed_off(self, state: Any) -> Any:
        """`state` with half the learning rate."""
        ...


class Store(Protocol):
    """A place where states outlive the process: see `train.fit.checkpoint`."""

    def restore(self, like: Any) -> Any | None: ...
    def save(self, state: Any) -> None: ...


class NoStore:
    """A store that keeps nothing."""

    def restore(self, like: Any) -> None:
        return None

    def save(self, state: Any) -> None:
        return None


@dataclass(frozen=True)
class LoopOutcome:
    """A run of the loop: steps done in this process, their seconds, whether it was asked to stop, and when the first chunk ended.

    `first_chunk` is a time of the monotonic clock, the loop's start if no step was taken.
    """

    steps: int
    seconds: float
    stopped: bool
    first_chunk: float

    @property
    def step_seconds(self) -> float:
        """Mean seconds of a step."""
        return self.seconds / max(self.steps, 1)


def run_loop(
    fit: Trainable,
    store: Store | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop_requested: Callable[[], StopRequest] = lambda: StopRequest.NOTHING,
    save_seconds: float = SAVE_SECONDS,
) -> LoopOutcome:
    """Run `fit` to its last step, resuming from `store`.

    Asked to finish, it saves and returns early. Asked to leave, it saves and raises Preempted. A loss that is not finite takes the
    fit back to its last good state at half the learning rate; InrError after MAX_RESTORES of them.
    """
    store = store or NoStore()
    if (restored := store.restore(fit.snapshot())) is not None:
        fit.resume(restored)
    first = fit.done
    began = saved = kept = first_chunk = time.monotonic()
    good, restores = copied(fit.snapshot()), 0
    while fit.done < fit.steps:
        if (request := stop_requested()) is not StopRequest.NOTHING:
            store.save(fit.snapshot())
            if request is StopRequest.LEAVE:
                raise Preempted
            return LoopOutcome(fit.done - first, time.monotonic() - began, True, first_chunk)
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
    """A copy of a state: taking a step gives up the arrays of the state before it."""
    return jax.tree.map(jnp.copy, state)


@dataclass(frozen=True)
class Fitted:
    """A fit's result. `estimated_bits` is the loss's rate at the last step plus the file's fixed overhead."""

    model: QuantizedModel
    estimated_bits: float
    steps: int
    step_seconds: float  # mean over the steps taken in this process
    stopped: bool  # whether it was asked to stop before its last step
    state: TrainState


def fit(
    fitter: Fitter,
    store: Store | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop_requested: Callable[[], StopRequest] = lambda: StopRequest.NOTHING,
    save_seconds: float = SAVE_SECONDS,
) -> Fitted:
    """Run the loop on a single video; a fit that is asked to finish early still ends properly rounded."""
    outcome = run_loop(fitter, store, watch, stop_requested, save_seconds)
    if outcome.stopped:
        fitter.finish_early(outcome.seconds)
    model = fitter.model()
    return Fitted(model, fitter.estimated_bits(model), fitter.done, outcome.step_seconds, outcome.stopped, fitter.state)
