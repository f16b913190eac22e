"""The convolution and the upsampling (depth-to-space) that all networks use."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

Convolution = Callable[..., Array]  # a function with the parameters of jax.lax.conv_general_dilated


def depth_to_space(x: Float[Array, "t h w d"], stride: int) -> Float[Array, "t h2 w2 c"]:
    """Upsample by a pixel shuffle: the d = stride**2 * c channels of one position become `stride` x `stride` positions of c channels.

    The output has h2 = stride * h rows and w2 = stride * w columns. Along the last axis of `x`, the output channel varies fastest.
    """
    t, h, w, d = x.shape
    c = d // stride**2
    x = x.reshape(t, h, w, stride, stride, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(t, h * stride, w * stride, c)


def smoothed(x: Float[Array, "t h w c"]) -> Float[Array, "t h w c"]:
    """`x` under the filter (1, 2, 1) / 4 along rows and columns; the first and the last entries are repeated beyond the ends.

    The channels that a pixel shuffle makes positions of are quantised one by one, so flat areas get a lattice of its period, which this
    filter takes away.
    """
    for axis in (1, 2):
        if (size := x.shape[axis]) > 1:
            first, second, third = (lax.slice_in_dim(x, start, size - 2 + start, axis=axis) for start in range(3))
            ends = [lax.slice_in_dim(x, start, start + 2, axis=axis) for start in (0, size - 2)]
            (head, beside_head), (beside_tail, tail) = (jnp.split(end, 2, axis) for end in ends)
            inside = (first + third) * 0.25 + second * 0.5
            x = jnp.concatenate([head * 0.75 + beside_head * 0.25, inside, tail * 0.75 + beside_tail * 0.25], axis)
    return x


def convolution(features: int, width: int, kernel: int, rngs: nnx.Rngs, convolve: Convolution, conv_groups: int = 1) -> nnx.Conv:
    """A `kernel` x `kernel` convolution with bias, from `features` to `width` channels; padding keeps rows and columns.

    Channels are split into `conv_groups` groups: the outputs of a group depend only on the inputs of the same group.
    """
    return nnx.Conv(features, width, (kernel, kernel), feature_group_count=conv_groups, conv_general_dilated=convolve, rngs=rngs)
