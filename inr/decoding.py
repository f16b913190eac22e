"""Decodes the frames of a container as players show them: upright, and concealed where the stream is damaged.

One MediaWarning reports each part of a source that is dropped or damaged.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from inr.containers import COPIED, best_stream, frame_rate, is_cover, opened, pixel_aspect, stated_seconds
from inr.errors import MediaWarning, StreamWarning
from inr.ffmpeg import pyav
from inr.frames import as_rgb8, readable, spanned, stacked
from inr.orientation import Orientation
from inr.pixels import Frame
from inr.span import Span
from inr.video import UNSPECIFIED, Colour, Video

MOST_MISSING = 1.5  # frames that a stream may be shorter than its header states, without a warning
MOST_REPEATS = 1000  # frames that a gap in time may have; a longer gap is a damaged time
# FFmpeg's flags of the conversion between R'G'B' and Y'CbCr: SWS_BICUBIC, SWS_FULL_CHR_H_INT, SWS_FULL_CHR_H_INP and SWS_ACCURATE_RND.
# Without them, colours become darker by up to two levels, and chroma is taken from the wrong places.
ACCURATE = 0x4 | 0x2000 | 0x4000 | 0x40000
DETERMINISTIC = "NONE"  # FFmpeg's threads for a damaged stream: with more threads, it depends on them which frames can be decoded


@dataclass(frozen=True)
class Facts:
    """The facts of a stream, from its header and its first frame. `losses` are warnings about parts that are dropped.

    `seconds` is the duration that the header states, None if it states none.
    """

    fps: Fraction
    pixel_aspect: Fraction
    colour: Colour
    orientation: Orientation
    seconds: float | None
    losses: tuple[MediaWarning, ...]

    @classmethod
    def of(cls, container, stream, first) -> "Facts":
        """The facts of an open container's `stream`, whose first frame is `first`."""
        orientation = Orientation.of(first)
        losses = (*_other_streams(container), *_reduced_samples(first))
        aspect = pixel_aspect(stream, orientation)
        return cls(frame_rate(stream), aspect, _colour(first), orientation, stated_seconds(container, stream), losses)


