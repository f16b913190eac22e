"""The motion with which the fit of a frame begins: flows from block matching, and where the frame reads one reference only, or none."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter

from inr.bands import MOTION_PLANES
from inr.constants import MOTION_CELL
from train.tree.matching import Field, Grey, cost_of, fields_of, merged

ONE_REFERENCE, FADED = 4.0, -8.0  # logits where only one reference is read, and where none is
MODE_BITS = 100.0  # of a change of a logit, for a block of 8 x 8 pixels
DETAIL_WINDOW, BLOCK_WINDOW = 9, 13  # pixels: of the mean that is no detail, and of the mean energy of details
MORE_DETAIL = 1.5  # a frame's own detail counts so many times against that of the residue

Blocks = Float[np.ndarray, "r c"]


def matched_motion(frame: Grey, references: Sequence[Grey], rate_weight: float, distances: Sequence[int]) -> Float[np.ndarray, "6 r c"]:
    """The planes of motion for the blocks of a frame, with no fade: flows in pixels (down, right) for each reference, and the mix.

    `distances` are the numbers of frames to the references.
    """
    fields, both, alone = fields_of(frame, references, rate_weight, distances)
    fields = merged(frame, references, fields, rate_weight)
    found = np.zeros((MOTION_PLANES, *both.shape))
    if len(references) == 1:
        found[:2] = fields[0]
        return found
    mix = np.zeros_like(both)
    costs, bits = [cost_of(cost, rate_weight) for cost in (both, *alone)], rate_weight * MODE_BITS / MOTION_CELL**2
    for side in (4, 2, 1):
        now = np.select([mix > 0, mix < 0], [costs[1], costs[2]], costs[0])
        kept, first, second = (block_means(cost, side) for cost in (now, costs[1], costs[2]))
        price = bits / side**2
        mix = np.select([(first + price < kept) & (first <= second), second + price < kept], [ONE_REFERENCE, -ONE_REFERENCE], mix)
    found[:2], found[2:4], found[4] = filled(fields[0], mix >= 0), filled(fields[1], mix <= 0), mix
    return found


def fades(frame: Grey, residue: Grey, rate_weight: float) -> Blocks:
    """The logit of the fade for each block: FADED where the frame has less detail than the residue of its prediction."""
    own, left = (cost_of(details(picture), rate_weight) for picture in (frame, residue))
    found = np.zeros_like(own)
    for side in (4, 2):
        price = rate_weight * MODE_BITS / (MOTION_CELL * side) ** 2
        found = np.where(MORE_DETAIL * block_means(own, side) + price < block_means(left, side), FADED, found)
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
    """`field`, where unused blocks get the mean of the used ones in the smallest square around them that has any."""
    if used.all() or not used.any():
        return field
    found, missing, side = field.copy(), ~used, 1
    weight = used.astype(float)
    while missing.any():
        side *= 2
        share = block_means(weight, side)
        means = np.stack([block_means(component * weight, side) for component in field]) / np.maximum(share, 1e-9)
        now = missing & (share > 0)
        found, missing = np.where(now, means, found), missing & ~now
    return found
