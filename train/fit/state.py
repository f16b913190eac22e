"""The state that a fit carries from step to step. A checkpoint holds exactly this state."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from inr.embedder import LAYER_SCALE, Embedder
from inr.network import initial_tensors
from inr.spec import NetworkSpec
from inr.tensor_spec import Normal, TensorSpec
from train.fit.base_layers import BaseLayers, initial_scores
from train.fit.config import FitConfig
from train.fit.packing import PackedLayout
from train.fit.problem import Problem

MOMENTUM, GRID_MEMORY = 0.9, 0.95  # decays of the mean gradient, and of the mean square of a grid's gradient
MOST_UPDATE = 2.0  # largest update of a grid's entry; the learning rate multiplies it
LEAST_DEVIATION = 0.02  # least standard deviation for which the first step size of a tensor with normal initial values is chosen
NO_TENSORS: Mapping[str, np.ndarray] = MappingProxyType({})


class Parameters(NamedTuple):
    """The learned values: the weights in packed rows, the exponent of each tensor's step size, and the embedder's tensors by path.

    The embedder is used in training only. `grids` are those that are coded with contexts, by name, in symbols. `scores` has a score for
    each weight if a further video keeps only a part of its base layers' claimed weights, else None.
    """

    weights: Float[Array, "rows 64"]
    exponents: Float[Array, " tensors"]
    embedder: dict[str, Array]
    grids: dict[str, Float[Array, "h w"]]
    scores: Float[Array, "rows 64"] | None = None


class GridMoments(NamedTuple):
    """The moments of grids: the number of updates, and by grid, the mean gradient of each entry and the mean square over all entries."""

    count: Int[Array, ""]
    means: optax.Updates
    squares: optax.Updates


def scale_by_grid() -> optax.GradientTransformation:
    """Adam with one second moment for each array, so that an entry with a small gradient takes small steps.

    Adam's own moments move every entry equally fast. Most entries of a grid that is coded with contexts should stay near zero, where the
    gradient of the rate is small, and Adam would fill them with symbols that the rest of the fit must remove again.
    """

    def init(params: optax.Params) -> GridMoments:
        zeros = jax.tree.map(lambda _: jnp.float32(0), params)
        return GridMoments(jnp.int32(0), jax.tree.map(jnp.zeros_like, params), zeros)

    def update(updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None) -> tuple[optax.Updates, optax.OptState]:
        del params
        state = cast(GridMoments, state)
        count = state.count + 1
        means = jax.tree.map(lambda m, g: MOMENTUM * m + (1 - MOMENTUM) * g, state.means, updates)
        squares = jax.tree.map(lambda s, g: GRID_MEMORY * s + (1 - GRID_MEMORY) * jnp.mean(jnp.square(g)), state.squares, updates)
        unbiased, spread = 1 / (1 - MOMENTUM**count), 1 / (1 - GRID_MEMORY**count)
        scaled = jax.tree.map(
            lambda m, s: jnp.clip(m * (unbiased / (jnp.sqrt(s * spread) + 1e-12)), -MOST_UPDATE, MOST_UPDATE), means, squares
        )
        return scaled, GridMoments(count, means, squares)

    return optax.GradientTransformation(init, update)


def _kinds(parameters: object) -> object:
    """The kind of every array of `parameters`: "grid" for grids that are coded with contexts, "weight" for all others."""
    kinds = jax.tree.map(lambda _: "weight", parameters)
    if isinstance(parameters, Parameters):
        return kinds._replace(grids=dict.fromkeys(parameters.grids, "grid"))
    return kinds


# The moments average over few steps, because noise and the rate controller change the loss from step to step.
OPTIMISER = optax.partition({"weight": optax.scale_by_adam(b1=MOMENTUM, b2=0.99), "grid": scale_by_grid()}, _kinds)


class TrainState(NamedTuple):
    """Parameters, Adam's moments, and four scalars.

    `step` is the number of steps done. `log_rate_weight` is the natural logarithm of the rate weight, and `log_bits` a running mean of the
    natural logarithm of the tensors' bits. `lr_backoff` is a factor of the learning rates, which is halved whenever the loss is not finite.
    """

    parameters: Parameters
    moments: optax.OptState
    step: Int[Array, ""]
    log_rate_weight: Float[Array, ""]
    log_bits: Float[Array, ""]
    lr_backoff: Float[Array, ""]


def initial_exponents(layout: PackedLayout, tensors: Mapping[str, np.ndarray], config: FitConfig) -> Float[Array, " tensors"]:
    """The exponents of the first step sizes: each tensor's standard deviation is 2 ** (config.initial_bits - 2) step sizes.

    A step size that is not learned has the exponent `config.context_exponent`.
    """
    deviations = np.array([max(float(np.std(tensors[tensor.name])), _least_deviation(tensor)) for tensor in layout.tensors])
    exponents = 8 * (np.log2(deviations) + 2 - config.initial_bits)
    return jnp.asarray(np.where(layout.learned_steps, exponents, config.context_exponent), jnp.float32)


def _least_deviation(tensor: TensorSpec) -> float:
    """The least standard deviation of a tensor's values for which its first step size is chosen."""
    return LEAST_DEVIATION if isinstance(tensor.init, Normal) else tensor.init.expected_deviation


