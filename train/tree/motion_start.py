"""The motion with which the fit of a frame begins: flows from block matching, and where the frame reads one reference only, or none."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter

from inr.bands import MOTION_PLANES
from inr.constants import MOTION_CELL
from train.tree.matching import Field, Grey, cost_of, fields_of
from train.tree.merging import Pictures, merged, parted, refined

ONE_REFERENCE, FADED = 4.0, -8.0  # logits where only one reference is read, and where none is
MODE_BITS = 70.0  # of a change of a logit, for a block of 8 x 8 pixels
DETAIL_WINDOW, BLOCK_WINDOW = 9, 13  # pixels: of the mean that is no detail, and of the mean energy of details
LESS_COST = 0.85  # of a residue without predicted details, as such a residue is smooth where it can be: measured on bits

Blocks = Float[np.ndarray, "r c"]


def matched_motion(frame: Grey, references: Sequence[Grey], rate_weight: float, starts: Sequence[Field]) -> Float[np.ndarray, "6 r c"]:
    """The planes of motion for the blocks of a frame, with no fade: flows in pixels (down, right) for each reference, and the mix.

    `starts` has the motion near which it is searched, for each reference.
    """
    fields, both, alone = fields_of(frame, [reference[::2, ::2] for reference in references], rate_weight, starts)
    pictures = Pictures(frame, [parted(reference) for reference in references], rate_weight)
    fields, sides = merged(pictures, fields)
    found, (rows, columns) = np.zeros((MOTION_PLANES, *both.shape)), both.shape
    if len(references) == 1:
        fields = refined(pictures, fields, sides, np.ones((1, *sides.shape)))
        found[:2] = fields[0][:, :rows, :columns]
        return found
    mix = np.zeros_like(both)
    costs, bits = [cost_of(cost, rate_weight) for cost in (both, *alone)], rate_weight * MODE_BITS / MOTION_CELL**2
    for side in (4, 2, 1):
        now = np.select([mix > 0, mix < 0], [costs[1], costs[2]], costs[0])
        kept, first, second = (block_means(cost, side) for cost in (now, costs[1], costs[2]))
        price = bits / side**2
        mix = np.select([(first + price < kept) & (first <= second), second + price < kept], [ONE_REFERENCE, -ONE_REFERENCE], mix)
    first = pictures.padded(np.select([mix > 0, mix < 0], [1.0, 0.0], 0.5))
    fields = refined(pictures, fields, sides, np.stack([first, 1 - first]))[:, :, :rows, :columns]
    found[:2], found[2:4], found[4] = filled(fields[0], mix >= 0), filled(fields[1], mix <= 0), mix
    return found


def fades(faded: Grey, kept: Grey, rate_weight: float) -> Blocks:
    """The logit of the fade for each block, from the residues of a prediction that is `faded` everywhere, and of one that is `kept`."""
    without, with_details = (cost_of(details(residue), rate_weight) for residue in (faded, kept))
    found = np.zeros_like(without)
    for side in (4, 2):
        price = rate_weight * MODE_BITS / (MOTION_CELL * side) ** 2
        found = np.where(LESS_COST * block_means(without, side) + price < block_means(with_details, side), FADED, found)
    return found


def details(picture: Grey) -> Blocks:
    """The mean square of what a picture has beyond its local mean, for each block."""
    height, width = picture.shape
    picture = np.pad(picture, ((0, -height % MOTION_CELL), (0, -width % MOTION_CELL)), mode="edge")
    energy = uniform_filter(np.square(picture - uniform_filter(picture, DETAIL_WINDOW)), BLOCK_WINDOW)
    return energy[MOTION_CELL // 2 :: MOTION_CELL, MOTION_CELL // 2 :: MOTION_CELL]


def block_means(values: Blocks, side: int) -> Blocks:
    """The mean of every `side` x `side` blocks, for each of them."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % side), (0, -columns % side)), mode="edge")
    means = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side).mean(axis=(1, 3))
    return np.repeat(np.repeat(means, side, 0), side, 1)[:rows, :columns]


def filled(field: Field, used: Bool[np.ndarray, "r c"]) -> Field:
    """`field`, where unused blocks get the mean of the used ones in the smallest square around them that has any; zero if none has."""
    if used.all() or not used.any():
        return field if used.any() else np.zeros_like(field)
    found, missing, side = field.copy(), ~used, 1
    weight = used.astype(float)
    while missing.any():
        side *= 2
        share = block_means(weight, side)
        means = np.stack([block_means(component * weight, side) for component in field]) / np.maximum(share, 1e-9)
        now = missing & (share > 0)
        found, missing = np.where(now, means, found), missing & ~now
    return found
