"""Block matching: finds for each 8 x 8 pixels of a frame the places in its references that look like it.

Gradients move a flow by a pixel or two, so a fit must begin near the true motion. The search is exhaustive at a coarse scale and around the
motion of the whole picture at half scale, then follows candidates to full scale. A candidate's cost is its error and the bits of its
vector. Errors that a residue would repair count with the logarithm of their mean square, as the bits of a residue do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import median_filter

from inr.constants import MOTION_CELL

SCALES = (8, 4, 2, 1)  # by which pictures are reduced; all divide MOTION_CELL
WINDOWS = {8: 5, 4: 5, 2: 7, 1: 13}  # side of the square that is compared, in samples of each scale
REACH, REACH_AT_HALF = 10, 16  # of the exhaustive searches at scale 8, and the most at scale 2, in samples
NEAR_REACH, MORE_REACH = 4, 3  # of the search at scale 2, and for each frame of distance
BITS_OF_OCTAVE = 1.5  # bits of a vector's component for each octave of its difference from its neighbours
TOGETHER = 8  # predictions that are compared together: their errors stay in a CPU's cache
KNEE = 0.72  # the mean square error, divided by the rate weight, from which errors count with their logarithm: 1 / (2 * ln 2)

Grey = Float[np.ndarray, "h w"]
Field = Float[np.ndarray, "2 r c"]  # pixels down and to the right, for each block


@dataclass(frozen=True, eq=False)
class Scaled:
    """A picture whose size is padded to whole blocks, at every scale."""

    at: dict[int, Grey]

    @classmethod
    def of(cls, picture: Grey) -> "Scaled":
        """The scales of `picture`; its last row and column are repeated."""
        height, width = picture.shape
        whole = np.pad(picture, ((0, -height % MOTION_CELL), (0, -width % MOTION_CELL)), mode="edge")
        rows, columns = whole.shape
        return cls({by: whole.reshape(rows // by, by, columns // by, by).mean(axis=(1, 3)) for by in SCALES})


def cost_of(error: Float[np.ndarray, "*shape"], rate_weight: float) -> Float[np.ndarray, "*shape"]:
    """The cost of a mean square error that a residue may repair: linear up to the knee, then logarithmic."""
    knee = KNEE * rate_weight
    return np.where(error > knee, knee * (1 + np.log(np.maximum(error, 1e-12) / knee)), error)


def vector_bits(difference: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The expected bits of a component of a vector that differs from its neighbours by `difference` pixels."""
    return np.float32(BITS_OF_OCTAVE) * np.log2(1 + 2 * np.abs(difference))


def smooth(field: Field) -> Field:
    """The median of each 3 x 3 vectors."""
    return np.stack([median_filter(component, 3, mode="nearest") for component in field])


def read(picture: Grey, y: Int[np.ndarray, "h w"], x: Int[np.ndarray, "h w"]) -> Grey:
    """The samples at (y, x); a place outside gives the nearest edge."""
    height, width = picture.shape
    return picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]


