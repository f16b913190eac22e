"""Distortion: the error of the decoded picture."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from inr.pixels import CHANNELS, to_unit
from train.fit.qat import straight_through


def mean_squared_error(output: Float[Array, "t h w 3"], frames: UInt8[Array, "t h w c"]) -> Float[Array, ""]:
    """MSE of the clamped output on samples in [0, 1]. A fourth channel of `frames`, if present, weights pixels from 0 to 255.

    The clamp passes gradients straight through. A hard clamp starves bright, flat pictures of gradient until they collapse to a
    constant.
    """
    clamped = straight_through(jnp.clip(output, 0, 1), output)
    squares = jnp.square(clamped - to_unit(frames[..., :CHANNELS]))
    if frames.shape[-1] == CHANNELS:
        return jnp.mean(squares)
    pixel_weights = to_unit(frames[..., CHANNELS:])
    return jnp.sum(squares * pixel_weights) / (CHANNELS * jnp.maximum(jnp.sum(pixel_weights), 1))
