"""Distortion: what the decoded picture loses."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from train.qat import straight_through


def mean_squared_error(output: Float[Array, "t h w 3"], frames: UInt8[Array, "t h w 3"]) -> Float[Array, ""]:
    """MSE on samples in [0, 1] of the clamped output.

    The clamp passes gradients straight through: a hard clamp starves bright, flat pictures of gradient until they
    collapse to a constant.
    """
    clamped = straight_through(jnp.clip(output, 0, 1), output)
    return jnp.mean(jnp.square(clamped - frames.astype(jnp.float32) / 255))
