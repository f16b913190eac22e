"""Pictures of a result: original, decoded, difference, side by side."""

import numpy as np

from inr.pixels import MAX_LEVEL, MID_LEVEL, Frame

GAIN = 4  # of the difference, around mid grey


def comparison_image(original: Frame, decoded: Frame) -> Frame:
    """Original, decoded, and GAIN times their difference on mid grey, from left to right."""
    difference = np.clip(MID_LEVEL + GAIN * (decoded.astype(np.int32) - original), 0, MAX_LEVEL).astype(np.uint8)
    return np.concatenate([original, decoded, difference], axis=1)
