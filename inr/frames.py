"""Frames of sources as 8-bit R'G'B', whatever their samples are, and the selection of frames by a span."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from inr.errors import InputError, MediaWarning
from inr.pixels import CHANNELS, MAX_LEVEL, Frame, Frames
from inr.span import Span

WORKING_COMMAND = "inr demo   shows a run on the clip that comes with the package"


def spanned(items: list, span: Span, path: Path) -> list:
    """The items that `span` selects. InputError if there are items but `span` selects none; the message names `path`."""
    chosen = items[slice(*span)]
    if items and not chosen:
        first, last = ("" if end is None else end for end in span)
        raise InputError("no-frames", f"--frames {first}:{last} selects none of the {len(items)} frames of '{path}'", "--frames 0:1")
    return chosen


def readable(name: str) -> str:
    """A file's name as UTF-8 can hold it: bytes that are not UTF-8 become replacement characters."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def as_rgb8(pixels: np.ndarray, path: Path, source: Path | None = None) -> Frame:
    """Convert pixels to 8-bit R'G'B' (h w 3). `pixels` are bool, uint8, uint16 or float, (h w) or (h w c) with 1 to 4 channels.

    The largest number of the type is white, for floats 1, so all frames of a video have one scale. InputError for floats outside 0..1; a
    MediaWarning that names `source` (None: the file of `path`) if bits of the samples are lost, and another one for an alpha channel.
    """
    name = (source or path).name
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * MAX_LEVEL
    elif pixels.dtype.kind == "f":
        pixels = _levels_of_floats(pixels, path)
        warnings.warn(MediaWarning(f"'{name}' has floats as samples; they are coded with 8 bits"), stacklevel=2)
    elif pixels.dtype != np.uint8:
        warnings.warn(MediaWarning(f"'{name}' has {8 * pixels.itemsize} bits a sample; only the upper 8 bits are kept"), stacklevel=2)
        pixels = (pixels >> 8 * (pixels.itemsize - 1)).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] in (2, 4):
        if pixels[..., -1].min() < MAX_LEVEL:
            warnings.warn(MediaWarning("the alpha channel is dropped; colours are not blended with a background"), stacklevel=2)
        pixels = pixels[..., :-1]
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], CHANNELS)))


def _levels_of_floats(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Float samples, where 0 is black and 1 is white, as 8-bit levels."""
    if not np.isfinite(pixels).all():
        what = f"'{path}' has samples that are not a number or infinite"
        raise InputError("sample-kind", what, f"magick '{path}' -depth 8 PICTURE.png")
    least, most = float(pixels.min()), float(pixels.max())
    if least < 0 or most > 1:
        what = f"'{path}' has float samples from {least:.4g} to {most:.4g}; only 0 (black) to 1 (white) can be read"
        raise InputError("sample-range", what, f"magick '{path}' -auto-level -depth 8 PICTURE.png")
    return np.rint(pixels * MAX_LEVEL).astype(np.uint8)


def stacked(frames: Iterable[Frame], path: Path) -> Frames:
    """`frames` as one array (t h w 3). InputError if there is no frame, or if the sizes of two frames differ; the message names `path`."""
    collected: list[Frame] = []
    for frame in frames:
        if collected and frame.shape != collected[0].shape:
            (h, w), (h0, w0) = frame.shape[:2], collected[0].shape[:2]
            raise InputError(
                "mixed-sizes",
                f"'{path}': frame {len(collected)} is {w}x{h}, the frames before it {w0}x{h0}; all frames must have the same size",
                f"--frames 0:{len(collected)}   or resize the images to {w0}x{h0} first",
            )
        collected.append(frame)
    if not collected:
        raise InputError("no-frames", f"'{path}' holds no picture that can be decoded", WORKING_COMMAND)
    return np.stack(collected)
