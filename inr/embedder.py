"""HNeRV's encoder: a frame to its embedding. Used in training only and never transmitted.

It is called embedder because an encoder here is what turns a model into bytes.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

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
    """Patches as large as each stride, normalised, then one ConvNeXt block a stage (HNeRV section 3.1)."""

    def __init__(self, spec: NetworkSpec, rngs: nnx.Rngs):
        if not isinstance(spec.beginning, Embeddings):
            raise ValueError(f"an embedder makes embeddings; this network begins with {spec.beginning}")
        strides = [stride for stride in (spec.head_stride, *(block.stride for block in spec.blocks)) if stride > 1] or [1]
        features, patches, norms, blocks = 3, [], [], []
        for stage, stride in enumerate(strides):
            width = spec.beginning.channels if stage == len(strides) - 1 else WIDTH
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
    """Embeddings of 8-bit frames; the canvas beyond their true size repeats the edge."""
    rows, columns = video.cells(spec)
    below, right = rows * spec.upscale - video.height, columns * spec.upscale - video.width
    canvas = jnp.pad(frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    return embedder(canvas.astype(jnp.float32) / 255)
