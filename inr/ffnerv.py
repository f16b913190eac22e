"""FFNeRV: the frame input reads grids over time. The part of FFNeRV that reads neighbouring frames is `inr.neighbours`."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution
from inr.spec import NetworkSpec, TimeGrids, VideoSpec
from inr.time_interpolation import Indices, interpolate_grid


class FFNeRV(Backbone):
    """FFNeRV (Lee et al., ACM MM 2023, section 3.1): grids of several lengths over time.

    The first features are the values of all grids at the frame's time, by linear interpolation, concatenated along the channels.
    """

    def __init__(self, spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        assert isinstance(spec.frame_input, TimeGrids)
        lengths = spec.frame_input.lengths
        shape = (*video.cells(spec), spec.stem // len(lengths))
        self.time_grids = nnx.List([nnx.Param(jnp.zeros((length, *shape))) for length in lengths])

    def input_features(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        return jnp.concatenate([interpolate_grid(grid[...], t) for grid in self.time_grids], axis=-1)
