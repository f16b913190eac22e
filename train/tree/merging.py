"""Merges blocks whose motion is alike, and refines the vectors of merged blocks to quarter pixels.

Blocks are merged in a quadtree where one vector costs less than four: Haar's transform codes merged blocks with few symbols. Gradients move
a flow slowly, so a fit begins with places between pixels already.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from inr.constants import MOTION_CELL
from train.tree.matching import Field, Grey, cost_of, quarters, read, smooth, vector_bits

LEAF_BITS = 100.0  # of the vectors of a block that is not merged, for two references
REFINED_BITS = 4.0  # of a vector that is no longer a whole number of pixels, or no longer its neighbour's
LARGEST_BLOCK = 64  # pixels
PARTS = 4  # places in a pixel, along each axis, that vectors can name
STEPS = (1.0, 0.5, 0.25)  # pixels by which vectors are refined, in this order

Blocks = Float[np.ndarray, "r c"]


def parted(doubled: Float[np.ndarray, "m n"]) -> Grey:
    """The samples of a reference at every quarter of a pixel, from those at every half, as a decoder reads them."""
    found = doubled
    for axis in (0, 1):
        shape = list(found.shape)
        shape[axis] = 2 * shape[axis] - 1
        wide, before, after = np.empty(shape, np.float32), np.delete(found, -1, axis), np.delete(found, 0, axis)
        every, between = ((slice(None),) * axis + (slice(start, None, 2),) for start in (0, 1))
        wide[every], wide[between] = found, (before + after) / 2
        found = wide
    return found


class Pictures:
    """A frame, and its references at every quarter of a pixel. Costs are those of errors that a residue may repair."""

    def __init__(self, frame: Grey, references: Sequence[Grey], rate_weight: float):
        height, width = frame.shape
        pad = ((0, -height % LARGEST_BLOCK), (0, -width % LARGEST_BLOCK))
        self.frame, self.references, self.rate_weight = np.pad(frame, pad, mode="edge"), references, rate_weight
        self.y, self.x = (PARTS * axis for axis in np.indices(self.frame.shape))

    def padded(self, blocks: Float[np.ndarray, "*n r c"]) -> Float[np.ndarray, "*n r c"]:
        """Values of blocks, for all blocks of the padded frame."""
        rows, columns = (size // MOTION_CELL for size in self.frame.shape)
        extra = [(0, 0)] * (blocks.ndim - 2) + [(0, rows - blocks.shape[-2]), (0, columns - blocks.shape[-1])]
        return np.pad(blocks, extra, mode="edge")

    def predicted(self, which: int, vectors: Field) -> Grey:
        """The samples of a reference, read through vectors in pixels."""
        side = self.frame.shape[0] // vectors.shape[1]
        down, right = wide(np.rint(PARTS * vectors).astype(int), side)
        return read(self.references[which], self.y + down, self.x + right)

    def costs(self, errors: Grey) -> Blocks:
        """The cost of each block of MOTION_CELL pixels, summed over pixels."""
        return cost_of(quarters(np.square(errors), MOTION_CELL).mean(axis=(1, 3)), self.rate_weight) * MOTION_CELL**2


def wide(blocks: Float[np.ndarray, "*n r c"], side: int) -> Float[np.ndarray, "*n h w"]:
    """Values of blocks, for all of their `side` x `side` entries."""
    return np.repeat(np.repeat(blocks, side, -2), side, -1)


def merged(pictures: Pictures, fields: Sequence[Field]) -> tuple[Float[np.ndarray, "k 2 r c"], Int[np.ndarray, "r c"]]:
    """`fields`, with one set of vectors for each block of 16, 32 or 64 pixels where it costs less than those of its four quarters.

    The second array has the sides of the merged blocks, in pixels. Both are those of the padded frame.
    """
    count, rate_weight = len(fields), pictures.rate_weight
    vectors = pictures.padded(np.stack(list(fields)))
    rows, columns = vectors.shape[2:]

    def errors(vectors: Float[np.ndarray, "k 2 r c"], side: int) -> Blocks:
        predicted = sum(pictures.predicted(which, field) for which, field in enumerate(vectors))
        return quarters(pictures.costs(pictures.frame - predicted / count), side // MOTION_CELL).sum(axis=(1, 3))

    def bits(vectors: Float[np.ndarray, "k 2 r c"], expected: Float[np.ndarray, "k 2 r c"]) -> Blocks:
        return LEAF_BITS / 2 * count + vector_bits(vectors - expected).sum(axis=(0, 1)) / 2

    expected = np.stack([smooth(field) for field in vectors])
    cost = errors(vectors, MOTION_CELL) + rate_weight * bits(vectors, expected)
    result, sides, side = vectors.copy(), np.full((rows, columns), MOTION_CELL), MOTION_CELL
    while side < LARGEST_BLOCK:
        side *= 2
        times = side // MOTION_CELL
        parts = vectors.reshape(count, 2, rows // times, 2, columns // times, 2)
        middle = np.median(parts.transpose(0, 1, 2, 4, 3, 5).reshape(*parts.shape[:3], parts.shape[4], 4), axis=-1)
        cost, best, changed = quarters(cost, 2).sum(axis=(1, 3)), middle.copy(), np.zeros(middle.shape[2:], bool)
        for choice in (np.zeros_like(middle), *(parts[:, :, :, i, :, j] for i, j in product((0, 1), repeat=2)), middle):
            of_choice = errors(choice, side) + rate_weight * bits(choice, middle)
            better = of_choice < cost
            cost, best, changed = np.where(better, of_choice, cost), np.where(better, choice, best), changed | better
        of_blocks = wide(changed, times)
        result, sides = np.where(of_blocks, wide(best, times), result), np.where(of_blocks, side, sides)
        vectors = best
    return result, sides


def refined(
    pictures: Pictures, fields: Float[np.ndarray, "k 2 r c"], sides: Int[np.ndarray, "r c"], shares: Float[np.ndarray, "k r c"]
) -> Float[np.ndarray, "k 2 r c"]:
    """`fields` with better vectors, up to two pixels away, for each merged block. References are mixed by `shares`."""

    def of_merged(costs: Blocks) -> Blocks:
        found = costs
        for side in (2, 4, 8):
            sums = wide(quarters(costs, side).sum(axis=(1, 3)), side)
            found = np.where(sides == side * MOTION_CELL, sums, found)
        return found

    found, weights = fields.copy(), [wide(share, MOTION_CELL) for share in shares]
    parts = [weight * pictures.predicted(which, field) for which, (weight, field) in enumerate(zip(weights, found, strict=True))]
    for which in range(len(fields)):
        rest = pictures.frame - sum(part for other, part in enumerate(parts) if other != which)
        cost, price = of_merged(pictures.costs(rest - parts[which])), pictures.rate_weight * REFINED_BITS
        for step in STEPS:
            centre = found[which].copy()
            for move in product((-step, 0, step), repeat=2):
                if any(move):
                    trial = centre + np.array(move)[:, None, None]
                    of_trial = of_merged(pictures.costs(rest - weights[which] * pictures.predicted(which, trial))) + price
                    better = of_trial < cost
                    cost, found[which] = np.where(better, of_trial, cost), np.where(better, trial, found[which])
        parts[which] = weights[which] * pictures.predicted(which, found[which])
    return found
