"""The network of a tree of frames: each frame is a mix of its references, read through flows, plus a residue in wavelet bands.

All that differs from frame to frame is in two rows of integers: the bands of Y'CbCr samples, and the bands of six planes of motion: a flow
(rows, columns) for each of two references, the logit of the mix, and the logit of the fade. An entry of motion covers 8 x 8 pixels; the
planes are coordinate-aware modulation of what a frame reads. Context models code all integers (see `codec.band_contexts`). Between two
entries, flows are interpolated where they are similar. At the edge of a moving object they are not, so the motion of the object and of its
background do not mix. References are float pictures, which are never rounded.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from inr.bands import BandLayout, motion_bands, sample_bands, sample_bands_of
from inr.constants import BLEND_STEP, COARSE_MOTION, FADE_BIAS, FLOW_STEP, GREY, JOINED, MEAN_CELL, MOTION_CELL, YCBCR_BASIS
from inr.frame_tree import frame_tree
from inr.spec import BandContextSpec, FrameTree, NetworkSpec, VideoSpec
from inr.time_interpolation import Indices
from inr.tree_layout import band_inputs
from inr.warp import between, corners, doubled
from inr.wavelet import synthesis

UNITS = np.array([FLOW_STEP] * 4 + [BLEND_STEP] * 2, np.float32)[:, None, None]  # of a symbol, for each plane of motion

Planes = Float[Array, "h w 3"]
Doubled = Float[Array, "2*h-1 2*w-1 3"]  # planes with interpolated samples half-way between neighbours, as later frames read them


class FrameTensors(NamedTuple):
    """The rows of one frame: symbols of samples and of motion, the base-2 logarithm of the samples' step size, and the whole frame's flows.

    `pan` has, for each of two references, pixels down and to the right.
    """

    bands: Float[Array, " n"]
    motion: Float[Array, " m"]
    log_step: Float[Array, ""]
    pan: Float[Array, "4"]


class BandContextTensors(nnx.Module):
    """The tensors of a context model of bands. Rendering does not use them."""

    def __init__(self, spec: BandContextSpec, inputs: int):
        self.first = Dense(inputs, spec.width)
        self.hidden = nnx.List([Dense(spec.width, spec.width) for _ in range(spec.hidden)])
        self.linear = Matrix(inputs)
        self.output = Dense(spec.width, 2)


class Dense(nnx.Module):
    """The matrix (inputs, outputs) and the bias of a dense layer."""

    def __init__(self, inputs: int, outputs: int):
        self.kernel, self.bias = nnx.Param(jnp.zeros((inputs, outputs))), nnx.Param(jnp.zeros(outputs))


class Matrix(nnx.Module):
    """The matrix (inputs, 2) of a dense layer without a bias."""

    def __init__(self, inputs: int):
        self.kernel = nnx.Param(jnp.zeros((inputs, 2)))


class Tree(nnx.Module):
    """The tensors of a tree. ValueError if the frame input of `spec` is no tree."""

    def __init__(self, spec: NetworkSpec, video: VideoSpec):
        tree = spec.frame_input
        if not isinstance(tree, FrameTree):
            raise ValueError(f"The frame input of `spec` must be a tree, but is {tree}.")
        self.size, self.count, self.distance = (video.height, video.width), video.frames, tree.distance
        self.keeps_means = tree.keeps_means
        self.contexts = BandContextTensors(tree.contexts, band_inputs(tree.contexts, motion=False))
        self.motion_contexts = BandContextTensors(tree.motion_contexts, band_inputs(tree.motion_contexts, motion=True))
        self.steps, self.pans = nnx.Param(jnp.zeros((video.frames,))), nnx.Param(jnp.zeros((video.frames, 4)))
        self.bands = nnx.Param(jnp.zeros((video.frames, sample_bands(*self.size, tree.full_chroma).size)))
        self.motion = nnx.Param(jnp.zeros((video.frames, motion_bands(*self.size).size)))

    def canvas_picture(self) -> None:
        """None: the network has no canvas."""

    def __call__(self, indices: Indices, canvas_picture: None = None, consecutive: bool = False) -> Float[Array, "t h w 3"]:
        """The frames at `indices` as float R'G'B'. All frames are decoded; `inr.rendering` decodes only those that are needed."""
        decoded, references = dict[int, Planes](), dict[int, Doubled]()
        for frame in frame_tree(self.count, self.distance):
            read = [references[index] for index in frame.references]
            decoded[frame.index] = decoded_frame(self.size, self.rows(frame.index), read, self.keeps_means)
            references[frame.index] = doubled(decoded[frame.index])
        return to_rgb(jnp.stack([decoded[index] for index in range(self.count)])[indices])

    def rows(self, index: int) -> FrameTensors:
        """The tensors of the frame with this index."""
        return FrameTensors(self.bands[...][index], self.motion[...][index], self.steps[...][index], self.pans[...][index])


