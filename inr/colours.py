"""Opponent colours: one channel for brightness, one for red minus blue, and one for green minus the mean of red and blue.

In most pictures the channels R', G' and B' are strongly correlated. In an orthonormal basis whose first axis is the sum of the channels,
the last kernels therefore have large weights for a third of their outputs; the other weights are small and cost few bits. The kernel is
multiplied by the basis before the convolution, so the conversion costs no computation for each pixel.
"""

from typing import cast

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.constants import OPPONENT_BASIS
from inr.pixels import CHANNELS


def to_rgb(x: Float[Array, "*rest d"]) -> Float[Array, "*rest d"]:
    """Convert opponent channels to R'G'B'. Every three consecutive entries of the last axis are one colour, so d is a multiple of 3."""
    return (x.reshape(*x.shape[:-1], -1, CHANNELS) @ jnp.asarray(OPPONENT_BASIS)).reshape(x.shape)


def convolved_to_rgb(conv: nnx.Conv, x: Float[Array, "t h w c"], opponent: bool) -> Float[Array, "t h w d"]:
    """Apply `conv` to `x`. With `opponent`, the output channels of `conv` are opponent channels and are converted to R'G'B'."""
    if not opponent:
        return conv(x)
    kernel, bias = to_rgb(conv.kernel[...]), to_rgb(cast(nnx.Param, conv.bias)[...])
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return conv.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
