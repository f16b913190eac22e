"""A canvas: a still picture that all frames share and that each frame reads through a flow of its own.

Content that stays the same over a video is stored once, in a pyramid of grids: the grids of each level have half the rows and columns of
the level before. All grids are resized to the finest size and convolved to pixels, as in C3 (Kim et al., CVPR 2024, section 3.1) and
Cool-Chic. A frame is the output of the head plus blend * canvas(position + flow). This is a form of coordinate-aware modulation (Lee et
al., ICLR 2024): the canvas has the role of the features, the blend that of the scale, and the output of the head that of the shift.
FFNeRV (Lee et al., 2023, section 3.2) also reads other pictures through a flow. Sprites and layered atlases are also pictures that
several frames share and that are no frame themselves.
"""

from functools import reduce

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.colours import convolved_to_rgb
from inr.constants import BLEND_BIAS, FLOW_UNIT
from inr.convolutions import Convolution, convolution, depth_to_space
from inr.pixels import CHANNELS
from inr.spec import NetworkSpec, VideoSpec
from inr.time_interpolation import Indices, interpolate_time
from inr.warp import doubled, warp


class Canvas(nnx.Module):
    """The tensors of a canvas: the grids of the pyramid, two convolutions to pixels, flow grids of each frame, the blend's convolution.

    `features` is the number of channels of the last block. ValueError if `network` has no canvas.
    """

    def __init__(self, network: NetworkSpec, video: VideoSpec, features: int, rngs: nnx.Rngs, convolve: Convolution):
        if network.canvas is None:
            raise ValueError(f"`network` has no canvas: {network}.")
        self.spec, self.opponent = network.canvas, network.opponent
        self.picture_size, self.corner = video.canvas_size(network), video.margins[:2]
        rows, columns = video.cells(network)
        self.padded_size = rows * network.upscale, columns * network.upscale
        shapes = self.spec.grid_shapes(*self.picture_size)
        self.grids = nnx.List([nnx.Param(jnp.zeros(shape)) for shape in shapes])
        self.mix = convolution(len(shapes), self.spec.width, self.spec.kernel, rngs, convolve)
        self.paint = convolution(self.spec.width, CHANNELS * self.spec.stride**2, 3, rngs, convolve)
        self.flows = nnx.List([nnx.Param(jnp.zeros((video.frames, *grid, 2))) for grid in self.spec.flow_grids])
        self.blend = convolution(features, 1, 3, rngs, convolve)

    def picture(self) -> Float[Array, "m n 3"]:
        """The picture of the canvas. Without `half_samples`, its (rows, columns) are those of `VideoSpec.canvas_size`.

        With `half_samples`, it has (2 * rows - 1) x (2 * columns - 1) samples: one at every half pixel.
        """
        size = self.grids[0].shape
        resized = [jax.image.resize(grid[...], size, "linear") for grid in self.grids]
        mixed = jax.nn.gelu(self.mix(jnp.stack(resized, axis=-1)[None]))
        height, width = self.picture_size
        painted = depth_to_space(convolved_to_rgb(self.paint, mixed, self.opponent), self.spec.stride)[0, :height, :width]
        return doubled(painted) if self.spec.half_samples else painted

    def sample_canvas(self, x: Float[Array, "t r c d"], indices: Indices, picture: Float[Array, "m n 3"]) -> Float[Array, "t h w 3"]:
        """For each frame at `indices`: the samples of `picture` at positions displaced by the frame's flow, times the frame's blend.

        `x` holds the features of the last block. h and w are the rows and columns of a frame padded to whole cells.
        """
        h, w = self.padded_size
        # The axis of the two flow components comes before rows and columns, because resizing an array (.., 2) takes three times as long.
        grids = [interpolate_time(flow[...], indices).transpose(0, 3, 1, 2) for flow in self.flows]
        flow = FLOW_UNIT * reduce(jnp.add, [jax.image.resize(grid, (len(x), 2, h, w), "linear") for grid in grids])
        blend = jax.image.resize(self.blend(x)[..., 0], (len(x), h, w), "linear")
        return jax.nn.sigmoid(blend + BLEND_BIAS)[..., None] * warp(
            picture, flow[:, 0], flow[:, 1], 1 + self.spec.half_samples, self.corner
        )
