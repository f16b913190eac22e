"""The parts of a source beside its pictures: sound, subtitles, chapters, and the times of frames that are not evenly spaced.

They are copied as they are. Packets of sound and of subtitles stay in a small container, so that FFmpeg keeps what it knows of them.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

from inr.containers import COPIED, best_stream, opened
from inr.errors import MediaWarning
from inr.ffmpeg import pyav
from inr.images import image_files
from inr.span import Span

CONTAINERS = ("nut", "matroska", "mov")  # FFmpeg's names, best first: NUT takes fewest bytes and keeps exact times, but not every codec
SOUND_SUFFIXES = (".mp4", ".mkv")  # of outputs that can hold streams
UNIT = 1_000_000  # of times in a second
EVEN = 0.02  # the largest difference between intervals of evenly spaced frames, as a share of their mean


class Chapter(NamedTuple):
    """A chapter; its times are in milliseconds from the first frame."""

    start: int
    end: int
    title: str


@dataclass(frozen=True)
class Streams:
    """Sound, subtitles and chapters beside pictures, and the durations of frames.

    `container` is a whole file, without pictures, whose times are `shift` microseconds later than those of the pictures; empty if there are
    no such streams. Frame number i lasts `durations[i]` units of `tick` seconds; without durations, frames are evenly spaced.
    """

    container: bytes = b""
    shift: int = 0
    tick: Fraction = Fraction(1)
    durations: tuple[int, ...] = ()
    chapters: tuple[Chapter, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.container or self.durations or self.chapters)

    def times(self, frames: int) -> tuple[int, ...]:
        """The times in ticks at which the frames begin, and at which the last one ends; empty if they are evenly spaced."""
        if len(self.durations) != frames:
            return ()
        found = [0]
        for duration in self.durations:
            found.append(found[-1] + duration)
        return tuple(found)


def read_streams(path: Path, span: Span = (None, None)) -> Streams:
    """The streams beside the pictures of `path`, for its frames `span`. A MediaWarning names each stream that no container can hold.

    Nothing is decoded. Damaged packets are left out. InputError if the source cannot be read.
    """
    if image_files(path):
        return Streams()
    with opened(path) as source:
        pictures = best_stream(source, path)
        copied = [stream for stream in source.streams if stream.type in COPIED and stream.codec_context is not None]
        chapters = source.chapters()
        times, packets = list[int](), list[Any]()
        for packet in _packets(source, [pictures, *copied]):
            if packet.stream.index != pictures.index:
                packets.append(packet)
            elif packet.pts is not None and not packet.is_discard:
                times.append(packet.pts)
        shown = sorted(set(times))
        selected = range(len(shown))[slice(*span)]
        if not shown or not selected:
            return Streams()
        last = shown[-1] - shown[-2] if len(shown) > 1 else 1
        edges = [*shown, shown[-1] + last][selected.start : selected.stop + 1]
        durations = [after - before for before, after in pairwise(edges)]
        tick = Fraction(pictures.time_base)
        first, end = edges[0] * tick, edges[-1] * tick
        is_whole = selected.start == 0, selected.stop == len(shown)
        container, shift = _contained(path, copied, packets, (first, end), is_whole)
    timing = (tick, tuple(durations)) if _vary(durations) else (Fraction(1), ())
    return Streams(container, shift, *timing, _chapters(chapters, first, end))


def _packets(source: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """The packets of `streams` with data and a time; they end where the container cannot be read further."""
    try:
        for packet in source.demux(*streams):
            if packet.size and packet.dts is not None and not packet.is_corrupt:
                yield packet
    except pyav().FFmpegError:
        return


def _start(packet: Any) -> Fraction:
    """The time of a packet in seconds."""
    return Fraction(packet.dts if packet.pts is None else packet.pts) * packet.time_base


def _vary(durations: Sequence[int]) -> bool:
    """Whether frames are not evenly spaced: intervals differ by more than a tick and more than EVEN."""
    inner = durations[:-1]
    return len(inner) > 1 and max(inner) - min(inner) > max(1, EVEN * sum(inner) / len(inner))


def _contained(
    path: Path, streams: Sequence[Any], packets: Sequence[Any], span: tuple[Fraction, Fraction], is_whole: tuple[bool, bool]
) -> tuple[bytes, int]:
    """A container of the packets that are heard or seen within `span` (seconds), and its shift.

    `is_whole` tells whether `span` begins with the first frame, and ends with the last one: sound before and after is then kept.
    """
    (first, end), kept = span, list[tuple[Any, Fraction]]()
    for packet in packets:
        start = _start(packet)
        stop = start + (packet.duration or 0) * packet.time_base
        if (is_whole[0] or stop > first) and (is_whole[1] or start < end):
            kept.append((packet, start - first))
    if not kept:
        return b"", 0
    shift = max(0, -floor(min(start for _, start in kept) * UNIT))
    container = max(CONTAINERS, key=lambda name: sum(_holds(name, stream) for stream in streams))
    accepted = [stream for stream in streams if _holds(container, stream)]
    for stream in streams:
        if stream not in accepted:
            warnings.warn(MediaWarning(f"'{path.name}': the {description(stream)} cannot be copied; it is dropped"), stacklevel=4)
    if not accepted:
        return b"", 0
    file, copies = io.BytesIO(), dict[int, Any]()
    with pyav().open(file, "w", format=container) as output:
        for stream in accepted:
            copies[stream.index] = _copy(output, stream)
        for packet, _ in kept:
            if packet.stream.index in copies:
                later(packet, Fraction(shift, UNIT) - first)
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return file.getvalue(), shift


def _copy(output: Any, stream: Any) -> Any:
    """A stream of `output` for the packets of `stream`, with its language, title and disposition."""
    copy = output.add_stream_from_template(stream)
    copy.metadata.update({key: value for key, value in stream.metadata.items() if key in ("language", "title")})
    copy.disposition = stream.disposition
    return copy


def _holds(container: str, stream: Any) -> bool:
    """Whether a container, by FFmpeg's name, can hold packets of `stream`."""
    av = pyav()
    try:
        with av.open(io.BytesIO(), "w", format=container) as output:
            _copy(output, stream)
            output.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def description(stream: Any) -> str:
    """The kind and the codec of a stream in words."""
    return f"{stream.type} stream ({stream.codec_context.name})"


