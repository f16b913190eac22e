"""Finds the image files of a folder or a pattern, and reads images as 8-bit R'G'B' frames, as a viewer shows them."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inr.decoding import read_container
from inr.errors import InputError, MediaWarning
from inr.frames import WORKING_COMMAND, as_rgb8, readable, stacked
from inr.pixels import MAX_LEVEL, Frame
from inr.video import Video

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
HEIF = (".heic", ".heif")  # suffixes of images that Pillow reads with an add-on only
SEQUENCES = ("PNG", "WEBP", "TIFF", "AVIF")  # Pillow's names of formats whose pictures are the frames of a video
READ = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "F")  # kinds of samples (Pillow's modes) that are read as they are
CONVERTED = {"P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "HSV": "RGB"}
FROM_YCBCR = np.array([[1, 1, 1], [0, -0.344136, 1.772], [1.402, -0.714136, 0]])  # JFIF; rows are Y', Cb, Cr
DEEP, BIT_DEPTH_AT = 16, 24  # most bits of a PNG sample, and the offset of that number in the file
RATE = Fraction(25)  # frames per second of images that state no durations
SUBFILE, REDUCED = 254, 1  # tag of a TIFF page, and its bit that marks a smaller version of another page
BITS = 258  # tag of a TIFF page: the bits of a sample of each channel


def source_name(path: Path) -> str:
    """The name of the video at `path`: a file's name without suffix, a folder's name, or for a pattern the name of its folder."""
    folder = path if path.is_dir() else path.parent
    return readable(folder.absolute().resolve().name if path.is_dir() or is_pattern(path) else path.stem)


def is_pattern(path: Path) -> bool:
    """Whether a path names images by `*` or `?` in its last part. The name of an existing file is no pattern."""
    return ("*" in path.name or "?" in path.name) and not path.exists()


def image_files(path: Path) -> list[Path]:
    """The image files that `path` names: all of a folder, all that match a pattern, or one file; empty if `path` names no image.

    Files are in natural order: frame_2.png comes before frame_10.png. Hidden files, whose names begin with a dot, are left out of folders
    and patterns. InputError for a folder without images.
    """
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")]
        if not found:
            limit = ", ".join(IMAGE_SUFFIXES)
            raise InputError("no-images", f"'{path}' is a folder without images ({limit})", WORKING_COMMAND)
    elif is_pattern(path):
        # Of the characters of a pattern, only `*` and `?` are special, so that brackets stay what they are.
        found = list(path.parent.glob(path.name.replace("[", "[[]"))) if path.parent.is_dir() else []
        found = [entry for entry in found if entry.is_file() and entry.name.startswith(".") == path.name.startswith(".")]
    else:
        found = [path] if path.is_file() and path.stat().st_size and path.suffix.lower() in IMAGE_SUFFIXES else []
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[int | str]:
    """Sort key that puts frame_2.png before frame_10.png."""
    return [int(part) if part.isdecimal() and part.isascii() else part for part in re.split(r"([0-9]+)", path.name)]


class Images:
    """The pictures of image files as the frames of a video: all pictures of one file, or the first picture of each of several files.

    `path` is the source that names the `files`. InputError if the first file cannot be read.
    """

    def __init__(self, files: list[Path], path: Path):
        self.files, self.path = files, path
        self._pages = _pages(files[0]) if len(files) == 1 else []

    def __len__(self) -> int:
        return len(self._pages) or len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of the first frame in pixels."""
        height, width, _ = self._frame(0).shape
        return width, height

    def _frame(self, index: int) -> Frame:
        file, page = (self.files[0], self._pages[index]) if self._pages else (self.files[index], 0)
        return read_image(file, page, self.path)

    def video(self, indices: range) -> Video:
        """The frames at `indices`. InputError if one cannot be read, or if their sizes differ."""
        rate = _rate(self.files[0], self._pages) if len(self._pages) > 1 else RATE
        return Video(stacked((self._frame(index) for index in indices), self.path), rate, name=source_name(self.path))


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    """The image file at `path`, opened by Pillow; its errors become InputError."""
    from PIL import Image

    if path.suffix.lower() in HEIF:
        _prepare_heif(path)
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError("unreadable-image", f"'{path}' is not an image that can be read: {error}") from error