def decoded_frame(size: tuple[int, int], tensors: FrameTensors, references: list[Doubled], keeps_means: bool) -> Planes:
    """The planes Y', Cb, Cr of a frame with `size` (height, width), from its tensors and its references, doubled by `inr.warp.doubled`.

    `keeps_means` is that of `inr.spec.FrameTree`. Outside a trace, each stage is compiled by itself: XLA would fuse them all into code
    that takes three times as long on a CPU.
    """
    residue = residue_of(size, tensors.bands, tensors.log_step)
    if not references:
        return as_picture(residue)
    motion = motion_of(size, tensors.motion, tensors.pan)
    mixed = mixed_references(motion, references)
    return _sum(mixed, _row_means(mixed), motion, residue) if keeps_means else as_picture(_dimmed(mixed, motion), residue)


@partial(jax.jit, static_argnums=0)
def residue_of(size: tuple[int, int], symbols: Float[Array, " n"], log_step: Float[Array, ""]) -> Float[Array, "3 h w"]:
    """The planes of the bands `symbols`, whose step size has the base-2 logarithm `log_step`."""
    return (planes_of(sample_bands_of(*size, symbols.shape[-1]), symbols) * jnp.exp2(log_step))[:, : size[0], : size[1]]


@jax.jit
def as_picture(*planes: Float[Array, "3 h w"]) -> Planes:
    """The sum of planes, with the axis of planes last."""
    return jnp.moveaxis(sum(planes), 0, -1)


def planes_of(layout: BandLayout, coefficients: Float[Array, " n"], haar: bool = False) -> Float[Array, "p h w"]:
    """The planes whose bands `coefficients` holds, in the units of the coefficients."""
    coarse, *details = (coefficients[group.place].reshape(group.shape) for group in layout.groups)
    return synthesis(coarse[:, 0] * COARSE_MOTION if haar else coarse[:, 0], details, haar)


def motion_of(size: tuple[int, int], symbols: Float[Array, " m"], pan: Float[Array, "4"]) -> Float[Array, "6 h w"]:
    """The six planes of motion for every pixel: flows in pixels, logits."""
    return spread(spread(_entries(size, symbols, pan), 2, size[1]), 1, size[0])


@partial(jax.jit, static_argnums=0)
def _entries(size: tuple[int, int], symbols: Float[Array, " m"], pan: Float[Array, "4"]) -> Float[Array, "6 r c"]:
    """The entries of the planes of motion, each of which covers MOTION_CELL x MOTION_CELL pixels."""
    entries = planes_of(motion_bands(*size), symbols, haar=True) * UNITS
    return entries.at[:4].add(pan[:, None, None])


@partial(jax.jit, static_argnums=(1, 2))
def spread(entries: Float[Array, "6 h w"], axis: int, size: int) -> Float[Array, "6 _ _"]:
    """The first `size` of MOTION_CELL samples for each entry along an axis.

    They are interpolated linearly where the flows of two entries differ by less than JOINED.
    """
    change = _changes(entries, axis)
    similar = [jnp.max(jnp.abs(change[at : at + 2]), axis=0, keepdims=True) < JOINED for at in (0, 2)]
    one = jnp.ones_like(similar[0])
    change = change * lax.stop_gradient(jnp.concatenate([similar[0], similar[0], similar[1], similar[1], one, one]))
    return lax.slice_in_dim(_between_entries(entries, change, axis, MOTION_CELL), 0, size, axis=axis)


def _changes(entries: Float[Array, "p h w"], axis: int) -> Float[Array, "p _ _"]:
    """The difference of every two neighbours along an axis."""
    size = entries.shape[axis]
    return lax.slice_in_dim(entries, 1, size, axis=axis) - lax.slice_in_dim(entries, 0, size - 1, axis=axis)


