"""Finds the image files of a folder or a pattern, and reads images as 8-bit R'G'B' frames."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from inr.errors import InputError, MediaWarning
from inr.pixels import CHANNELS, MAX_LEVEL, Frame, Frames

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".avif")
READ = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L")  # kinds of samples (Pillow's modes) that are read as they are
PALETTES = ("P", "PA")
CONVERTED = {"P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
DEEP, BIT_DEPTH_AT = 16, 24  # most bits of a PNG sample, and the offset of that number in the file
WORKING_COMMAND = "inr demo   shows a run on the clip that comes with the package"

Span = tuple[int | None, int | None]  # (start, end) in frames, end excluded, as in a slice: None means no limit, -1 is the last frame


def spanned(items: list, span: Span, path: Path) -> list:
    """The items that `span` selects. InputError if there are items but `span` selects none; the message names `path`."""
    chosen = items[slice(*span)]
    if items and not chosen:
        first, last = ("" if end is None else end for end in span)
        raise InputError("no-frames", f"--frames {first}:{last} selects none of the {len(items)} frames of '{path}'", "--frames 0:1")
    return chosen


def source_name(path: Path) -> str:
    """The name of the video at `path`: a file's name without suffix, a folder's name, or for a pattern the name of its folder."""
    if path.is_dir() or is_pattern(path):
        return (path if path.is_dir() else path.parent).absolute().name
    return path.stem


def is_pattern(path: Path) -> bool:
    """Whether the last part of a path contains `*` or `?`."""
    return "*" in path.name or "?" in path.name


def image_files(path: Path) -> list[Path]:
    """The image files that `path` names: all of a folder, all that match a pattern, or one file; empty if `path` names no image.

    Files are in natural order: frame_2.png comes before frame_10.png. InputError for a folder without images.
    """
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
    """Sort key that puts frame_2.png before frame_10.png."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def read_image(path: Path) -> Frame:
    """The first picture of an image file as 8-bit R'G'B' (h w 3), turned as its EXIF orientation says.

    InputError if the file cannot be read, if its samples are of a kind that has no R'G'B' (CONVERTED and READ list the others), or if it
    is transparent anywhere. A MediaWarning tells that bits of the samples are lost.
    """
    import imageio.v3 as iio

    try:
        facts = iio.immeta(path, plugin="pillow", index=0)
        mode = str(facts["mode"])
        if mode not in READ and mode not in CONVERTED:
            what = f"'{path}' has samples of the kind '{mode}', which have no 8-bit R'G'B'"
            raise InputError("sample-kind", what, f"magick '{path}' -depth 8 -colorspace sRGB PICTURE.png")
        converted = "RGBA" if mode in PALETTES and "transparency" in facts else CONVERTED.get(mode)
        pixels = iio.imread(path, plugin="pillow", index=0, rotate=True, mode=converted)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError("unreadable-image", f"'{path}' is not an image that can be read: {error}") from error
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and pixels[..., -1].min() < np.iinfo(pixels.dtype).max:
        what = f"'{path}' is transparent in places, and a file has no alpha channel"
        raise InputError("alpha", what, f"magick '{path}' -background white -flatten PICTURE.png   blends it with white")
    if pixels.dtype == np.uint8 and _png_bits(path) == DEEP:
        warnings.warn(MediaWarning(f"'{path.name}' has {DEEP} bits a sample; only the upper 8 bits are kept"), stacklevel=2)
    return as_rgb8(pixels, path)


def _png_bits(path: Path) -> int:
    """The bits of a sample that the header of a PNG file states, 0 for other files: Pillow reduces deep colours to 8 bits silently."""
    with path.open("rb") as file:
        start = file.read(BIT_DEPTH_AT + 1)
    return start[BIT_DEPTH_AT] if start.startswith(b"\x89PNG") and len(start) > BIT_DEPTH_AT else 0


def as_rgb8(pixels: np.ndarray, path: Path) -> Frame:
    """Convert pixels to 8-bit R'G'B' (h w 3). `pixels` are bool or unsigned integers, (h w) or (h w c) with 1 to 4 channels.

    One MediaWarning reports that bits of the samples are lost, and names the file of `path`. Another one reports a dropped alpha channel.
    """
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * MAX_LEVEL
    if pixels.dtype != np.uint8:
        warnings.warn(MediaWarning(f"'{path.name}' has {8 * pixels.itemsize} bits a sample; only the upper 8 bits are kept"), stacklevel=2)
        pixels = (pixels.astype(np.uint32) >> (8 if pixels.max() > MAX_LEVEL else 0)).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] in (2, 4):
        if pixels[..., -1].min() < MAX_LEVEL:
            warnings.warn(MediaWarning("the alpha channel is dropped; colours are not blended with a background"), stacklevel=2)
        pixels = pixels[..., :-1]
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], CHANNELS)))


def stacked(frames: Iterator[Frame], path: Path) -> Frames:
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
