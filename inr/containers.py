"""Reads videos in containers with FFmpeg's libraries. One MediaWarning reports each part of a source that is dropped."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from inr.errors import InputError, MediaWarning
from inr.images import WORKING_COMMAND, Span, as_rgb8, source_name, spanned, stacked
from inr.pixels import Frame, Frames
from inr.video import UNSPECIFIED, Colour, Video


class Stream:
    """The first video stream of a container: `count` frames, `fps` frames per second. InputError if it cannot be decoded.

    The stream is decoded in order. A request for a frame before the last decoded one decodes the stream again from its first frame.
    """

    def __init__(self, path: Path):
        import av

        av.logging.set_level(None)  # `read_container` gives the reason
        self.path = path
        # The frames are counted by decoding, because a packet may hold no visible frame, or several.
        with _input_errors(path), av.open(str(path)) as container:
            stream = _video_stream(container, path)
            stream.thread_type = "AUTO"
            times = [frame.pts for frame in container.decode(stream)]
            self.fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.count = len(times)
        _warn_of_variable_timing(times)
        self._next_index, self._colour = 0, Colour()
        self._decoded: Iterator | None = None

    def video(self, indices: range) -> Video:
        """The frames at `indices`, a range of step 1, as a Video. InputError if none of these frames exists or if decoding fails."""
        if self._decoded is None or indices.start < self._next_index:
            self._next_index, self._decoded = 0, self._frames()
        frames = []
        with _input_errors(self.path):
            while self._next_index < indices.stop and (frame := next(self._decoded, None)) is not None:
                if self._next_index == 0:
                    self._colour = _colour(frame)
                    _warn_of_depth(frame)
                if self._next_index >= indices.start:
                    frames.append(_rgb(frame, self.path))
                self._next_index += 1
        return Video(stacked(iter(frames), self.path), self.fps, self._colour, source_name(self.path))

    def _frames(self) -> Iterator:
        """Decode the stream from its first frame and yield each frame."""
        import av

        with av.open(str(self.path)) as container:
            stream = _video_stream(container, self.path)
            stream.thread_type = "AUTO"
            _warn_of_other_streams(container)
            yield from container.decode(stream)


@contextmanager
def _input_errors(path: Path) -> Iterator[None]:
    """A context that converts FFmpeg's errors to InputError; the message names `path`."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        reason = str(error).split("]")[-1].split(":")[0].strip() or type(error).__name__
        raise InputError("not-a-video", f"'{path}' cannot be read as video: {reason}", WORKING_COMMAND) from error


def _video_stream(container, path: Path):
    """The first video stream of an open container; InputError if there is none."""
    if not container.streams.video:
        raise InputError("no-video", f"'{path}' holds no video stream", WORKING_COMMAND)
    return container.streams.video[0]


def probe_container(path: Path) -> tuple[int, int, int]:
    """The width and height in pixels and the number of frames of a container's first video stream, as its header states them.

    If the header gives no number of frames, the number is estimated from the duration. InputError if the header cannot be read.
    """
    import av

    with _input_errors(path), av.open(str(path)) as container:
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
    """The frames `span` of a container's first video stream, as a Video. InputError if they cannot be decoded or if there are none."""
    import av

    # None switches FFmpeg's log off. Otherwise a decoder thread that logs an error waits for the interpreter's lock. The thread that
    # closes the decoder holds this lock while it waits for the decoder threads, so both threads would wait forever.
    av.logging.set_level(None)
    with _input_errors(path), av.open(str(path)) as container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        _warn_of_other_streams(container)
        frames, colour = _decode(container, span, path)
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
    return Video(frames, Fraction(fps), colour, source_name(path))


def _decode(container, span: Span, path: Path) -> tuple[Frames, Colour]:
    """The frames `span` of an open container, and the colour tags of its first frame."""
    start, stop = span
    relative = any(end is not None and end < 0 for end in span)  # negative numbers count from the end
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
    """A decoded frame as 8-bit RGB, without its alpha channel."""
    if any(component.is_alpha for component in frame.format.components):
        return as_rgb8(frame.to_ndarray(format="rgba"), path)
    return frame.to_ndarray(format="rgb24")


def _colour(frame) -> Colour:
    """The colour tags of a frame. Matrix code 0 marks an R'G'B' source; it becomes UNSPECIFIED, because it stands for no Y'CbCr matrix."""
    matrix = int(frame.colorspace) or UNSPECIFIED
    return Colour(int(frame.color_primaries), int(frame.color_trc), matrix, int(frame.color_range) == 2)


def _warn_of_other_streams(container) -> None:
    """Issue a MediaWarning for each kind of stream that is dropped."""
    kinds = [stream.type for stream in container.streams]
    for kind in ("audio", "subtitle", "data", "attachment"):
        if count := kinds.count(kind):
            warnings.warn(MediaWarning(f"{count} {kind} stream{'s' * (count > 1)} dropped: only pictures are coded"), stacklevel=2)
    if (count := kinds.count("video") - 1) > 0:
        warnings.warn(MediaWarning(f"{count} further video stream{'s' * (count > 1)} dropped: only the first one is coded"), stacklevel=2)


def _warn_of_depth(frame) -> None:
    """Issue a MediaWarning if a frame has more than 8 bits for each sample."""
    if frame.format.components and (bits := frame.format.components[0].bits) > 8:
        warnings.warn(MediaWarning(f"the source has {bits} bits a sample; it is coded as 8-bit RGB"), stacklevel=2)


def _warn_of_variable_timing(times: list[int | None]) -> None:
    """Issue a MediaWarning if the intervals between frames are not equal, because a file stores only the average frame rate.

    `times` are in ticks of the stream's time base. Intervals that differ by at most 1 tick, or 2 % of their mean, count as equal.
    """
    known = [time for time in times if time is not None]
    gaps = np.diff(known)
    if len(gaps) > 1 and gaps.max() - gaps.min() > max(1, 0.02 * gaps.mean()):
        warnings.warn(MediaWarning("variable frame timing is dropped: all frames are coded at the average frame rate"), stacklevel=2)
