"""The module that all networks share: blocks, head, canvas and neighbours. A subclass for each kind of network adds the frame input."""

from abc import abstractmethod

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.blocks import Block, to_unit_range
from inr.canvas import Canvas
from inr.colours import convolved_to_rgb
from inr.convolutions import Convolution, convolution, depth_to_space, smoothed
from inr.neighbours import Neighbours
from inr.pixels import CHANNELS
from inr.spec import NetworkSpec, VideoSpec
from inr.time_interpolation import Indices

CanvasPicture = Float[Array, "m n 3"] | None
Features = Float[Array, "t r c d"]
UnitFrames = Float[Array, "t h w 3"]


class Backbone(nnx.Module):
    """A network without its frame input. A subclass gives the first features of a frame; blocks and head turn them into pixels.

    A canvas and neighbours are added if the spec has them. `convolve` computes all convolutions.
    """

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
        """The first features of the frames at `indices`. `t` holds the times of these frames, in [0, 1]."""

    def __call__(self, indices: Indices, canvas_picture: CanvasPicture = None, consecutive: bool = False) -> UnitFrames:
        """Render the frames at `indices` as float R'G'B', where 0 is black and 1 is white. Values can lie outside [0, 1].

        `canvas_picture` is the result of `self.canvas_picture()`; with None, this method computes it. `consecutive` may be set only if
        each index is the index before plus 1. A picture that several frames read as their neighbour is then rendered once.
        """
        canvas_picture = self.canvas_picture() if canvas_picture is None else canvas_picture
        picture, neighbour_features = self.render_own(indices, canvas_picture)
        if not self.spec.neighbours:
            return picture

        def render_others(others: Indices) -> UnitFrames:
            return self.render_own(jnp.clip(others, 0, self.frames - 1), canvas_picture)[0]

        return self.neighbours(picture, neighbour_features, indices, consecutive, render_others)

    def canvas_picture(self) -> CanvasPicture:
        """The picture of the canvas, which all frames share; None if the network has no canvas."""
        return self.canvas.picture() if self.spec.canvas else None

    def render_own(self, indices: Indices, canvas_picture: CanvasPicture) -> tuple[UnitFrames, Features]:
        """The frames at `indices` without their neighbours, and the features from which flows and weights of neighbours are predicted."""
        t = indices.astype(jnp.float32) / max(self.frames - 1, 1)
        x = neighbour_features = self.input_features(indices, t)
        for index, block in enumerate(self.blocks):
            x = block(x, t)
            neighbour_features = x if self.spec.neighbours and index == self.spec.neighbours.block else neighbour_features
        height, width = self.size
        return to_unit_range(self.head_output(x, indices, canvas_picture)[:, :height, :width], self.spec.bounded), neighbour_features

    def head_output(self, x: Features, indices: Indices, canvas_picture: CanvasPicture) -> UnitFrames:
        """The frames, padded to whole cells: the head's output for the last block's features `x`, plus blended samples of the canvas."""
        own = depth_to_space(convolved_to_rgb(self.head, x, self.spec.opponent), self.spec.head_stride)
        own = smoothed(own) if self.spec.smooth else own
        return own if canvas_picture is None else own + self.canvas.sample_canvas(x, indices, canvas_picture)
