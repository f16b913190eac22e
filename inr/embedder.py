"""HNeRV's encoder: from a frame to its embedding. It is used in training only and is never transmitted.

It is called embedder because "encoder" means the part that turns a model into bytes here.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from inr.pixels import CHANNELS, to_unit
from inr.spec import Embeddings, NetworkSpec, VideoSpec

WIDTH = 64  # channels of every stage but the last, which has the embedding's (HNeRV, supplement, table 17)
LAYER_SCALE = 1e-6


class ConvNeXtBlock(nnx.Module):
    """Depthwise 7x7, layer norm, two 1x1 with GELU between, scaled, added (Liu et al., CVPR 2022, figure 4)."""

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
    """One stage for each stride: patches of that size, normalised, then a ConvNeXt block (HNeRV, section 3.1)."""

    def __init__(self, spec: NetworkSpec, rngs: nnx.Rngs):
        if not isinstance(spec.frame_input, Embeddings):
            raise ValueError(f"an embedder makes embeddings; this network has the frame input {spec.frame_input}")
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
        """Embeddings of frames in [0, 1] whose sides are multiples of the spec's upscale."""
        x = frames
        for patch, norm, block in zip(self.patches, self.norms, self.blocks, strict=True):
            x = block(norm(patch(x)))
        return x


def embed(embedder: Embedder, spec: NetworkSpec, video: VideoSpec, frames: UInt8[Array, "t h w 3"]) -> Float[Array, "t r c d"]:
    """Embeddings of 8-bit frames. The frames are padded to whole cells by repeating their edge."""
    rows, columns = video.cells(spec)
    below, right = rows * spec.upscale - video.height, columns * spec.upscale - video.width
    padded = jnp.pad(frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    return embedder(to_unit(padded))
