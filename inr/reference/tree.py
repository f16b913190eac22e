"""Frames of network 7, a tree of frames (codec/FORMAT.md, "Rendering", steps a to d of network 7).

Planes are float32 (planes, rows, columns).
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil, floor

import numpy as np
from jaxtyping import Float

from inr.bands import BandLayout, motion_bands, sample_bands_of
from inr.cores import usable_cores
from inr.frame_tree import TreeFrame, needed
from inr.pixels import Frame
from inr.reference.operations import Picture, bilinear, doubled, sigmoid, to_levels
from inr.spec import FrameTree, NetworkSpec, VideoSpec

Tensors = Mapping[str, np.ndarray]
Planes = Float[np.ndarray, "p h w"]
Join = Callable[[Planes, Planes, int], Planes]
LOW, HIGH, ROOT = np.float32(0.8773746), np.float32(1.1270437), np.float32(0.5**0.5)
LIFTING = tuple(map(np.float32, (0.443506852, 0.882911076, -0.052980118, -1.586134342)))  # in the order of their use
CELL, JOINED = 8, 2.03125


def tree_frames(spec: NetworkSpec, video: VideoSpec, tensors: Tensors, wanted: Sequence[float]) -> Iterator[tuple[int, Frame]]:
    """The frames at `wanted`, each with its place in `wanted`. A number between two frames gives their weighted mean."""
    tree = spec.frame_input
    assert isinstance(tree, FrameTree)
    ends = {end for number in wanted for end in (floor(number), ceil(number))}
    kept = dict[int, Picture]()
    places = sorted(range(len(wanted)), key=lambda at: ceil(wanted[at]))
    for index, planes in _decoded(tree, video, tensors, ends):
        kept[index] = planes
        for at in [at for at in places if {floor(wanted[at]), ceil(wanted[at])} <= kept.keys()]:
            first, last, share = kept[floor(wanted[at])], kept[ceil(wanted[at])], np.float32(wanted[at] % 1)
            yield at, to_levels(_to_rgb(first + (last - first) * share if share else first))
            places.remove(at)
        in_use = {end for at in places for end in (floor(wanted[at]), ceil(wanted[at]))}
        kept = {number: picture for number, picture in kept.items() if number in in_use}


def _decoded(tree: FrameTree, video: VideoSpec, tensors: Tensors, wanted: set[int]) -> Iterator[tuple[int, Picture]]:
    """The planes Y', Cb, Cr of each frame of `wanted`, in the order of decoding.

    Frames that do not read each other are decoded side by side. A frame waits for its references, which started before it.
    """
    order = needed(video.frames, tree.distance, wanted)
    last_use = {index: at for at, frame in enumerate(order) for index in (frame.index, *frame.references)}
    started, waiting, cores = dict[int, Future[tuple[Picture, Picture | None]]](), deque[int](), usable_cores()

    def decoded(frame: TreeFrame, references: list[Future], is_read: bool) -> tuple[Picture, Picture | None]:
        planes = _frame(tree, video, tensors, frame, [future.result()[1] for future in references])
        return planes, doubled(planes) if is_read else None

    with ThreadPoolExecutor(cores) as pool:
        for at, frame in enumerate(order):
            references = [started[index] for index in frame.references]
            started[frame.index] = pool.submit(decoded, frame, references, last_use[frame.index] > at)
            waiting.append(frame.index)
            started = {index: future for index, future in started.items() if last_use[index] > at or index in waiting}
            while waiting and (len(waiting) > cores or at == len(order) - 1):
                index = waiting.popleft()
                planes = started[index].result()[0]
                if index in wanted:
                    yield index, planes


def _frame(tree: FrameTree, video: VideoSpec, tensors: Tensors, frame: TreeFrame, references: Sequence[Picture]) -> Picture:
    """The planes of a frame (h w 3), from its doubled references."""
    with np.errstate(all="ignore"):
        height, width = video.height, video.width
        bands, motion, step, pan = (tensors[name][frame.index] for name in ("bands", "motion", "steps", "pans"))
        residue = planes_of(sample_bands_of(height, width, len(bands)), bands, join_97)[:, :height, :width] * np.exp2(step)
        if references:
            entries = planes_of(motion_bands(height, width), motion, join_haar, 4.0)
            entries[:4] = entries[:4] * np.float32(0.5) + pan[:, None, None]
            entries[4:] *= 2
            planes = spread(spread(entries, 2, True)[..., :width], 1, True)[:, :height]
            residue += _prediction(planes, references, tree.keeps_means)
        return np.ascontiguousarray(np.moveaxis(residue, 0, -1))


def planes_of(layout: BandLayout, coefficients: np.ndarray, join: Join, coarse_unit: float = 1.0) -> Planes:
    """Step a: the planes whose bands `coefficients` holds; those of coarse bands are in units of `coarse_unit`."""
    coarse, *details = (coefficients[group.place].reshape(group.shape) for group in layout.groups)
    planes = coarse[:, 0] * coarse_unit
    for octave in details:
        whole = np.zeros((len(planes), *octave.shape[1:]), np.float32)
        whole[: len(octave)] = octave
        planes = join(join(planes, whole[:, 0], 2), join(whole[:, 1], whole[:, 2], 2), 1)
    return planes


def join_97(low: Planes, high: Planes, axis: int) -> Planes:
    """CDF 9/7 along an axis, by lifting."""
    even, odd = low * LOW, high * HIGH
    first, last, others, before = (_along(axis, *ends) for ends in ((0, 1), (-1, None), (1, None), (0, -1)))
    for index, weight in enumerate(LIFTING):
        if index % 2:
            sums = even.copy()
            sums[before] += even[others]
            sums[last] += even[last]
            odd -= weight * sums
        else:
            sums = odd.copy()
            sums[others] += odd[before]
            sums[first] += odd[first]
            even -= weight * sums
    return _interleaved(even, odd, axis)


def join_haar(low: Planes, high: Planes, axis: int) -> Planes:
    """Haar's wavelet along an axis."""
    return _interleaved((low + high) * ROOT, (low - high) * ROOT, axis)


