"""One step of a fit: the loss, its gradient, the update. Compiled once, and run many at a time where that pays."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from inr.embedder import embed
from inr.layout import is_private
from inr.network import bind
from inr.spec import NetworkSpec, VideoSpec
from train import schedule
from train.batches import batch_indices, run_indices
from train.config import FitConfig
from train.continual import Frozen, subnetwork
from train.loss import mean_squared_error
from train.patch_convolution import patch_convolution
from train.qat import quantized, straight_through, uniform_exponents
from train.rate import estimated_bits, unimodal_bits
from train.rows import RowLayout
from train.state import OPTIMISER, Parameters, TrainState, embedder_parts, layout_of

EMBEDDING = "embedding"
LOG_WEIGHTS = -25.0, 3.0  # beyond these a weight says nothing more, and its way back is long
STEEPEST = 0.03  # change of the logarithm of the rate's weight a step, however short the fit
HORIZON = 100.0  # steps over which bits are foreseen to go on as they do; what they take to follow the rate's weight
MEMORY = 20.0  # steps over which it is seen how they do
Frames = UInt8[Array, "t h w c"]  # R'G'B', and what counts of it where not all does: see `train.loss`
Scalar = Float[Array, ""]


class Metrics(NamedTuple):
    """Means over the steps of a call: MSE on [0, 1], and the last step's rate in bits of tensors."""

    mse: Scalar
    bits: Scalar


@dataclass(frozen=True)
class Problem:
    """What is fitted: a spec, a video's spec, and how. Hashable, so that steps are compiled once for it."""

    spec: NetworkSpec
    video: VideoSpec
    config: FitConfig
    overhead_bits: int = 0  # bits of the file outside its tensors, known beforehand

    def pace(self, progress: float, per_step: float) -> "Pace":
        """Where a step stands, steering at the config's target if it has one."""
        config = self.config
        gain, descent = min(config.controller_gain * per_step, STEEPEST), schedule.descent(config)
        if config.target_bpp is not None:
            return Pace(progress, per_step, gain, descent, bits=self.tensor_bits(config.target_bpp * self.video.pixels))
        if config.target_psnr is not None:
            return Pace(progress, per_step, gain, descent, mse=10 ** (-config.target_psnr / 10))
        return Pace(progress, per_step, 0.0, descent)

    def tensor_bits(self, file_bits: float) -> float:
        """What is left for tensors of a file of `file_bits`."""
        return max(file_bits - self.overhead_bits, 1.0)

    @property
    def compiled(self) -> "Problem":
        """The problem without what its compiled steps do not depend on: names, targets, lengths."""
        config = replace(self.config, steps=0, long=0, rate_weight=0.0, target_bpp=None, target_psnr=None)
        return replace(self, video=replace(self.video, name=""), config=config, overhead_bits=0)

    @property
    def runs(self) -> bool:
        """Whether batches are runs of frames: where frames read their neighbours."""
        return self.spec.neighbours is not None

    @cached_property
    def layout(self) -> RowLayout:
        return layout_of(self.spec, self.video)

    @cached_property
    def embedder_graph(self) -> nnx.GraphDef:
        return embedder_parts(self.spec, 0)[0]

    @cached_property
    def network(self) -> Callable:
        by_patches = jax.default_backend() != "tpu"
        return bind(self.spec, self.video, patch_convolution if by_patches else lax.conv_general_dilated)


def embedded(problem: Problem, parameters: Parameters, frames: Frames, indices: Int[Array, " b"]) -> Parameters:
    """`parameters` with the rows of `indices` in the embedding table as the embedder makes them from `frames`."""
    layout = problem.layout
    state = nnx.from_flat_state(
        {tuple(int(p) if p.isdigit() else p for p in name.split(".")): nnx.Param(v) for name, v in parameters.embedder.items()}
    )
    made = embed(nnx.merge(problem.embedder_graph, state), problem.spec, problem.video, frames[..., :3])
    tensors = layout.unpack(lax.stop_gradient(parameters.weights))
    table = tensors[EMBEDDING].at[indices].set(made)
    rest = layout.unpack(parameters.weights)
    return parameters._replace(weights=layout.pack({**rest, EMBEDDING: table}))