def later(packet: Any, seconds: Fraction) -> None:
    """Move a packet in time."""
    ticks = round(seconds / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


def _chapters(found: Sequence[Any], first: Fraction, end: Fraction) -> tuple[Chapter, ...]:
    """The chapters that have a part within the span (seconds), limited to it."""
    chapters = []
    for chapter in found:
        unit = Fraction(chapter["time_base"])
        start, stop = max(chapter["start"] * unit, first), min(chapter["end"] * unit, end)
        if start < stop:
            title = str(chapter["metadata"].get("title", ""))
            chapters.append(Chapter(round(1000 * (start - first)), round(1000 * (stop - first)), title))
    return tuple(chapters)


# Writing


@dataclass(frozen=True)
class Part:
    """The part of `streams` that belongs to pictures from the time `first` to `end`, in seconds.

    Picture number i begins `times[i]` seconds after `first`; without times, they are evenly spaced.
    """

    streams: Streams
    first: Fraction
    end: Fraction
    times: tuple[Fraction, ...] = ()

    @classmethod
    def of(cls, streams: Streams, frames: int, fps: Fraction, start: int, stop: int) -> "Part":
        """The part for the frames `start` to `stop` - 1 of all `frames`, which are `fps` frames in a second if they are evenly spaced."""
        edges = [time * streams.tick for time in streams.times(frames)]
        if not edges:
            return cls(streams, start / fps, stop / fps)
        return cls(streams, edges[start], edges[stop], tuple(time - edges[start] for time in edges[start:stop]))


class Copies:
    """The streams of a part in an open `output`.

    The constructor adds the streams, before anything is written; `until` writes their packets. A MediaWarning names each stream that the
    format cannot hold.
    """

    def __init__(self, part: Part, output: Any):
        self._part, self._output, self._streams = part, output, dict[int, Any]()
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None
        if chapters := _written(part):
            output.set_chapters(chapters)
        if not part.streams.container:
            return
        try:
            self._source = pyav().open(io.BytesIO(part.streams.container))
        except pyav().FFmpegError:
            warnings.warn(MediaWarning("the sound of this file is damaged: it is left out"), stacklevel=5)
            return
        for stream in self._source.streams:
            if _holds(output.format.name, stream):
                self._streams[stream.index] = _copy(output, stream)
            else:
                warnings.warn(
                    MediaWarning(f"{output.format.name} cannot hold the {description(stream)}: it is left out"),
                    stacklevel=5,
                )
        if self._streams:
            self._packets = _packets(self._source, [self._source.streams[index] for index in self._streams])
            self._next = next(self._packets, None)

    def until(self, seconds: Fraction | None = None) -> None:
        """Write the packets that begin up to so many seconds after the first picture; all that are left without an argument."""
        part, back = self._part, -Fraction(self._part.streams.shift, UNIT) - self._part.first
        while (packet := self._next) is not None:
            later(packet, back)
            start = _start(packet)
            if seconds is not None and start > seconds:
                later(packet, -back)
                return
            stop = start + (packet.duration or 0) * packet.time_base
            if (part.first == 0 or stop > 0) and start < part.end - part.first:
                packet.stream = self._streams[packet.stream.index]
                self._output.mux(packet)
            self._next = next(self._packets, None)


def _written(part: Part) -> list[dict[str, Any]]:
    """The chapters of a part as PyAV writes them."""
    found = []
    for chapter in part.streams.chapters:
        start, stop = (Fraction(time, 1000) - part.first for time in (chapter.start, chapter.end))
        start, stop = max(start, Fraction(0)), min(stop, part.end - part.first)
        if start < stop:
            times = {"start": round(1000 * start), "end": round(1000 * stop), "time_base": Fraction(1, 1000)}
            found.append({"id": len(found) + 1, **times, "metadata": {"title": chapter.title}})
    return found
