"""What a report is made of: a source, what was decoded of it, and every figure about both."""

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
    """One decoded file: its frames, what they measure, bits of each frame, and where its bytes go (an .inr's alone)."""

    name: str
    frames: Frames
    report: Report
    frame_bits: tuple[float, ...]
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A source and its compared_files, and the command that compares them."""

    reference: str
    source: Video
    compared_files: tuple[ComparedFile, ...]
    command: str

    def worst(self, count: int) -> list[int]:
        """The frames that some candidate shows worst, the worst first, each once."""
        ranked = sorted(
            (decibels, frame) for candidate in self.compared_files for frame, decibels in enumerate(candidate.report.frame_psnr_rgb)
        )
        return list(dict.fromkeys(frame for _, frame in ranked))[:count]


def compared(
    reference: Path,
    paths: Sequence[Path],
    frames: tuple[int | None, int | None] = (None, None),
    video: str = "",
    scale: Scale | None = None,
) -> Comparison:
    """Read, decode and measure everything; `frames` of the reference, resized to `scale`, are what the files hold.

    Raises InputError where sizes or frame counts differ, and what reading and decoding raise.
    """
    if not paths:
        raise UsageError("nothing-to-compare", "no file to compare with the reference", "inr compare --ref SRC A.inr -o report.html")
    source = read_video(reference, frames, scale)
    names = _names(paths)
    compared_files = tuple(_candidate(name, path, source, video) for name, path in zip(names, paths, strict=True))
    words = ["inr", "compare", "--ref", reference, *paths]
    return Comparison(reference.name, source, compared_files, shlex.join(map(str, words)))


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' names; with their folders where two would be the same."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _candidate(name: str, path: Path, source: Video, video: str) -> ComparedFile:
    if is_inr_file(path):
        clip = open_file(path, video)
        frames = clip[:]
        return ComparedFile(name, frames, compare(frames, source.frames, clip.bytes), _bits_of_segments(clip), _parts(clip))
    frames, size = decoded_frames(path)
    return ComparedFile(name, frames, compare(frames, source.frames, size), _bits_of_packets(path, len(frames)))


def _bits_of_segments(clip: Clip) -> tuple[float, ...]:
    """Every frame of a segment counts the same share of the bits of its records."""
    sizes, bits = record_sizes(clip.data), []
    for at in clip.model.clips[clip.index]:
        frames, layer = clip.model.videos[at].spec.frames, clip.model.own_layer(at)
        taken = 8 * (sizes[Kind.VIDEO][at] + (0 if layer is None else sizes[Kind.LAYER][layer]))
        bits += [taken / frames] * frames
    return tuple(bits)


def _bits_of_packets(path: Path, frames: int) -> tuple[float, ...]:
    """Bits of a video's packets in the order of display; of images, and where packets are not frames, nothing."""
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
    """Bytes by part: each tensor of the video's first group and its layer, and the rest of the file together."""
    tensors: dict[str, dict] = clip.info["tensors"]  # pyrefly: ignore[bad-assignment]
    parts = {name: tensor["bits"] / 8 for name, tensor in tensors.items() if tensor["bits"] > 0}
    return parts | {"tables, fields, other records": max(len(clip.data) - sum(parts.values()), 0.0)}