def loss(
    parameters: Parameters,
    problem: Problem,
    frames: Frames,
    indices: Int[Array, " b"],
    key: Array,
    progress: Scalar,
    rate_weight: Scalar,
    frozen: Frozen | None,
    amortised: bool,
) -> tuple[Scalar, tuple[Metrics, Parameters]]:
    """MSE + weight * bpp of a batch; beside it the metrics, and the parameters with any fresh embeddings.

    With `frozen` the network is the sum of it, as far as it is kept, and the weights that are being fitted.
    """
    if amortised:
        parameters = embedded(problem, parameters, frames, indices)
    softness, temperature, hard = schedule.rounding(problem.config, progress)
    weights, y, rated = quantized(problem.layout, parameters.weights, parameters.exponents, key, softness, temperature, hard)
    if frozen is not None:
        if not problem.config.corrections:
            weights, y, rated = (part * (1 - frozen.claimed) for part in (weights, y, rated))
        weights = weights + kept_part(problem, parameters, frozen)
    network = problem.network(problem.layout.unpack(weights))
    mse = mean_squared_error(network(indices, run=problem.runs), frames)
    # What it is at the rounded weights, but pulling as at the weights themselves: a zero symbol's own rate has no
    # slope, and without a pull what lies in the zero bin wanders out of it.
    rounded, own = estimated_bits(problem.layout, rated), unimodal_bits(problem.layout, y)
    bits = jnp.sum(straight_through(rounded, own) * counted(problem))
    return mse + rate_weight * bits / problem.video.pixels, (Metrics(mse, bits), parameters)


def counted(problem: Problem) -> np.ndarray | float:
    """How much of each tensor's bits is the video's: all, or its part of what several share."""
    if problem.config.sharing == 1:
        return 1.0
    return np.array([1 if is_private(name) else 1 / problem.config.sharing for name in problem.layout.names], np.float32)


def kept_part(problem: Problem, parameters: Parameters, frozen: Frozen) -> Float[Array, "rows 64"]:
    """What a further video keeps of the layers below."""
    if parameters.scores is None:
        return frozen.values
    return frozen.values * subnetwork(problem.layout, parameters.scores, frozen)


class Pace(NamedTuple):
    """Where a step stands: progress and its change a step; and what the rate's weight is steered at.

    That is `bits` of tensors, or else `mse`; 0 for neither. `gain` is the change of the weight's logarithm a step,
    per unit of logarithmic error, `descent` a factor of the weights' learning rate. Arguments rather than constants, so
    that a fit of another length or target needs no new compilation.
    """

    progress: Scalar | float
    per_step: Scalar | float
    gain: Scalar | float
    descent: Scalar | float
    bits: Scalar | float = 0.0
    mse: Scalar | float = 0.0


def steering_error(config: FitConfig, pace: Pace, metrics: Metrics, rate: Scalar, trend: Scalar) -> Scalar:
    """By how much (logarithm, within +-1) the rate's weight is too small for what `pace` asks.

    Bits follow the weight slowly: `trend`, the change of their logarithm a step, tells where they will be once they
    have. Without it the weight grows on long after it is large enough, and the picture is lost.
    While learning rates are high, a picture is not as good yet as it will be with the same bits: what is asked of
    it then is less by `gain_to_come`.
    """
    over = jnp.log(metrics.bits / jnp.maximum(pace.bits, 1))
    expected = pace.mse * 10 ** (config.gain_to_come * rate / 10)
    under = jnp.log(jnp.maximum(expected, 1e-9) / jnp.maximum(metrics.mse, 1e-9))
    return jnp.clip(jnp.where(jnp.asarray(pace.mse) > 0, under, over) + HORIZON * trend, -1, 1)


def step(
    state: TrainState, problem: Problem, video: Frames, pace: Pace, frozen: Frozen | None, amortised: bool
) -> tuple[TrainState, Metrics]:
    """Draw a batch, descend, and move the rate's weight towards the target."""
    gradient, metrics, made = slope(state, problem, video, pace, frozen, amortised)
    return moved(state, problem, pace, gradient, metrics, made, frozen, amortised), metrics


