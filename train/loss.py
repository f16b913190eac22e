"""Distortion: what the decoded picture loses."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from train.qat import straight_through


def mean_squared_error(output: Float[Array, "t h w 3"], frames: UInt8[Array, "t h w c"]) -> Float[Array, ""]:
    """MSE on samples in [0, 1] of the clamped output. A fourth channel of `frames` weighs pixels: 0 does not count, 255 does.

    The clamp passes gradients straight through: a hard clamp starves bright, flat pictures of gradient until they
    collapse to a constant.
    """
    clamped = straight_through(jnp.clip(output, 0, 1), output)
    squares = jnp.square(clamped - frames[..., :3].astype(jnp.float32) / 255)
    if frames.shape[-1] == 3:
        return jnp.mean(squares)
    counted = frames[..., 3:].astype(jnp.float32) / 255
    return jnp.sum(squares * counted) / (3 * jnp.maximum(jnp.sum(counted), 1))
