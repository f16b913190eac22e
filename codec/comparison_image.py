"""Makes one picture that shows an original frame, the decoded frame and their difference side by side."""

import numpy as np

from inr.pixels import MAX_LEVEL, MID_LEVEL, Frame

GAIN = 4  # factor of the difference; a difference of 0 is mid grey


def comparison_image(original: Frame, decoded: Frame) -> Frame:
    """The original frame, the decoded frame, and mid grey plus GAIN times (decoded - original), from left to right (h, 3 * w, 3)."""
    difference = np.clip(MID_LEVEL + GAIN * (decoded.astype(np.int32) - original), 0, MAX_LEVEL).astype(np.uint8)
    return np.concatenate([original, decoded, difference], axis=1)
