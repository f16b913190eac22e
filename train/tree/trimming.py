"""Makes the file of a tree a little smaller: single symbols become zero, those first that save most bits.

No frame reads a leaf, so symbols of leaves come first. A symbol of another frame also changes the frames that read it, by a little.
"""

from collections.abc import Sequence

import numpy as np

from codec.band_contexts import BandCoding
from codec.coding import codings
from codec.model import QuantizedModel
from inr.layout import tensor_specs
from train.tree.fitter import TreeFit
from train.tree.leaves import leaves_of


def trim(fit: TreeFit, model: QuantizedModel, bits: float, leaves_only: bool) -> bool:
    """Set symbols of 1 and -1 to zero that take about `bits` bits in the file of `model`; returns whether there were as many.

    They are symbols of leaves, or else, without `leaves_only`, also those of the next levels, until they are enough.
    """
    frames = leaves_of(fit)
    saved = saved_bits(model, frames)
    if not leaves_only and saved.sum() < bits:
        every = saved_bits(model, range(len(fit.order)))
        for level in sorted(set(fit.levels.tolist()), reverse=True):
            frames = sorted({*frames, *np.flatnonzero(fit.levels >= level).tolist()})
            saved = every[frames]
            if saved.sum() >= bits:
                break
    order = np.argsort(-saved, axis=None)
    total = np.cumsum(saved.ravel()[order])
    count = int(np.searchsorted(total, bits)) + 1
    chosen = order[:count][saved.ravel()[order[:count]] > 0]
    rows, columns = np.unravel_index(chosen, saved.shape)
    fit.state.bands[np.array(frames)[rows], columns] = 0
    return bool(total[-1] >= bits)


def saved_bits(model: QuantizedModel, frames: Sequence[int]) -> np.ndarray:
    """The bits that each symbol of `frames` saves if it becomes zero and is 1 or -1; zero for other symbols."""
    tensors = model.videos[0].tensors
    coding = codings(tensor_specs(model.spec, model.videos[0].spec), tensors)["bands"]
    assert isinstance(coding, BandCoding)
    part = BandCoding(coding.symbols[list(frames)], coding.model, coding.kind, coding.levels[list(frames)])
    return np.where(part.symbols == 1, part.savings(-1), 0) + np.where(part.symbols == -1, part.savings(1), 0)
