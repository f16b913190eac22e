"""Read a video file, a folder or glob of images, or one image. Whatever is dropped is said, once."""

import difflib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from inr.errors import InputError, MediaWarning
from inr.video import UNSPECIFIED, Colour, Video

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
WORKING_COMMAND = "inr demo   shows a run on the clip that comes with the package"

Frame = UInt8[np.ndarray, "h w 3"]
Span = tuple[int | None, int | None]  # half-open; None for an end, negative counting from it


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
        self._images = _image_files(self.path)
        if not self._images:
            _check_file(self.path)
            self._stream = _Stream(self.path)
        self._range = range(len(self._images) or self._stream.count)[slice(*frames)]
        _span(list(range(len(self._images) or self._stream.count)), frames, self.path)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index: slice) -> Video:
        chosen = self._range[index]
        if self._images:
            video = Video(_stack((_read_image(self._images[at]) for at in chosen), self.path), name=source_name(self.path))
        else:
            video = self._stream.video(chosen)
        return _resized(video, self._scale) if self._scale else video


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise _missing(path)
    if path.stat().st_size == 0:
        raise InputError("empty-file", f"'{path}' is empty (0 bytes): an interrupted copy?", WORKING_COMMAND)


def _read(path: Path, span: Span) -> Video:
    images = _image_files(path)
    if images:
        chosen = _span(images, span, path)
        return Video(_stack(map(_read_image, chosen), path), name=source_name(path))
    _check_file(path)
    return _read_container(path, span)


def _span(items: list, span: Span, path: Path) -> list:
    chosen = items[slice(*span)]
    if items and not chosen:
        first, last = ("" if end is None else end for end in span)
        raise InputError("no-frames", f"--frames {first}:{last} selects none of the {len(items)} frames of '{path}'", "--frames 0:1")
    return chosen


def _missing(path: Path) -> InputError:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    what = f"no images match '{path}'" if "*" in path.name else f"no such file: '{path}'"
    return InputError("missing-input", what, f"did you mean '{path.parent / near[0]}'?" if near else WORKING_COMMAND)


# Images


def source_name(path: Path) -> str:
    """What a video is called after its source: a file without its suffix, a folder, the folder of a pattern."""
    if path.is_dir() or _is_pattern(path):
        return (path if path.is_dir() else path.parent).absolute().name
    return path.stem


def _is_pattern(path: Path) -> bool:
    return "*" in path.name or "?" in path.name


def _image_files(path: Path) -> list[Path]:
    """The images that `path` names: a folder's, a glob's, a single one; none where it is not about images."""
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            limit = ", ".join(IMAGE_SUFFIXES)
            raise InputError("no-images", f"'{path}' is a folder without images ({limit})", WORKING_COMMAND)
    elif _is_pattern(path):
        found = list(path.parent.glob(path.name)) if path.parent.is_dir() else []
    else:
        found = [path] if path.is_file() and path.stat().st_size and path.suffix.lower() in IMAGE_SUFFIXES else []
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[int | str]:
    """Sort key by which frame 2 comes before frame 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _read_image(path: Path) -> Frame:
    import imageio.v3 as iio

    try:
        pixels = iio.imread(path, plugin="pillow", index=0)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError("unreadable-image", f"'{path}' is not an image that can be read: {error}") from error
    return _as_rgb8(pixels, path)


def _as_rgb8(pixels: np.ndarray, path: Path) -> Frame:
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


def _stack(frames: Iterator[Frame], path: Path) -> UInt8[np.ndarray, "t h w 3"]:
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


def _resized(video: Video, scale: str) -> Video:
    from PIL import Image

    if "/" in scale:
        factor = Fraction(scale)
        width, height = max(1, round(video.width * factor)), max(1, round(video.height * factor))
    else:
        width, height = map(int, scale.lower().split("x"))
    resized = [np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.LANCZOS)) for f in video.frames]
    return Video(np.stack(resized), video.fps, video.colour, video.name)


# Containers


class _Stream:
    """The first video stream of a container, decoded forward; asked for an earlier frame, it begins again."""

    def __init__(self, path: Path):
        import av

        av.logging.set_level(None)  # as in `_read_container`
        self.path = path
        with _explained(path), av.open(str(path)) as container:
            stream = _video_stream(container, path)
            times = [packet.pts for packet in container.demux(stream) if packet.size]
            self.fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.count = len(times)
        _warn_of_variable_timing(sorted(time for time in times if time is not None))
        self._at, self._colour = 0, Colour()
        self._decoded: Iterator | None = None

    def video(self, wanted: range) -> Video:
        """The frames of `wanted`, a range of step 1."""
        if self._decoded is None or wanted.start < self._at:
            self._at, self._decoded = 0, self._frames()
        frames = []
        with _explained(self.path):
            while self._at < wanted.stop and (frame := next(self._decoded, None)) is not None:
                if self._at == 0:
                    self._colour = _colour(frame)
                    _warn_of_depth(frame)
                if self._at >= wanted.start:
                    frames.append(_rgb(frame, self.path))
                self._at += 1
        if len(frames) < len(wanted):
            raise InputError(
                "cut-short", f"'{self.path}' says it has {self.count} frames; frame {self._at} does not decode", WORKING_COMMAND
            )
        return Video(_stack(iter(frames), self.path), self.fps, self._colour, source_name(self.path))

    def _frames(self) -> Iterator:
        import av

        with av.open(str(self.path)) as container:
            stream = _video_stream(container, self.path)
            stream.thread_type = "AUTO"
            _warn_of_other_streams(container)
            yield from container.decode(stream)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """FFmpeg's errors as InputError."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        reason = str(error).split("]")[-1].split(":")[0].strip() or type(error).__name__
        raise InputError("not-a-video", f"'{path}' cannot be read as video: {reason}", WORKING_COMMAND) from error


