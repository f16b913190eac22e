"""HNeRV: a small embedding per frame, and a decoder that turns it into the frame."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from inr.blocks import Block, to_unit_range
from inr.canvas import Canvas
from inr.colours import convolved_to_rgb
from inr.convolutions import Convolution, convolution, depth_to_space
from inr.spec import HNeRVSpec, VideoSpec

Still = Float[Array, "h w 3"] | None


class HNeRV(nnx.Module):
    """The transmitted half of HNeRV (Chen et al., CVPR 2023): embeddings, stem, blocks, head."""

    def __init__(self, spec: HNeRVSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        rows, columns = video.cells(spec)
        self.frames, self.size, self.spec = video.frames, (video.height, video.width), spec
        shape = (video.frames, rows, columns, spec.embedding)
        self.embedding = nnx.Param(jnp.zeros(shape))
        self.stem = convolution(spec.embedding, spec.stem, 1, rngs, convolve)
        blocks, features = [], spec.stem
        for block in spec.blocks:
            blocks.append(Block(features, block, spec, rngs, convolve))
            rows, columns, features = rows * block.stride, columns * block.stride, block.width
        self.blocks = nnx.List(blocks)
        if spec.canvas:
            size = rows * spec.head_stride, columns * spec.head_stride
            self.canvas = Canvas(spec.canvas, size, features, video.frames, spec.opponent, rngs, convolve)
        colours = 3 * spec.head_stride**2
        self.head = convolution(features, colours, spec.head_kernel, rngs, convolve)

    def __call__(self, indices: Int[Array, " t"], still: Still = None) -> Float[Array, "t h w 3"]:
        """Frames at `indices`, R'G'B' with 0 black and 1 white, not clamped; `still` is `self.still()`, if that is known."""
        still = self.still() if still is None else still
        return self.decode(self.embedding[...][indices], indices, still)

    def still(self) -> Still:
        """What is the same for all frames: the canvas's picture, None without a canvas."""
        return self.canvas.picture() if self.spec.canvas else None

    def decode(self, embedding: Float[Array, "t r c d"], indices: Int[Array, " t"], still: Still) -> Float[Array, "t h w 3"]:
        """Frames from given embeddings; `indices` place them on CAM's time axis."""
        t = indices.astype(jnp.float32) / max(self.frames - 1, 1)
        x = jax.nn.gelu(self.stem(embedding))
        for block in self.blocks:
            x = block(x, t)
        height, width = self.size
        return to_unit_range(self.painted(x, indices, still)[:, :height, :width], self.spec.bounded)

    def painted(self, x: Float[Array, "t r c d"], indices: Int[Array, " t"], still: Still) -> Float[Array, "t h w 3"]:
        """The head's pictures of features `x`, and what each frame sees of the canvas."""
        own = depth_to_space(convolved_to_rgb(self.head, x, self.spec.opponent), self.spec.head_stride)
        return own if still is None else own + self.canvas.seen(x, indices, still)
