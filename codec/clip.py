"""The interface for Python and Jupyter: a video in a file, whose frames are rendered on demand."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from codec.bundle import video_stats
from codec.card import card, picture
from codec.decoder import decode
from codec.description import described
from codec.loading import is_inr_file, read_file, video_index
from codec.streams import streams_bytes
from inr.backend import Backend
from inr.errors import UsageError
from inr.pixels import CHANNELS, Frame, Frames
from inr.reading import read_video
from inr.spec import VideoSpec

if TYPE_CHECKING:
    from jaxtyping import Array

    Pure = Callable[[dict[str, Array], Int[Array, " t"]], Float[Array, "t h w 3"]]

FRAMES_TOGETHER = 16  # the number of frames that an iteration over a Clip renders together


def open_file(path: str | Path, video: str = "", backend: Backend = Backend.AUTO) -> "Clip":
    """Open the video named `video` (by default the first one) in the .inr file `path`, whose frames `backend` renders.

    InputError if there is no such file, BitstreamError if the file cannot be decoded, UsageError if it has no such video.
    """
    return Clip(read_file(Path(path)), str(path), video, backend)


def decoded_frames(path: Path, video: str = "", backend: Backend = Backend.AUTO) -> tuple[Frames, int]:
    """All frames (uint8, t h w 3) of `path`, and its size in bytes. `path` is an .inr file, any other video, or a folder of images.

    For an .inr file, `video` is the name of the video; the size is `Clip.bytes`. The size of a folder is
    the sum of the sizes of its files. InputError if `path` cannot be read. For an .inr file, the errors are those
    of `open_file`.
    """
    if is_inr_file(path):
        clip = open_file(path, video, backend)
        return clip[:], clip.bytes
    files = [entry for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path]
    return read_video(path).frames, sum(file.stat().st_size for file in files)


class Clip:
    """One video of an .inr file, as a sequence of uint8 R'G'B' frames.

    `clip[10]` is a frame (h w 3), `clip[::5]` are frames (t h w 3); `for frame in clip`, `len(clip)` and `np.asarray(clip)` work too.
    A frame is rendered only when it is requested. IndexError if a frame does not exist.

    `data` are the bytes of the file, `name` is its path, `video` is the name of the video, empty for the first one, and `backend` renders.
    """

    def __init__(self, data: bytes, name: str, video: str = "", backend: Backend = Backend.AUTO):
        self.model, self.path = decode(data), name
        self.data, self.backend = data, backend
        self.index = video_index(self.model, video)

    @cached_property
    def spec(self) -> VideoSpec:
        """The size, number of frames, rate, colour tags and name of the video."""
        return self.model.clip_spec(self.index)

    @property
    def fps(self) -> Fraction:
        """Frames per second."""
        return self.spec.fps

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(number of frames, height, width, 3), the shape of `np.asarray(clip)`."""
        return (self.spec.frames, self.spec.height, self.spec.width, CHANNELS)

    @cached_property
    def bytes(self) -> int:
        """The size of the video in bytes: the whole file without sound and the like, or in a bundle of several videos its records."""
        if len(self.model.clips) > 1:
            return video_stats(self.data, self.model)[self.index].bytes
        return len(self.data) - streams_bytes(self.data)

    @property
    def bpp(self) -> float:
        """Bits per pixel: the bits of the file without sound and the like, divided by the pixels of all its videos."""
        pixels = sum(self.model.clip_spec(clip).pixels for clip in range(len(self.model.clips)))
        return 8 * (len(self.data) - streams_bytes(self.data)) / pixels

    @cached_property
    def info(self) -> dict[str, object]:
        """The facts that `inr info --json` prints."""
        return described(self.model, self.data, self.path, self.index)

    def __len__(self) -> int:
        return self.spec.frames

    def __getitem__(self, index: int | slice) -> Frames | Frame:
        if isinstance(index, slice):
            return self.model.render(range(len(self))[index], self.index, self.backend)
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} does not exist; the video has the frames 0 to {len(self) - 1}")
        return self.model.render([index % len(self)], self.index, self.backend)[0]

    def __iter__(self) -> Iterator[Frame]:
        for start in range(0, len(self), FRAMES_TOGETHER):
            yield from self[start : start + FRAMES_TOGETHER]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("np.asarray(clip) renders a new array, so copy=False is impossible")
        return self[:] if dtype is None else self[:].astype(dtype)

    def jax(self, segment: int = 0) -> "tuple[dict[str, Array], Pure]":
        """The parameters (float32 arrays by name), and a pure function `network(parameters, indices)` for jit, vmap and grad.

        The function returns frames (t h w 3) as float32 R'G'B', where 0 is black and 1 is white; values can lie outside [0, 1]. A video
        in several segments has one network for each segment: indices count from the first frame of the segment number `segment`.
        Gradients exist in reverse mode only. UsageError if there is no such segment.
        """
        from functools import partial

        import jax.numpy as jnp

        from inr.network import apply_network

        entries = self.model.clips[self.index]
        if not 0 <= segment < len(entries):
            raise UsageError("no-segment", f"segment {segment} of {len(entries)} does not exist; the first segment is 0", "segment=0")
        entry = entries[segment]
        parameters = {name: jnp.asarray(values) for name, values in self.model.tensors(entry).items()}
        return parameters, partial(apply_network, self.model.spec, self.model.videos[entry].spec)

    def __repr__(self) -> str:
        frames, height, width, _ = self.shape
        return f"<Clip '{self.spec.name}' of '{self.path}': {width}x{height}, {frames} frames, {len(self.data)} bytes, {self.bpp:.4f} bpp>"

    def _repr_html_(self) -> str:
        """HTML with the middle frame and facts of the file. A saved notebook shows it without a running kernel."""
        frames, height, width, _ = self.shape
        lines = [
            f"<b>{self.spec.name or self.path}</b>",
            f"{width}x{height}, {frames} frames, {float(self.fps):.5g} fps",
            f"{len(self.data)} bytes, {self.bpp:.4f} bpp",
            str(self.info["network"]),
        ]
        return card(picture(self[len(self) // 2]), lines)
