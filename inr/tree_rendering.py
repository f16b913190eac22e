"""Renders frames of a tree: decodes the frames that are needed, each one once, and keeps those that later ones read."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from inr.frame_tree import TreeFrame, needed
from inr.levels import to_levels
from inr.pixels import CHANNELS, Frames
from inr.spec import FrameTree, VideoSpec
from inr.tree import Doubled, FrameTensors, Planes, decoded_frame, to_rgb
from inr.warp import doubled


@jax.jit
def as_reference(planes: Planes) -> Doubled:
    """The planes of a frame as later frames read them."""
    return doubled(planes)


@jax.jit
def _levels(planes: Planes) -> UInt8[Array, "h w 3"]:
    return to_levels(to_rgb(planes))


@jax.jit
def _blended(first: Planes, second: Planes, share: Float[Array, ""]) -> UInt8[Array, "h w 3"]:
    return to_levels(to_rgb(first + (second - first) * share))


def decoded_frames(
    tree: FrameTree, video: VideoSpec, tensors: Mapping[str, np.ndarray | Array], wanted: set[int]
) -> Iterator[tuple[int, Planes]]:
    """The planes of each frame of `wanted`, with its index, in the order of decoding."""
    order, size = needed(video.frames, tree.distance, wanted), (video.height, video.width)
    last_use = {index: at for at, frame in enumerate(order) for index in (frame.index, *frame.references)}
    kept: dict[int, Doubled] = {}
    for at, frame in enumerate(order):
        planes = decoded_frame(size, _rows(tensors, frame), [kept[index] for index in frame.references], tree.keeps_means)
        if last_use[frame.index] > at:
            kept[frame.index] = as_reference(planes)
        if frame.index in wanted:
            yield frame.index, planes
        kept = {index: picture for index, picture in kept.items() if last_use[index] > at}


def _rows(tensors: Mapping[str, np.ndarray | Array], frame: TreeFrame) -> FrameTensors:
    return FrameTensors(*(jnp.asarray(tensors[name][frame.index]) for name in ("bands", "motion", "steps", "pans")))


def render_tree(tree: FrameTree, video: VideoSpec, tensors: Mapping[str, np.ndarray | Array], wanted: Sequence[float]) -> Frames:
    """The frames at `wanted` as uint8 R'G'B' (t h w 3). A frame between two indices is the weighted mean of the two frames."""
    places: dict[int, list[tuple[int, float]]] = {}
    for at, index in enumerate(wanted):
        places.setdefault(floor(index), []).append((at, index - floor(index)))
    out = np.empty((len(wanted), video.height, video.width, CHANNELS), np.uint8)
    later = {ceil(index) for index in wanted if index % 1}
    waiting: dict[int, Planes] = {}
    for index, planes in decoded_frames(tree, video, tensors, {*places, *later}):
        if later or any(share for _, share in places.get(index, ())):
            waiting[index] = planes
        for at, share in places.get(index, ()):
            if share == 0:
                out[at] = np.asarray(_levels(planes))
    for index, uses in places.items():
        for at, share in uses:
            if share:
                out[at] = np.asarray(_blended(waiting[index], waiting[index + 1], jnp.float32(share)))
    return out
