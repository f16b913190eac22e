"""The part that all networks here share: blocks, head, canvas and neighbours. The frame input is each subclass's own."""

from abc import abstractmethod

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.blocks import Block, to_unit_range
from inr.canvas import Canvas
from inr.colours import convolved_to_rgb
from inr.convolutions import Convolution, convolution, depth_to_space
from inr.neighbours import Neighbours
from inr.pixels import CHANNELS
from inr.spec import NetworkSpec, VideoSpec
from inr.time_interpolation import Indices

CanvasPicture = Float[Array, "m n 3"] | None
Features = Float[Array, "t r c d"]
UnitFrames = Float[Array, "t h w 3"]


class Backbone(nnx.Module):
    """Blocks and head, applied to the features that a subclass's `input_features` makes."""

    def __init__(self, spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        self.frames, self.size, self.spec = video.frames, (video.height, video.width), spec
        blocks, features = [], spec.stem
        for block in spec.blocks:
            blocks.append(Block(features, block, spec, rngs, convolve))
            features = block.width
        self.blocks = nnx.List(blocks)
        if spec.neighbours:
            self.neighbours = Neighbours(spec.neighbours, spec.blocks[spec.neighbours.block].width, rngs, convolve)
        if spec.canvas:
            self.canvas = Canvas(spec, video, features, rngs, convolve)
        self.head = convolution(features, CHANNELS * spec.head_stride**2, spec.head_kernel, rngs, convolve)

    @abstractmethod
    def input_features(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        """First features of the frames at `indices`; `t` is their time in [0, 1]."""

    def __call__(self, indices: Indices, canvas_picture: CanvasPicture = None, consecutive: bool = False) -> UnitFrames:
        """Frames at `indices`, R'G'B' with 0 black and 1 white, not clamped.

        `canvas_picture` is the result of `self.canvas_picture()` where the caller has it already. `consecutive` promises that the
        indices follow one another, so that a picture which several frames read is rendered once.
        """
        canvas_picture = self.canvas_picture() if canvas_picture is None else canvas_picture
        picture, neighbour_features = self.render_own(indices, canvas_picture)
        if not self.spec.neighbours:
            return picture

        def render_others(others: Indices) -> UnitFrames:
            return self.render_own(jnp.clip(others, 0, self.frames - 1), canvas_picture)[0]

        return self.neighbours(picture, neighbour_features, indices, consecutive, render_others)

    def canvas_picture(self) -> CanvasPicture:
        """The canvas's picture, which all frames share; None without a canvas."""
        return self.canvas.picture() if self.spec.canvas else None

    def render_own(self, indices: Indices, canvas_picture: CanvasPicture) -> tuple[UnitFrames, Features]:
        """Frames before neighbour aggregation, and the features that predict its flows and weights."""
        t = indices.astype(jnp.float32) / max(self.frames - 1, 1)
        x = neighbour_features = self.input_features(indices, t)
        for index, block in enumerate(self.blocks):
            x = block(x, t)
            neighbour_features = x if self.spec.neighbours and index == self.spec.neighbours.block else neighbour_features
        height, width = self.size
        return to_unit_range(self.head_output(x, indices, canvas_picture)[:, :height, :width], self.spec.bounded), neighbour_features

    def head_output(self, x: Features, indices: Indices, canvas_picture: CanvasPicture) -> UnitFrames:
        """Padded frames of the head for features `x`, plus the blended samples of the canvas."""
        own = depth_to_space(convolved_to_rgb(self.head, x, self.spec.opponent), self.spec.head_stride)
        return own if canvas_picture is None else own + self.canvas.sample_canvas(x, indices, canvas_picture)
