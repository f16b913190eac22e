"""The blocks that every network here is made of."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.modulation import Modulation
from inr.spec import BlockSpec, HNeRVSpec

Convolution = Callable[..., Array]  # called as jax.lax.conv_general_dilated is


def depth_to_space(x: Float[Array, "t h w d"], stride: int) -> Float[Array, "t h2 w2 c"]:
    """Unfold channels into `stride` x `stride` pixels (pixel shuffle); the channel is the fastest index."""
    t, h, w, d = x.shape
    c = d // stride**2
    x = x.reshape(t, h, w, stride, stride, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(t, h * stride, w * stride, c)


def convolution(features: int, width: int, kernel: int, rngs: nnx.Rngs, convolve: Convolution) -> nnx.Conv:
    """A same-padded convolution with bias."""
    return nnx.Conv(features, width, (kernel, kernel), conv_general_dilated=convolve, rngs=rngs)


class Block(nnx.Module):
    """Convolve, upsample by depth-to-space, modulate, activate (HNeRV section 3.2 with CAM after the upsampling)."""

    def __init__(self, features: int, block: BlockSpec, spec: HNeRVSpec, rngs: nnx.Rngs, convolve: Convolution):
        self.stride = block.stride
        expanded = block.width * block.stride**2
        self.conv = convolution(features, expanded, block.kernel, rngs, convolve)
        self.modulation = Modulation(block.width, spec.norm, spec.temporal_grid, spec.spatial_grid)

    def __call__(self, x: Float[Array, "t h w c"], t: Float[Array, " t"]) -> Float[Array, "t h2 w2 d"]:
        x = depth_to_space(self.conv(x), self.stride)
        return jax.nn.gelu(self.modulation(x, t))


def to_unit_range(x: Float[Array, "t h w 3"], bounded: bool) -> Float[Array, "t h w 3"]:
    """Centre the head's output on grey; `bounded` squeezes it into [0, 1] by tanh as HNeRV does."""
    return 0.5 + 0.5 * jnp.tanh(x) if bounded else 0.5 + x
