"""One picture that shows an original frame, the decoded frame and their difference side by side."""

import numpy as np

from inr.pixels import MAX_LEVEL, MID_LEVEL, Frame

GAIN = 4  # factor of the difference, which is shown around mid grey


def comparison_image(original: Frame, decoded: Frame) -> Frame:
    """The original, the decoded frame, and GAIN times their difference around mid grey, from left to right."""
    difference = np.clip(MID_LEVEL + GAIN * (decoded.astype(np.int32) - original), 0, MAX_LEVEL).astype(np.uint8)
    return np.concatenate([original, decoded, difference], axis=1)
