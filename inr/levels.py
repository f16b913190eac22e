"""Rounds float pixels to 8-bit levels."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from inr.pixels import MAX_LEVEL


def to_levels(x: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    """Limit `x` to [0, 1], multiply it by 255, and round it to the nearest integer, halves to even."""
    return jnp.round(jnp.clip(x, 0, 1) * MAX_LEVEL).astype(jnp.uint8)
