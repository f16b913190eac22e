"""Distortion: the error of the decoded picture."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from inr.pixels import CHANNELS, to_unit
from train.fit.qat import straight_through


def mean_squared_error(output: Float[Array, "t h w 3"], frames: UInt8[Array, "t h w c"]) -> Float[Array, ""]:
    """The MSE of `output`, limited to [0, 1], against `frames` as samples in [0, 1].

    A fourth channel of `frames`, if present, holds the weights of pixels, 0 to 255. Gradients pass the limits unchanged. Without this,
    samples outside [0, 1] would have no gradient, and bright, flat pictures would collapse to a constant.
    """
    clamped = straight_through(jnp.clip(output, 0, 1), output)
    squares = jnp.square(clamped - to_unit(frames[..., :CHANNELS]))
    if frames.shape[-1] == CHANNELS:
        return jnp.mean(squares)
    pixel_weights = to_unit(frames[..., CHANNELS:])
    return jnp.sum(squares * pixel_weights) / (CHANNELS * jnp.maximum(jnp.sum(pixel_weights), 1))
