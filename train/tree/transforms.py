"""The wavelet coefficients of samples and of motion, in the order in which a file stores them."""

import numpy as np
from jaxtyping import Float, Float32

from inr.bands import BandLayout
from inr.constants import COARSE_MOTION, GREY, YCBCR_BASIS
from inr.pixels import MAX_LEVEL, Frame
from inr.tree import UNITS
from inr.wavelet import analysis

TO_YCBCR: Float32[np.ndarray, "3 3"] = np.linalg.inv(YCBCR_BASIS).astype(np.float32)


def source_planes(frame: Frame) -> Float32[np.ndarray, "h w 3"]:
    """The planes Y', Cb and Cr of a frame of the source."""
    return (frame.astype(np.float32) / MAX_LEVEL - GREY) @ TO_YCBCR


def sample_coefficients(layout: BandLayout, planes: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, " n"]:
    """The coefficients of planes of samples, in the unit of the samples."""
    height, width = planes.shape[:2]
    padded = np.pad(planes, ((0, layout.height - height), (0, layout.width - width), (0, 0)), mode="edge")
    return _flat(layout, np.moveaxis(padded, -1, 0), haar=False)


def coefficient_weights(layout: BandLayout, pixel_weights: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, " n"]:
    """The weight of each coefficient of samples: the mean weight of the pixels at its place."""
    height, width = pixel_weights.shape
    padded = np.pad(pixel_weights, ((0, layout.height - height), (0, layout.width - width)), mode="edge")
    found = []
    for group in layout.groups:
        side = 1 << group.octave
        means = padded.reshape(group.rows, side, group.columns, side).mean(axis=(1, 3))
        found.append(np.broadcast_to(means, group.shape).ravel())
    return np.concatenate(found)


def motion_coefficients(layout: BandLayout, planes: Float[np.ndarray, "6 r c"]) -> Float32[np.ndarray, " m"]:
    """The coefficients of planes of motion, in symbols."""
    rows, columns = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (0, layout.height - rows), (0, layout.width - columns)), mode="edge")
    found = _flat(layout, (padded / UNITS).astype(np.float32), haar=True)
    found[layout.groups[0].place] /= COARSE_MOTION
    return found


def _flat(layout: BandLayout, planes: Float32[np.ndarray, "p h w"], haar: bool) -> Float32[np.ndarray, " n"]:
    """The coefficients of `planes` in the order of `layout`."""
    coarse, details = analysis(planes, layout.octaves, haar)
    parts = [coarse[:, None], *details]
    return np.concatenate([part[: group.planes].ravel() for part, group in zip(parts, layout.groups, strict=True)]).astype(np.float32)
