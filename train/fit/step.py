"""One step of a fit: the loss, its gradient, the update. The step is compiled once; on an accelerator, one call runs many steps."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from codec.quantizer import step_size
from inr.constants import GRID_EXPONENT
from inr.embedder import embed
from inr.layout import EMBEDDING
from inr.pixels import CHANNELS
from train.fit.base_layers import Frozen, subnetwork
from train.fit.batches import batch_indices, consecutive_indices
from train.fit.config import FitConfig
from train.fit.context_rate import bounded, context_bits
from train.fit.devices import divided
from train.fit.loss import mean_squared_error
from train.fit.problem import Problem, Scalar, StepSchedule
from train.fit.qat import quantized, rounded_grids, straight_through
from train.fit.rate import estimated_bits, unimodal_bits
from train.fit.schedule import learning_rate, rounding
from train.fit.state import OPTIMISER, Parameters, TrainState, embedder_parts

LOG_WEIGHTS = -25.0, 3.0  # range of the natural logarithm of the rate weight; beyond it, the rate weight has no further effect
HORIZON = 100.0  # steps over which the trend of the bits is extrapolated: bits follow the rate weight with this delay
GRID_STEP = float(step_size(GRID_EXPONENT))  # of grids that are coded with contexts
MEMORY = 20.0  # steps over which this trend is averaged
EMBEDDER_LR_SCALE = 0.1  # learning rate of the embedder, as a share of that of the weights

# Axes of the states of fits side by side. The number of the step is shared: random numbers depend on it alone, so each fit gets those that
# it would get by itself.
STATE_AXES = TrainState(*(cast(Any, None if name == "step" else 0) for name in TrainState._fields))

Samples = UInt8[Array, "t h w c"]  # R'G'B' and, with a mask, the pixel weights as a fourth channel: see `train.fit.loss`


class Metrics(NamedTuple):
    """The measures of one or more steps: the mean MSE of samples in [0, 1], and the estimated bits of all tensors in the last step."""

    mse: Scalar
    bits: Scalar


class Sources(NamedTuple):
    """The arrays on the device that a fit reads and never changes: the video, and the base layers if the video has any."""

    video: Samples
    frozen: Frozen | None = None


class Draw(NamedTuple):
    """The random choices of a step: the frames of its batch, their indices in the video, and the random key of its noise."""

    frames: Samples
    indices: Int[Array, " b"]
    key: Array


class Gradients(NamedTuple):
    """The gradient of the loss by the parameters, and the metrics.

    `made` are the parameters that the loss used, with new embeddings of the batch if the embedder makes them.
    """

    gradient: Parameters
    metrics: Metrics
    made: Parameters


def embedded(problem: Problem, parameters: Parameters, draw: Draw) -> Parameters:
    """`parameters` with new embeddings of the batch's frames, which the embedder computes from the frames."""
    layout = problem.layout
    graph = embedder_parts(problem.spec, 0)[0]
    state = nnx.from_flat_state(
        {tuple(int(p) if p.isdigit() else p for p in name.split(".")): nnx.Param(v) for name, v in parameters.embedder.items()}
    )
    made = embed(nnx.merge(graph, state), problem.spec, problem.video, draw.frames[..., :CHANNELS])
    tensors = layout.unpack(lax.stop_gradient(parameters.weights))
    table = tensors[EMBEDDING].at[draw.indices].set(made)
    rest = layout.unpack(parameters.weights)
    return parameters._replace(weights=layout.pack({**rest, EMBEDDING: table}))


class Phase(NamedTuple):
    """The point of a fit at which the loss is computed: progress (0 to 1), rate weight, and whether the embedder makes the embeddings."""

    progress: Scalar
    rate_weight: Scalar
    use_embedder: bool


