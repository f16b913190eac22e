"""Quantisation: a weight is an integer symbol times a step size, and a step size is 2 ** (exponent / 8)."""

import numpy as np
from jaxtyping import Float32, Int32

MIN_EXPONENT, MAX_EXPONENT = -128, 127  # of a step size
MAX_SYMBOL = 4095  # symbols lie in -MAX_SYMBOL..MAX_SYMBOL

# 2 ** (k / 8) for k = 0..7, each the nearest float32. They are written as bits, because maths libraries differ in the rounding of powers.
MANTISSA_BITS = (0x3F800000, 0x3F8B95C2, 0x3F9837F0, 0x3FA5FED7, 0x3FB504F3, 0x3FC5672A, 0x3FD744FD, 0x3FEAC0C7)
MANTISSAS: Float32[np.ndarray, "8"] = np.array(MANTISSA_BITS, np.uint32).view(np.float32)


def step_size(exponent: int) -> np.float32:
    """The step size 2 ** (exponent / 8) as float32, the same on every machine. ValueError if `exponent` is out of its range."""
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
        raise ValueError(f"`exponent` {exponent} lies outside {MIN_EXPONENT}..{MAX_EXPONENT}.")
    return np.ldexp(MANTISSAS[exponent % 8], exponent // 8)


def quantize(values: Float32[np.ndarray, "*shape"], exponent: int) -> Int32[np.ndarray, "*shape"]:
    """The symbols of `values`: float32 quotients by the step size, rounded half to even, limited to -MAX_SYMBOL..MAX_SYMBOL."""
    scaled = np.rint(np.asarray(values, np.float32) / step_size(exponent))
    return np.clip(scaled, -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)


def dequantize(symbols: Int32[np.ndarray, "*shape"], exponent: int) -> Float32[np.ndarray, "*shape"]:
    """The weights: each symbol times the step size, by one float32 multiplication, so they are the same on every machine."""
    return symbols.astype(np.float32) * step_size(exponent)
