"""Coordinate-aware modulation (CAM): grids over time and space scale and shift a block's features.

Lee et al., "Coordinate-Aware Modulation for Neural Fields", ICLR 2024, section 3: after the convolution and before the activation,
F~ = gamma(x) * Norm(F) + beta(x), where F are features and x is a coordinate: time, or a position in the frame. Gamma and beta are read
from grids by linear interpolation. The grid *scale* holds gamma - 1 and the grid *shift* holds beta, so a grid without effect is all zeros
and costs almost no bits.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.constants import NORM_EPSILON
from inr.time_interpolation import interpolate_grid


def normalise(x: Float[Array, "t h w c"]) -> Float[Array, "t h w c"]:
    """`x` with mean 0 and variance 1 for each frame and channel; `x` itself if a frame has only one position."""
    if x.shape[1] * x.shape[2] == 1:
        return x
    mean = jnp.mean(x, axis=(1, 2), keepdims=True)
    centred = x - mean
    variance = jnp.mean(jnp.square(centred), axis=(1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(variance + NORM_EPSILON)


class Modulation(nnx.Module):
    """The norm and the CAM of one block with `width` channels.

    The temporal grids (the paper's form for videos, appendix on FFNeRV) hold one value for each time and channel; `temporal` is their
    number of times, 0 for no temporal grids. The spatial grids (the paper's form for images) hold one value for each position of the
    frame; `spatial` gives their (rows, columns), (0, 0) for no spatial grids.
    """

    def __init__(self, width: int, norm: bool, temporal: int, spatial: tuple[int, int]):
        self.norm = norm
        if temporal:
            self.scale = nnx.Param(jnp.zeros((temporal, width)))
            self.shift = nnx.Param(jnp.zeros((temporal, width)))
        if spatial[0]:
            self.spatial_scale = nnx.Param(jnp.zeros(spatial))
            self.spatial_shift = nnx.Param(jnp.zeros(spatial))
        self.temporal, self.spatial = temporal, spatial

    def __call__(self, x: Float[Array, "t h w c"], t: Float[Array, " t"]) -> Float[Array, "t h w c"]:
        if self.norm:
            x = normalise(x)
        if self.temporal:
            scale, shift = interpolate_grid(self.scale[...], t), interpolate_grid(self.shift[...], t)
            x = x * (1 + scale[:, None, None]) + shift[:, None, None]
        if self.spatial[0]:
            size = x.shape[1:3]
            scale = jax.image.resize(self.spatial_scale[...], size, "linear")[None, :, :, None]
            shift = jax.image.resize(self.spatial_shift[...], size, "linear")[None, :, :, None]
            x = x * (1 + scale) + shift
        return x
