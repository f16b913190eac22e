"""The one loop: fit a network to a video until its weights are cheap integers."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from codec.encoder import encode
from codec.masks import Masks
from codec.model import QuantizedModel, QuantizedTensor, single_video
from codec.prediction import best_coding
from codec.quantizer import MAX_EXPONENT, MIN_EXPONENT, quantize
from inr.errors import InrError
from inr.video import Video
from train.continual import Ground
from train.interrupts import Preempted, Wanted
from train.motion import CameraPath, beginning, camera_path
from train.rate import table_bits
from train.schedule import descent
from train.state import TrainState, initial_state
from train.step import Metrics, Pace, Problem, make_advance

CHUNK = {"cpu": 16}  # steps between looks at the clock and the metrics
ACCELERATOR_CHUNK = 100
LANDING_PROGRESS, LANDING_GAIN = 0.97, 4.0  # the latter over all steps of an attempt
MAX_RESTORES = 8
MEASURE_SECONDS = 3.0
SNAPSHOT_SECONDS = 10.0
FINISH_SHARE, FINISH_SECONDS = 0.05, 8.0  # an interrupted fit still rounds properly: this much of its time, at most
EMPTY: Mapping[str, int] = MappingProxyType({})


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
    step_seconds: float  # mean over the steps taken in this process
    stopped: bool  # whether it was asked to stop before its last step
    state: TrainState


class Fitter:
    """A fit under way: the compiled step, the video on the device, and the state."""

    def __init__(
        self,
        problem: Problem,
        video: Video,
        ground: Ground | None = None,
        counted: UInt8[np.ndarray, "t h w 1"] | None = None,
        path: CameraPath | None = None,
    ):
        self.problem, self.ground = problem, ground
        self.frames = jnp.asarray(video.frames if counted is None else np.concatenate([video.frames, counted], axis=-1))
        self.advance = make_advance(problem.compiled)
        self.chunk = CHUNK.get(jax.default_backend(), ACCELERATOR_CHUNK)
        self.frozen = ground.frozen(problem.layout) if ground else None
        flows: Mapping[str, np.ndarray] = {}
        # A further group of frames begins on the canvas of the one before, which lies where that one's frames were.
        if problem.spec.canvas and not (ground is not None and ground.continues):
            flows = beginning(problem.spec, camera_path(video.frames, counted) if path is None else path)
        self.state = initial_state(problem.spec, problem.video, problem.config, ground, flows)

    def rehearse(self, count: int) -> float:
        """Seconds that `count` steps take, on a copy of the state; the first rehearsal compiles."""
        copy, began = copied(self.state), time.monotonic()
        _, metrics = self.advance(copy, self.frames, self.problem.pace(0.0, 0.0), count, self.frozen, self.amortised(0.0))
        jax.block_until_ready(metrics)
        return time.monotonic() - began

    def measured_step_seconds(self) -> float:
        """Median seconds of a step over a few seconds of rehearsal, once it is warm."""
        count, timings, began = max(1, self.chunk // 4), [], time.monotonic()
        while len(timings) < 4 or time.monotonic() - began < MEASURE_SECONDS:
            timings.append(self.rehearse(count) / count)
        warm = sorted(timings[len(timings) // 2 :])
        return warm[len(warm) // 2]

    def amortised(self, progress: float) -> bool:
        """Whether embeddings still come from the embedder."""
        return progress < self.problem.config.embedder_until

    def take(self, count: int, start: float, per_step: float) -> Metrics:
        """`count` steps, progress running from `start` by `per_step`."""
        pace = self.problem.pace(start, per_step)
        self.state, metrics = self.advance(self.state, self.frames, pace, count, self.frozen, self.amortised(start))
        return jax.block_until_ready(metrics)

    def symbol_bits(self, model: QuantizedModel) -> float:
        """What a model's symbols and their tables take, in bits."""
        codings = [best_coding(tensor.symbols) for tensor in self.own(model).values()]
        return sum(coded.bits + table_bits(coded.table, coded.values.size) for coded in codings)

    def model(self, wider: Mapping[str, int] = EMPTY) -> QuantizedModel:
        """The state as integers; the steps of the tensors in `wider` by that many eighths of an octave wider."""
        problem, parameters = self.problem, self.state.parameters
        exponents = np.rint(np.asarray(parameters.exponents)).astype(int).tolist()
        tensors = problem.layout.unpack(np.asarray(parameters.weights))

        def quantised(name: str, exponent: int) -> QuantizedTensor:
            exponent = min(max(exponent + wider.get(name, 0), MIN_EXPONENT), MAX_EXPONENT)
            return QuantizedTensor(quantize(tensors[name], exponent), exponent)

        symbols = {name: quantised(name, exponent) for name, exponent in zip(tensors, exponents, strict=True)}
        return self.joined(symbols)

    def own(self, model: QuantizedModel) -> dict[str, QuantizedTensor]:
        """The tensors that `joined` made a model of; without those of the video's layer, where that says nothing and is left out."""
        return self.ground.own(model) if self.ground else model.layers[0].tensors | model.videos[0].tensors

    def joined(self, tensors: dict[str, QuantizedTensor]) -> QuantizedModel:
        """A model of the video's tensors: of it alone, or of the bundle with it as the last; what is not named is zero."""
        blank = {name: QuantizedTensor(np.zeros(shape, np.int32), 0) for name, shape in self.problem.layout.shapes if name not in tensors}
        tensors = {name: (tensors | blank)[name] for name in self.problem.layout.names}
        if self.ground is None:
            return single_video(self.problem.spec, self.problem.video, tensors)
        return self.ground.joined(self.problem.video, tensors, self.masks())

    def masks(self) -> Masks:
        """Which weights of the layers below are kept; empty where all of them are."""
        scores = self.state.parameters.scores
        if scores is None or self.frozen is None or self.ground is None:
            return {}
        return self.ground.masks(self.problem.layout, scores, self.frozen)

    def below(self) -> dict[str, np.ndarray]:
        """What is kept of the layers below, float32; empty for a video alone."""
        return self.ground.kept(self.masks()) if self.ground else {}

    def encoded(self, model: QuantizedModel, origin: bytes) -> bytes:
        """The file of a model that `joined` made, with the fit's origin in its end mark."""
        return self.ground.encoded(model, origin) if self.ground else encode(replace(model, origin=origin))

    @property
    def already(self) -> int:
        """Bytes that the file had before this fit."""
        return len(self.ground.data) if self.ground else 0

    def widen(self, by: float) -> None:
        """Make every step wider by `by` eighths of an octave, or finer where that is negative."""
        parameters = self.state.parameters
        self.state = self.state._replace(parameters=parameters._replace(exponents=parameters.exponents + by))


