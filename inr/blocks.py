"""The blocks of every network, and the step from the output of the head to R'G'B'."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.convolutions import Convolution, convolution, depth_to_space
from inr.fourier import FourierOperator
from inr.modulation import Modulation
from inr.spec import BlockSpec, NetworkSpec


class Separable(nnx.Module):
    """The residual block of NeRV++ (Ghorbel et al., 2024): x + pointwise(GELU(depthwise(x))), where both functions are convolutions."""

    def __init__(self, features: int, kernel: int, rngs: nnx.Rngs, convolve: Convolution):
        self.depthwise = convolution(features, features, kernel, rngs, convolve, conv_groups=features)
        self.pointwise = convolution(features, features, 1, rngs, convolve)

    def __call__(self, x: Float[Array, "t h w c"]) -> Float[Array, "t h w c"]:
        return x + self.pointwise(jax.nn.gelu(self.depthwise(x)))


class Block(nnx.Module):
    """One upsampling block: convolution, depth-to-space, plus the output of a Fourier operator, then norm, CAM and GELU.

    This is HNeRV's block (section 3.2). PFNR's Fourier operator is parallel to the convolution, and CAM follows the upsampling. The
    block also has FFNeRV's compact convolution and NeRV++'s residual blocks and skip if its spec has them. The output has
    h2 = stride * h rows, w2 = stride * w columns and d = `block.width` channels.
    """

    def __init__(self, features: int, block: BlockSpec, spec: NetworkSpec, rngs: nnx.Rngs, convolve: Convolution):
        self.block = block
        expanded = block.width * block.stride**2
        if block.separable:
            self.before = Separable(features, block.separable, rngs, convolve)
            self.after = Separable(block.width, block.separable, rngs, convolve)
        self.conv = convolution(features, expanded, block.kernel, rngs, convolve, block.conv_groups)
        if block.conv_groups > 1:
            self.expand = convolution(expanded, expanded, 1, rngs, convolve)
        if block.skip:
            self.skip = convolution(features, block.width, 1, rngs, convolve)
        if any(block.modes):
            self.fourier = FourierOperator(features, block.width, block.modes)
        self.modulation = Modulation(block.width, spec.norm, spec.temporal_grid, spec.spatial_grid)

    def __call__(self, x: Float[Array, "t h w c"], t: Float[Array, " t"]) -> Float[Array, "t h2 w2 d"]:
        block = self.block
        x = self.before(x) if block.separable else x
        y = depth_to_space(self.expand(self.conv(x)) if block.conv_groups > 1 else self.conv(x), block.stride)
        y = y + self.fourier(x, block.stride) if any(block.modes) else y
        y = y + jax.image.resize(self.skip(x), y.shape, "linear") if block.skip else y
        y = jax.nn.gelu(self.modulation(y, t))
        return self.after(y) if block.separable else y


def to_unit_range(x: Float[Array, "t h w 3"], bounded: bool) -> Float[Array, "t h w 3"]:
    """The output `x` of the head as R'G'B' (0 black, 1 white): 0.5 + x. With `bounded`, as in the papers: 0.5 + 0.5 * tanh(x)."""
    return 0.5 + 0.5 * jnp.tanh(x) if bounded else 0.5 + x
