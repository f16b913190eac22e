"""The network of a picture: a pyramid of grids of integers, upsampled and turned into pixels by a small network.

As in Cool-Chic (Ladune et al., ICCV 2023) and C3 (Kim et al., CVPR 2024), nearly all bits are in the grids, and a context model codes
them. The synthesis works at half resolution. Its inputs are the four phases of the finest grid (the entries of each 2 x 2 pixels) and
the coarser grids, upsampled by learned filters. Features are a ReLU layer of these inputs, modulated at each position by a scale of the
same inputs: coordinate-aware modulation (Lee et al., ICLR 2024) whose grids are those of the pyramid. The features and a linear part give
the samples of 2 x 2 pixels. The linear part starts as an upsampled sum of the grids, so a fit begins with a picture that follows the
grids. At last, a small filter for each colour smooths the picture.
"""

from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from inr.constants import DOUBLING_TAPS, PYRAMID_GAIN
from inr.pixels import CHANNELS
from inr.spec import ContextSpec, NetworkSpec, Pyramid, VideoSpec
from inr.time_interpolation import Indices

OFFSETS = (-2, -1, 0, 1)  # of the entries that DOUBLING_TAPS weigh, for a new entry before the nearest one; mirrored for one after it
REACH = 2  # entries that are added on each side of a grid before it is doubled
BLOCK = 16  # columns of a block in `_filtered_backward`


class Dense(nnx.Module):
    """The matrix (inputs, outputs) and the bias of a dense layer."""

    def __init__(self, inputs: int, outputs: int, biases: int):
        self.kernel, self.bias = nnx.Param(jnp.zeros((inputs, outputs))), nnx.Param(jnp.zeros(biases))


class Matrix(nnx.Module):
    """The matrix (inputs, outputs) of a dense layer without a bias."""

    def __init__(self, inputs: int, outputs: int):
        self.kernel = nnx.Param(jnp.zeros((inputs, outputs)))


class Contexts(nnx.Module):
    """The tensors of a context model. Rendering does not use them; see `codec.context_model`."""

    def __init__(self, spec: ContextSpec):
        self.hidden = nnx.List([Dense(spec.inputs, spec.inputs, spec.inputs) for _ in range(spec.hidden)])
        self.linear, self.output = Matrix(spec.inputs, 2), Dense(spec.inputs, 2, 2)