def fit(
    fitter: Fitter,
    store: Store | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    asked: Callable[[], Wanted] = lambda: Wanted.NOTHING,
    save_seconds: float = 60.0,
) -> Fitted:
    """Run `fitter` to its last step, resuming from `store`; end early, properly rounded, when `asked` to.

    Asked to leave, it saves and raises Preempted. A loss that is not finite takes the fit back to its last good
    state at half the learning rate.
    """
    store = store or NoStore()
    steps = fitter.problem.config.steps
    fitter.state = store.restore(fitter.state) or fitter.state
    first = int(fitter.state.step)
    began = saved = kept = time.monotonic()
    good, restores, stopped = copied(fitter.state), 0, False
    bits = fitter.symbol_bits(fitter.model())
    while (done := int(fitter.state.step)) < steps:
        if (wanted := asked()) is not Wanted.NOTHING:
            store.save(fitter.state)
            if wanted is Wanted.LEAVE:
                raise Preempted
            stopped, bits = True, finish_early(fitter, time.monotonic() - began)
            break
        count = steps_until_change(fitter, done)
        metrics = fitter.take(count, done / steps, 1 / steps)
        mse, latest, now = float(metrics.mse), float(metrics.bits), time.monotonic()
        if not math.isfinite(mse + latest):
            restores += 1
            if restores > MAX_RESTORES:
                raise InrError("diverged", f"the loss was not finite {restores} times around step {int(good.step)}", "--seed 1")
            good = good._replace(patience=good.patience * 0.5)
            fitter.state = copied(good)
            continue
        bits = latest
        if now - kept > SNAPSHOT_SECONDS or done == 0:
            good, kept = copied(fitter.state), now
        if now - saved > save_seconds:
            store.save(fitter.state)
            saved = time.monotonic()
        bpp = (bits + fitter.problem.overhead_bits) / fitter.problem.video.pixels
        watch(Progress(done + count, steps, -10 * math.log10(max(mse, 1e-10)), bpp, now - began, fitter.state))
    total, taken = bits + fitter.problem.overhead_bits, int(fitter.state.step) - first
    return Fitted(fitter.model(), total, first + taken, (time.monotonic() - began) / max(taken, 1), stopped, fitter.state)


def copied(state: TrainState) -> TrainState:
    """A state of its own: taking a step gives up the arrays of the state before it."""
    return jax.tree.map(jnp.copy, state)


def steps_until_change(fitter: Fitter, done: int) -> int:
    """Steps to take in one go: a chunk, but never across the end of the embedder's phase or of the fit."""
    steps = fitter.problem.config.steps
    handover = math.ceil(fitter.problem.config.embedder_until * steps)
    return min(fitter.chunk, *(edge - done for edge in (handover, steps) if edge > done))


def finish_early(fitter: Fitter, elapsed: float) -> float:
    """A short hard-rounding tail for a fit that must end now; returns the rate at its last step, in bits."""
    config, begin = fitter.problem.config, time.monotonic()
    budget = min(FINISH_SECONDS, max(1.0, FINISH_SHARE * elapsed))
    first = max(config.hard_from, int(fitter.state.step) / config.steps)
    progress, per_step = first, 0.0
    while True:
        metrics = fitter.take(fitter.chunk, progress, per_step)
        share = min((time.monotonic() - begin) / budget, 1.0)
        reached = first + (1 - first) * share
        progress, per_step = reached, (reached - progress) / fitter.chunk
        if share == 1:
            return float(metrics.bits)


def land(fitter: Fitter, count: int, bits: float = 0.0, mse: float = 0.0) -> float:
    """`count` more hard-rounding steps aimed at `bits` of tensors or at `mse`; returns the file's rate at the last, in bits."""
    pace = Pace(LANDING_PROGRESS, (1 - LANDING_PROGRESS) / count, LANDING_GAIN / count, descent(fitter.problem.config), bits, mse)
    fitter.state, metrics = fitter.advance(fitter.state, fitter.frames, pace, count, fitter.frozen, False)
    return float(metrics.bits) + fitter.problem.overhead_bits
