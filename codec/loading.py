"""Files from a path: read, decoded, and any video's frames for measuring."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from codec.bitstream import MAGIC
from codec.bundle import shares
from codec.decoder import decode
from codec.model import QuantizedModel
from inr.errors import InputError, UsageError
from inr.reading import read_video

MOST_FPS = 1000


def read_file(path: Path) -> bytes:
    """A file's bytes; InputError if there is none."""
    if not path.is_file():
        raise InputError("missing-input", f"no such file: '{path}'", "inr demo   makes a file to try")
    return path.read_bytes()


def open_model(path: Path) -> tuple[QuantizedModel, int]:
    """The model in a file, and the file's size in bytes."""
    data = read_file(path)
    return decode(data), len(data)


def video_index(model: QuantizedModel, name: str) -> int:
    """Which video `name` means; the only or first one if it is empty."""
    names = [model.videos[entries[0]].spec.name for entries in model.clips]
    if name and name not in names:
        raise UsageError("unknown-video", f"no video '{name}' in the file; it holds {', '.join(names)}", f"--video {names[0]}")
    return names.index(name) if name else 0


def asked_fps(fps: float) -> Fraction:
    """Frames per second as an exact fraction; UsageError outside 0..1000."""
    if not 0 < fps <= MOST_FPS:
        raise UsageError("fps-range", f"--fps {fps} lies outside 0..{MOST_FPS} frames per second", "--fps 50")
    return Fraction(fps).limit_denominator(1001)


def _begins_with_magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def decoded_frames(path: Path, video: str = "") -> tuple[np.ndarray, int]:
    """Frames (uint8 t h w 3) of an .inr file's `video` or of any video, and its size in bytes.

    A folder's is that of its files, a video's in a bundle that of its records.
    """
    if path.suffix == ".inr" or (path.is_file() and _begins_with_magic(path)):
        data = read_file(path)
        model = decode(data)
        index = video_index(model, video)
        return model.render(clip=index), shares(data, model)[index].bytes if len(model.clips) > 1 else len(data)
    frames = read_video(path).frames
    files = [entry for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path]
    return frames, sum(file.stat().st_size for file in files)
