"""Defines a pixel: three samples R'G'B' (gamma-encoded RGB; messages say RGB) of 8 bits each, where 0 is black and 255 is white.

Networks compute with floats, where 0 is black and 1 is white. This module loads no JAX; `to_unit` accepts arrays of NumPy and of JAX.
"""

import numpy as np
from jaxtyping import Float, UInt8

CHANNELS = 3
MAX_LEVEL = 255  # the 8-bit level of white
MID_LEVEL = 128  # the 8-bit level of mid grey

Frame = UInt8[np.ndarray, "h w 3"]
Frames = UInt8[np.ndarray, "t h w 3"]


def to_unit(levels):
    """Convert 8-bit levels, an array of NumPy or JAX, to float32 in [0, 1]."""
    return levels.astype("float32") / MAX_LEVEL


def is_frames(pixels: np.ndarray) -> bool:
    """Whether an array holds frames: uint8, (frames, height, width, 3), no empty axis."""
    return pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[3] == CHANNELS and 0 not in pixels.shape


def grey(frame: Frame) -> Float[np.ndarray, "h w"]:
    """The mean of the three channels of each pixel: float32, in 8-bit levels."""
    return frame.mean(axis=-1, dtype=np.float32)