def _between_entries(entries: Float[Array, "p h w"], change: Float[Array, "p _ _"], axis: int, cell: int) -> Float[Array, "p _ _"]:
    """`cell` samples for each entry along an axis, interpolated linearly by `change`, the difference of every two neighbours."""
    size = entries.shape[axis]
    zero = jnp.zeros_like(lax.slice_in_dim(entries, 0, 1, axis=axis))
    to_next, from_last = jnp.concatenate([change, zero], axis), jnp.concatenate([zero, change], axis)
    place = (np.arange(cell, dtype=np.float32) + 0.5) / cell - 0.5
    shape = (cell,) if axis == 2 else (cell, 1)
    after, before = np.maximum(place, 0).reshape(shape), np.minimum(place, 0).reshape(shape)
    wide = (jnp.expand_dims(part, axis + 1) for part in (entries, to_next, from_last))
    found, next_part, last_part = wide
    found = found + next_part * after + last_part * before
    return found.reshape(*entries.shape[:axis], size * cell, *entries.shape[axis + 1 :])


def mixed_references(motion: Float[Array, "6 h w"], references: list[Doubled]) -> Float[Array, "3 h w"]:
    """The mix of the references, each read through its flow."""
    return _mixed(motion, [_read(motion, reference, k) for k, reference in enumerate(references)])


@partial(jax.jit, static_argnums=2)
def _read(motion: Float[Array, "6 h w"], reference: Doubled, number: int) -> Planes:
    """The reference with this number (0 or 1), read through its flow."""
    rows, columns = (jnp.arange(size, dtype=jnp.float32) for size in motion.shape[1:])
    x, y = 2 * (columns + motion[2 * number + 1]), 2 * (rows[:, None] + motion[2 * number])
    return between(corners(reference, x, y))


@jax.jit
def _mixed(motion: Float[Array, "6 h w"], read: list[Planes]) -> Float[Array, "3 h w"]:
    """The mix of one or two readings."""
    mixed = read[0] if len(read) == 1 else read[1] + (read[0] - read[1]) * jax.nn.sigmoid(motion[4])[..., None]
    return jnp.moveaxis(mixed, -1, 0)


@jax.jit
def _dimmed(mixed: Float[Array, "3 h w"], motion: Float[Array, "6 h w"]) -> Float[Array, "3 h w"]:
    """A prediction that is multiplied by the fade, its local means too."""
    return mixed * jax.nn.sigmoid(motion[5] + FADE_BIAS)


def faded(mixed: Float[Array, "p h w"], fade: Float[Array, "h w"]) -> Float[Array, "p h w"]:
    """A prediction whose details, which are its difference from its local means, are multiplied by the fade."""
    return _faded(mixed, _row_means(mixed), fade)


@jax.jit
def _faded(mixed: Float[Array, "p h w"], means: Float[Array, "p r w"], fade: Float[Array, "h w"]) -> Float[Array, "p h w"]:
    spread_means = _spread_rows(means, mixed.shape[1])
    return spread_means + (mixed - spread_means) * jax.nn.sigmoid(fade + FADE_BIAS)


@jax.jit
def _sum(
    mixed: Float[Array, "3 h w"], means: Float[Array, "3 r w"], motion: Float[Array, "6 h w"], residue: Float[Array, "3 h w"]
) -> Planes:
    """A faded prediction plus a residue."""
    return as_picture(_faded(mixed, means, motion[5]), residue)


def local_means(planes: Float[Array, "p h w"]) -> Float[Array, "p h w"]:
    """The means of squares of MEAN_CELL x MEAN_CELL samples, interpolated linearly; samples at the edge are repeated."""
    return _spread_rows(_row_means(planes), planes.shape[1])


@jax.jit
def _row_means(planes: Float[Array, "p h w"]) -> Float[Array, "p r w"]:
    """The means of squares, interpolated along columns: one row for each row of squares."""
    height, width = planes.shape[1:]
    whole = jnp.pad(planes, ((0, 0), (0, -height % MEAN_CELL), (0, -width % MEAN_CELL)), mode="edge")
    rows, columns = (size // MEAN_CELL for size in whole.shape[1:])
    means = whole.reshape(-1, rows, MEAN_CELL, columns, MEAN_CELL).mean(axis=(2, 4))
    return _between_entries(means, _changes(means, 2), 2, MEAN_CELL)[:, :, :width]


def _spread_rows(means: Float[Array, "p r w"], height: int) -> Float[Array, "p h w"]:
    return _between_entries(means, _changes(means, 1), 1, MEAN_CELL)[:, :height]


def to_rgb(planes: Float[Array, "*rest 3"]) -> Float[Array, "*rest 3"]:
    """R'G'B' of Y'CbCr, where Y' is zero for grey."""
    luma, blue, red = (planes[..., k] for k in range(3))
    # Not as a product of matrices, which takes six times as long on a CPU.
    samples = [luma * basis[0] + blue * basis[1] + red * basis[2] + GREY for basis in YCBCR_BASIS.T.tolist()]
    return jnp.stack(samples, axis=-1)
