"""FFNeRV: grids over time instead of a perceptron; its frames also read their neighbours: see `inr.neighbours`."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution
from inr.modulation import interpolate
from inr.spec import NetworkSpec, TimeGrids, VideoSpec
from inr.timeline import Indices


class FFNeRV(Backbone):
    """What FFNeRV (Lee et al., ACM MM 2023, section 3.1) begins a frame with: grids of several lengths, read linearly."""

    def __init__(self, spec: NetworkSpec, begins: TimeGrids, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        shape = (*video.cells(spec), spec.stem // len(begins.lengths))
        self.times = nnx.List([nnx.Param(jnp.zeros((length, *shape))) for length in begins.lengths])

    def begin(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        return jnp.concatenate([interpolate(grid[...], t) for grid in self.times], axis=-1)