class Picture(nnx.Module):
    """The tensors of a picture's network. ValueError if the frame input of `spec` is no pyramid."""

    def __init__(self, spec: NetworkSpec, video: VideoSpec):
        pyramid = spec.frame_input
        if not isinstance(pyramid, Pyramid):
            raise ValueError(f"The frame input of `spec` must be a pyramid, but is {pyramid}.")
        self.size, self.cells = (video.height, video.width), video.cells(spec)
        shapes, coarse = pyramid.shapes(*self.size), pyramid.levels - 1
        self.contexts = Contexts(pyramid.contexts)
        self.grids = nnx.List([nnx.Param(jnp.zeros(shape)) for shape in shapes])
        self.upsampling = nnx.Param(jnp.zeros((coarse, len(OFFSETS))))
        self.features = Dense(4 + coarse, spec.stem, spec.stem)
        self.modulation = nnx.Param(jnp.zeros((4 + coarse, spec.stem)))
        self.paint = Dense(spec.stem, 4 * CHANNELS, CHANNELS)
        self.phases = nnx.Param(jnp.zeros((4, 4 * CHANNELS)))
        self.colours = nnx.Param(jnp.zeros((coarse, CHANNELS)))
        self.filter = nnx.Param(jnp.zeros((spec.head_kernel, spec.head_kernel, CHANNELS)))

    def canvas_picture(self) -> None:
        """None: the network has no canvas."""

    def __call__(self, indices: Indices, canvas_picture: None = None, consecutive: bool = False) -> Float[Array, "t h w 3"]:
        """The picture as float R'G'B', once for each of `indices`, where 0 is black and 1 is white. Values can lie outside [0, 1]."""
        return jnp.broadcast_to(self.picture(), (len(indices), *self.size, CHANNELS))

    def picture(self) -> Float[Array, "h w 3"]:
        """The picture as float R'G'B'."""
        (rows, columns), (height, width) = self.cells, self.size
        fine, coarse = self.fine_inputs(), self.coarse_inputs()
        inputs = jnp.concatenate([fine, coarse])
        scale = 1 + self.modulation[...].T @ inputs
        features = scale * jax.nn.relu(self.features.kernel[...].T @ inputs + self.features.bias[...][:, None])
        each_pixel = jnp.repeat(jnp.eye(4), CHANNELS, axis=1)  # every phase changes the three samples of its own pixel
        painted = self.paint.kernel[...].T @ features + (PYRAMID_GAIN * each_pixel + self.phases[...]).T @ fine
        smooth = ((PYRAMID_GAIN + self.colours[...]).T @ coarse).reshape(CHANNELS, rows, columns)
        halves = [doubled for row in doubled_phases(smooth, 1) for doubled in doubled_phases(row, 2)]
        painted = painted.reshape(4, CHANNELS, rows, columns) + jnp.stack(halves) + self.paint.bias[...][None, :, None, None]
        # From phases (dy, dx) to pixels, with the channels last.
        pixels = painted.reshape(2, 2, CHANNELS, rows, columns).transpose(2, 3, 0, 4, 1).reshape(CHANNELS, 2 * rows, 2 * columns)
        pixels = pixels[:, :height, :width]
        return (pixels + filtered(self.filter[...], pixels)).transpose(1, 2, 0)

    def fine_inputs(self) -> Float[Array, "4 cells"]:
        """The four phases of the finest grid: upper left, upper right, lower left, lower right of each 2 x 2 pixels."""
        (rows, columns), (height, width) = self.cells, self.size
        padded = jnp.pad(self.grids[0][...], ((0, 2 * rows - height), (0, 2 * columns - width)))
        return padded.reshape(rows, 2, columns, 2).transpose(1, 3, 0, 2).reshape(4, -1)

    def coarse_inputs(self) -> Float[Array, "levels-1 cells"]:
        """The coarser grids at half resolution. A grid is doubled once for each octave; all filters of an axis are one matrix."""
        down, across, inputs = jnp.eye(self.cells[0]), jnp.eye(self.cells[1]), []
        for level, grid in enumerate(self.grids[1:]):
            taps = jnp.asarray(DOUBLING_TAPS) + self.upsampling[level]
            height, width = grid.shape
            down, across = down @ doubling_matrix(taps, height, len(down.T)), across @ doubling_matrix(taps, width, len(across.T))
            inputs.append((down @ grid[...] @ across.T).reshape(1, -1))
        return jnp.concatenate(inputs) if inputs else jnp.zeros((0, self.cells[0] * self.cells[1]))