def _interleaved(even: Planes, odd: Planes, axis: int) -> Planes:
    out = np.empty([size * (1 + (axis == other)) for other, size in enumerate(even.shape)], np.float32)
    out[(slice(None),) * axis + (slice(0, None, 2),)], out[(slice(None),) * axis + (slice(1, None, 2),)] = even, odd
    return out


def _along(axis: int, start: int, stop: int | None) -> tuple[slice, ...]:
    """The entries from `start` to `stop` along an axis."""
    return (slice(None),) * axis + (slice(start, stop),)


def spread(entries: Planes, axis: int, joined: bool) -> Planes:
    """Step b: CELL samples for each entry along an axis. With `joined`, flows that differ much are not interpolated."""
    along = np.moveaxis(entries, axis, 0)  # (n, planes, other)
    change = np.diff(along, axis=0)
    if joined:
        for first in (0, 2):
            change[:, first : first + 2] *= np.max(np.abs(change[:, first : first + 2]), axis=1, keepdims=True) < JOINED
    zero = np.zeros_like(along[:1])
    to_next, from_last = np.concatenate([change, zero]), np.concatenate([zero, change])
    out = np.empty((len(along), CELL, *along.shape[1:]), np.float32)
    for i in range(CELL):
        place = np.float32((i + 0.5) / CELL - 0.5)
        out[:, i] = along + place * (to_next if place > 0 else from_last)
    return np.moveaxis(out.reshape(-1, *along.shape[1:]), 0, axis)


def _prediction(planes: Planes, references: Sequence[Picture], keeps_means: bool) -> Planes:
    """Step c: the mix of the doubled `references`, faded."""
    height, width = planes.shape[1:]
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    read = [bilinear(reference, 2 * (rows + planes[2 * k]), 2 * (columns + planes[2 * k + 1])) for k, reference in enumerate(references)]
    mixed = read[0] if len(read) == 1 else read[1] + (read[0] - read[1]) * sigmoid(planes[4])[..., None]
    mixed, fade = np.moveaxis(mixed, -1, 0), sigmoid(4 + planes[5])
    if not keeps_means:
        return mixed * fade
    whole = np.pad(mixed, ((0, 0), (0, -height % CELL), (0, -width % CELL)), "edge")
    means = whole.reshape(3, whole.shape[1] // CELL, CELL, whole.shape[2] // CELL, CELL).mean(axis=(2, 4))
    means = spread(spread(means, 2, False)[..., :width], 1, False)[:, :height]
    return means + (mixed - means) * fade


def _to_rgb(planes: Picture) -> Picture:
    """Step d: R'G'B' of Y'CbCr."""
    luma, blue, red = (planes[..., k] for k in range(3))
    half = np.float32(0.5)
    green = half + luma - np.float32(0.344136) * blue - np.float32(0.714136) * red
    return np.stack([half + luma + np.float32(1.402) * red, green, half + luma + np.float32(1.772) * blue], axis=-1)
