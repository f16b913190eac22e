"""Opens containers with FFmpeg's libraries, and reads the facts of the stream that players show."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from inr.errors import InputError
from inr.ffmpeg import pyav
from inr.frames import WORKING_COMMAND
from inr.orientation import Orientation

DEFAULT_RATE = Fraction(25)  # frames per second of a stream that states no rate
MOST_RATE = 10_000  # frames per second; FFmpeg states its unit of time as the rate of some single pictures
MOST_ASPECT = 1 << 16  # denominator of a pixel aspect
COPIED = ("audio", "subtitle")  # kinds of streams that `inr.streams` copies
SAME_RATE = 0.02  # largest relative difference between two statements of one frame rate


class Header(NamedTuple):
    """The facts of a stream that its container's header states.

    `width` and `height` are those of upright frames in pixels; `frames` may be an estimate, and `fps` is for evenly spaced frames.
    """

    width: int
    height: int
    frames: int
    fps: Fraction


@contextmanager
def opened(path: Path) -> Iterator:
    """The open container at `path`; FFmpeg's errors become InputError.

    FFmpeg gets an open file, not the path, so no character of a name has a meaning of its own, as ':' and '%' have in FFmpeg's addresses.
    """
    av = pyav()
    try:
        with path.open("rb") as file, av.open(file) as container:
            yield container
    except av.FFmpegError as error:
        reason = str(error).split("]")[-1].split(":")[0].strip() or type(error).__name__
        raise InputError("not-a-video", f"'{path}' cannot be read as video: {reason}", WORKING_COMMAND) from error
    except OSError as error:
        raise InputError("unreadable-file", f"'{path}' cannot be read: {error.strerror or error}", WORKING_COMMAND) from error


def best_stream(container, path: Path):
    """The video stream of an open container that players show; InputError if there is none, or if FFmpeg has no decoder for it."""
    stream = container.streams.best("video")
    if stream is None or is_cover(stream):
        held = "only cover art" if stream is not None else "no video stream"
        raise InputError("no-video", f"'{path}' holds {held}", WORKING_COMMAND)
    if stream.codec_context is None:
        raise InputError("no-decoder", f"the video in '{path}' has a codec that this FFmpeg cannot decode", "convert it first")
    return stream


def is_cover(stream) -> bool:
    """Whether a stream is a picture that belongs to a piece of music."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def frame_rate(stream) -> Fraction:
    """The frames per second of a stream: FFmpeg's guess, as players use it, if the stream's mean rate agrees with it, else the mean rate.

    The guess knows that 29.9701 means 30000/1001. It can be a multiple of the true rate for fields, and for variable timing.
    """
    mean, guess = (rate if rate and rate <= MOST_RATE else None for rate in (stream.average_rate, stream.guessed_rate))
    if mean and guess and abs(guess / mean - 1) > SAME_RATE:
        return Fraction(mean)
    return Fraction(guess or mean or DEFAULT_RATE)


def pixel_aspect(stream, orientation: Orientation) -> Fraction:
    """The width of a pixel of upright frames, divided by its height; 1 if the stream does not state it."""
    stated = Fraction(stream.sample_aspect_ratio or 1).limit_denominator(MOST_ASPECT) or Fraction(1)
    return 1 / stated if orientation.transposed else stated


def stated_seconds(container, stream) -> float | None:
    """The duration of a stream in seconds, as the header states it; None if it states none."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if stated := stream.metadata.get("DURATION"):  # of Matroska: hours, minutes and seconds
        parts = stated.split(":")
        try:
            return sum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
        except ValueError:
            return None
    alone = sum(other.type in ("video", "audio") for other in container.streams) == 1
    return container.duration / 1e6 if container.duration and alone else None


def probe_container(path: Path) -> Header:
    """The header of a container's best video stream. Its first frame is decoded for the orientation. InputError if it cannot be read."""
    with opened(path) as container:
        stream = best_stream(container, path)
        rate, seconds = frame_rate(stream), stated_seconds(container, stream)
        count = stream.frames or round((seconds if seconds is not None else (container.duration or 0) / 1e6) * rate)
        first = next(container.decode(stream), None)
        width, height = (Orientation.of(first) if first else Orientation()).size(stream.width, stream.height)
        return Header(width, height, max(1, count), rate)
