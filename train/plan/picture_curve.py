"""A prediction of a picture's rate and quality without a fit, from the entropy of its quantised DCT coefficients.

A transform codec of the textbook kind needs about the same step size at every picture for the same slope of its curve. The prediction
scales the rate, the PSNR and the slope of such a codec by constants, which were measured on fits of eight pictures of Kodak at half size
(benchmarks/EXPERIMENTS.md). One picture's rate weight is predicted with a standard deviation of 25 %, its PSNR with one of 0.75 dB.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from inr.pixels import MAX_LEVEL

BLOCK, MOST_BLOCKS = 16, 4096  # side of a block in pixels, and the most blocks that are measured; they are spread over the picture
DEAD_ZONE = 0.33  # added to a magnitude, in step sizes, before it is rounded down: the usual rounding of an encoder
OCTAVES, HALVINGS = (-10.0, 0.0), 16  # range of the step size's base-2 logarithm, and iterations of its bisection
TO_BITS, NETWORK_BYTES = 1.3, 300  # bits of the transform codec for each bit of a picture's grids; bytes of the network beside them
TO_RATE_WEIGHT, TO_PSNR = 0.085, 0.75  # rate weight at a step size of 1; decibels that a fit gains at the step size for its rate
TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # BT.601
PLANE_WEIGHTS = np.array([1.0, 1.086, 0.825])  # mean square error of R'G'B' for that of each of Y'CbCr


@dataclass(frozen=True)
class CurvePoint:
    """A predicted point of a picture's curve: bits per pixel, PSNR in decibels, and the rate weight of a fit that leads there."""

    bpp: float
    psnr: float
    rate_weight: float


class PictureCurve:
    """The predicted curve of `picture`, 8-bit R'G'B'."""

    def __init__(self, picture: UInt8[np.ndarray, "h w 3"]):
        self.pixels = picture.shape[0] * picture.shape[1]
        self.coefficients = block_coefficients(picture)
        self.counted = self.coefficients.shape[1] * BLOCK * BLOCK

    def at_bpp(self, bpp: float) -> CurvePoint:
        """The point at `bpp` bits per pixel of the whole file."""
        return self._where(lambda point: point.bpp > bpp)

    def at_psnr(self, psnr: float) -> CurvePoint:
        """The point at `psnr` decibels."""
        return self._where(lambda point: point.psnr > psnr)

    def _where(self, too_fine: Callable[[CurvePoint], bool]) -> CurvePoint:
        low, high = OCTAVES
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if too_fine(self._point(2**middle)) else (low, middle)
        return self._point(2**high)

    def _point(self, step: float) -> CurvePoint:
        symbols = np.sign(self.coefficients) * np.floor(np.abs(self.coefficients) / step + DEAD_ZONE)
        errors = np.square(self.coefficients - symbols * step).reshape(3, -1).sum(axis=1) / self.counted
        bpp = entropy_bits(symbols) / self.counted / TO_BITS + 8 * NETWORK_BYTES / self.pixels
        mse = max(float(PLANE_WEIGHTS @ errors), 1e-10)
        return CurvePoint(bpp, -10 * math.log10(mse) + TO_PSNR, TO_RATE_WEIGHT * step**2)


def block_coefficients(picture: UInt8[np.ndarray, "h w 3"]) -> Float64[np.ndarray, "bands blocks"]:
    """The DCT coefficients of blocks of `picture` in Y'CbCr, by plane and band; each plane's mean is subtracted before."""
    height, width = picture.shape[:2]
    planes = picture.reshape(-1, 3) @ (TO_YCBCR.T / MAX_LEVEL)
    planes = (planes - planes.mean(axis=0)).reshape(height, width, 3)
    planes = np.pad(planes, ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge")
    blocks = planes.reshape(-(-height // BLOCK), BLOCK, -(-width // BLOCK), BLOCK, 3).transpose(0, 2, 1, 3, 4).reshape(-1, BLOCK, BLOCK, 3)
    blocks = blocks[:: -(-len(blocks) // MOST_BLOCKS)]
    frequencies, places = np.mgrid[:BLOCK, :BLOCK]
    cosines = np.cos(np.pi * frequencies * (2 * places + 1) / (2 * BLOCK)) * np.sqrt(np.where(frequencies == 0, 1, 2) / BLOCK)
    return np.einsum("uy,vx,byxc->cuvb", cosines, cosines, blocks, optimize=True).reshape(3 * BLOCK**2, -1)


def entropy_bits(symbols: Float64[np.ndarray, "bands blocks"]) -> float:
    """The entropy of each band's symbols under their own frequencies, in bits over all of them."""
    count = symbols.shape[1]
    runs = np.sort(symbols, axis=1)
    first = np.ones(runs.shape, bool)
    first[:, 1:] = runs[:, 1:] != runs[:, :-1]
    lengths = np.diff(np.flatnonzero(first), append=runs.size)  # how often a symbol occurs in its band
    return float(lengths @ np.log2(count / lengths))
