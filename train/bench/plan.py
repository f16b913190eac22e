"""The plan of a comparison: its clips, its codecs, and the points of each codec. The plan is complete before any point is measured."""

import hashlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inr.reading import read_video
from inr.scale import Scale
from inr.span import parse_span
from inr.spec import VideoSpec
from inr.video import Video
from train.bench.ffmpeg_codecs import FFmpegCodec
from train.bench.pillow_codecs import PillowCodec
from train.bench.references import ReferencePoint


@dataclass(frozen=True)
class SourceClip:
    """A clip: a part of a source. `frames` and `scale` are the texts of --frames and --scale.

    `spec` describes the selected part, and `pixels` is the SHA-256 hash of its frames in hexadecimal.
    """

    path: Path
    frames: str
    scale: str
    spec: VideoSpec
    pixels: str

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def odd(self) -> bool:
        """Whether width or height is odd, so that 4:2:0 would need padding."""
        return bool(self.spec.width % 2 or self.spec.height % 2)

    @property
    def still(self) -> bool:
        """Whether the clip is a single picture."""
        return self.spec.frames == 1

    def read(self) -> Video:
        """The frames that every codec encodes."""
        return read_video(self.path, parse_span(self.frames), Scale.parse(self.scale))


def open_clip(path: Path, frames: str, scale: str) -> SourceClip:
    """The clip at `path`, which is read completely for its spec and hash; InputError if it cannot be read."""
    video = read_video(path, parse_span(frames), Scale.parse(scale))
    digest = hashlib.sha256(video.frames.tobytes())
    digest.update(repr((video.frames.shape, video.fps)).encode())
    return SourceClip(path, frames, scale, VideoSpec.of(video), digest.hexdigest())


@dataclass(frozen=True)
class Network:
    """This project's codec, with preset and time budget of its fits.

    `time_budget` is the text of the option. `seconds` is the same time in seconds (None: no time budget).
    """

    preset: str = "medium"
    time_budget: str = ""
    seconds: float | None = None
    name: str = "inr"

    def label(self, quality: float) -> str:
        """The name of the codec's point at `quality`, a rate in bits per pixel."""
        return f"{quality:g} bpp"

    def settings(self, quality: float) -> list[str]:
        """The options of `inr encode` for the point at `quality`, a rate in bits per pixel."""
        return ["--target-bpp", f"{quality:g}", "--preset", self.preset, *(["--time-budget", self.time_budget] if self.time_budget else [])]


Codec = FFmpegCodec | PillowCodec | Network


@dataclass(frozen=True)
class Job:
    """One point to measure: a codec at one quality, on one clip, with `threads` threads.

    `quality` is the value of the codec's quality option, or a rate of inr in bits per pixel. `version` is that of the codec: another
    version makes another point.
    """

    clip: SourceClip
    codec: Codec
    quality: float
    threads: int
    version: str

    @property
    def settings(self) -> list[str]:
        match self.codec:
            case FFmpegCodec():
                return self.codec.settings(self.quality, self.clip.spec.frames, self.threads)
            case PillowCodec() | Network():
                return self.codec.settings(self.quality)

    @property
    def label(self) -> str:
        return self.codec.label(self.quality)

    @property
    def stream(self) -> str:
        """The path of the bitstream, relative to the results' folder. Its name contains a hash of everything that determines the point."""
        facts = (self.clip.pixels, self.codec.name, self.settings, self.threads, self.version)
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
        suffix = self.codec.container if isinstance(self.codec, FFmpegCodec) and not self.codec.still else self.codec.name
        return f"streams/{self.clip.name}-{self.codec.name}-{self.label.replace(' ', '')}-{key}.{suffix}"

    @property
    def source(self) -> str:
        """The path of the clip as other codecs read it, relative to the results' folder: PNG for codecs of pictures, y4m for the others."""
        rgb = isinstance(self.codec, PillowCodec) or (isinstance(self.codec, FFmpegCodec) and self.codec.still)
        return f"inputs/{self.clip.name}-{self.clip.pixels[:12]}.{'png' if rgb else 'y4m'}"

    def arguments(self, target: str) -> list[str]:
        """FFmpeg's arguments that write `target`, for a run in the results' folder."""
        container = self.codec.container if isinstance(self.codec, FFmpegCodec) else ""
        return ["-v", "error", "-y", "-i", self.source, *self.settings, "-f", container, target]

    def command(self, folder: Path) -> str:
        """The shell command that writes the same stream, for a run in the results' folder `folder`."""
        if isinstance(self.codec, FFmpegCodec):
            return shlex.join(["ffmpeg", *self.arguments(self.stream)])
        if isinstance(self.codec, PillowCodec):
            return self.codec.command(self.source, self.stream, self.quality)
        source = os.path.relpath(self.clip.path, folder)
        frames = ["--frames", self.clip.frames] if self.clip.frames else []
        scale = ["--scale", self.clip.scale] if self.clip.scale else []
        return shlex.join(["inr", "encode", source, self.stream, *frames, *scale, *self.settings])


@dataclass(frozen=True)
class Plan:
    """A comparison: every codec at `points` settings on every clip.

    The rates of inr are spaced by equal ratios over the range `bpp`, in bits per pixel. `anchor` is the reference of BD-rates. `ffmpeg` and
    `inr` are versions. `references` are curves from elsewhere.
    """

    folder: Path
    clips: tuple[SourceClip, ...]
    codecs: tuple[Codec, ...]
    anchor: str
    points: int
    bpp: tuple[float, float]
    threads: int
    ffmpeg: str  # empty if no codec of FFmpeg is compared
    inr: str
    references: tuple[ReferencePoint, ...] = ()

    def jobs(self, clip: SourceClip) -> Iterator[Job]:
        """The points of one clip, codec by codec."""
        for codec in self.codecs:
            match codec:
                case FFmpegCodec():
                    qualities, version = evenly(codec.best, codec.worst, self.points), self.ffmpeg
                case PillowCodec():
                    qualities, version = evenly(codec.best, codec.worst, self.points), codec.version
                case Network():
                    qualities, version = geometrically(*self.bpp, self.points), self.inr
            for quality in qualities:
                yield Job(clip, codec, quality, self.threads, version)


def evenly(first: int, last: int, count: int) -> list[float]:
    """At most `count` different whole numbers, evenly spaced from `first` to `last`; the middle one if `count` is 1."""
    shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
    return list(dict.fromkeys(float(round(first + (last - first) * share)) for share in shares))


def geometrically(first: float, last: float, count: int) -> list[float]:
    """At most `count` different numbers, spaced by equal ratios from `first` to `last`; the middle one if `count` is 1.

    They are rounded to four significant digits.
    """
    shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
    return list(dict.fromkeys(float(f"{first * (last / first) ** share:.4g}") for share in shares))