class Decoding:
    """One pass over the frames of a container's best video stream, in display order.

    A part that cannot be decoded is skipped; where this leaves a gap in time, the frame before the gap is repeated. `concealed` are the
    indices of repeated frames, and of those that the decoder marks as damaged. `damaged` tells whether there was any damage so far. `times`
    are the times of the decoded frames in seconds, `count` is the number of all frames so far, and `end` the time at which the last one
    ends; `tick` is the unit of times. `facts` is None before the first frame.
    """

    def __init__(self, path: Path, threads: str = "AUTO"):
        self.path, self.threads = path, threads
        self.damaged, self.concealed, self.count = False, list[int](), 0
        self.times, self.end, self.tick = list[float](), 0.0, 0.0
        self.facts: Facts | None = None

    def __iter__(self) -> Iterator:
        """The frames, as PyAV gives them. InputError if none can be decoded."""
        with opened(self.path) as container:
            stream = best_stream(container, self.path)
            stream.thread_type = self.threads
            before = None
            for frame in self._decoded(container, stream):
                if self._late(frame):
                    continue
                self.facts = self.facts or Facts.of(container, stream, frame)
                for _ in range(self._lost(frame, self.facts.fps)):
                    self.concealed.append(self.count)
                    self.count += 1
                    yield before
                if frame.is_corrupt:
                    self.damaged = True
                    self.concealed.append(self.count)
                if frame.time is not None:
                    self.times.append(frame.time)
                    self.tick = float(frame.time_base)
                    self.end = frame.time + float((frame.duration or 0) * frame.time_base or 1 / self.facts.fps)
                before = frame
                self.count += 1
                yield frame

    def _packets(self, container, stream) -> Iterator:
        """The packets of `stream`, and None at their end. If the container cannot be read further, they end there."""
        av = pyav()
        try:
            for packet in container.demux(stream):
                self.damaged = self.damaged or packet.is_corrupt
                yield packet
        except av.FFmpegError:
            self.damaged = True
            yield None

    def _decoded(self, container, stream) -> Iterator:
        """The frames that can be decoded. FFmpeg's error if there are packets, but none can be decoded."""
        av, first_error, any_frame = pyav(), None, False
        for packet in self._packets(container, stream):
            try:
                frames = stream.decode(packet)
            except av.FFmpegError as error:
                self.damaged, first_error = True, first_error or error
                continue
            any_frame = any_frame or bool(frames)
            yield from frames
        if first_error is not None and not any_frame:
            raise first_error

    def _late(self, frame) -> bool:
        """Whether a frame of a damaged stream comes after frames that are shown later."""
        return self.damaged and bool(self.times) and frame.time is not None and frame.time <= self.times[-1]

    def _lost(self, frame, fps: Fraction) -> int:
        """The number of frames that are missing before `frame` in a damaged stream."""
        if not (self.damaged and self.times) or frame.time is None:
            return 0
        gap = round((frame.time - self.times[-1]) * fps) - 1
        return gap if 0 < gap <= MOST_REPEATS else 0

    def warn(self, whole: bool) -> None:
        """Issue the warnings of this pass, which is over; `whole` tells that it went to the end of the stream."""
        lines, name = list[str](), self.path.name
        losses: list[MediaWarning] = list(self.facts.losses) if self.facts else []
        if whole and self.facts and self.facts.seconds is not None and self.times:
            lasted = max(self.end, self.end - self.times[0])
            missing = (self.facts.seconds - lasted) * self.facts.fps
            if missing > MOST_MISSING:
                of = f"{self.count} of about {self.count + round(missing)} frames"
                lines.append(f"'{name}' ends early: {of} can be decoded; the file may have been cut short")
        if self.concealed:
            first = self.concealed[0]
            damage = f"'{name}' is damaged: {len(self.concealed)} of {self.count} frames are concealed, the first one is frame {first}"
            lines.append(damage + (f"; --frames 0:{first} selects the frames before" if first else ""))
        elif self.damaged and whole and not (lines or losses):
            lines.append(f"'{name}' is damaged: {self.count} frames can be decoded")
        elif _varies(self.times, self.tick):
            losses.append(StreamWarning("variable frame timing is dropped: all frames are coded at the average frame rate"))
        for loss in (*losses, *map(MediaWarning, lines)):
            warnings.warn(loss, stacklevel=3)

    def video(self, frames: list[Frame]) -> Video:
        """The converted `frames` as a Video with the facts of this pass. InputError if there is none."""
        facts, pixels = self.facts, stacked(iter(frames), self.path)
        if facts is None:
            return Video(pixels, name=readable(self.path.stem))
        return Video(pixels, facts.fps, facts.colour, readable(self.path.stem), facts.pixel_aspect)

    def rgb(self, frame) -> Frame:
        """A decoded frame as upright 8-bit R'G'B', without its alpha channel."""
        orientation = self.facts.orientation if self.facts else Orientation()
        return orientation.turned(converted(frame, self.path))


def read_container(path: Path, span: Span) -> Video:
    """The frames `span` of a container's best video stream, as a Video. InputError if they cannot be decoded or if there are none."""
    for threads in ("AUTO", DETERMINISTIC):
        decoding = Decoding(path, threads)
        frames = _spanned(decoding, span)
        if not decoding.damaged:
            break
    decoding.warn(whole=span[1] is None or span[1] < 0)
    return decoding.video(frames)


