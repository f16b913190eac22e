"""Reads and measures the contents of a report: a source, and the frames of the files that are compared with it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codec.bitstream import Kind
from codec.bundle import record_sizes
from codec.clip import Clip, decoded_frames, open_file
from codec.evaluation import Report, compare
from codec.loading import is_inr_file
from inr.backend import Backend
from inr.containers import best_stream, opened
from inr.errors import InputError, UsageError
from inr.pixels import Frames
from inr.reading import read_video
from inr.scale import Scale
from inr.video import Video


@dataclass(frozen=True, eq=False)
class ComparedFile:
    """One decoded file. `frame_bits` are the bits of each frame, empty if unknown; `parts` are the bytes of each part of an .inr file."""

    name: str
    frames: Frames
    report: Report
    frame_bits: tuple[float, ...]
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A source, the files that are compared with it, and the `command` that compares them. `reference` is the file name of the source."""

    reference: str
    source: Video
    compared_files: tuple[ComparedFile, ...]
    command: str

    def worst(self, count: int) -> list[int]:
        """The indices of the `count` frames with the lowest PSNR in any of the files, lowest first, without repetition."""
        ranked = sorted((decibels, frame) for file in self.compared_files for frame, decibels in enumerate(file.report.frame_psnr_rgb))
        return list(dict.fromkeys(frame for _, frame in ranked))[:count]


def compared(
    reference: Path,
    paths: Sequence[Path],
    frames: tuple[int | None, int | None] = (None, None),
    video: str = "",
    scale: Scale | None = None,
    backend: Backend = Backend.AUTO,
) -> Comparison:
    """Read, decode and measure the files `paths`, which must hold the frames `frames` of the reference, resized to `scale`.

    `video` is the name of a video in .inr files, whose frames `backend` renders. InputError if sizes or numbers of frames differ, or if a
    file cannot be read; BitstreamError if an .inr file cannot be decoded; UsageError if `paths` is empty or if an .inr file has no such
    video.
    """
    if not paths:
        raise UsageError(
            "nothing-to-compare", "no file was given to compare with the reference", "inr compare --ref SRC A.inr -o report.html"
        )
    source = read_video(reference, frames, scale)
    names = _names(paths)
    compared_files = tuple(_compared_file(name, path, source, (video, backend)) for name, path in zip(names, paths, strict=True))
    words = ["inr", "compare", "--ref", reference, *paths]
    return Comparison(reference.name, source, compared_files, shlex.join(map(str, words)))


def _names(paths: Sequence[Path]) -> list[str]:
    """The names of the files without their folders; the whole paths if two names are equal."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _compared_file(name: str, path: Path, source: Video, wanted: tuple[str, Backend]) -> ComparedFile:
    if is_inr_file(path):
        clip = open_file(path, *wanted)
        frames = clip[:]
        return ComparedFile(name, frames, compare(frames, source.frames, clip.bytes), _bits_of_segments(clip), _parts(clip))
    frames, size = decoded_frames(path)
    return ComparedFile(name, frames, compare(frames, source.frames, size), _bits_of_packets(path, len(frames)))


def _bits_of_segments(clip: Clip) -> tuple[float, ...]:
    """The bits of each frame: those of the records of its segment, divided by the number of frames in the segment."""
    sizes, bits = record_sizes(clip.data), []
    for index in clip.model.clips[clip.index]:
        frames, layer = clip.model.videos[index].spec.frames, clip.model.own_layer(index)
        total = 8 * (sizes[Kind.VIDEO][index] + (0 if layer is None else sizes[Kind.LAYER][layer]))
        bits += [total / frames] * frames
    return tuple(bits)


def _bits_of_packets(path: Path, frames: int) -> tuple[float, ...]:
    """The bits of each packet of a video in display order. Empty for images, and if the numbers of packets and frames differ."""
    if path.is_dir():
        return ()
    try:
        with opened(path) as container:
            packets = [(packet.pts, 8.0 * packet.size) for packet in container.demux(best_stream(container, path)) if packet.size]
    except InputError:
        return ()
    ordered = sorted(packets, key=lambda packet: packet[0] or 0)
    return tuple(bits for _, bits in ordered) if len(ordered) == frames else ()


def _parts(clip: Clip) -> dict[str, float]:
    """The bytes of each tensor in the network of the video's first segment, and the sum of all other bytes of the file."""
    tensors: dict[str, dict] = clip.info["tensors"]  # pyrefly: ignore[bad-assignment]
    parts = {name: tensor["bits"] / 8 for name, tensor in tensors.items() if tensor["bits"] > 0}
    return parts | {"tables, fields, other records": max(len(clip.data) - sum(parts.values()), 0.0)}
