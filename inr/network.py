"""Builds networks from specs: the initial tensors of a network, and the network as a pure function of its tensors.

Names, shapes and order of tensors come from `inr.layout`; names and shapes are checked against the modules. The order in which Flax
stores tensors has no effect on a file.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int

from inr.backbone import Backbone
from inr.convolutions import Convolution
from inr.ffnerv import FFNeRV
from inr.fourier_features import FourierFeatureNetwork
from inr.hnerv import HNeRV
from inr.layout import tensor_shapes, tensor_specs
from inr.nerv import NeRV
from inr.nirvana import NIRVANA
from inr.picture import Picture
from inr.spec import Embeddings, FourierFeatures, FrameTree, NetworkSpec, Patches, Positions, Pyramid, TimeGrids, VideoSpec
from inr.tensor_spec import Normal
from inr.tree import Tree

Tensors = Mapping[str, Array | np.ndarray]  # float32 tensors by name
Network = Backbone | Picture | Tree


def _path(name: str) -> tuple[str | int, ...]:
    """The module path of a tensor's name: 'blocks.0.conv.kernel' is ('blocks', 0, 'conv', 'kernel')."""
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))


def _network(spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution) -> Network:
    match spec.frame_input:
        case Embeddings():
            return HNeRV(spec, video, rngs, convolve)
        case Positions():
            return NeRV(spec, video, rngs, convolve)
        case TimeGrids():
            return FFNeRV(spec, video, rngs, convolve)
        case Patches():
            return NIRVANA(spec, video, rngs, convolve)
        case Pyramid():
            return Picture(spec, video)
        case FourierFeatures():
            return FourierFeatureNetwork(spec, video, rngs, convolve)
        case FrameTree():
            return Tree(spec, video)


@lru_cache(maxsize=16)
def _skeleton(spec: NetworkSpec, video: VideoSpec, convolve: Convolution) -> nnx.GraphDef:
    """The structure of a network without its weights. ValueError if names or shapes of its tensors differ from those in `inr.layout`."""
    abstract = nnx.eval_shape(lambda: _network(spec, video, nnx.Rngs(0), convolve))
    graph, state = nnx.split(abstract)
    modules = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    shapes = tensor_shapes(spec, video)
    if modules != shapes:
        raise ValueError(f"the modules hold {modules}, but the layout says {shapes}")
    return graph


def initial_tensors(spec: NetworkSpec, video: VideoSpec, seed: int) -> dict[str, Float32[np.ndarray, "..."]]:
    """The initial tensors by name, float32, in bitstream order. They are drawn from `seed` as `TensorSpec.init` says.

    A `CameraFlow` is zero here; `train.plan.motion` gives its values. NumPy draws the values, so they are the same on every backend,
    and nothing is compiled. With Flax's own initialisers, compilation takes 9 s.
    """
    generator = np.random.default_rng(seed)

    def draw(init: object, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
        if not isinstance(init, Normal):
            return np.zeros(shape, np.float32)
        return (init.deviation * generator.standard_normal(shape)).astype(np.float32)

    return {tensor.name: draw(tensor.init, tensor.shape) for tensor in tensor_specs(spec, video)}


def bind(spec: NetworkSpec, video: VideoSpec, convolve: Convolution = jax.lax.conv_general_dilated) -> Callable[[Tensors], Network]:
    """A function from tensors to the network with these tensors. In `jax.jit` it runs only during tracing, so it costs little there."""
    graph = _skeleton(spec, video, convolve)

    def with_tensors(tensors: Tensors) -> Network:
        state = nnx.from_flat_state({_path(name): nnx.Param(tensor) for name, tensor in tensors.items()})
        return nnx.merge(graph, state)

    return with_tensors


def apply_network(spec: NetworkSpec, video: VideoSpec, tensors: Tensors, indices: Int[Array, " t"]) -> Float[Array, "t h w 3"]:
    """Render the frames at `indices` as float32 R'G'B', where 0 is black and 1 is white. Values can lie outside [0, 1].

    `tensors` must hold every tensor of `tensor_specs`. This is a pure function, so `jit`, `vmap` and `grad` can transform it.
    """
    return bind(spec, video)(tensors)(indices)
