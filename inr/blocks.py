"""The blocks that every network here is made of."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.convolutions import Convolution, convolution, depth_to_space
from inr.fourier import FourierOperator
from inr.modulation import Modulation
from inr.spec import BlockSpec, HNeRVSpec


class Block(nnx.Module):
    """Convolve, upsample by depth-to-space, add what a Fourier operator makes of the same, modulate, activate.

    HNeRV section 3.2, with PFNR's operator beside the convolution and CAM after the upsampling.
    """

    def __init__(self, features: int, block: BlockSpec, spec: HNeRVSpec, rngs: nnx.Rngs, convolve: Convolution):
        self.stride = block.stride
        expanded = block.width * block.stride**2
        self.conv = convolution(features, expanded, block.kernel, rngs, convolve)
        if any(block.modes):
            self.fourier = FourierOperator(features, block.width, block.modes)
        self.operates = any(block.modes)
        self.modulation = Modulation(block.width, spec.norm, spec.temporal_grid, spec.spatial_grid)

    def __call__(self, x: Float[Array, "t h w c"], t: Float[Array, " t"]) -> Float[Array, "t h2 w2 d"]:
        y = depth_to_space(self.conv(x), self.stride)
        y = y + self.fourier(x, self.stride) if self.operates else y
        return jax.nn.gelu(self.modulation(y, t))


def to_unit_range(x: Float[Array, "t h w 3"], bounded: bool) -> Float[Array, "t h w 3"]:
    """Centre the head's output on grey; `bounded` squeezes it into [0, 1] by tanh as HNeRV does."""
    return 0.5 + 0.5 * jnp.tanh(x) if bounded else 0.5 + x
