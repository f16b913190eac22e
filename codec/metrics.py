"""Computes distortion between 8-bit R'G'B' frames in NumPy. Every PSNR and MS-SSIM that is reported comes from this module."""

import numpy as np
from jaxtyping import Float

from inr.pixels import CHANNELS, MAX_LEVEL, Frame

PSNR_CAP = 100.0  # decibels: the PSNR of a frame without errors, and the largest PSNR that is reported
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of the five scales (Wang, Simoncelli, Bovik 2003, section 3.2)
WINDOW_SIGMA = 1.5  # pixels: standard deviation of the Gaussian window, as in the paper
K1, K2 = 0.01, 0.03  # constants of the paper, as shares of the largest level

Planes = Float[np.ndarray, "3 h w"]


def mse(a: Frame, b: Frame) -> float:
    """The mean squared error over all samples of two frames, in squared 8-bit levels."""
    difference = a.astype(np.float32) - b.astype(np.float32)
    return float(np.mean(np.square(difference), dtype=np.float64))


def psnr(mean_squared_error: float) -> float:
    """The PSNR in decibels for a mean squared error in squared 8-bit levels; at most PSNR_CAP."""
    if mean_squared_error <= MAX_LEVEL**2 * 10 ** (-PSNR_CAP / 10):
        return PSNR_CAP
    return 10 * float(np.log10(MAX_LEVEL**2 / mean_squared_error))


def window_size(height: int, width: int) -> int | None:
    """The largest odd side of a window, at most 11 pixels, that fits at all five scales. None if a side of the frame is below 33 pixels."""
    return next((w for w in (11, 9, 7, 5, 3) if min(height, width) > 16 * (w - 1)), None)


def ms_ssim(a: Frame, b: Frame) -> float | None:
    """The MS-SSIM (multi-scale structural similarity, 0..1) of two frames: the mean over R', G', B'. None if a side is below 33 pixels."""
    size = window_size(*a.shape[:2])
    if size is None:
        return None
    taps = np.exp(-0.5 * (np.arange(size) - size // 2) ** 2 / WINDOW_SIGMA**2).astype(np.float32)
    taps /= taps.sum()
    x, y = (np.moveaxis(frame, 2, 0).astype(np.float32) for frame in (a, b))
    result = np.ones(CHANNELS)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        luminance, contrast = _similarity(x, y, taps)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        result *= np.maximum(luminance * contrast if last else contrast, 0) ** weight
        x, y = _halved(x), _halved(y)
    return float(result.mean())


def _similarity(x: Planes, y: Planes, taps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each plane: (mean SSIM divided by the mean contrast-structure term, mean contrast-structure term)."""
    c1, c2 = (K1 * MAX_LEVEL) ** 2, (K2 * MAX_LEVEL) ** 2
    mean_x, mean_y = _blurred(x, taps), _blurred(y, taps)
    xx = _blurred(x * x, taps) - mean_x**2
    yy = _blurred(y * y, taps) - mean_y**2
    xy = _blurred(x * y, taps) - mean_x * mean_y
    contrast = (2 * xy + c2) / (xx + yy + c2)
    full = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1) * contrast
    mean_contrast = contrast.mean(axis=(1, 2), dtype=np.float64)
    mean_full = full.mean(axis=(1, 2), dtype=np.float64)
    return mean_full / np.where(mean_contrast == 0, 1, mean_contrast), mean_contrast


def _blurred(x: Planes, taps: np.ndarray) -> Planes:
    """`x` filtered by `taps` along rows and columns, without padding: both get shorter by len(taps) - 1."""
    rows, columns = x.shape[1] - len(taps) + 1, x.shape[2] - len(taps) + 1
    down = np.zeros_like(x[:, :rows])
    for i, tap in enumerate(taps):
        down += tap * x[:, i : i + rows]
    across = np.zeros_like(down[:, :, :columns])
    for i, tap in enumerate(taps):
        across += tap * down[:, :, i : i + columns]
    return across


def _halved(x: Planes) -> Planes:
    """Means over squares of 2x2 samples. An odd side is padded with zeros, which count in the means, as in the common PyTorch code."""
    _, h, w = x.shape
    x = np.pad(x, ((0, 0), (h % 2, h % 2), (w % 2, w % 2)))
    h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    return 0.25 * (x[:, :h:2, :w:2] + x[:, 1:h:2, :w:2] + x[:, :h:2, 1:w:2] + x[:, 1:h:2, 1:w:2])