def _video_stream(container, path: Path):
    if not container.streams.video:
        raise InputError("no-video", f"'{path}' holds no video stream", WORKING_COMMAND)
    return container.streams.video[0]


def _read_container(path: Path, span: Span) -> Video:
    import av

    # Any other level needs the interpreter's lock for an error, which who closes a decoder holds while its threads finish.
    av.logging.set_level(None)
    with _explained(path), av.open(str(path)) as container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        _warn_of_other_streams(container)
        frames, colour = _decode(container, span, path)
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
    return Video(frames, Fraction(fps), colour, source_name(path))


def _decode(container, span: Span, path: Path):
    start, stop = span
    relative = any(end is not None and end < 0 for end in span)  # counts from the end need all frames
    decoded, times, colour = [], [], Colour()
    for index, frame in enumerate(container.decode(video=0)):
        if index == 0:
            colour = _colour(frame)
            _warn_of_depth(frame)
        if not relative and stop is not None and index >= stop:
            break
        times.append(frame.pts)
        if relative or start is None or index >= start:
            decoded.append(_rgb(frame, path))
    _warn_of_variable_timing(times)
    if not decoded and times:
        _span(list(range(len(times))), (len(times), None), path)
    if relative:
        decoded = _span(decoded, span, path)
    return _stack(iter(decoded), path), colour


def _rgb(frame, path: Path) -> Frame:
    if any(component.is_alpha for component in frame.format.components):
        return _as_rgb8(frame.to_ndarray(format="rgba"), path)
    return frame.to_ndarray(format="rgb24")


def _colour(frame) -> Colour:
    """The frame's tags; R'G'B' sources (matrix 0) carry no Y'CbCr matrix to return to."""
    matrix = int(frame.colorspace) or UNSPECIFIED
    return Colour(int(frame.color_primaries), int(frame.color_trc), matrix, int(frame.color_range) == 2)


def _warn_of_other_streams(container) -> None:
    kinds = [stream.type for stream in container.streams]
    for kind, what in (("audio", "audio"), ("subtitle", "subtitle"), ("data", "data"), ("attachment", "attachment")):
        if count := kinds.count(kind):
            warnings.warn(MediaWarning(f"{count} {what} stream{'s' * (count > 1)} dropped: only pictures are coded"), stacklevel=2)
    if (count := kinds.count("video") - 1) > 0:
        warnings.warn(MediaWarning(f"{count} further video stream{'s' * (count > 1)} dropped: the first is coded"), stacklevel=2)


def _warn_of_depth(frame) -> None:
    if frame.format.components and (bits := frame.format.components[0].bits) > 8:
        warnings.warn(MediaWarning(f"the source has {bits} bits a sample; coded as 8-bit RGB"), stacklevel=2)


def _warn_of_variable_timing(times: list[int | None]) -> None:
    """Frames keep their order and the average rate; uneven gaps are lost (one tick of rounding is no gap)."""
    known = [time for time in times if time is not None]
    gaps = np.diff(known)
    if len(gaps) > 1 and gaps.max() - gaps.min() > max(1, 0.02 * gaps.mean()):
        warnings.warn(MediaWarning("variable frame timing dropped: frames are coded at the average rate"), stacklevel=2)
