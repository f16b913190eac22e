"""HNeRV's encoder (Chen et al., CVPR 2023, section 3.1) maps a frame to its embedding. It is used only in a fit and never transmitted.

This project calls it the *embedder*. The word *encoder* means the code that turns a model into bytes.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from inr.pixels import CHANNELS, to_unit
from inr.spec import Embeddings, NetworkSpec, VideoSpec

WIDTH = 64  # channels of every stage except the last; the last one has those of the embedding (HNeRV, supplement, table 17)
LAYER_SCALE = 1e-6  # initial scale of the residual branch of a block, as in ConvNeXt


class ConvNeXtBlock(nnx.Module):
    """The residual block of ConvNeXt (Liu et al., CVPR 2022, figure 4).

    The residual branch is a depthwise 7x7 convolution, a layer norm, two 1x1 convolutions with a GELU between them, and a scale for
    each channel.
    """

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.depthwise = nnx.Conv(width, width, (7, 7), feature_group_count=width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, rngs=rngs)
        self.reduce = nnx.Linear(4 * width, width, rngs=rngs)
        self.layer_scale = nnx.Param(jnp.full((width,), LAYER_SCALE))

    def __call__(self, x: Float[Array, "t h w c"]) -> Float[Array, "t h w c"]:
        y = self.reduce(jax.nn.gelu(self.expand(self.norm(self.depthwise(x)))))
        return x + self.layer_scale[...] * y


class Embedder(nnx.Module):
    """HNeRV's encoder (section 3.1): one stage for each stride of the network that is larger than 1.

    A stage is a convolution with this stride and this kernel size, a layer norm, and a ConvNeXt block. ValueError if the network's frame
    input is no embedding.
    """

    def __init__(self, spec: NetworkSpec, rngs: nnx.Rngs):
        if not isinstance(spec.frame_input, Embeddings):
            raise ValueError(f"The frame input of `spec` must be embeddings, but is {spec.frame_input}.")
        strides = [stride for stride in (spec.head_stride, *(block.stride for block in spec.blocks)) if stride > 1] or [1]
        features, patches, norms, blocks = CHANNELS, [], [], []
        for stage, stride in enumerate(strides):
            width = spec.frame_input.channels if stage == len(strides) - 1 else WIDTH
            size = (stride, stride)
            patches.append(nnx.Conv(features, width, size, strides=size, padding="VALID", rngs=rngs))
            norms.append(nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs))
            blocks.append(ConvNeXtBlock(width, rngs))
            features = width
        self.patches, self.norms, self.blocks = nnx.List(patches), nnx.List(norms), nnx.List(blocks)

    def __call__(self, frames: Float[Array, "t h w 3"]) -> Float[Array, "t r c d"]:
        """The embeddings of R'G'B' `frames` in [0, 1]. Height and width must be multiples of the spec's `upscale`."""
        x = frames
        for patch, norm, block in zip(self.patches, self.norms, self.blocks, strict=True):
            x = block(norm(patch(x)))
        return x


def embed(embedder: Embedder, spec: NetworkSpec, video: VideoSpec, frames: UInt8[Array, "t h w 3"]) -> Float[Array, "t r c d"]:
    """The embeddings of 8-bit R'G'B' `frames`. The last row and the last column of a frame are repeated to fill whole cells."""
    rows, columns = video.cells(spec)
    below, right = rows * spec.upscale - video.height, columns * spec.upscale - video.width
    padded = jnp.pad(frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    return embedder(to_unit(padded))