def embedder_parts(spec: NetworkSpec, seed: int) -> tuple[nnx.GraphDef, dict[str, Array]]:
    """The embedder's graph, and its initial tensors by path, float32: kernels are normal, with the standard deviation 0.02."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Embedder(spec, nnx.Rngs(0))))
    generator = np.random.default_rng(seed)
    constants = {"bias": 0.0, "scale": 1.0, "layer_scale": LAYER_SCALE}

    def draw(name: str, shape: tuple[int, ...]) -> Array:
        drawn = np.full(shape, constants[name]) if name in constants else 0.02 * generator.standard_normal(shape)
        return jnp.asarray(drawn, jnp.float32)

    return graph, {".".join(map(str, path)): draw(str(path[-1]), leaf.shape) for path, leaf in nnx.to_flat_state(state)}


def initial_state(problem: Problem, base: BaseLayers | None = None, initial_values: Mapping[str, np.ndarray] = NO_TENSORS) -> TrainState:
    """The state before the first step, a pure function of the arguments; the tensors of `initial_values`, float32, replace initial ones.

    With `base`, the sum of the base layers and the video's own layer starts at the same random values as the layer of a video without a
    base. Only the tensors of `base.initial_values` start at the values of the base. A fit that starts with all weights of another video
    ends with a worse picture (Ash and Adams, "On Warm-Starting Neural Network Training", NeurIPS 2020).
    """
    config, layout = problem.config, problem.layout
    tensors = initial_tensors(problem.spec, problem.video, config.seed) | dict(initial_values)
    known: Mapping[str, int] = {}
    if base is not None:
        tensors |= base.initial_values
        tensors |= {name: tensors[name] - below for name, below in base.sums.items()}
        known = base.exponents
    exponents = initial_exponents(layout, tensors, config)
    exponents = jnp.asarray([known.get(name, fresh) for name, fresh in zip(layout.names, exponents.tolist(), strict=True)], jnp.float32)
    scores = None
    if base is not None and base.layers and base.density < 1:
        scores = initial_scores(layout, base.sums)
    embedder = embedder_parts(problem.spec, config.seed)[1] if config.embedder_until else {}
    grids = {grid.name: jnp.asarray(tensors[grid.name]) for grid in problem.grids}
    parameters = Parameters(jnp.asarray(layout.pack_on_host(tensors)), exponents, embedder, grids, scores)
    log_weight = jnp.log(jnp.float32(config.rate_weight))
    return TrainState(parameters, OPTIMISER.init(cast(Any, parameters)), jnp.int32(0), log_weight, jnp.float32(0), jnp.float32(1))
