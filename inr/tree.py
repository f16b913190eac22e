"""The network of a tree of frames: each frame is a mix of its references, read through flows, plus a residue in wavelet bands.

All that differs from frame to frame is in two rows of integers: the bands of Y'CbCr samples, and the bands of six planes of motion: a flow
(rows, columns) for each of two references, the logit of the mix, and the logit of the fade. An entry of motion covers 8 x 8 pixels; the
planes are coordinate-aware modulation of what a frame reads. Context models code all integers (see `codec.band_contexts`). Between two
entries, flows are interpolated where they are similar. At the edge of a moving object they are not, so the motion of the object and of its
background do not mix. References are float pictures, which are never rounded.
"""

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

    `keeps_means` is that of `inr.spec.FrameTree`.
    """
    bands = sample_bands_of(*size, tensors.bands.shape[-1])
    residue = planes_of(bands, tensors.bands) * jnp.exp2(tensors.log_step)
    planes = jnp.moveaxis(residue, 0, -1)[: size[0], : size[1]]
    if not references:
        return planes
    return planes + prediction(motion_of(size, tensors.motion, tensors.pan), references, keeps_means)


def planes_of(layout: BandLayout, coefficients: Float[Array, " n"], haar: bool = False) -> Float[Array, "p h w"]:
    """The planes whose bands `coefficients` holds, in the units of the coefficients."""
    coarse, *details = (coefficients[group.place].reshape(group.shape) for group in layout.groups)
    return synthesis(coarse[:, 0] * COARSE_MOTION if haar else coarse[:, 0], details, haar)


def motion_of(size: tuple[int, int], symbols: Float[Array, " m"], pan: Float[Array, "4"]) -> Float[Array, "6 h w"]:
    """The six planes of motion for every pixel: flows in pixels, logits."""
    entries = planes_of(motion_bands(*size), symbols, haar=True) * UNITS
    entries = entries.at[:4].add(pan[:, None, None])
    return spread(spread(entries, 2)[:, :, : size[1]], 1)[:, : size[0]]


def spread(entries: Float[Array, "6 h w"], axis: int) -> Float[Array, "6 _ _"]:
    """MOTION_CELL samples for each entry along an axis: interpolated linearly where the flows of two entries differ by less than JOINED."""
    change = _changes(entries, axis)
    similar = [jnp.max(jnp.abs(change[at : at + 2]), axis=0, keepdims=True) < JOINED for at in (0, 2)]
    one = jnp.ones_like(similar[0])
    change = change * lax.stop_gradient(jnp.concatenate([similar[0], similar[0], similar[1], similar[1], one, one]))
    return _between_entries(entries, change, axis, MOTION_CELL)


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


def prediction(motion: Float[Array, "6 h w"], references: list[Doubled], keeps_means: bool) -> Planes:
    """The mix of the references, each read through its flow, whose details are multiplied by the fade; without `keeps_means`, all of it."""
    rows, columns = (jnp.arange(size, dtype=jnp.float32) for size in motion.shape[1:])
    places = [(2 * (columns + motion[2 * k + 1]), 2 * (rows[:, None] + motion[2 * k])) for k in range(len(references))]
    read = [between(corners(reference, *place)) for reference, place in zip(references, places, strict=True)]
    mixed = read[0]
    if len(read) == 2:
        mixed = read[1] + (read[0] - read[1]) * jax.nn.sigmoid(motion[4])[..., None]
    if not keeps_means:
        return mixed * jax.nn.sigmoid(motion[5] + FADE_BIAS)[..., None]
    return jnp.moveaxis(faded(jnp.moveaxis(mixed, -1, 0), motion[5]), 0, -1)


def faded(mixed: Float[Array, "p h w"], fade: Float[Array, "h w"]) -> Float[Array, "p h w"]:
    """A prediction whose details, which are its difference from its local means, are multiplied by the fade."""
    means = local_means(mixed)
    return means + (mixed - means) * jax.nn.sigmoid(fade + FADE_BIAS)


def local_means(planes: Float[Array, "p h w"]) -> Float[Array, "p h w"]:
    """The means of squares of MEAN_CELL x MEAN_CELL samples, interpolated linearly; samples at the edge are repeated."""
    height, width = planes.shape[1:]
    whole = jnp.pad(planes, ((0, 0), (0, -height % MEAN_CELL), (0, -width % MEAN_CELL)), mode="edge")
    rows, columns = (size // MEAN_CELL for size in whole.shape[1:])
    means = whole.reshape(-1, rows, MEAN_CELL, columns, MEAN_CELL).mean(axis=(2, 4))
    columns = _between_entries(means, _changes(means, 2), 2, MEAN_CELL)[:, :, :width]
    return _between_entries(columns, _changes(columns, 1), 1, MEAN_CELL)[:, :height]


def to_rgb(planes: Float[Array, "*rest 3"]) -> Float[Array, "*rest 3"]:
    """R'G'B' of Y'CbCr, where Y' is zero for grey."""
    return jnp.matmul(planes, jnp.asarray(YCBCR_BASIS), precision="highest") + GREY