def loss(
    parameters: Parameters, problem: Problem, draw: Draw, phase: Phase, frozen: Frozen | None
) -> tuple[Scalar, tuple[Metrics, Parameters]]:
    """The loss of a batch, MSE + rate weight * bpp; and its metrics, and the parameters that it used.

    With `frozen`, the network's weights are the fitted weights plus the kept part of the base layers. Without `config.corrections`, the
    fitted weights count as zero where a base layer claims the weight. The returned parameters contain new embeddings of the batch if the
    embedder makes them.
    """
    if phase.use_embedder:
        parameters = embedded(problem, parameters, draw)
    kind = rounding(problem.config, phase.progress)
    weights, y, rated = quantized(problem.layout, parameters.weights, parameters.exponents, draw.key, kind)
    if frozen is not None:
        if not problem.config.corrections:
            weights, y, rated = (part * (1 - frozen.claimed) for part in (weights, y, rated))
        weights = weights + kept_part(problem, parameters, frozen)
    tensors = problem.layout.unpack(weights)
    grids = rounded_grids(parameters.grids, draw.key, kind)
    network = problem.network(tensors | {name: GRID_STEP * grid for name, grid in grids.items()})
    mse = mean_squared_error(network(draw.indices, consecutive=problem.consecutive), draw.frames)
    # Forward pass: the rate of the rounded weights. Backward pass: the gradient of the unimodal rate, because the rate of a rounded
    # weight has no gradient. Without a gradient towards zero, weights that are rounded to zero would drift away from it.
    rounded, unimodal = estimated_bits(problem.layout, rated), unimodal_bits(problem.layout, y)
    each = straight_through(rounded, unimodal) * bit_share(problem)
    bits = jnp.sum(jnp.where(kind.weights, each, lax.stop_gradient(each)))
    if problem.grids:
        bits += jnp.sum(context_bits(problem.grids, tensors, grids, kind.hard))
    return mse + phase.rate_weight * bits / problem.video.pixels, (Metrics(mse, bits), parameters)


def bit_share(problem: Problem) -> np.ndarray | float:
    """The share of each tensor's bits that the video's loss counts: 1 for a private tensor, 1 / N for one that N videos share."""
    if problem.config.num_sharing_videos == 1:
        return 1.0
    shares = [1 if tensor.private else 1 / problem.config.num_sharing_videos for tensor in problem.layout.tensors]
    return np.array(shares, np.float32)


def kept_part(problem: Problem, parameters: Parameters, frozen: Frozen) -> Float[Array, "rows 64"]:
    """The sum of the base layers in packed rows, with zeros for the weights that the video drops."""
    if parameters.scores is None:
        return frozen.values
    return frozen.values * subnetwork(problem.layout, parameters.scores, frozen)


def steering_error(config: FitConfig, schedule: StepSchedule, metrics: Metrics, lr_scale: Scalar, trend: Scalar) -> Scalar:
    """The controller's error, limited to -1..1: positive if the rate weight must grow to meet the target of `schedule`.

    The error is a natural logarithm: of the bits over their target, or of the target MSE over the measured one. Bits follow the rate weight
    slowly, so the error includes a prediction: `trend`, the change of the logarithm of the bits in one step, times HORIZON steps. Without
    it, the rate weight would keep growing long after it is large enough, and the picture would be lost. At a high learning rate (`lr_scale`
    near 1), the MSE is larger than it will be at the end of the fit with the same bits. The controller therefore aims at an MSE that is
    larger than the target's by `config.gain_to_come` * `lr_scale` decibels.
    """
    over = jnp.log(metrics.bits / jnp.maximum(schedule.bits, 1))
    expected = schedule.mse * 10 ** (config.gain_to_come * lr_scale / 10)
    under = jnp.log(jnp.maximum(expected, 1e-9) / jnp.maximum(metrics.mse, 1e-9))
    return jnp.clip(jnp.where(jnp.asarray(schedule.mse) > 0, under, over) + HORIZON * trend, -1, 1)