def doubling_matrix(taps: Float[Array, "4"], size: int, doubled: int) -> Float[Array, "doubled size"]:
    """The matrix that doubles an axis of `size` entries to `doubled` = 2 * size or 2 * size - 1; the first and last entry are repeated."""
    rows = np.arange(doubled)
    matrix = jnp.zeros((doubled, size))
    for index, offset in enumerate(OFFSETS):
        columns = np.clip(np.where(rows % 2 == 0, rows // 2 + offset, rows // 2 - offset), 0, size - 1)
        matrix = matrix.at[rows, columns].add(taps[index])
    return matrix


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def doubled_phases(x: Float[Array, "c h w"], axis: int) -> tuple[Float[Array, "c h w"], Float[Array, "c h w"]]:
    """The even and the odd entries of `x` doubled along `axis` by DOUBLING_TAPS; the first and last entry are repeated."""
    padded = lax.optimization_barrier(_padded(x, axis))
    return _weighted(padded, axis, REACH, 1), _weighted(padded, axis, REACH, -1)


def _padded(x: Float[Array, "c h w"], axis: int) -> Float[Array, "c m n"]:
    return jnp.pad(x, [(REACH, REACH) if at == axis else (0, 0) for at in range(3)], mode="edge")


def _weighted(padded: Float[Array, "c m n"], axis: int, start: int, way: int) -> Float[Array, "c h w"]:
    """The sums of entries weighted by DOUBLING_TAPS, from the entry `start` on; OFFSETS count in the direction `way` (1 or -1)."""
    size = padded.shape[axis] - 2 * REACH
    parts = [lax.slice_in_dim(padded, start + way * offset, start + way * offset + size, axis=axis) for offset in OFFSETS]
    return reduce(jnp.add, [tap * part for tap, part in zip(DOUBLING_TAPS, parts, strict=True)])


def _doubled_forward(x, axis):
    return doubled_phases(x, axis), x


def _doubled_backward(axis, x, cotangents):
    # Without this form, XLA computes the cotangents anew for each tap. An entry of the padded picture has the opposite offsets.
    spread = lax.optimization_barrier(
        [jnp.pad(part, [(2 * REACH, 2 * REACH) if at == axis else (0, 0) for at in range(3)]) for part in cotangents]
    )
    wide = reduce(jnp.add, [_weighted(part, axis, REACH, way) for part, way in zip(spread, (-1, 1), strict=True)])
    return jax.vjp(lambda x: _padded(x, axis), x)[1](wide)


doubled_phases.defvjp(_doubled_forward, _doubled_backward)


@jax.custom_vjp
def filtered(kernel: Float[Array, "k k c"], x: Float[Array, "c h w"]) -> Float[Array, "c h w"]:
    """`x` filtered by one k x k kernel for each channel (a depthwise convolution); samples beyond the edge repeat those at the edge.

    The gradient has a form of its own: XLA computes that of a convolution with few channels 20 times slower on CPUs.
    """
    (height, width), reach = x.shape[1:], len(kernel) // 2
    padded = lax.optimization_barrier(jnp.pad(x, ((0, 0), (reach, reach), (reach, reach)), mode="edge"))
    return _sum_of_shifts(kernel, padded, (height, width))


def _sum_of_shifts(kernel: Float[Array, "k k c"], padded: Float[Array, "c m n"], size: tuple[int, int]) -> Float[Array, "c h w"]:
    height, width = size
    shifts = [(dy, dx) for dy in range(len(kernel)) for dx in range(len(kernel))]
    return reduce(jnp.add, [kernel[dy, dx][:, None, None] * padded[:, dy : dy + height, dx : dx + width] for dy, dx in shifts])


def _filtered_forward(kernel, x):
    return filtered(kernel, x), (kernel, x)


def _filtered_backward(saved, cotangent):
    kernel, x = saved
    (channels, height, width), side, reach = x.shape, len(kernel), len(kernel) // 2
    spread = jnp.pad(cotangent, ((0, 0), (side - 1, side - 1), (side - 1, side - 1)))
    wide = _sum_of_shifts(kernel[::-1, ::-1], lax.optimization_barrier(spread), (height + 2 * reach, width + 2 * reach))
    pad = partial(jnp.pad, pad_width=((0, 0), (reach, reach), (reach, reach)), mode="edge")
    padded, back = jax.vjp(pad, x)
    (by_x,) = back(wide)
    # The gradient of a weight is the product of the shifted picture and the cotangent, summed over all pixels. Columns are taken in blocks:
    # the matrix product of a block of the picture and a block of the cotangent has these sums on its diagonals.
    blocks = -(-width // BLOCK)
    cotangents = jnp.pad(cotangent, ((0, 0), (0, 0), (0, blocks * BLOCK - width))).reshape(channels, -1, BLOCK)
    padded = jnp.pad(padded, ((0, 0), (0, 0), (0, (blocks + 1) * BLOCK - width - 2 * reach)))
    parts = padded.reshape(channels, height + 2 * reach, blocks + 1, BLOCK)
    windows = jnp.concatenate([parts[:, :, :-1], parts[:, :, 1:, : side - 1]], axis=-1)
    by_kernel = []
    for dy in range(side):
        rows = windows[:, dy : dy + height].reshape(channels, -1, BLOCK + side - 1)
        products = jnp.einsum("cnk,cnm->ckm", rows, cotangents)
        by_kernel.append(jnp.stack([jnp.trace(products[:, dx : dx + BLOCK], axis1=1, axis2=2) for dx in range(side)]))
    return jnp.stack(by_kernel), by_x


filtered.defvjp(_filtered_forward, _filtered_backward)