def _prepare_heif(path: Path) -> None:
    """Let Pillow read HEIC; InputError if the add-on for it is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        what = f"'{path}' is HEIC, which needs an add-on of Pillow"
        raise InputError("heic", what, "pip install 'inr-codec[heic]'   then the same command") from error
    register_heif_opener()


def _pages(path: Path) -> list[int]:
    """The indices of the pictures in an image file that are frames: not reduced versions, nor the stand-in of an animated PNG."""
    with _opened(path) as image:
        count = getattr(image, "n_frames", 1) if image.format in SEQUENCES else 1
        if count == 1:
            return [0]
        if image.format == "TIFF":
            return [page for page in range(count) if not _page_tag(image, page) & REDUCED] or [0]
        return list(range(1 if image.info.get("default_image") else 0, count))


def _page_tag(image: "Image", page: int) -> int:
    image.seek(page)
    return int(image.tag_v2.get(SUBFILE, 0))  # pyrefly: ignore[missing-attribute]


def _rate(path: Path, pages: list[int]) -> Fraction:
    """The mean frames per second of the pictures at `pages` of a file; a MediaWarning tells that their durations differ."""
    durations = []
    with _opened(path) as image:
        for page in pages:
            image.seek(page)
            image.load()
            durations.append(Fraction(image.info.get("duration") or 0).limit_denominator(1000))  # milliseconds
    if not all(durations):
        return RATE
    if min(durations) < max(durations):
        warnings.warn(MediaWarning("variable frame timing is dropped: all frames are coded at the average frame rate"), stacklevel=3)
    return (1000 * len(durations) / sum(durations, Fraction())).limit_denominator(60_000)


def read_image(path: Path, page: int = 0, source: Path | None = None) -> Frame:
    """The picture number `page` of an image file as 8-bit R'G'B' (h w 3), turned as its EXIF orientation says.

    A picture of a kind that Pillow does not know is read by FFmpeg. InputError if neither can read the file, if its samples are of a kind
    that has no R'G'B', or if it is transparent anywhere. A MediaWarning tells that bits of the samples are lost; it names `source`, so that
    the images of a folder cause one warning.
    """
    from PIL import ImageOps

    try:
        with _opened(path) as image:
            if source not in (None, path) and image.format in SEQUENCES and getattr(image, "n_frames", 1) > 1:
                warnings.warn(MediaWarning("some images have several pictures; only the first of each is coded"), stacklevel=2)
            image.seek(page)
            bits = _stored_bits(image, path)
            pixels = np.asarray(ImageOps.exif_transpose(_with_known_samples(image, path)))
    except InputError as error:
        if error.identifier != "unreadable-image" or page:
            raise
        return _by_ffmpeg(path, error)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and pixels[..., -1].min() < np.iinfo(pixels.dtype).max:
        what = f"'{path}' is transparent in places, and a file has no alpha channel"
        raise InputError("alpha", what, f"magick '{path}' -background white -flatten PICTURE.png   blends it with white")
    if pixels.dtype == np.uint8 and bits == DEEP:
        name = (source or path).name
        warnings.warn(MediaWarning(f"'{name}' has {DEEP} bits a sample; only the upper 8 bits are kept"), stacklevel=2)
    return as_rgb8(pixels, path, source)


def _with_known_samples(image: "Image", path: Path) -> "Image":
    """`image` with samples of a kind in READ; InputError if its samples have no R'G'B'."""
    mode = image.mode
    if mode in READ:
        return image
    if mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or image
    if mode == "YCbCr":  # Pillow's own conversion is darker by up to two levels
        from PIL.Image import fromarray

        samples = (np.asarray(image) - np.array([0, 128, 128])) @ FROM_YCBCR
        return fromarray(np.clip(np.rint(samples), 0, MAX_LEVEL).astype(np.uint8))
    if mode not in CONVERTED:
        what = f"'{path}' has samples of the kind '{mode}', which have no 8-bit R'G'B'"
        raise InputError("sample-kind", what, f"magick '{path}' -depth 8 -colorspace sRGB PICTURE.png")
    return image.convert("RGBA" if mode in ("P", "PA") and "transparency" in image.info else CONVERTED[mode])


def _by_ffmpeg(path: Path, error: InputError) -> Frame:
    """The first picture of a file that Pillow cannot read, for which `error` is the reason."""
    try:
        return read_container(path, (0, 1)).frames[0]
    except InputError:
        raise error from None


def _stored_bits(image: "Image", path: Path) -> int:
    """The bits of a sample that a PNG or TIFF file states, 0 for other files: Pillow reduces deep colours to 8 bits silently."""
    if image.format == "TIFF":
        return max(image.tag_v2.get(BITS, (0,)))  # pyrefly: ignore[missing-attribute]
    with path.open("rb") as file:
        start = file.read(BIT_DEPTH_AT + 1)
    return start[BIT_DEPTH_AT] if start.startswith(b"\x89PNG") and len(start) > BIT_DEPTH_AT else 0