def _spanned(decoding: Decoding, span: Span) -> list[Frame]:
    """The frames `span` of a pass, converted."""
    start, stop = span
    if any(end is not None and end < 0 for end in span):  # negative numbers count from the end
        return spanned([decoding.rgb(frame) for frame in decoding], span, decoding.path)
    every = iter(decoding)
    frames = [decoding.rgb(frame) for frame in islice(every, start, stop)]
    if not frames and decoding.count:
        for _ in every:
            pass  # the message counts all frames
        spanned(list(range(decoding.count)), span, decoding.path)
    return frames


class Stream:
    """The best video stream of a container, whose length is its number of frames. InputError if it cannot be decoded.

    The stream is decoded in order. A request for a frame before the last decoded one decodes the stream again from its first frame.
    """

    def __init__(self, path: Path):
        self.path = path
        # The frames are counted by decoding, because a packet may hold no visible frame, or several.
        for threads in ("AUTO", DETERMINISTIC):
            counting = Decoding(path, threads)
            self._count = sum(1 for _ in counting)
            if not counting.damaged:
                break
        counting.warn(whole=True)
        self._threads, self._next_index = counting.threads, 0
        self._decoding, self._frames = counting, iter(())

    def __len__(self) -> int:
        return self._count

    def video(self, indices: range) -> Video:
        """The frames at `indices`, a range of step 1, as a Video. InputError if none of these frames exists or if decoding fails."""
        if indices.start < self._next_index or not self._next_index:
            self._decoding, self._next_index = Decoding(self.path, self._threads), 0
            self._frames = iter(self._decoding)
        skipped = islice(self._frames, indices.start - self._next_index, indices.stop - self._next_index)
        frames = [self._decoding.rgb(frame) for frame in skipped]
        self._next_index = indices.stop
        return self._decoding.video(frames)


def converted(frame, path: Path) -> Frame:
    """A decoded frame as 8-bit R'G'B', by accurate filters."""
    if any(component.is_alpha for component in frame.format.components):
        return as_rgb8(frame.reformat(format="rgba", interpolation=ACCURATE).to_ndarray(), path)
    return frame.reformat(format="rgb24", interpolation=ACCURATE).to_ndarray()


def _colour(frame) -> Colour:
    """The colour tags of a frame. Matrix code 0 marks an R'G'B' source; it becomes UNSPECIFIED, because it stands for no Y'CbCr matrix."""
    matrix = int(frame.colorspace) or UNSPECIFIED
    return Colour(int(frame.color_primaries), int(frame.color_trc), matrix, int(frame.color_range) == 2)


def _other_streams(container) -> list[MediaWarning]:
    """A warning for each kind of stream that is dropped."""
    kinds, lines = [stream.type for stream in container.streams if not (stream.type == "video" and is_cover(stream))], []
    for kind in ("audio", "subtitle", "data", "attachment"):
        if count := kinds.count(kind):
            of_kind = StreamWarning if kind in COPIED else MediaWarning
            lines.append(of_kind(f"{count} {kind} stream{'s' * (count > 1)} dropped: only pictures are coded"))
    if (count := kinds.count("video") - 1) > 0:
        lines.append(MediaWarning(f"{count} further video stream{'s' * (count > 1)} dropped: only the best one is coded"))
    return lines


def _reduced_samples(frame) -> list[MediaWarning]:
    """A warning if a frame has more than 8 bits for each sample, and one if it consists of two fields."""
    lines = []
    if frame.format.components and (bits := frame.format.components[0].bits) > 8:
        lines.append(MediaWarning(f"the source has {bits} bits a sample; it is coded as 8-bit RGB"))
    if frame.interlaced_frame:
        lines.append(MediaWarning("the source is interlaced: each frame is coded with the rows of both fields, as it is"))
    return lines


def _varies(times: list[float], tick: float) -> bool:
    """Whether the intervals between `times`, in seconds, differ by more than a `tick`, and by more than 2 % of their mean."""
    gaps = np.diff(times)
    return len(gaps) > 1 and gaps.max() - gaps.min() > max(1.001 * tick, 0.02 * gaps.mean())
