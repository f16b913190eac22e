"""From the texts of the command line to a plan, or to an error that names the wrong text."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from codec.bitstream import VERSION
from inr.errors import InputError, OutputError, ResourceError, TargetMissed, UsageError
from train.bench import ffmpeg
from train.bench.ffmpeg_codecs import FFMPEG_CODECS, FFmpegCodec
from train.bench.plan import Network, Plan, SourceClip, open_clip

Codec = FFmpegCodec | Network


def parse_codecs(text: str, anchor: str, network: Network) -> tuple[Codec, ...]:
    """The codecs of a list with commas; UsageError for an unknown name, or an anchor that takes no part."""
    known: dict[str, Codec] = {codec.name: codec for codec in (network, *FFMPEG_CODECS)}
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if strangers := [name for name in names if name not in known]:
        raise UsageError("unknown-codec", f"--codecs: no codec '{strangers[0]}'; there are {', '.join(known)}", "--codecs inr,x265")
    if anchor and anchor not in names:
        raise UsageError("anchor", f"--anchor {anchor} is not among the codecs {', '.join(names)}", f"--anchor {names[0]}")
    return tuple(known[name] for name in names)


def parse_range(text: str) -> tuple[float, float]:
    """'0.02:0.2' as a pair of bits per pixel."""
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high <= 24:
        raise UsageError("bpp-range", f"--bpp {text} is not LOW:HIGH with 0 < LOW <= HIGH <= 24 bits per pixel", "--bpp 0.02:0.2")
    return low, high


@dataclass(frozen=True)
class CurveOptions:
    """The codecs to compare, the reference of BD-rates (empty: x265, or the first), points on each curve, inr's rates, and cores."""

    codecs: tuple[Codec, ...]
    anchor: str
    points: int
    bpp: tuple[float, float]
    threads: int | None


def parse_plan(paths: list[Path], folder: Path, options: CurveOptions, selection: tuple[str, str]) -> Plan:
    """The plan, once folder, tools and clips are known to be fit for it; `selection` are the texts of --frames and --scale."""
    if folder.exists() and not folder.is_dir():
        raise OutputError("not-a-folder", f"-o {folder} is a file; results go into a folder", f"-o {folder.with_suffix('')}-bench")
    hybrids = [codec for codec in options.codecs if isinstance(codec, FFmpegCodec)]
    check_tools(hybrids)
    threads = _limited(options.threads)
    clips = [open_clip(path, *selection) for path in paths]
    check_clips(clips, hybrids)
    if len(hybrids) < len(options.codecs):
        check_rates(clips, options.bpp[0])
    names = [codec.name for codec in options.codecs]
    return Plan(
        folder=folder,
        clips=tuple(clips),
        codecs=options.codecs,
        anchor=options.anchor or ("x265" if "x265" in names else names[0]),
        points=options.points,
        bpp=options.bpp,
        threads=threads,
        ffmpeg=f"ffmpeg {ffmpeg.version()}" if hybrids else "",
        inr=f"format {VERSION}",
    )


def check_tools(hybrids: list[FFmpegCodec]) -> None:
    """ResourceError unless everything outside this package that is needed is there."""
    needed = ["bjontegaard", "matplotlib", *(["imageio_ffmpeg"] if hybrids else [])]
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ResourceError("missing-extra", f"bench needs {', '.join(missing)}, not installed here", "pip install 'inr-codec[eval]'")
    present = ffmpeg.encoders() if hybrids else set()
    if lacking := [codec for codec in hybrids if codec.encoder not in present]:
        others = ",".join(["inr", *(codec.name for codec in hybrids if codec not in lacking)])
        named = ", ".join(f"{codec.name} ({codec.encoder})" for codec in lacking)
        raise ResourceError("no-encoder", f"'{ffmpeg.executable()}' was built without {named}", f"--codecs {others}")


def check_clips(clips: list[SourceClip], hybrids: list[FFmpegCodec]) -> None:
    """InputError for clips of one name, which results could not tell apart, and for sizes that a codec does not have."""
    seen: dict[str, SourceClip] = {}
    for clip in clips:
        if clip.name in seen:
            raise InputError("same-name", f"'{seen[clip.name].path}' and '{clip.path}' are both called {clip.name}", "rename one of them")
        seen[clip.name] = clip
        unfit = [codec.name for codec in hybrids if clip.odd and not codec.any_size]
        if unfit:
            width, height = clip.spec.width, clip.spec.height
            even = f"{max(2, width // 2 * 2)}x{max(2, height // 2 * 2)}"
            what = f"'{clip.path}' is {width}x{height}, and {', '.join(unfit)} cannot code odd sizes without padding"
            raise InputError("odd-size", what, f"--scale {even}   or leave {', '.join(unfit)} out")


def check_rates(clips: list[SourceClip], bpp: float) -> None:
    """TargetMissed if the lowest rate asked for is below what any file of a clip takes."""
    from train.plan.encode_plan import check_reachable

    for clip in clips:
        try:
            check_reachable(clip.spec, int(bpp * clip.spec.pixels / 8))
        except TargetMissed as error:
            fix = f"a --bpp LOW:HIGH that begins above {bpp:g}, or more frames"
            raise TargetMissed(error.identifier, f"'{clip.path}' at {bpp:g} bpp: {error.what}", fix) from error


def _limited(threads: int | None) -> int:
    """Keep this process and its children to so many cores; how many there are, if that is not asked."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
    if threads is None:
        return len(cores)
    if not 1 <= threads <= len(cores):
        raise UsageError("threads-range", f"--threads {threads}: there are 1 to {len(cores)} here", f"--threads {len(cores)}")
    if threads < len(cores):
        if affinity is None:
            raise UsageError("threads-fixed", "this system cannot keep a process to some of its cores", f"--threads {len(cores)}")
        os.sched_setaffinity(0, cores[:threads])
    return threads
