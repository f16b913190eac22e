"""Loads a file from its path, and finds a video in it by name."""

from fractions import Fraction
from pathlib import Path

from codec.bitstream import MAGIC
from codec.decoder import decode
from codec.model import QuantizedModel
from inr.errors import InputError, UsageError

MOST_FPS = 1000  # frames per second


def read_file(path: Path) -> bytes:
    """The bytes of a file; InputError if it does not exist."""
    if str(path) == "-" and not path.exists():
        raise InputError("standard-input", "standard input cannot be read; give the name of a file", "inr info FILE.inr")
    if not path.is_file():
        raise InputError("missing-input", f"no such file: '{path}'", "inr demo   makes a file to try")
    return path.read_bytes()


def open_model(path: Path) -> tuple[QuantizedModel, int]:
    """The model in a file, and the file's size in bytes. InputError if it does not exist, BitstreamError if it cannot be decoded."""
    data = read_file(path)
    return decode(data), len(data)


def video_index(model: QuantizedModel, name: str) -> int:
    """The index of the video named `name`, 0 if `name` is empty. UsageError if there is no such video."""
    names = [model.videos[entries[0]].spec.name for entries in model.clips]
    if name and name not in names:
        raise UsageError("unknown-video", f"no video '{name}' in the file; its videos are {', '.join(names)}", f"--video {names[0]}")
    return names.index(name) if name else 0


def checked_fps(fps: float) -> Fraction:
    """Frames per second as a fraction with a denominator of at most 1001. UsageError unless 0 < fps <= MOST_FPS."""
    if not 0 < fps <= MOST_FPS:
        raise UsageError("fps-range", f"--fps {fps}: the frame rate must be above 0 and at most {MOST_FPS} frames per second", "--fps 50")
    return Fraction(fps).limit_denominator(1001)


def is_inr_file(path: Path) -> bool:
    """Whether `path` is treated as an .inr file: its suffix is .inr, or the file begins with the magic."""
    if path.suffix == ".inr" or not path.is_file():
        return path.suffix == ".inr"
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