def slope(
    state: TrainState, problem: Problem, video: Frames, pace: Pace, frozen: Frozen | None, amortised: bool
) -> tuple[Parameters, Metrics, Parameters]:
    """Draw a batch; the loss's gradient, the metrics, and the parameters with any fresh embeddings."""
    progress = jnp.asarray(pace.progress, jnp.float32)
    config = problem.config
    order, noise = jax.random.split(jax.random.key(config.seed + 1))
    drawn = run_indices if problem.runs else batch_indices
    indices = drawn(order, state.step, min(config.batch, problem.video.frames), problem.video.frames)
    # The cheap generator: threefry would cost more than the rest of the quantisation on a CPU.
    noise = jax.random.wrap_key_data(jnp.tile(jax.random.key_data(noise), 2), impl="rbg")
    key = jax.random.fold_in(noise, state.step)
    weight = jnp.exp(state.log_rate_weight)
    gradient, (metrics, made) = jax.grad(loss, has_aux=True)(
        state.parameters, problem, video[indices], indices, key, progress, weight, frozen, amortised
    )
    return gradient, metrics, made


def moved(
    state: TrainState,
    problem: Problem,
    pace: Pace,
    gradient: Parameters,
    metrics: Metrics,
    made: Parameters,
    frozen: Frozen | None,
    amortised: bool,
) -> TrainState:
    """The state after a step along `gradient`, the rate's weight included."""
    progress = jnp.asarray(pace.progress, jnp.float32)
    config = problem.config
    updates, moments = cast(tuple[Parameters, Any], OPTIMISER.update(cast(Any, gradient), state.moments))
    rate = schedule.learning_rate(config, progress) * state.patience
    start = made._replace(weights=lax.stop_gradient(made.weights)) if amortised else state.parameters
    stride = config.learning_rate * rate * pace.descent
    after = Parameters(
        start.weights - stride * updates.weights,
        start.exponents - config.exponent_learning_rate * rate * updates.exponents,
        jax.tree.map(lambda p, u: p - 0.1 * stride * u, start.embedder, updates.embedder),
        jax.tree.map(lambda p, u: p - stride * u, start.scores, updates.scores),
    )
    if config.uniform_bits:
        after = after._replace(exponents=uniform_exponents(problem.layout, after.weights, config.uniform_bits))
    if frozen is not None and not config.corrections:
        # After the optimiser: without a gradient, momentum alone would still move a weight.
        after = after._replace(weights=after.weights * (1 - frozen.claimed))
    log_bits = jnp.log(metrics.bits)
    trend = jnp.where(state.step > 0, (log_bits - state.log_bits) / MEMORY, 0)
    error = steering_error(config, pace, metrics, rate, trend)
    gain = jnp.where(progress >= config.controller_from, pace.gain, 0)
    log_weight = jnp.clip(state.log_rate_weight + gain * error, *LOG_WEIGHTS)
    log_bits -= (MEMORY - 1) * trend
    return TrainState(after, moments, state.step + 1, log_weight, log_bits, state.patience)


@lru_cache(maxsize=2)
def make_advance(problem: Problem) -> Callable[..., tuple[TrainState, Metrics]]:
    """A function (state, video, pace, count, frozen, amortised) that takes `count` steps from `pace` on.

    The same for the same problem, so that the next group of a long video compiles nothing.

    On CPU each step is a call of its own, because XLA:CPU runs convolutions inside a loop ten times slower;
    elsewhere all of them are one dispatch.
    """
    if jax.default_backend() == "cpu":
        return _one_by_one(problem)
    return _in_one_dispatch(problem)


def _one_by_one(problem: Problem):
    compiled = jax.jit(lambda *args: step(args[0], problem, *args[1:]), static_argnums=(4,), donate_argnums=(0,))

    def advance(state: TrainState, video: Frames, pace: Pace, count: int, frozen: Frozen | None, amortised: bool):
        errors, bits = [], jnp.float32(0)
        for _ in range(count):
            state, (mse, bits) = compiled(state, video, pace, frozen, amortised)
            errors.append(mse)
            pace = pace._replace(progress=pace.progress + pace.per_step)
        return state, Metrics(jnp.mean(jnp.stack(errors)), bits)

    return advance


def _in_one_dispatch(problem: Problem):
    def advance(state: TrainState, video: Frames, pace: Pace, count: int, frozen: Frozen | None, amortised: bool):
        def body(i, carry):
            state, total, _ = carry
            here = pace._replace(progress=pace.progress + i * pace.per_step)
            state, metrics = step(state, problem, video, here, frozen, amortised)
            return state, total + metrics.mse, metrics.bits

        zero = jnp.float32(0)
        state, total, bits = lax.fori_loop(0, count, body, (state, zero, zero))
        return state, Metrics(total / count, bits)

    return jax.jit(advance, static_argnums=(5,), donate_argnums=(0,))
