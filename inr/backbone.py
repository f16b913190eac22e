"""What all networks here share: blocks, head, canvas and neighbours. How a frame begins is each network's own."""

from abc import abstractmethod

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.blocks import Block, to_unit_range
from inr.canvas import Canvas
from inr.colours import convolved_to_rgb
from inr.convolutions import Convolution, convolution, depth_to_space
from inr.neighbours import Neighbours
from inr.spec import NetworkSpec, VideoSpec
from inr.timeline import Indices

Still = Float[Array, "h w 3"] | None
Features = Float[Array, "t r c d"]
Frames = Float[Array, "t h w 3"]


class Backbone(nnx.Module):
    """Blocks and head on the features that a subclass's `begin` gives."""

    def __init__(self, spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        rows, columns = video.cells(spec)
        self.frames, self.size, self.spec = video.frames, (video.height, video.width), spec
        blocks, features = [], spec.stem
        for block in spec.blocks:
            blocks.append(Block(features, block, spec, rngs, convolve))
            rows, columns, features = rows * block.stride, columns * block.stride, block.width
        self.blocks = nnx.List(blocks)
        if spec.neighbours:
            self.neighbours = Neighbours(spec.neighbours, spec.blocks[spec.neighbours.block].width, rngs, convolve)
        if spec.canvas:
            self.canvas = Canvas(spec, spec.canvas, video, features, rngs, convolve)
        self.head = convolution(features, 3 * spec.head_stride**2, spec.head_kernel, rngs, convolve)

    @abstractmethod
    def begin(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        """A frame's first features; `t` places frames in [0, 1]."""

    def __call__(self, indices: Indices, still: Still = None, run: bool = False) -> Frames:
        """Frames at `indices`, R'G'B' with 0 black and 1 white, not clamped.

        `still` is `self.still()`, if that is known; `run` says that frames follow one another, so that they have
        most of their neighbours in common.
        """
        still = self.still() if still is None else still
        picture, looked = self.own(indices, still)
        if not self.spec.neighbours:
            return picture
        return self.neighbours(picture, looked, indices, run, lambda others: self.own(jnp.clip(others, 0, self.frames - 1), still)[0])

    def still(self) -> Still:
        """What is the same for all frames: the canvas's picture, None without a canvas."""
        return self.canvas.picture() if self.spec.canvas else None

    def own(self, indices: Indices, still: Still) -> tuple[Frames, Features]:
        """Frames without what they read of their neighbours, and the features by which they read it."""
        t = indices.astype(jnp.float32) / max(self.frames - 1, 1)
        x = looked = self.begin(indices, t)
        for index, block in enumerate(self.blocks):
            x = block(x, t)
            looked = x if self.spec.neighbours and index == self.spec.neighbours.block else looked
        height, width = self.size
        return to_unit_range(self.painted(x, indices, still)[:, :height, :width], self.spec.bounded), looked

    def painted(self, x: Features, indices: Indices, still: Still) -> Frames:
        """The head's pictures of features `x`, and what each frame sees of the canvas."""
        own = depth_to_space(convolved_to_rgb(self.head, x, self.spec.opponent), self.spec.head_stride)
        return own if still is None else own + self.canvas.seen(x, indices, still)
