"""A canvas: a still picture shared by all frames, which each frame reads through a flow of its own.

What stays the same over a clip is painted once, from a pyramid of grids: latents at halving sizes, resized to the
finest and convolved to pixels, as in C3 (Kim et al., CVPR 2024, section 3.1) and Cool-chic.
A frame is then its own part plus mask * canvas(position + flow): coordinate-aware modulation (Lee et al., ICLR 2024)
with the canvas as features, the mask as scale and the frame's own part as shift. Reading another picture through a
flow is FFNeRV's idea (Lee et al., 2023, section 3.2), one that belongs to no frame that of sprites and layered atlases.
"""

from functools import reduce

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.colours import convolved_to_rgb
from inr.convolutions import Convolution, convolution, depth_to_space
from inr.spec import CanvasSpec, NetworkSpec, VideoSpec
from inr.timeline import Indices, at
from inr.warp import doubled, warp

FLOW_UNIT = 8.0  # pixels of displacement per unit of the flow grid
OPEN = 1.0  # the mask's logit where nothing has been learned


class Canvas(nnx.Module):
    """The pyramid and what paints a picture from it; a flow grid a frame, and the convolution that draws its mask."""

    def __init__(self, network: NetworkSpec, spec: CanvasSpec, video: VideoSpec, features: int, rngs: nnx.Rngs, convolve: Convolution):
        self.spec, self.opponent, self.painted, self.corner = spec, network.opponent, video.painted(network), video.margins[:2]
        rows, columns = video.cells(network)
        self.size = rows * network.upscale, columns * network.upscale
        shapes = spec.grid_shapes(*self.painted)
        self.grids = nnx.List([nnx.Param(jnp.zeros(shape)) for shape in shapes])
        self.mix = convolution(len(shapes), spec.width, spec.kernel, rngs, convolve)
        self.paint = convolution(spec.width, 3 * spec.stride**2, 3, rngs, convolve)
        self.flows = nnx.List([nnx.Param(jnp.zeros((video.frames, *grid, 2))) for grid in spec.flow_grids])
        self.mask = convolution(features, 1, 3, rngs, convolve)

    def picture(self) -> Float[Array, "m n 3"]:
        """The still picture, of one sample a pixel along each axis, or of two."""
        size = self.grids[0].shape
        resized = [jax.image.resize(grid[...], size, "linear") for grid in self.grids]
        mixed = jax.nn.gelu(self.mix(jnp.stack(resized, axis=-1)[None]))
        height, width = self.painted
        painted = depth_to_space(convolved_to_rgb(self.paint, mixed, self.opponent), self.spec.stride)[0, :height, :width]
        return doubled(painted) if self.spec.half_samples else painted

    def seen(self, x: Float[Array, "t r c d"], indices: Indices, picture: Float[Array, "m n 3"]) -> Float[Array, "t h w 3"]:
        """The `picture` as frames at `indices` with features `x` see it: displaced and masked."""
        h, w = self.size
        # Rows of pixels last: a field of vectors (.., 2) would be resized three times slower.
        grids = [at(flow[...], indices).transpose(0, 3, 1, 2) for flow in self.flows]
        flow = FLOW_UNIT * reduce(jnp.add, [jax.image.resize(grid, (len(x), 2, h, w), "linear") for grid in grids])
        mask = jax.image.resize(self.mask(x)[..., 0], (len(x), h, w), "linear")
        return jax.nn.sigmoid(mask + OPEN)[..., None] * warp(picture, flow[:, 0], flow[:, 1], 1 + self.spec.half_samples, self.corner)
