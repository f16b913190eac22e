"""The convolution and the upsampling (depth-to-space) that all networks use."""

from collections.abc import Callable

from flax import nnx
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


def convolution(features: int, width: int, kernel: int, rngs: nnx.Rngs, convolve: Convolution, conv_groups: int = 1) -> nnx.Conv:
    """A `kernel` x `kernel` convolution with bias, from `features` to `width` channels; padding keeps rows and columns.

    Channels are split into `conv_groups` groups: the outputs of a group depend only on the inputs of the same group.
    """
    return nnx.Conv(features, width, (kernel, kernel), feature_group_count=conv_groups, conv_general_dilated=convolve, rngs=rngs)
