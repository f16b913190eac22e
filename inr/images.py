"""Images as frames: files, folders and globs of them, and 8-bit RGB from whatever they hold."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from inr.errors import InputError, MediaWarning

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
WORKING_COMMAND = "inr demo   shows a run on the clip that comes with the package"

Frame = UInt8[np.ndarray, "h w 3"]
Span = tuple[int | None, int | None]  # half-open; None for an end, negative counting from it


def spanned(items: list, span: Span, path: Path) -> list:
    """The items of a span; InputError if it selects none of them."""
    chosen = items[slice(*span)]
    if items and not chosen:
        first, last = ("" if end is None else end for end in span)
        raise InputError("no-frames", f"--frames {first}:{last} selects none of the {len(items)} frames of '{path}'", "--frames 0:1")
    return chosen


def source_name(path: Path) -> str:
    """What a video is called after its source: a file without its suffix, a folder, the folder of a pattern."""
    if path.is_dir() or is_pattern(path):
        return (path if path.is_dir() else path.parent).absolute().name
    return path.stem


def is_pattern(path: Path) -> bool:
    """Whether a path names files by `*` or `?`."""
    return "*" in path.name or "?" in path.name


def image_files(path: Path) -> list[Path]:
    """The images that `path` names: a folder's, a glob's, a single one; none where it is not about images."""
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            limit = ", ".join(IMAGE_SUFFIXES)
            raise InputError("no-images", f"'{path}' is a folder without images ({limit})", WORKING_COMMAND)
    elif is_pattern(path):
        found = list(path.parent.glob(path.name)) if path.parent.is_dir() else []
    else:
        found = [path] if path.is_file() and path.stat().st_size and path.suffix.lower() in IMAGE_SUFFIXES else []
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[int | str]:
    """Sort key by which frame 2 comes before frame 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def read_image(path: Path) -> Frame:
    """An image file as 8-bit RGB."""
    import imageio.v3 as iio

    try:
        pixels = iio.imread(path, plugin="pillow", index=0)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError("unreadable-image", f"'{path}' is not an image that can be read: {error}") from error
    return as_rgb8(pixels, path)


def as_rgb8(pixels: np.ndarray, path: Path) -> Frame:
    """Grey, alpha and deeper pixels as 8-bit RGB; what that loses is said."""
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype != np.uint8:
        warnings.warn(MediaWarning(f"'{path.name}' has {8 * pixels.itemsize} bits a sample; kept the upper 8"), stacklevel=2)
        pixels = (pixels.astype(np.uint32) >> (8 if pixels.max() > 255 else 0)).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] in (2, 4):
        if pixels[..., -1].min() < 255:
            warnings.warn(MediaWarning("the alpha channel is dropped; colours are kept as stored"), stacklevel=2)
        pixels = pixels[..., :-1]
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def stacked(frames: Iterator[Frame], path: Path) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames as one array; InputError where there is none, or where sizes differ."""
    stacked: list[Frame] = []
    for frame in frames:
        if stacked and frame.shape != stacked[0].shape:
            (h, w), (h0, w0) = frame.shape[:2], stacked[0].shape[:2]
            raise InputError(
                "mixed-sizes",
                f"'{path}': frame {len(stacked)} is {w}x{h}, the frames before it {w0}x{h0}; one size is needed",
                f"--frames 0:{len(stacked)}   or --scale {w0}x{h0} after making them one size",
            )
        stacked.append(frame)
    if not stacked:
        raise InputError("no-frames", f"'{path}' holds no picture that can be decoded", WORKING_COMMAND)
    return np.stack(stacked)
