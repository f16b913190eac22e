"""The contents of a report: a source, the frames of its decoded files, and their measurements."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codec.bitstream import Kind
from codec.bundle import record_sizes
from codec.clip import Clip, decoded_frames, open_file
from codec.evaluation import Report, compare
from codec.loading import is_inr_file
from inr.errors import UsageError
from inr.pixels import Frames
from inr.reading import read_video
from inr.scale import Scale
from inr.video import Video


@dataclass(frozen=True, eq=False)
class ComparedFile:
    """One decoded file: frames, report, bits of each frame, and for an .inr file the bytes of each part (`parts`)."""

    name: str
    frames: Frames
    report: Report
    frame_bits: tuple[float, ...]
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A source, the files that are compared with it, and the command that compares them."""

    reference: str
    source: Video
    compared_files: tuple[ComparedFile, ...]
    command: str

    def worst(self, count: int) -> list[int]:
        """The `count` frames with the lowest PSNR in any file, lowest first, each one once."""
        ranked = sorted((decibels, frame) for file in self.compared_files for frame, decibels in enumerate(file.report.frame_psnr_rgb))
        return list(dict.fromkeys(frame for _, frame in ranked))[:count]


def compared(
    reference: Path,
    paths: Sequence[Path],
    frames: tuple[int | None, int | None] = (None, None),
    video: str = "",
    scale: Scale | None = None,
) -> Comparison:
    """Read, decode and measure all files. They hold the frames `frames` of the reference, resized to `scale`.

    InputError if sizes or numbers of frames differ, or if a file cannot be read; BitstreamError if one cannot be decoded; UsageError if
    `paths` is empty.
    """
    if not paths:
        raise UsageError("nothing-to-compare", "no file to compare with the reference", "inr compare --ref SRC A.inr -o report.html")
    source = read_video(reference, frames, scale)
    names = _names(paths)
    compared_files = tuple(_compared_file(name, path, source, video) for name, path in zip(names, paths, strict=True))
    words = ["inr", "compare", "--ref", reference, *paths]
    return Comparison(reference.name, source, compared_files, shlex.join(map(str, words)))


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' names, or their whole paths if two names are equal."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _compared_file(name: str, path: Path, source: Video, video: str) -> ComparedFile:
    if is_inr_file(path):
        clip = open_file(path, video)
        frames = clip[:]
        return ComparedFile(name, frames, compare(frames, source.frames, clip.bytes), _bits_of_segments(clip), _parts(clip))
    frames, size = decoded_frames(path)
    return ComparedFile(name, frames, compare(frames, source.frames, size), _bits_of_packets(path, len(frames)))


def _bits_of_segments(clip: Clip) -> tuple[float, ...]:
    """Bits of each frame: every frame of a segment gets the same share of the bits of its records."""
    sizes, bits = record_sizes(clip.data), []
    for index in clip.model.clips[clip.index]:
        frames, layer = clip.model.videos[index].spec.frames, clip.model.own_layer(index)
        total = 8 * (sizes[Kind.VIDEO][index] + (0 if layer is None else sizes[Kind.LAYER][layer]))
        bits += [total / frames] * frames
    return tuple(bits)


def _bits_of_packets(path: Path, frames: int) -> tuple[float, ...]:
    """Bits of a video's packets in display order; empty for images, and if packets do not correspond to frames."""
    import av

    if path.is_dir():
        return ()
    try:
        with av.open(str(path)) as container:
            packets = [(packet.pts, 8.0 * packet.size) for packet in container.demux(container.streams.video[0]) if packet.size]
    except (av.FFmpegError, IndexError):
        return ()
    ordered = sorted(packets, key=lambda packet: packet[0] or 0)
    return tuple(bits for _, bits in ordered) if len(ordered) == frames else ()


def _parts(clip: Clip) -> dict[str, float]:
    """Bytes of each tensor of the video's first segment and its weight layer, and of the rest of the file together."""
    tensors: dict[str, dict] = clip.info["tensors"]  # pyrefly: ignore[bad-assignment]
    parts = {name: tensor["bits"] / 8 for name, tensor in tensors.items() if tensor["bits"] > 0}
    return parts | {"tables, fields, other records": max(len(clip.data) - sum(parts.values()), 0.0)}
