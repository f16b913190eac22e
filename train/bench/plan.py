"""What a comparison consists of: clips, codecs, and the points of each, all known before anything is run."""

import hashlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codec.shell import span
from inr.reading import read_video
from inr.scale import Scale
from inr.spec import VideoSpec
from inr.video import Video
from train.bench.ffmpeg_codecs import FFmpegCodec


@dataclass(frozen=True)
class SourceClip:
    """A source, what is taken of it (as `--frames` and `--scale` say it), what that is, and the hash of its pixels."""

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
        """Whether a side is odd, so that 4:2:0 has no whole number of chroma samples."""
        return bool(self.spec.width % 2 or self.spec.height % 2)

    def read(self) -> Video:
        """The frames that every codec gets."""
        return read_video(self.path, span(self.frames), Scale.parse(self.scale))


def open_clip(path: Path, frames: str, scale: str) -> SourceClip:
    """Read a clip to its end and keep what it is; InputError if it cannot be read."""
    video = read_video(path, span(frames), Scale.parse(scale))
    digest = hashlib.sha256(video.frames.tobytes())
    digest.update(repr((video.frames.shape, video.fps)).encode())
    return SourceClip(path, frames, scale, VideoSpec.of(video), digest.hexdigest())


@dataclass(frozen=True)
class Network:
    """This project's codec: the effort of its fits."""

    preset: str = "medium"
    time_budget: str = ""
    seconds: float | None = None  # the same, parsed
    name: str = "inr"

    def label(self, quality: float) -> str:
        """A point's name among the codec's points."""
        return f"{quality:g} bpp"

    def settings(self, quality: float) -> list[str]:
        """Options of `inr encode` for one point."""
        return ["--target-bpp", f"{quality:g}", "--preset", self.preset, *(["--time-budget", self.time_budget] if self.time_budget else [])]


@dataclass(frozen=True)
class Job:
    """One point to measure: a codec at one setting of its dial on one clip, on so many threads."""

    clip: SourceClip
    codec: FFmpegCodec | Network
    quality: float
    threads: int
    version: str

    @property
    def settings(self) -> list[str]:
        match self.codec:
            case FFmpegCodec():
                return self.codec.settings(self.quality, self.clip.spec.frames, self.threads)
            case Network():
                return self.codec.settings(self.quality)

    @property
    def label(self) -> str:
        return self.codec.label(self.quality)

    @property
    def stream(self) -> str:
        """The bitstream's file, relative to the results: its name holds a hash of everything that decides the point."""
        facts = (self.clip.pixels, self.codec.name, self.settings, self.threads, self.version)
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
        suffix = self.codec.container if isinstance(self.codec, FFmpegCodec) else "inr"
        return f"streams/{self.clip.name}-{self.codec.name}-{self.label.replace(' ', '')}-{key}.{suffix}"

    @property
    def y4m(self) -> str:
        """The clip as the encoders of FFmpeg read it, relative to the results."""
        return f"inputs/{self.clip.name}-{self.clip.pixels[:12]}.y4m"

    def arguments(self, target: str) -> list[str]:
        """FFmpeg's arguments that make `target`, run in the results' folder."""
        container = self.codec.container if isinstance(self.codec, FFmpegCodec) else ""
        return ["-v", "error", "-y", "-i", self.y4m, *self.settings, "-f", container, target]

    def command(self, folder: Path) -> str:
        """The command that makes the same stream, run in the results' folder."""
        if isinstance(self.codec, FFmpegCodec):
            return shlex.join(["ffmpeg", *self.arguments(self.stream)])
        source = os.path.relpath(self.clip.path, folder)
        cut = [*(["--frames", self.clip.frames] if self.clip.frames else []), *(["--scale", self.clip.scale] if self.clip.scale else [])]
        return shlex.join(["inr", "encode", source, self.stream, *cut, *self.settings])


@dataclass(frozen=True)
class Plan:
    """A comparison: every codec at `points` settings on every clip, rates of this codec spaced over `bpp`."""

    folder: Path
    clips: tuple[SourceClip, ...]
    codecs: tuple[FFmpegCodec | Network, ...]
    anchor: str
    points: int
    bpp: tuple[float, float]
    threads: int
    ffmpeg: str  # its version, empty if it takes no part
    inr: str

    def jobs(self, clip: SourceClip) -> Iterator[Job]:
        """The points of one clip, codec by codec."""
        for codec in self.codecs:
            match codec:
                case FFmpegCodec():
                    qualities, version = evenly(codec.best, codec.worst, self.points), self.ffmpeg
                case Network():
                    qualities, version = geometrically(*self.bpp, self.points), self.inr
            for quality in qualities:
                yield Job(clip, codec, quality, self.threads, version)


def evenly(first: int, last: int, count: int) -> list[float]:
    """At most `count` different whole numbers from `first` to `last`; the middle one if it is to be one."""
    shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
    return list(dict.fromkeys(float(round(first + (last - first) * share)) for share in shares))


def geometrically(first: float, last: float, count: int) -> list[float]:
    """At most `count` different numbers of four digits from `first` to `last`, by equal ratios."""
    shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
    return list(dict.fromkeys(float(f"{first * (last / first) ** share:.4g}") for share in shares))
