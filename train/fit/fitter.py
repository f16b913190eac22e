"""The fit of one video: the compiled step, the video on the device, and the state."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from codec.coding import best_coding
from codec.encoder import encode
from codec.model import QuantizedModel, QuantizedTensor, single_video
from codec.quantizer import MAX_EXPONENT, MIN_EXPONENT, quantize
from codec.weight_masks import WeightMasks
from inr.video import Video
from train.fit.base_layers import BaseLayers
from train.fit.problem import Problem, StepSchedule
from train.fit.rate import coding_bits
from train.fit.schedule import lr_decay
from train.fit.state import NO_TENSORS, TrainState, initial_state
from train.fit.step import Metrics, Sources, make_advance

CPU_CHUNK, ACCELERATOR_CHUNK = 16, 100  # steps between looks at the clock and the metrics
EXTRA_PROGRESS, EXTRA_GAIN = 0.97, 4.0  # of the extra steps after a fit: progress at their start, and the controller's gain over them
FINISH_SHARE, FINISH_SECONDS = 0.05, 8.0  # of a fit's time, and at most, for the proper rounding of a fit that must end early
MEASURE_SECONDS = 3.0
NO_CHANGE: Mapping[str, int] = MappingProxyType({})

PixelWeights = UInt8[np.ndarray, "t h w 1"]  # 255: a pixel counts in the loss; 0: it does not


class Reading(NamedTuple):
    """PSNR in decibels and estimated bits per pixel over the steps just taken."""

    psnr: float
    bpp: float


class Fitter:
    """A fit under way. `base` are the layers of a bundle that the video references, `initial_flow` tensors to start from."""

    def __init__(
        self,
        problem: Problem,
        video: Video,
        base: BaseLayers | None = None,
        pixel_weights: PixelWeights | None = None,
        initial_flow: Mapping[str, np.ndarray] = NO_TENSORS,
    ):
        self.problem, self.base = problem, base
        samples = video.frames if pixel_weights is None else np.concatenate([video.frames, pixel_weights], axis=-1)
        self.sources = Sources(jnp.asarray(samples), base.frozen(problem.layout) if base else None)
        self.advance = make_advance(problem.compiled)
        self.chunk = CPU_CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK
        self.state: TrainState = initial_state(problem, base, initial_flow)
        self.last_bits: float | None = None  # of tensors, at the last step; None before the first

    # The loop's side: see `train.fit.loop.Trainable`

    @property
    def steps(self) -> int:
        """Steps of the whole fit."""
        return self.problem.config.steps

    @property
    def done(self) -> int:
        """Steps done so far."""
        return int(self.state.step)

    def snapshot(self) -> TrainState:
        """The state."""
        return self.state

    def resume(self, state: TrainState) -> None:
        """Go on from `state`."""
        self.state = state

    def run_chunk(self) -> Reading:
        """Run the next steps: a chunk, but never across the end of the embedder's phase or of the fit."""
        done, steps = self.done, self.steps
        handover = math.ceil(self.problem.config.embedder_until * steps)
        count = min(self.chunk, *(edge - done for edge in (handover, steps) if edge > done))
        metrics = self.run_steps(count, done / steps, 1 / steps)
        self.last_bits = float(metrics.bits)
        bpp = (self.last_bits + self.problem.overhead_bits) / self.problem.video.pixels
        mse = float(metrics.mse)
        return Reading(-10 * math.log10(max(mse, 1e-10)) if math.isfinite(mse) else math.nan, bpp)

    def backed_off(self, state: TrainState) -> TrainState:
        """`state` with half the learning rate."""
        return state._replace(lr_backoff=state.lr_backoff * 0.5)

    # Steps

    def dry_run(self, count: int) -> float:
        """Seconds that `count` steps take on a copy of the state; the first dry run compiles."""
        copy, began = jax.tree.map(jnp.copy, self.state), time.monotonic()
        _, metrics = self.advance(copy, self.sources, self.problem.step_schedule(0.0, 0.0), count, self.use_embedder(0.0))
        jax.block_until_ready(metrics)
        return time.monotonic() - began

    def measured_step_seconds(self) -> float:
        """Median seconds of a step over a few seconds of dry runs, once they are warm."""
        count, timings, began = max(1, self.chunk // 4), [], time.monotonic()
        while len(timings) < 4 or time.monotonic() - began < MEASURE_SECONDS:
            timings.append(self.dry_run(count) / count)
        warm = sorted(timings[len(timings) // 2 :])
        return warm[len(warm) // 2]

    def use_embedder(self, progress: float) -> bool:
        """Whether an embedder still makes the embeddings."""
        return progress < self.problem.config.embedder_until

    def run_steps(self, count: int, start: float, per_step: float) -> Metrics:
        """Run `count` steps, with progress from `start` by `per_step`."""
        schedule = self.problem.step_schedule(start, per_step)
        self.state, metrics = self.advance(self.state, self.sources, schedule, count, self.use_embedder(start))
        return jax.block_until_ready(metrics)

    def run_extra_steps(self, count: int, bits: float = 0.0, mse: float = 0.0) -> float:
        """Run `count` hard-rounding steps after the fit, aimed at `bits` of tensors or at `mse`; returns the file's estimated bits."""
        per_step = (1 - EXTRA_PROGRESS) / count
        schedule = StepSchedule(EXTRA_PROGRESS, per_step, EXTRA_GAIN / count, lr_decay(self.problem.config), bits, mse)
        self.state, metrics = self.advance(self.state, self.sources, schedule, count, False)
        return float(metrics.bits) + self.problem.overhead_bits

    def finish_early(self, elapsed: float) -> None:
        """Run a short hard-rounding tail of a fit that took `elapsed` seconds and must end now."""
        config, began = self.problem.config, time.monotonic()
        budget = min(FINISH_SECONDS, max(1.0, FINISH_SHARE * elapsed))
        first = max(config.hard_from, self.done / config.steps)
        progress, per_step, share = first, 0.0, 0.0
        while share < 1:
            metrics = self.run_steps(self.chunk, progress, per_step)
            self.last_bits = float(metrics.bits)
            share = min((time.monotonic() - began) / budget, 1.0)
            reached = first + (1 - first) * share
            progress, per_step = reached, (reached - progress) / self.chunk

    def widen(self, by: float) -> None:
        """Make every step size larger by `by` eighths of an octave, or smaller where that is negative."""
        parameters = self.state.parameters
        self.state = self.state._replace(parameters=parameters._replace(exponents=parameters.exponents + by))

    # The model

    def estimated_bits(self, model: QuantizedModel) -> float:
        """The loss's rate at the last step plus the file's overhead; before any step, the bits of `model`'s symbols."""
        bits = self.symbol_bits(model) if self.last_bits is None else self.last_bits
        return bits + self.problem.overhead_bits

    def symbol_bits(self, model: QuantizedModel) -> float:
        """Bits of a model's symbols and of their tables."""
        return sum(coding_bits(best_coding(tensor.symbols)) for tensor in self.own(model).values())

    def model(self, wider: Mapping[str, int] = NO_CHANGE) -> QuantizedModel:
        """The state as integers; the step sizes of the tensors in `wider` are larger by that many eighths of an octave."""
        problem, parameters = self.problem, self.state.parameters
        exponents = np.rint(np.asarray(parameters.exponents)).astype(int).tolist()
        tensors = problem.layout.unpack(np.asarray(parameters.weights))

        def quantised(name: str, exponent: int) -> QuantizedTensor:
            exponent = min(max(exponent + wider.get(name, 0), MIN_EXPONENT), MAX_EXPONENT)
            return QuantizedTensor(quantize(tensors[name], exponent), exponent)

        return self.joined({name: quantised(name, exponent) for name, exponent in zip(tensors, exponents, strict=True)})

    def own(self, model: QuantizedModel) -> dict[str, QuantizedTensor]:
        """The tensors that `joined` made a model of, without those of the video's own layer if that was left out as all zeros."""
        return self.base.own(model) if self.base else model.layers[0].tensors | model.videos[0].tensors

    def joined(self, tensors: dict[str, QuantizedTensor]) -> QuantizedModel:
        """A model of the video's tensors: of it alone, or of the bundle with it as the last. A tensor that is not given is zero."""
        tensors = {tensor.name: tensors.get(tensor.name) or zero_tensor(tensor.shape) for tensor in self.problem.layout.tensors}
        if self.base is None:
            return single_video(self.problem.spec, self.problem.video, tensors)
        return self.base.joined(self.problem.video, tensors, self.weight_masks())

    def weight_masks(self) -> WeightMasks:
        """The weights of the base layers that are kept; empty where all of them are."""
        scores, frozen = self.state.parameters.scores, self.sources.frozen
        if scores is None or frozen is None or self.base is None:
            return {}
        return self.base.weight_masks(self.problem.layout, scores, frozen)

    def kept_base(self) -> dict[str, np.ndarray]:
        """The kept part of the base layers, float32; empty for a video alone."""
        return self.base.kept(self.weight_masks()) if self.base else {}

    def encoded(self, model: QuantizedModel, fingerprint: bytes) -> bytes:
        """The file of a model that `joined` made, with the fit's fingerprint in its end record."""
        return self.base.encoded(model, fingerprint) if self.base else encode(replace(model, fingerprints=fingerprint))

    @property
    def base_bytes(self) -> int:
        """Bytes that the file had before this fit."""
        return len(self.base.data) if self.base else 0


def zero_tensor(shape: tuple[int, ...]) -> QuantizedTensor:
    """A tensor of nothing but zeros."""
    return QuantizedTensor(np.zeros(shape, np.int32), 0)
