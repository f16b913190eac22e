"""Videos in containers, read by FFmpeg's libraries. Whatever is dropped is said, once."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from inr.errors import InputError, MediaWarning
from inr.images import WORKING_COMMAND, Frame, Span, as_rgb8, source_name, spanned, stacked
from inr.video import UNSPECIFIED, Colour, Video


class Stream:
    """The first video stream of a container, decoded forward; asked for an earlier frame, it begins again."""

    def __init__(self, path: Path):
        import av

        av.logging.set_level(None)  # as in `read_container`
        self.path = path
        # Counted by decoding: packets may hold no frame to show, or several.
        with _explained(path), av.open(str(path)) as container:
            stream = _video_stream(container, path)
            stream.thread_type = "AUTO"
            times = [frame.pts for frame in container.decode(stream)]
            self.fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.count = len(times)
        _warn_of_variable_timing(times)
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
        return Video(stacked(iter(frames), self.path), self.fps, self._colour, source_name(self.path))

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


def probe_container(path: Path) -> tuple[int, int, int]:
    """Width, height and number of frames of a container's first video stream by its header; without a number, by its duration."""
    import av

    with _explained(path), av.open(str(path)) as container:
        stream = _video_stream(container, path)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        if stream.frames:
            count = stream.frames
        elif stream.duration and stream.time_base:
            count = round(stream.duration * stream.time_base * rate)
        else:
            count = round((container.duration or 0) * Fraction(1, av.time_base) * rate)
        return stream.width, stream.height, max(1, count)


def read_container(path: Path, span: Span) -> Video:
    """The frames of `span` of a container's first video stream."""
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
        spanned(list(range(len(times))), span, path)
    if relative:
        decoded = spanned(decoded, span, path)
    return stacked(iter(decoded), path), colour


def _rgb(frame, path: Path) -> Frame:
    if any(component.is_alpha for component in frame.format.components):
        return as_rgb8(frame.to_ndarray(format="rgba"), path)
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
