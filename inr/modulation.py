"""Coordinate-aware modulation: scale and shift a block's features by grids over time and space.

Lee et al., "Coordinate-Aware Modulation for Neural Fields", ICLR 2024, section 3: after the convolution and
before the activation, F~ = gamma(x) * Norm(F) + beta(x), gamma and beta read from grids by linear interpolation.
Both are stored as differences from the identity (gamma - 1, beta), so that a grid left alone is all zeros and
costs next to nothing.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.timeline import at

EPSILON = 1e-5  # added to the variance; part of the format, since the decoder normalises too


def normalise(x: Float[Array, "t h w c"]) -> Float[Array, "t h w c"]:
    """Zero mean and unit variance per frame and channel; left alone where a frame is a single cell."""
    if x.shape[1] * x.shape[2] == 1:
        return x
    mean = jnp.mean(x, axis=(1, 2), keepdims=True)
    centred = x - mean
    variance = jnp.mean(jnp.square(centred), axis=(1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(variance + EPSILON)


def interpolate(grid: Float[Array, "n *rest"], t: Float[Array, " t"]) -> Float[Array, "t *rest"]:
    """Read `grid` at positions `t` in [0, 1], linearly between its rows; the ends of the grid are 0 and 1."""
    return at(grid, t * (grid.shape[0] - 1))


class Modulation(nnx.Module):
    """Norm and CAM of one block: per channel over time, and one scalar per position over the frame.

    The temporal form is the paper's video form (appendix on FFNeRV), the spatial one its image form.
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
            scale, shift = interpolate(self.scale[...], t), interpolate(self.shift[...], t)
            x = x * (1 + scale[:, None, None]) + shift[:, None, None]
        if self.spatial[0]:
            size = x.shape[1:3]
            scale = jax.image.resize(self.spatial_scale[...], size, "linear")[None, :, :, None]
            shift = jax.image.resize(self.spatial_shift[...], size, "linear")[None, :, :, None]
            x = x * (1 + scale) + shift
        return x
