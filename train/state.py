"""All that a fit carries from step to step, and nothing else: what a checkpoint holds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from inr.embedder import LAYER_SCALE, Embedder
from inr.layout import tensor_shapes
from inr.network import initial_tensors
from inr.spec import NetworkSpec, VideoSpec
from train.config import FitConfig
from train.continual import Ground, initial_scores
from train.rows import RowLayout

# Moments as short as this follow the moving target that noise and the rate controller make of the loss.
OPTIMISER = optax.scale_by_adam(b1=0.9, b2=0.99)
BLANK, BLANK_GRID = 0.02, 0.5  # deviations expected of what starts at zero: biases and CAM's grids, a canvas's grids


class Parameters(NamedTuple):
    """What is learned: all weights as rows, a step exponent for each tensor, and the embedder (training only).

    A further video of a bundle that keeps only a part of what it stands on has a score for each weight as well.
    """

    weights: Float[Array, "rows 64"]
    exponents: Float[Array, " tensors"]
    embedder: dict[str, Array]
    scores: Float[Array, "rows 64"] | None = None


class TrainState(NamedTuple):
    """Parameters, Adam's moments, and four scalars.

    They are the steps done, the logarithms of the rate's weight and of the bits (a running mean), the learning rate's factor.
    """

    parameters: Parameters
    moments: optax.OptState
    step: Int[Array, ""]
    log_rate_weight: Float[Array, ""]
    log_bits: Float[Array, ""]
    patience: Float[Array, ""]


def layout_of(spec: NetworkSpec, video: VideoSpec) -> RowLayout:
    """The rows that a network's tensors take."""
    return RowLayout(tuple(tensor_shapes(spec, video).items()))


def initial_exponents(layout: RowLayout, tensors: Mapping[str, np.ndarray], bits: float) -> Float[Array, " tensors"]:
    """Steps by which each tensor's deviation spans 2 ** (bits - 2) symbols; what starts at zero counts as BLANK."""
    blank = [BLANK_GRID if name.startswith("canvas.grids.") else BLANK for name in layout.names]
    deviations = np.array([max(float(np.std(tensors[name])), least) for name, least in zip(layout.names, blank, strict=True)])
    return jnp.asarray(8 * (np.log2(deviations) + 2 - bits), jnp.float32)


def embedder_parts(spec: NetworkSpec, seed: int) -> tuple[nnx.GraphDef, dict[str, Array]]:
    """The embedder's structure, and fresh float32 parameters by path: kernels normal with deviation 0.02."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Embedder(spec, nnx.Rngs(0))))
    generator = np.random.default_rng(seed)
    constants = {"bias": 0.0, "scale": 1.0, "layer_scale": LAYER_SCALE}

    def draw(name: str, shape: tuple[int, ...]) -> Array:
        drawn = np.full(shape, constants[name]) if name in constants else 0.02 * generator.standard_normal(shape)
        return jnp.asarray(drawn, jnp.float32)

    return graph, {".".join(map(str, path)): draw(str(path[-1]), leaf.shape) for path, leaf in nnx.to_flat_state(state)}


def initial_state(
    spec: NetworkSpec,
    video: VideoSpec,
    config: FitConfig,
    ground: Ground | None = None,
    begins: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> TrainState:
    """A fresh state, a pure function of its arguments; `begins` are tensors, float32, that begin otherwise than fresh ones.

    On a `ground` the sums of layers begin as a lone video's layer does: what others left only says what is cheap to code. To
    begin from it leads where a fit cannot get away from (Ash and Adams, "On Warm-Starting Neural Network Training", NeurIPS 2020).
    What `ground.begins` names begins as it was left.
    """
    tensors = initial_tensors(spec, video, config.seed)
    layout = layout_of(spec, video)
    known: Mapping[str, int] = {}
    if ground is not None:
        tensors |= ground.begins
        tensors |= {name: tensors[name] - below for name, below in ground.sums.items()}
        known = ground.exponents
    exponents = initial_exponents(layout, tensors, config.initial_bits)
    exponents = jnp.asarray([known.get(name, fresh) for name, fresh in zip(layout.names, exponents.tolist(), strict=True)], jnp.float32)
    scores = None
    if ground is not None and ground.layers and ground.density < 1:
        scores = initial_scores(layout, ground.sums)
    embedder = embedder_parts(spec, config.seed)[1] if config.embedder_until else {}
    weights = jnp.asarray(layout.pack_on_host(tensors | dict(begins)))
    parameters = Parameters(weights, exponents, embedder, scores)
    log_weight = jnp.log(jnp.float32(config.rate_weight))
    return TrainState(parameters, OPTIMISER.init(cast(Any, parameters)), jnp.int32(0), log_weight, jnp.float32(0), jnp.float32(1))
