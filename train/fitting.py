"""The one loop: fit a network to a video until its weights are cheap integers."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from codec.model import QuantizedModel, QuantizedTensor, single_video
from codec.quantizer import quantize
from inr.video import Video
from train.interrupts import Preempted, Wanted
from train.state import TrainState, initial_state
from train.step import Metrics, Pace, Problem, make_advance

CHUNK = {"cpu": 16}  # steps between looks at the clock and the metrics
ACCELERATOR_CHUNK = 100
LANDING_PROGRESS, LANDING_GAIN = 0.97, 4.0
MAX_RESTORES = 8
SNAPSHOT_SECONDS = 10.0
FINISH_SHARE, FINISH_SECONDS = 0.05, 8.0  # an interrupted fit still rounds properly: this much of its time, at most


@dataclass(frozen=True)
class Progress:
    """What a fit says of itself now and then."""

    step: int
    steps: int
    psnr: float  # decibels of the mean squared error over the last steps
    bpp: float  # estimated, from the loss's own rate
    seconds: float
    state: TrainState


class Store(Protocol):
    """Where states outlive the process; see `train.checkpoint`."""

    def restore(self, like: TrainState) -> TrainState | None: ...
    def save(self, state: TrainState) -> None: ...


class NoStore:
    """Keeps nothing."""

    def restore(self, like: TrainState) -> TrainState | None:
        return None

    def save(self, state: TrainState) -> None:
        return None


@dataclass(frozen=True)
class Fitted:
    """A fit's result. `estimated_bits` is the loss's rate at the last step, the file's fixed overhead included."""

    model: QuantizedModel
    estimated_bits: float
    steps: int
    seconds: float
    stopped: bool  # whether it was asked to stop before its last step
    state: TrainState


class Fitter:
    """A fit under way: the compiled step, the video on the device, and the state."""

    def __init__(self, problem: Problem, video: Video):
        self.problem = problem
        self.frames = jax.device_put(jnp.asarray(video.frames))
        self.advance = make_advance(problem)
        self.chunk = CHUNK.get(jax.default_backend(), ACCELERATOR_CHUNK)
        self.state = initial_state(problem.spec, problem.video, problem.config)

    def measure_step_seconds(self) -> float:
        """Median seconds of a step, timed on copies of the state; the first call compiles."""
        timings = []
        for _ in range(4):
            copy = jax.tree.map(jnp.copy, self.state)
            began = time.monotonic()
            _, metrics = self.advance(copy, self.frames, self.problem.pace(0.0, 0.0), self.chunk, self.amortised(0.0))
            jax.block_until_ready(metrics)
            timings.append((time.monotonic() - began) / self.chunk)
        return sorted(timings[1:])[1]

    def amortised(self, progress: float) -> bool:
        """Whether embeddings still come from the embedder."""
        return progress < self.problem.config.embedder_until

    def take(self, count: int, start: float, per_step: float) -> Metrics:
        """`count` steps, progress running from `start` by `per_step`."""
        pace = self.problem.pace(start, per_step)
        self.state, metrics = self.advance(self.state, self.frames, pace, count, self.amortised(start))
        return jax.block_until_ready(metrics)

    def model(self) -> QuantizedModel:
        """The state as integers."""
        problem, parameters = self.problem, self.state.parameters
        exponents = np.clip(np.rint(np.asarray(parameters.exponents)), -128, 127).astype(int).tolist()
        tensors = problem.layout.unpack(np.asarray(parameters.weights))
        symbols = {
            name: QuantizedTensor(quantize(tensor, exponent), exponent)
            for (name, tensor), exponent in zip(tensors.items(), exponents, strict=True)
        }
        return single_video(problem.spec, problem.video, symbols)


def fit(
    fitter: Fitter,
    store: Store | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    asked: Callable[[], Wanted] = lambda: Wanted.NOTHING,
    save_seconds: float = 60.0,
) -> Fitted:
    """Run `fitter` to its last step, resuming from `store`; end early, properly rounded, when `asked` to.

    Asked to leave, it saves and raises Preempted.

    A loss that is not finite takes the fit back to its last good state at half the learning rate.
    """
    store = store or NoStore()
    steps, pixels = fitter.problem.config.steps, fitter.problem.video.pixels
    fitter.state = store.restore(fitter.state) or fitter.state
    began = saved = kept = time.monotonic()
    good, restores, stopped, bits = jax.tree.map(jnp.copy, fitter.state), 0, False, math.nan
    while (done := int(fitter.state.step)) < steps:
        if (wanted := asked()) is not Wanted.NOTHING:
            store.save(fitter.state)
            if wanted is Wanted.LEAVE:
                raise Preempted
            stopped, bits = True, finish_early(fitter, time.monotonic() - began)
            break
        count = steps_until_change(fitter, done)
        metrics = fitter.take(count, done / steps, 1 / steps)
        if not math.isfinite(float(metrics.mse)) or not math.isfinite(float(metrics.bits)):
            restores += 1
            if restores > MAX_RESTORES:
                raise FloatingPointError(f"the loss was not finite {restores} times; last good step {int(good.step)}")
            fitter.state = jax.tree.map(jnp.copy, good)._replace(patience=good.patience * 0.5)
            good = jax.tree.map(jnp.copy, fitter.state)
            continue
        now, bits = time.monotonic(), float(metrics.bits)
        if now - kept > SNAPSHOT_SECONDS or done == 0:
            good, kept = jax.tree.map(jnp.copy, fitter.state), now
        if now - saved > save_seconds:
            store.save(fitter.state)
            saved = time.monotonic()
        bpp = (bits + fitter.problem.overhead_bits) / pixels
        psnr = -10 * math.log10(max(float(metrics.mse), 1e-10))
        watch(Progress(done + count, steps, psnr, bpp, now - began, fitter.state))
    total = bits + fitter.problem.overhead_bits
    return Fitted(fitter.model(), total, int(fitter.state.step), time.monotonic() - began, stopped, fitter.state)


def steps_until_change(fitter: Fitter, done: int) -> int:
    """Steps to take in one go: a chunk, but never across the end of the embedder's phase or of the fit."""
    steps = fitter.problem.config.steps
    handover = math.ceil(fitter.problem.config.embedder_until * steps)
    edges = [edge - done for edge in (handover, steps) if edge > done]
    return min(fitter.chunk, *edges) if len(edges) > 1 else min(fitter.chunk, edges[0])


def finish_early(fitter: Fitter, elapsed: float) -> float:
    """A short hard-rounding tail for a fit that must end now; returns the rate at its last step, in bits."""
    begin = time.monotonic()
    budget = min(FINISH_SECONDS, max(1.0, FINISH_SHARE * elapsed))
    progress = max(fitter.problem.config.hard_from, int(fitter.state.step) / fitter.problem.config.steps)
    while True:
        metrics = fitter.take(fitter.chunk, progress, 0.0)
        share = (time.monotonic() - begin) / budget
        if share >= 1:
            return float(metrics.bits)
        progress = max(progress, fitter.problem.config.hard_from + (1 - fitter.problem.config.hard_from) * share)


def land(fitter: Fitter, bits_cap: float, count: int) -> float:
    """`count` more hard-rounding steps aimed at `bits_cap` bits a file; returns the rate at the last, in bits."""
    target = bits_cap - fitter.problem.overhead_bits
    pace = Pace(LANDING_PROGRESS, (1 - LANDING_PROGRESS) / count, target, LANDING_GAIN / (1 - LANDING_PROGRESS))
    fitter.state, metrics = fitter.advance(fitter.state, fitter.frames, pace, count, False)
    return float(metrics.bits)
