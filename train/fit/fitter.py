"""The fit of one video: its compiled step, the video on the device, and the state."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from codec.coding import codings
from codec.encoder import encode
from codec.model import QuantizedModel, QuantizedTensor, single_video
from codec.quantizer import MAX_EXPONENT, MIN_EXPONENT, quantize
from codec.weight_masks import WeightMasks
from inr.constants import GRID_EXPONENT
from inr.layout import tensor_specs
from inr.video import Video
from train.fit.base_layers import BaseLayers
from train.fit.cluster import advance_by_all
from train.fit.context_rate import symbols_of
from train.fit.devices import on_every_device
from train.fit.problem import Problem, StepSchedule
from train.fit.rate import coding_bits
from train.fit.schedule import lr_decay
from train.fit.state import NO_TENSORS, TrainState, initial_state
from train.fit.step import Metrics, Sources

CPU_CHUNK, ACCELERATOR_CHUNK = 16, 100  # steps of a chunk; between chunks, the loop reads the clock and the metrics
EXTRA_PROGRESS, EXTRA_GAIN = 0.97, 4.0  # of extra steps after a fit: progress at the first one, and the controller's gain over all of them
# Most time for hard rounding after an early end: share of the fit's time, and seconds; seconds after Ctrl-C.
FINISH_SHARE, FINISH_SECONDS, HURRY_SECONDS = 0.05, 8.0, 1.0
MEASURE_SECONDS = 3.0  # least duration of the dry runs that measure a step
FAR_GRIDS_PROGRESS = 0.5  # the same as the next constant, for a file that is much larger than its cap
EXTRA_GRIDS_PROGRESS = 0.7  # of the first extra step with grids that are coded with contexts: they change while they are softly rounded
RETARGETED_FROM = 0.6  # progress of a fit from which a changed target holds
NO_CHANGE: Mapping[str, int] = MappingProxyType({})

PixelWeights = UInt8[np.ndarray, "t h w 1"]  # 255: a pixel has full weight in the loss; 0: it has none


class Reading(NamedTuple):
    """The measures of a chunk of steps: PSNR in decibels, and estimated bits per pixel."""

    psnr: float
    bpp: float


class Fitter:
    """The fit of one video, with the state that its steps change.

    `base` is the bundle that the video is added to, None for a file of its own. `pixel_weights` weigh the pixels in the loss; without them,
    all pixels count equally. `initial_values` holds tensors by name, float32, that replace initial ones.
    """

    def __init__(
        self,
        problem: Problem,
        video: Video,
        base: BaseLayers | None = None,
        pixel_weights: PixelWeights | None = None,
        initial_values: Mapping[str, np.ndarray] = NO_TENSORS,
    ):
        self.problem, self.base = problem, base
        samples = video.frames if pixel_weights is None else np.concatenate([video.frames, pixel_weights], axis=-1)
        self.sources = on_every_device(Sources(jnp.asarray(samples), base.frozen(problem.layout) if base else None), self.copies)
        self.advance = advance_by_all(problem)
        self.chunk = CPU_CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK
        self.state: TrainState = on_every_device(initial_state(problem, base, initial_values), self.copies)
        self.later_problem: Problem | None = None  # the problem from RETARGETED_FROM on, if its target differs; see `retarget`
        self.last_bits: float | None = None  # bits of tensors at the last step; None before the first step

    @property
    def copies(self) -> int:
        """The devices of this process that hold the state and the sources: one if several processes share the fit."""
        return self.problem.devices if jax.process_count() == 1 else 1

    # Methods of `train.fit.loop.Trainable`

    @property
    def steps(self) -> int:
        """The number of steps of the whole fit."""
        return self.problem.config.steps

    @property
    def done(self) -> int:
        """The number of steps done so far."""
        return int(self.state.step)

    def snapshot(self) -> TrainState:
        """The state; the next step donates its arrays."""
        return self.state

    def resume(self, state: TrainState) -> None:
        """Continue from `state`."""
        self.state = on_every_device(state, self.copies)

    def run_chunk(self) -> Reading:
        """Run the next chunk of steps; returns its measures. A chunk ends at the latest where the embedder's phase or the fit ends."""
        done, steps = self.done, self.steps
        metrics = self.run_steps(self.chunk_at(done), done / steps, 1 / steps)
        self.last_bits = float(metrics.bits)
        return self.reading(float(metrics.mse), self.last_bits)

    def chunk_at(self, done: int) -> int:
        """The number of steps of the chunk that follows `done` steps."""
        handover = math.ceil(self.problem.config.embedder_until * self.steps)
        return min(self.chunk, *(edge - done for edge in (handover, self.steps) if edge > done))

    def reading(self, mse: float, bits: float) -> Reading:
        """The measures of steps with the mean error `mse`, of samples in [0, 1], and `bits` of tensors."""
        bpp = (bits + self.problem.overhead_bits) / self.problem.video.pixels
        return Reading(-10 * math.log10(max(mse, 1e-10)) if math.isfinite(mse) else math.nan, bpp)

    def backed_off(self, state: TrainState) -> TrainState:
        """`state` with half of each learning rate."""
        return state._replace(lr_backoff=state.lr_backoff * 0.5)

    # Running steps

    def dry_run(self, count: int) -> float:
        """The seconds that `count` steps take on a copy of the state. The first call also compiles the step."""
        copy, began = jax.tree.map(jnp.copy, self.state), time.monotonic()
        _, metrics = self.advance(copy, self.sources, self.problem.step_schedule(0.0, 0.0), count, self.use_embedder(0.0))
        jax.block_until_ready(metrics)
        return time.monotonic() - began

    def measured_step_seconds(self) -> float:
        """The median duration of a step in seconds, in the later half of dry runs that take at least MEASURE_SECONDS."""
        count, timings, began = max(1, self.chunk // 4), [], time.monotonic()
        while len(timings) < 4 or time.monotonic() - began < MEASURE_SECONDS:
            timings.append(self.dry_run(count) / count)
        warm = sorted(timings[len(timings) // 2 :])
        return warm[len(warm) // 2]

    def use_embedder(self, progress: float) -> bool:
        """Whether an embedder makes the embeddings at `progress`."""
        return progress < self.problem.config.embedder_until

    def run_steps(self, count: int, start: float, per_step: float) -> Metrics:
        """Run `count` steps, the first one at the progress `start`; each step adds `per_step` to the progress."""
        schedule = self.schedule(start, per_step)
        self.state, metrics = self.advance(self.state, self.sources, schedule, count, self.use_embedder(start))
        return jax.block_until_ready(metrics)

    def schedule(self, start: float, per_step: float) -> StepSchedule:
        """The schedule of steps from the progress `start` on, each of which adds `per_step` to it."""
        problem = self.later_problem if self.later_problem is not None and start >= RETARGETED_FROM else self.problem
        return problem.step_schedule(start, per_step)

    def run_extra_steps(self, count: int, bits: float = 0.0, mse: float = 0.0, far: bool = False) -> float:
        """Run `count` steps after the fit, the last ones of hard rounding; returns the estimated bits of the file.

        The target is `bits` of tensors, or else `mse` of samples in [0, 1]; without a target, the rate weight stays as it is. With `far`,
        grids that are coded with contexts may change much.
        """
        first = (FAR_GRIDS_PROGRESS if far else EXTRA_GRIDS_PROGRESS) if self.problem.grids else EXTRA_PROGRESS
        per_step, gain = (1 - first) / count, EXTRA_GAIN / count if bits or mse else 0.0
        schedule = StepSchedule(first, per_step, gain, lr_decay(self.problem.config), bits, mse)
        self.state, metrics = self.advance(self.state, self.sources, schedule, count, False)
        return float(metrics.bits) + self.problem.overhead_bits

    def retarget(self, bpp: float) -> None:
        """Aim at `bpp` bits per pixel in all steps of the fit from the progress RETARGETED_FROM on."""
        self.later_problem = replace(self.problem, config=replace(self.problem.config, target_bpp=bpp))

    def scale_rate_weight(self, factor: float) -> None:
        """Multiply the rate weight by `factor`."""
        self.state = self.state._replace(log_rate_weight=self.state.log_rate_weight + math.log(factor))

    def finish_early(self, elapsed: float, most: float = FINISH_SECONDS) -> None:
        """End a fit that took `elapsed` seconds and must end now, by steps of hard rounding.

        These steps take the share FINISH_SHARE of `elapsed`, but at least one second and at most `most` seconds.
        """
        config, began = self.problem.config, time.monotonic()
        budget = min(most, max(1.0, FINISH_SHARE * elapsed))
        first = max(config.hard_from, self.done / config.steps)
        progress, per_step, share = first, 0.0, 0.0
        while share < 1:
            metrics = self.run_steps(self.chunk, progress, per_step)
            self.last_bits = float(metrics.bits)
            share = min((time.monotonic() - began) / budget, 1.0)
            reached = first + (1 - first) * share
            progress, per_step = reached, (reached - progress) / self.chunk

    def widen(self, by: float) -> None:
        """Add `by`, in eighths of an octave, to the exponents of all learned step sizes; a negative `by` makes the step sizes finer."""
        parameters = self.state.parameters
        exponents = parameters.exponents + by * self.problem.layout.learned_steps
        self.state = self.state._replace(parameters=parameters._replace(exponents=exponents))

    # The model

    @property
    def exponents(self) -> Float[np.ndarray, " tensors"]:
        """The exponents of the tensors' step sizes, before they are rounded."""
        return np.asarray(self.state.parameters.exponents)

    def estimated_bits(self, model: QuantizedModel) -> float:
        """The estimated bits of the file of `model`.

        These are the bits of tensors as the loss computes them at the last step (before any step: those of the model's symbols), plus the
        bits outside tensors.
        """
        bits = self.symbol_bits(model) if self.last_bits is None else self.last_bits
        return bits + self.problem.overhead_bits

    def symbol_bits(self, model: QuantizedModel) -> float:
        """The bits of the video's own tensors in `model`: symbols, step sizes and frequency tables."""
        specs = tensor_specs(self.problem.spec, self.problem.video)
        return sum(map(coding_bits, codings(specs, self.own(model)).values()))

    def model(self, wider: Mapping[str, int] = NO_CHANGE) -> QuantizedModel:
        """The quantised model of the state. `wider` gives, by tensor name, additions to exponents, in eighths of an octave."""
        problem, parameters = self.problem, self.state.parameters
        exponents = np.rint(np.asarray(parameters.exponents)).astype(int).tolist()
        tensors = problem.layout.unpack(np.asarray(parameters.weights))

        def quantised(name: str, exponent: int) -> QuantizedTensor:
            exponent = min(max(exponent + wider.get(name, 0), MIN_EXPONENT), MAX_EXPONENT)
            return QuantizedTensor(quantize(tensors[name], exponent), exponent)

        grids = {name: QuantizedTensor(symbols, GRID_EXPONENT) for name, symbols in symbols_of(parameters.grids).items()}
        return self.joined({name: quantised(name, exponent) for name, exponent in zip(tensors, exponents, strict=True)} | grids)

    def own(self, model: QuantizedModel) -> dict[str, QuantizedTensor]:
        """The video's own tensors by name, in a model that `joined` made; without its own layer if `joined` omitted the layer."""
        return self.base.own(model) if self.base else model.layers[0].tensors | model.videos[0].tensors

    def joined(self, tensors: dict[str, QuantizedTensor]) -> QuantizedModel:
        """The model of the video's quantised `tensors`, given by name: of the video alone, or of the bundle with the video as its last.

        A tensor that is not given is all zeros.
        """
        specs = tensor_specs(self.problem.spec, self.problem.video)
        tensors = {spec.name: tensors.get(spec.name) or zero_tensor(spec.shape) for spec in specs}
        if self.base is None:
            return single_video(self.problem.spec, self.problem.video, tensors)
        return self.base.joined(self.problem.video, tensors, self.weight_masks())

    def weight_masks(self) -> WeightMasks:
        """The weight masks of the base layers by tensor name; empty if all claimed weights are kept."""
        scores, frozen = self.state.parameters.scores, self.sources.frozen
        if scores is None or frozen is None or self.base is None:
            return {}
        return self.base.weight_masks(self.problem.layout, scores, frozen)

    def kept_base(self) -> dict[str, np.ndarray]:
        """The kept part of the base layers' sums by tensor name, float32; empty without a base."""
        return self.base.kept(self.weight_masks()) if self.base else {}

    def encoded(self, model: QuantizedModel, fingerprint: bytes) -> bytes:
        """The bytes of the file of `model`, which `joined` made; `fingerprint` is that of the video in the end record."""
        return self.base.encoded(model, fingerprint) if self.base else encode(replace(model, fingerprints=fingerprint))

    @property
    def base_bytes(self) -> int:
        """The bytes of the bundle before the video is added; 0 for a file of its own."""
        return len(self.base.data) if self.base else 0


def zero_tensor(shape: tuple[int, ...]) -> QuantizedTensor:
    """A quantised tensor of the given shape whose symbols are all zero."""
    return QuantizedTensor(np.zeros(shape, np.int32), 0)
