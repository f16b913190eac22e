"""Pictures of a result: original, decoded, difference, side by side."""

import numpy as np
from jaxtyping import UInt8

GAIN = 4  # of the difference, around mid grey


def side_by_side(original: UInt8[np.ndarray, "h w 3"], decoded: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w3 3"]:
    """Original, decoded, and GAIN times their difference on mid grey, from left to right."""
    difference = np.clip(128 + GAIN * (decoded.astype(np.int32) - original), 0, 255).astype(np.uint8)
    return np.concatenate([original, decoded, difference], axis=1)
