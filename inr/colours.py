"""Opponent colours: brightness, red against blue, green against both.

The channels of ordinary pictures rise and fall together. In an orthonormal basis whose first axis is their sum, the
kernels that paint pixels have most of their weight in a third of their outputs, and the rest is cheap. The basis is
folded into the kernel, so that no pixel pays for it.
"""

from typing import cast

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

# Rows: what one unit of each opponent channel adds to R', G', B'. Part of the format, hence as float32 constants.
BASIS = np.array([[0.57735026, 0.57735026, 0.57735026], [0.70710677, 0.0, -0.70710677], [-0.40824828, 0.81649658, -0.40824828]], np.float32)


def to_rgb(x: Float[Array, "*rest d"]) -> Float[Array, "*rest d"]:
    """Opponent channels, three by three along the last axis, as R'G'B'."""
    return (x.reshape(*x.shape[:-1], -1, 3) @ jnp.asarray(BASIS)).reshape(x.shape)


def convolved_to_rgb(conv: nnx.Conv, x: Float[Array, "t h w c"], opponent: bool) -> Float[Array, "t h w d"]:
    """`conv` of `x`; with `opponent` its outputs are opponent channels and come back as R'G'B'."""
    if not opponent:
        return conv(x)
    kernel, bias = to_rgb(conv.kernel[...]), to_rgb(cast(nnx.Param, conv.bias)[...])
    around = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return conv.conv_general_dilated(x, kernel, (1, 1), around, dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
