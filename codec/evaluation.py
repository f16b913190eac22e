"""Measures rate and distortion of a decoded file, or of any other video, against its source."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain

import numpy as np

from codec.decoder import decode
from codec.metrics import ms_ssim, mse, psnr
from inr.errors import InputError
from inr.pixels import CHANNELS
from inr.video import Video


@dataclass(frozen=True)
class Report:
    """The rate and distortion of one file.

    `bytes` is its size, of which `stream_bytes` hold sound and the like; `bpp` are the bits per pixel of the others. `psnr_rgb` is the mean
    of the PSNR of all frames, which are in `frame_psnr_rgb`; `psnr_rgb_of_mean_mse` is the PSNR of the mean squared error over all frames.
    PSNR is in decibels, on 8-bit R'G'B'. `ms_ssim_rgb` is the mean MS-SSIM of all frames (0..1); it is None if a side of the frames is
    shorter than 33 pixels.
    """

    bytes: int
    bpp: float
    psnr_rgb: float
    psnr_rgb_of_mean_mse: float
    ms_ssim_rgb: float | None
    frame_psnr_rgb: tuple[float, ...]
    stream_bytes: int = 0

    def fields(self) -> dict[str, object]:
        """The fields that a command prints as its result: all except `frame_psnr_rgb`, and `stream_bytes` only if it is not 0."""
        left_out = ("frame_psnr_rgb", *["stream_bytes"] * (not self.stream_bytes))
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def with_streams(self, stream_bytes: int) -> "Report":
        """The report on the same file with so many more bytes of sound and the like."""
        return replace(self, bytes=self.bytes + stream_bytes, stream_bytes=self.stream_bytes + stream_bytes)


def mean_psnr(decoded: np.ndarray, reference: np.ndarray) -> float:
    """The mean PSNR of uint8 frames (t h w 3), in decibels, as in `Report.psnr_rgb`."""
    return float(np.mean([psnr(mse(a, b)) for a, b in zip(decoded, reference, strict=True)]))


def compare(decoded: np.ndarray, reference: np.ndarray, size: int) -> Report:
    """The report on a file of `size` bytes with the frames `decoded` (uint8, t h w 3). InputError if `reference` has another shape."""
    if len(decoded) != len(reference):
        raise InputError(
            "frame-count",
            f"the numbers of frames differ: {len(decoded)} frames against {len(reference)} of the reference",
            f"--frames 0:{min(len(decoded), len(reference))}   if both begin with the same frame",
        )
    if decoded.shape != reference.shape:
        (h, w), (rh, rw) = decoded.shape[1:3], reference.shape[1:3]
        raise InputError("frame-size", f"the sizes of frames differ: {w}x{h} against {rw}x{rh} of the reference", f"a reference of {w}x{h}")
    errors = [mse(a, b) for a, b in zip(decoded, reference, strict=True)]
    similarities = [ms_ssim(a, b) for a, b in zip(decoded, reference, strict=True)]
    known = [similarity for similarity in similarities if similarity is not None]
    return Report(
        bytes=size,
        bpp=8 * size / (reference.size // CHANNELS),
        psnr_rgb=float(np.mean([psnr(error) for error in errors])),
        psnr_rgb_of_mean_mse=psnr(float(np.mean(errors))),
        ms_ssim_rgb=float(np.mean(known)) if known else None,
        frame_psnr_rgb=tuple(psnr(error) for error in errors),
    )


def combine_reports(reports: Sequence[Report], size: int, pixels: int) -> Report:
    """The report on a file of `size` bytes, from the `reports` on its segments. `pixels` is the number of pixels of all its frames."""
    decibels = tuple(chain(*(report.frame_psnr_rgb for report in reports)))
    frames = [len(report.frame_psnr_rgb) for report in reports]
    errors = [10 ** (-report.psnr_rgb_of_mean_mse / 10) for report in reports]
    similarities = [report.ms_ssim_rgb for report in reports]
    return Report(
        bytes=size,
        bpp=8 * size / pixels,
        psnr_rgb=float(np.mean(decibels)),
        psnr_rgb_of_mean_mse=float(-10 * np.log10(np.average(errors, weights=frames))),
        ms_ssim_rgb=None if None in similarities else float(np.average(np.array(similarities, float), weights=frames)),
        frame_psnr_rgb=decibels,
    )


def evaluate(data: bytes, reference: Video) -> Report:
    """Decode the first video of the file `data`, render it, and compare it with `reference`.

    BitstreamError if `data` is not a valid file; InputError if `reference` has another size or number of frames.
    """
    return compare(decode(data).render(), reference.frames, len(data))