class Search:
    """The best vectors of a frame at one scale so far, with the other references' predictions fixed."""

    def __init__(self, frame: Scaled, scale: int, rate_weight: float, expected: Float[np.ndarray, "2 #r #c"]):
        self.picture, self.scale, self.rate_weight, self.expected = frame.at[scale], scale, rate_weight, expected
        self.side, (height, width) = MOTION_CELL // scale, self.picture.shape
        blocks = (height // self.side, width // self.side)
        self.found, self.cost = np.zeros((2, *blocks), np.float32), np.full(blocks, np.inf, np.float32)
        self.y, self.x = np.indices(self.picture.shape)

    def wide(self, blocks: Int[np.ndarray, "r c"]) -> Int[np.ndarray, "h w"]:
        """A value for each sample from that of its block."""
        return np.repeat(np.repeat(blocks, self.side, 0), self.side, 1)

    def predicted(self, reference: Scaled, vectors: Int[np.ndarray, "2 r c"]) -> Grey:
        """The samples of `reference` at whole `vectors`, in samples of this scale."""
        return read(reference.at[self.scale], self.y + self.wide(vectors[0]), self.x + self.wide(vectors[1]))

    def errors(self, predictions: Float[np.ndarray, "*n h w"]) -> Float[np.ndarray, "*n r c"]:
        """The mean square error of each block, in a window around its centre."""
        squares, window = np.square(self.picture - predictions), WINDOWS[self.scale]
        return window_means(window_means(squares, self.side, window, -2), self.side, window, -1)

    def consider(self, vectors: Int[np.ndarray, "*n 2 #r #c"], predictions: Float[np.ndarray, "*n h w"]) -> None:
        """Keep those of `vectors` that cost less than the best ones before; perhaps several of them for each block."""
        pixels = vectors * np.float32(self.scale)
        bits = vector_bits(pixels - self.expected).sum(axis=-3)
        cost = cost_of(self.errors(predictions), self.rate_weight) + self.rate_weight * bits / MOTION_CELL**2
        if cost.ndim == 3:
            best = np.argmin(cost, axis=0)[None]
            every = np.broadcast_to(pixels, (*pixels.shape[:2], *cost.shape[1:]))
            cost, pixels = np.take_along_axis(cost, best, 0)[0], np.take_along_axis(every, best[:, None], 0)[0]
        better = cost < self.cost
        self.cost = np.where(better, cost, self.cost)
        self.found = np.where(better, pixels, self.found)


def window_means(values: Float[np.ndarray, "*shape"], side: int, window: int, axis: int) -> Float32[np.ndarray, "*means"]:
    """The means of `window` samples around the centre of every `side` samples along an axis; edges are repeated.

    Sums of slices need no threads of their own, unlike matrix products, whose threads would wait for those of JAX.
    """
    values = np.moveaxis(values, axis, 0)
    padded = np.pad(values, [(window // 2, window // 2)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    last = len(values) - side + 1
    starts = range(side // 2, side // 2 + window)
    found = padded[starts[0] : starts[0] + last : side].astype(np.float32)
    for start in starts[1:]:
        found += padded[start : start + last : side]
    return np.moveaxis(found / np.float32(window), 0, axis)


def exhaustive(frame: Scaled, reference: Scaled, scale: int, rate_weight: float, centre: tuple[int, int], reach: int) -> Field:
    """The best vector of each block among those that differ from `centre` by up to `reach` samples."""
    search = Search(frame, scale, rate_weight, scale * np.array(centre, np.float32)[:, None, None])
    border = reach + max(map(abs, centre))
    around, (height, width) = np.pad(reference.at[scale], border, mode="edge"), search.picture.shape
    shifts = np.arange(-reach, reach + 1)
    vectors = np.zeros((len(shifts), 2, 1, 1), int)
    vectors[:, 1, 0, 0] = centre[1] + shifts
    for dy in (centre[0] + shifts).tolist():
        vectors[:, 0] = dy
        beside = sliding_window_view(around[border + dy : border + dy + height], width, axis=1)
        predictions = np.moveaxis(beside[:, border + centre[1] - reach :], 1, 0)
        for first in range(0, len(shifts), TOGETHER):
            part = slice(first, min(first + TOGETHER, len(shifts)))
            search.consider(vectors[part], predictions[part])
    return search.found


def refined(
    search: Search, references: Sequence[Scaled], fields: Sequence[Field], which: int, reach: int, candidates: Iterable[Field]
) -> Field:
    """A better field for the reference number `which`, near the one in `fields`; the frame is the mean of all references' predictions."""
    scale, count = search.scale, len(references)
    others = sum(search.predicted(references[k], whole(fields[k], scale)) for k in range(count) if k != which)
    start = whole(fields[which], scale)
    near = [start + np.array([dy, dx])[:, None, None] for dy, dx in product(range(-reach, reach + 1), repeat=2)]
    beside = [np.roll(start, shift, axis) for axis in (1, 2) for shift in (-1, 1)]
    for vectors in (*near, *beside, *(whole(field, scale) for field in (search.expected, *candidates))):
        search.consider(vectors, (others + search.predicted(references[which], vectors)) / count)
    return search.found


def whole(field: Field, scale: int) -> Int[np.ndarray, "2 r c"]:
    """The vectors of `field` in whole samples of a scale."""
    return np.rint(field / scale).astype(int)


def field_of(frame: Scaled, reference: Scaled, rate_weight: float, distance: int) -> Field:
    """The motion from a frame to one reference, `distance` frames away."""
    field = exhaustive(frame, reference, 8, rate_weight, (0, 0), REACH)
    centre = whole(np.median(field, axis=(1, 2)), 2)
    at_half = exhaustive(
        frame, reference, 2, rate_weight, (int(centre[0]), int(centre[1])), min(NEAR_REACH + MORE_REACH * distance, REACH_AT_HALF)
    )
    still = np.zeros_like(field)
    for scale, reach in ((4, 2), (4, 1), (2, 2), (2, 1), (1, 2), (1, 1)):
        field = refined(Search(frame, scale, rate_weight, smooth(field)), [reference], [field], 0, reach, (still, at_half))
    return field


def fields_of(
    frame: Grey, references: Sequence[Grey], rate_weight: float, starts: Sequence[Field]
) -> tuple[list[Field], Float[np.ndarray, "r c"], list[Float[np.ndarray, "r c"]]]:
    """The motion to each of one or two references, and the cost of each block with all references, and with each reference alone.

    `starts` has the motion near which it is searched.
    """
    scaled, others = Scaled.of(frame), [Scaled.of(reference) for reference in references]
    searches = [Search(scaled, 1, rate_weight, smooth(start)) for start in starts]
    fields = [
        refined(search, [reference], [start], 0, 1, (np.zeros_like(start),))
        for search, reference, start in zip(searches, others, starts, strict=True)
    ]
    alone = [search.cost for search in searches]
    if len(references) == 1:
        return fields, alone[0], alone
    cost = alone[0]
    for reach, expected in ((2, lambda k: smooth(-fields[1 - k])), (1, lambda k: smooth(fields[k]))):
        for which in (0, 1):
            search = Search(scaled, 1, rate_weight, expected(which))
            fields[which] = refined(search, others, fields, which, reach, (-fields[1 - which],))
            cost = search.cost
    return fields, cost, alone


def quarters(values: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "r side c side"]:
    """`values` in blocks of `side` x `side`."""
    return values.reshape(values.shape[0] // side, side, values.shape[1] // side, side)