def step(state: TrainState, problem: Problem, sources: Sources, schedule: StepSchedule, use_embedder: bool) -> tuple[TrainState, Metrics]:
    """Run one step: draw a batch, update the parameters along the gradient, and move the rate weight towards the target of `schedule`."""
    found = gradients(state, problem, sources, schedule, use_embedder)
    return apply_update(state, problem, schedule, found, sources.frozen, use_embedder), found.metrics


def gradients(state: TrainState, problem: Problem, sources: Sources, schedule: StepSchedule, use_embedder: bool) -> Gradients:
    """Draw the batch of step number `state.step`, and differentiate its loss."""
    config = problem.config
    order, noise = jax.random.split(jax.random.key(config.seed + 1))
    drawn = consecutive_indices if problem.consecutive else batch_indices
    indices = drawn(order, state.step, min(config.batch, problem.video.frames), problem.video.frames)
    # JAX's fast generator `rbg`: on a CPU, `threefry` would take more time than the rest of the quantisation.
    noise = jax.random.wrap_key_data(jnp.tile(jax.random.key_data(noise), 2), impl="rbg")
    indices = divided(indices, problem.devices)
    draw = Draw(divided(sources.video[indices], problem.devices), indices, jax.random.fold_in(noise, state.step))
    phase = Phase(jnp.asarray(schedule.progress, jnp.float32), jnp.exp(state.log_rate_weight), use_embedder)
    gradient, (metrics, made) = jax.grad(loss, has_aux=True)(state.parameters, problem, draw, phase, sources.frozen)
    return Gradients(gradient, metrics, made)


class StepLengths(NamedTuple):
    """The factors of one step.

    `weights`, `exponents` and `grids` multiply Adam's updates of the weights, of the step sizes' exponents and of the grids that are coded
    with contexts. `lr_scale` is the factor that all learning rates have in common.
    """

    weights: Scalar
    exponents: Scalar
    grids: Scalar
    lr_scale: Scalar


def step_lengths(config: FitConfig, schedule: StepSchedule, lr_backoff: Scalar | float) -> StepLengths:
    """The factors of the step that `schedule` describes; `lr_backoff` multiplies all of them."""
    progress = jnp.asarray(schedule.progress, jnp.float32)
    scale = learning_rate(config, progress) * lr_backoff
    # Grids that are rounded exactly do not change any more, not even by the momentum of the optimiser.
    grids = jnp.where(progress < config.hard_from, config.grid_learning_rate * scale, 0)
    return StepLengths(config.learning_rate * scale * schedule.lr_decay, config.exponent_learning_rate * scale, grids, scale)


def apply_update(
    state: TrainState, problem: Problem, schedule: StepSchedule, found: Gradients, frozen: Frozen | None, use_embedder: bool
) -> TrainState:
    """The state after one step along the gradient in `found`, with a new rate weight."""
    config, metrics = problem.config, found.metrics
    updates, moments = cast(tuple[Parameters, Any], OPTIMISER.update(cast(Any, found.gradient), state.moments))
    lengths = step_lengths(config, schedule, state.lr_backoff)
    start = found.made._replace(weights=lax.stop_gradient(found.made.weights)) if use_embedder else state.parameters
    after = Parameters(
        start.weights - lengths.weights * updates.weights,
        start.exponents - lengths.exponents * updates.exponents * problem.layout.learned_steps,
        jax.tree.map(lambda p, u: p - EMBEDDER_LR_SCALE * lengths.weights * u, start.embedder, updates.embedder),
        jax.tree.map(lambda p, u: p - lengths.grids * u, start.grids, updates.grids),
        jax.tree.map(lambda p, u: p - lengths.weights * u, start.scores, updates.scores),
    )
    if frozen is not None and not config.corrections:
        # This comes after the optimiser, whose momentum moves a weight even without a gradient.
        after = after._replace(weights=after.weights * (1 - frozen.claimed))
    if problem.grids:
        after = after._replace(weights=problem.layout.pack(bounded(problem.grids, problem.layout.unpack(after.weights))))
    log_bits = jnp.log(metrics.bits)
    trend = jnp.where(state.step > 0, (log_bits - state.log_bits) / MEMORY, 0)
    # The target of grids that are coded with contexts has a trend of its own: see `train.fit.schedule.expected_bits`.
    followed = jnp.float32(0) if problem.grids else trend
    error = steering_error(config, schedule, metrics, lengths.lr_scale, followed)
    gain = jnp.where(jnp.asarray(schedule.progress, jnp.float32) >= config.controller_from, schedule.gain, 0)
    log_weight = jnp.clip(state.log_rate_weight + gain * error, *LOG_WEIGHTS)
    log_bits -= (MEMORY - 1) * trend
    return TrainState(after, moments, state.step + 1, log_weight, log_bits, state.lr_backoff)


