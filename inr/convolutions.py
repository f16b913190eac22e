"""Convolutions, and the depth-to-space by which every network here upsamples."""

from collections.abc import Callable

from flax import nnx
from jaxtyping import Array, Float

Convolution = Callable[..., Array]  # called as jax.lax.conv_general_dilated is


def depth_to_space(x: Float[Array, "t h w d"], stride: int) -> Float[Array, "t h2 w2 c"]:
    """Unfold channels into `stride` x `stride` pixels (pixel shuffle); the channel is the fastest index."""
    t, h, w, d = x.shape
    c = d // stride**2
    x = x.reshape(t, h, w, stride, stride, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(t, h * stride, w * stride, c)


def convolution(features: int, width: int, kernel: int, rngs: nnx.Rngs, convolve: Convolution, conv_groups: int = 1) -> nnx.Conv:
    """A same-padded convolution with bias. Each of `conv_groups` groups of outputs sees only its own group of inputs."""
    return nnx.Conv(features, width, (kernel, kernel), feature_group_count=conv_groups, conv_general_dilated=convolve, rngs=rngs)
