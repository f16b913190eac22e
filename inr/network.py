"""Specs as networks: the tensors of a network in bitstream order, and the network as a pure function of them.

The names, shapes and order of tensors are a function of the spec alone, checked against the modules; a
framework's own order never reaches a file.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import prod

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int

from inr.backbone import Backbone
from inr.convolutions import Convolution
from inr.ffnerv import FFNeRV
from inr.hnerv import HNeRV
from inr.layout import tensor_shapes as tensor_shapes
from inr.nerv import NeRV
from inr.nirvana import NIRVANA
from inr.spec import Embeddings, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec

# Deviation of embeddings and grids over time, and of kernels times the root of their fan-in.
EMBEDDING_DEVIATION = 0.5
GAINS = {"stem": 1.0, "hidden": 1.0, "cells": 1.0, "patch": 2**0.5, "blocks": 2**0.5, "canvas": 1.0, "head": 0.3}
FIRST_SINES = 15.0  # gain of the layer that sees positions: SIREN's frequency of 30 (Sitzmann et al., 2020), spread evenly
SILENT = ("canvas.mask.kernel", "neighbours.look.kernel")  # what draws masks and flows, and residual branches, begin with nothing

Tensors = Mapping[str, Array | np.ndarray]  # float32


def _path(name: str) -> tuple[str | int, ...]:
    """The module path of a tensor's name: 'blocks.0.conv.kernel' is ('blocks', 0, 'conv', 'kernel')."""
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))


def _network(spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution) -> Backbone:
    match spec.beginning:
        case Embeddings() as begins:
            return HNeRV(spec, begins, video, rngs, convolve)
        case Positions() as begins:
            return NeRV(spec, begins, video, rngs, convolve)
        case TimeGrids() as begins:
            return FFNeRV(spec, begins, video, rngs, convolve)
        case Patches() as begins:
            return NIRVANA(spec, begins, video, rngs, convolve)


@lru_cache(maxsize=16)
def _skeleton(spec: NetworkSpec, video: VideoSpec, convolve: Convolution) -> nnx.GraphDef:
    """The network without weights; raises if its modules and the spec's tensors disagree."""
    abstract = nnx.eval_shape(lambda: _network(spec, video, nnx.Rngs(0), convolve))
    graph, state = nnx.split(abstract)
    modules = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    shapes = tensor_shapes(spec, video)
    if modules != shapes:
        raise ValueError(f"the modules hold {modules}, but the spec says {shapes}")
    return graph


def initial_tensors(spec: NetworkSpec, video: VideoSpec, seed: int) -> dict[str, Float32[np.ndarray, "..."]]:
    """Fresh tensors in bitstream order: normal kernels and embeddings, all else zero: a canvas begins blank.

    Drawn by NumPy: the same on every backend, and nothing to compile (the modules' own initialisers take 9 s).
    """
    generator = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
        if name == "embedding" or name.startswith("times."):
            deviation = EMBEDDING_DEVIATION
        elif name.endswith(".kernel") and name not in SILENT and not name.endswith(".pointwise.kernel"):
            gain = FIRST_SINES if name == "patch.0.kernel" else GAINS[name.split(".")[0]]
            deviation = gain / prod(shape[:-1]) ** 0.5
        else:
            return np.zeros(shape, np.float32)
        return (deviation * generator.standard_normal(shape)).astype(np.float32)

    return {name: draw(name, shape) for name, shape in tensor_shapes(spec, video).items()}


def bind(spec: NetworkSpec, video: VideoSpec, convolve: Convolution = jax.lax.conv_general_dilated) -> Callable[[Tensors], Backbone]:
    """A function that gives the network its tensors; cheap under `jax.jit`, where the module then vanishes."""
    graph = _skeleton(spec, video, convolve)

    def with_tensors(tensors: Tensors) -> Backbone:
        state = nnx.from_flat_state({_path(name): nnx.Param(tensor) for name, tensor in tensors.items()})
        return nnx.merge(graph, state)

    return with_tensors


def apply_network(spec: NetworkSpec, video: VideoSpec, tensors: Tensors, indices: Int[Array, " t"]) -> Float[Array, "t h w 3"]:
    """Frames at `indices`, 0 black and 1 white, not clamped: a pure function to jit, vmap or differentiate."""
    return bind(spec, video)(tensors)(indices)