Advance = Callable[[TrainState, Sources, StepSchedule, int, bool], tuple[TrainState, Metrics]]
Step = Callable[[TrainState, Sources, StepSchedule, bool], tuple[TrainState, Metrics]]


@lru_cache(maxsize=4)
def make_advance(problem: Problem, side_by_side: bool = False) -> Advance:
    """A function (state, sources, schedule, count, use_embedder) that runs `count` steps; it returns the new state and the metrics.

    `schedule` is that of the first step. The arrays of `state` are donated. Equal problems get the same function, so the next segment of a
    long video compiles nothing. On the CPU, each step is a call of its own, because XLA:CPU runs convolutions inside a loop ten times
    slower. Elsewhere, one call runs all steps. With `side_by_side`, all arguments and results but the number of the step have a first axis
    of several fits (see `train.fit.side_by_side`).
    """
    run = step_of(problem)
    if side_by_side:
        run = _side_by_side(run)
    return _one_by_one(run) if jax.default_backend() == "cpu" else _in_one_dispatch(run)


def step_of(problem: Problem) -> Step:
    """`step` for `problem`, as a function of the other arguments."""

    def run(state: TrainState, sources: Sources, schedule: StepSchedule, use_embedder: bool) -> tuple[TrainState, Metrics]:
        return step(state, problem, sources, schedule, use_embedder)

    return run


def _side_by_side(one: Step) -> Step:

    def run(state: TrainState, sources: Sources, schedule: StepSchedule, use_embedder: bool) -> tuple[TrainState, Metrics]:
        def of_one(state: TrainState, sources: Sources, schedule: StepSchedule) -> tuple[TrainState, Metrics]:
            return one(state, sources, schedule, use_embedder)

        return jax.vmap(of_one, in_axes=(STATE_AXES, 0, 0), out_axes=(STATE_AXES, 0))(state, sources, schedule)

    return run


def _one_by_one(run: Step) -> Advance:
    compiled = jax.jit(run, static_argnums=(3,), donate_argnums=(0,))

    def advance(state: TrainState, sources: Sources, schedule: StepSchedule, count: int, use_embedder: bool) -> tuple[TrainState, Metrics]:
        errors, bits = [], jnp.float32(0)
        for _ in range(count):
            state, (mse, bits) = compiled(state, sources, schedule, use_embedder)
            errors.append(mse)
            schedule = schedule._replace(progress=schedule.progress + schedule.per_step)
        return state, Metrics(jnp.mean(jnp.stack(errors), axis=0), bits)

    return advance


def _in_one_dispatch(run: Step) -> Advance:
    def advance(state: TrainState, sources: Sources, schedule: StepSchedule, count: int, use_embedder: bool) -> tuple[TrainState, Metrics]:
        def body(i, carry):
            state, total, _ = carry
            here = schedule._replace(progress=schedule.progress + i * schedule.per_step)
            state, metrics = run(state, sources, here, use_embedder)
            return state, total + metrics.mse, metrics.bits

        zero = jnp.zeros_like(state.log_bits)
        state, total, bits = lax.fori_loop(0, count, body, (state, zero, zero))
        return state, Metrics(total / count, bits)

    return jax.jit(advance, static_argnums=(4,), donate_argnums=(0,))
