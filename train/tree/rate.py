"""The rate weight of the frames still to fit, from the measures of a whole pass before and of the frames that are done.

Bits and errors at another rate weight follow from those of the pass before by power laws. The last pass makes more updates, so a frame
takes fewer bits than in a quick pass; the frames that are done tell how many fewer.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from train.tree.state import FrameMeasures

BITS_POWER = 0.7  # bits fall with this power of the rate weight
DECIBELS = 2.55  # of PSNR that are lost for each factor of e of the rate weight
FINAL_BITS, FINAL_DECIBELS = 0.97, 0.35  # of the last pass against a quick one: factor of the bits, and gain of PSNR
PRIOR_SHARE = 0.1  # the weight of FINAL_BITS and FINAL_DECIBELS against what frames tell, as a share of all bits or frames
MOST_CHANGE = 0.06  # of the rate weight's logarithm from one frame to the next
MOST_AWAY = 0.6  # the same, over a whole pass


def psnr_of(mse: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    """PSNR in decibels of mean square errors of samples in [0, 1]."""
    return -10 * np.log10(np.maximum(mse, 1e-10))


def by_level(now: FrameMeasures, done: Bool[np.ndarray, " f"], levels: Int[np.ndarray, " f"]) -> FrameMeasures | None:
    """Measures of all frames from those that are done: for the others, the means of their levels; None if a level has no frame yet.

    They stand for a pass before if there was none. Level 0 should not include the first frame, which reads no other one.
    """
    base = float(now.log_rate_weights[0])
    bits = now.bits * np.exp(BITS_POWER * (now.log_rate_weights - base))
    errors = np.log(now.mse) - DECIBELS * np.log(10) / 10 * (now.log_rate_weights - base)
    for level in np.unique(levels[~done]):
        same = done & (levels == level)
        if not same.any():
            return None
        bits, errors = (np.where(~done & (levels == level), values[same].mean(), values) for values in (bits, errors))
    return FrameMeasures(bits, np.exp(errors), np.full_like(now.bits, base))


def log_rate_weight_for_bits(
    before: FrameMeasures, now: FrameMeasures, done: Bool[np.ndarray, " f"], bits: float, change: float = FINAL_BITS
) -> float:
    """The logarithm of the rate weight for the other frames so that all frames together take `bits`.

    `change` is the factor of the bits that is expected against the pass before.
    """
    foreseen = before.bits.astype(float)
    base = float(before.log_rate_weights[0])
    prior = PRIOR_SHARE * foreseen.sum()
    at_base = (now.bits * np.exp(BITS_POWER * (now.log_rate_weights - base)))[done].sum()
    ratio = (at_base + change * prior) / (foreseen[done].sum() + prior)
    rest, left = ratio * foreseen[~done].sum(), bits - now.bits[done].sum()
    return base + np.log(rest / max(left, 0.02 * bits)) / BITS_POWER


def log_rate_weight_for_psnr(
    before: FrameMeasures, now: FrameMeasures, done: Bool[np.ndarray, " f"], psnr: float, change: float = FINAL_DECIBELS
) -> float:
    """The logarithm of the rate weight for the other frames so that the mean PSNR of all frames is `psnr` decibels.

    `change` is the gain of PSNR that is expected against the pass before.
    """
    base, count = float(before.log_rate_weights[0]), len(done)
    foreseen, prior = psnr_of(before.mse), PRIOR_SHARE * count
    gains = (psnr_of(now.mse) + DECIBELS * (now.log_rate_weights - base) - foreseen)[done]
    gain = (gains.sum() + change * prior) / (done.sum() + prior)
    missing = psnr * count - psnr_of(now.mse)[done].sum() - (foreseen[~done] + gain).sum()
    return base - missing / (DECIBELS * max((~done).sum(), 1))


def limited(wanted: float, last: float, first: float) -> float:
    """`wanted`, no further than MOST_CHANGE from the logarithm `last` of the frame before, and than MOST_AWAY from `first`."""
    near = min(max(wanted, last - MOST_CHANGE), last + MOST_CHANGE)
    return min(max(near, first - MOST_AWAY), first + MOST_AWAY)
