"""Coordinate-aware modulation (CAM): grids over time and space scale and shift a block's features.

Lee et al., "Coordinate-Aware Modulation for Neural Fields", ICLR 2024, section 3: after the convolution and before the activation,
F~ = gamma(x) * Norm(F) + beta(x), where gamma and beta are read from grids by linear interpolation. The grids hold the differences
from the identity (gamma - 1 and beta), so that an unused grid is all zeros and costs almost no bits.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.constants import NORM_EPSILON
from inr.time_interpolation import interpolate_grid


def normalise(x: Float[Array, "t h w c"]) -> Float[Array, "t h w c"]:
    """`x` with mean 0 and variance 1 for each frame and channel; `x` itself if a frame has a single cell."""
    if x.shape[1] * x.shape[2] == 1:
        return x
    mean = jnp.mean(x, axis=(1, 2), keepdims=True)
    centred = x - mean
    variance = jnp.mean(jnp.square(centred), axis=(1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(variance + NORM_EPSILON)


class Modulation(nnx.Module):
    """Norm and CAM of one block with `width` channels.

    The temporal grids (the paper's form for videos, appendix on FFNeRV) hold one value for each time and channel; `temporal` is their
    length, 0 for none. The spatial grids (its form for images) hold one value for each position of the frame; `spatial` gives their rows
    and columns, (0, 0) for none.
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
