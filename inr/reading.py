"""Read a video file, a folder or glob of images, or one image: all of it, or as it is asked for."""

import difflib
from fractions import Fraction
from pathlib import Path

import numpy as np

from inr.containers import Stream, read_container
from inr.errors import InputError
from inr.images import WORKING_COMMAND, Span, image_files, read_image, spanned, stacked
from inr.images import source_name as source_name
from inr.video import Video


def read_video(path: str | Path, frames: Span = (None, None), scale: str = "") -> Video:
    """The frames `frames[0]` up to, not including, `frames[1]` of `path`, resized if `scale` is '1/2' or '320x160'.

    Raises InputError for what cannot be read, and warns (MediaWarning) of every part that is left out.
    """
    video = _read(Path(path), frames)
    return _resized(video, scale) if scale else video


class Source:
    """A video that is read as it is asked for: `source[a:b]` holds those frames and no others, `len(source)` counts them all.

    Read in order, no frame is decoded twice. `path`, `frames` and `scale` are as for `read_video`, as is what is raised.
    """

    def __init__(self, path: str | Path, frames: Span = (None, None), scale: str = ""):
        self.path, self._scale = Path(path), scale
        self._images = image_files(self.path)
        if not self._images:
            _check_file(self.path)
            self._stream = Stream(self.path)
        self._range = range(len(self._images) or self._stream.count)[slice(*frames)]
        spanned(list(range(len(self._images) or self._stream.count)), frames, self.path)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index: slice) -> Video:
        chosen = self._range[index]
        if self._images:
            video = Video(stacked((read_image(self._images[at]) for at in chosen), self.path), name=source_name(self.path))
        else:
            video = self._stream.video(chosen)
        return _resized(video, self._scale) if self._scale else video


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise _missing(path)
    if path.stat().st_size == 0:
        raise InputError("empty-file", f"'{path}' is empty (0 bytes): an interrupted copy?", WORKING_COMMAND)


def _read(path: Path, span: Span) -> Video:
    images = image_files(path)
    if images:
        chosen = spanned(images, span, path)
        return Video(stacked(map(read_image, chosen), path), name=source_name(path))
    _check_file(path)
    return read_container(path, span)


def _missing(path: Path) -> InputError:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    what = f"no images match '{path}'" if "*" in path.name else f"no such file: '{path}'"
    return InputError("missing-input", what, f"did you mean '{path.parent / near[0]}'?" if near else WORKING_COMMAND)


def _resized(video: Video, scale: str) -> Video:
    from PIL import Image

    if "/" in scale:
        factor = Fraction(scale)
        width, height = max(1, round(video.width * factor)), max(1, round(video.height * factor))
    else:
        width, height = map(int, scale.lower().split("x"))
    resized = [np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.LANCZOS)) for f in video.frames]
    return Video(np.stack(resized), video.fps, video.colour, video.name)
