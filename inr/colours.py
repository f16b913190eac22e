"""Opponent colours: brightness, red against blue, green against both.

The channels of ordinary pictures rise and fall together. In an orthonormal basis whose first axis is their sum, most of the weight of
the last kernels lies in a third of their outputs, and the rest costs few bits. The basis is folded into the kernel, so that
rendering costs nothing more.
"""

from typing import cast

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.constants import OPPONENT_BASIS
from inr.pixels import CHANNELS


def to_rgb(x: Float[Array, "*rest d"]) -> Float[Array, "*rest d"]:
    """Opponent channels, three by three along the last axis, as R'G'B'."""
    return (x.reshape(*x.shape[:-1], -1, CHANNELS) @ jnp.asarray(OPPONENT_BASIS)).reshape(x.shape)


def convolved_to_rgb(conv: nnx.Conv, x: Float[Array, "t h w c"], opponent: bool) -> Float[Array, "t h w d"]:
    """`conv` of `x`; with `opponent` its outputs are taken as opponent channels and returned as R'G'B'."""
    if not opponent:
        return conv(x)
    kernel, bias = to_rgb(conv.kernel[...]), to_rgb(cast(nnx.Param, conv.bias)[...])
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return conv.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
