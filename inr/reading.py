"""Reads a video file, a folder or pattern of images, or one image: all frames, or only the requested ones."""

import difflib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from inr.containers import probe_container
from inr.decoding import Stream, read_container
from inr.errors import InputError
from inr.frames import WORKING_COMMAND, spanned
from inr.images import Images, image_files, is_pattern
from inr.images import source_name as source_name
from inr.scale import Scale
from inr.span import Span
from inr.video import Video


def read_video(path: str | Path, frames: Span = (None, None), scale: Scale | None = None) -> Video:
    """Read the frames `frames[0]` up to, but not including, `frames[1]` of `path`, resized to `scale` if it is given.

    None as an end of `frames` means no limit; a negative number counts from the last frame. `path` is a container, an image, a folder of
    images, or a pattern with `*` or `?`. InputError if `path` cannot be read, if its frames differ in size, or if `frames` selects none
    of them. A MediaWarning names every part of the source that is dropped.
    """
    video = _read(Path(path), frames)
    return resized(video, scale) if scale else video


@dataclass(frozen=True)
class Extent:
    """The size of a source: width and height in pixels, number of frames (of a container perhaps an estimate), frames per second."""

    width: int
    height: int
    frames: int
    fps: Fraction = field(default=Fraction(25), compare=False)


def probe(path: str | Path, frames: Span = (None, None), scale: Scale | None = None) -> Extent:
    """The extent of the frames `frames` of a source, resized to `scale`, as its header states it. At most one image is decoded.

    InputError if `path` cannot be read.
    """
    path = Path(path)
    if files := image_files(path):
        images = Images(files, path)
        (width, height), count, fps = images.size, len(images), Fraction(25)
    else:
        _check_file(path)
        width, height, count, fps = probe_container(path)
    width, height = scale.size(width, height) if scale else (width, height)
    return Extent(width, height, len(range(count)[slice(*frames)]), fps)


class Source:
    """A video that is read on demand: `source[a:b]` reads only these frames, as a Video; `len(source)` is the number of all its frames.

    The constructor decodes a container once to count its frames. If frames are then read in order, each frame is decoded once more.
    Arguments and errors are those of `read_video`; the indices a and b count from the first frame of the span `frames`.
    """

    def __init__(self, path: str | Path, frames: Span = (None, None), scale: Scale | None = None):
        self.path, self._scale = Path(path), scale
        self._frames = _on_demand(self.path)
        self._range = range(len(self._frames))[slice(*frames)]
        spanned(list(range(len(self._frames))), frames, self.path)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index: slice) -> Video:
        video = self._frames.video(self._range[index])
        return resized(video, self._scale) if self._scale else video


def _on_demand(path: Path) -> Images | Stream:
    """The frames of a source that exists, to be read on demand; InputError if there is no such source."""
    if files := image_files(path):
        return Images(files, path)
    _check_file(path)
    return Stream(path)


def _check_file(path: Path) -> None:
    """Raise InputError if `path` is not a file or if the file is empty."""
    if not path.exists():
        raise _missing(path)
    if not path.is_file():
        what = f"'{path}' is a device or a pipe; a source must be a file, because it is read more than once"
        raise InputError("not-a-file", what, "write it to a file first")
    if path.stat().st_size == 0:
        raise InputError("empty-file", f"'{path}' is empty (0 bytes); the copy may have been interrupted", WORKING_COMMAND)


def _read(path: Path, span: Span) -> Video:
    """The frames that `span` selects from `path`, not resized."""
    if files := image_files(path):
        images = Images(files, path)
        spanned(list(range(len(images))), span, path)
        return images.video(range(len(images))[slice(*span)])
    _check_file(path)
    return read_container(path, span)


def _missing(path: Path) -> InputError:
    """The error for a path that does not exist; it suggests a similar name if the folder has one."""
    if str(path) == "-":
        return InputError("standard-input", "standard input cannot be a source, because a source is read more than once", "inr encode FILE")
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    similar = difflib.get_close_matches(path.name, siblings, n=1)
    problem = f"no images match '{path}'" if is_pattern(path) else f"no such file: '{path}'"
    return InputError("missing-input", problem, f"did you mean '{path.parent / similar[0]}'?" if similar else WORKING_COMMAND)


def resized(video: Video, scale: Scale) -> Video:
    """`video` with its frames resized to `scale` by a Lanczos filter."""
    from PIL import Image

    size = scale.size(video.width, video.height)
    frames = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in video.frames]
    return replace(video, frames=np.stack(frames))
