"""Parses the options of `inr bench` into a plan. Every invalid option raises an error that names it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from codec.bitstream import VERSION
from inr.errors import InputError, OutputError, ResourceError, TargetMissed, UsageError
from train.bench import ffmpeg
from train.bench.ffmpeg_codecs import FFMPEG_CODECS, FFmpegCodec
from train.bench.pillow_codecs import PILLOW_CODECS, PillowCodec
from train.bench.plan import Codec, Network, Plan, SourceClip, open_clip
from train.bench.references import ReferencePoint

OF_VIDEOS, OF_PICTURES = "inr,x264,x265,svtav1", "inr,jpeg,webp,avif,jxl,x265"  # codecs without --codecs
BPP_OF_VIDEOS, BPP_OF_PICTURES = (0.02, 0.2), (0.1, 0.5)


def parse_codecs(text: str, anchor: str, network: Network) -> tuple[Codec, ...]:
    """The codecs that `text` lists with commas, none for an empty text.

    UsageError for an unknown name, or if `anchor` is given and not in the list.
    """
    if not text:
        return ()
    known: dict[str, Codec] = {codec.name: codec for codec in (network, *FFMPEG_CODECS, *PILLOW_CODECS)}
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in known]:
        raise UsageError("unknown-codec", f"--codecs: no codec '{unknown[0]}'; there are {', '.join(known)}", "--codecs inr,x265")
    if anchor and anchor not in names:
        raise UsageError("anchor", f"--anchor {anchor} is not among the codecs {', '.join(names)}", f"--anchor {names[0]}")
    return tuple(known[name] for name in names)


def parse_range(text: str) -> tuple[float, float] | None:
    """'0.02:0.2' as a pair (low, high) of bits per pixel, an empty text as None; UsageError for any other form."""
    if not text:
        return None
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high <= 24:
        raise UsageError("bpp-range", f"--bpp {text} is not LOW:HIGH with 0 < LOW <= HIGH <= 24 bits per pixel", "--bpp 0.02:0.2")
    return low, high


@dataclass(frozen=True)
class CurveOptions:
    """The options that determine the curves.

    `codecs` are the codecs (empty: the usual ones for videos, or for pictures). `anchor` is the reference of BD-rates (empty: x265 if it
    is compared, else the first codec). `points` is the number of points on each curve. `bpp` is the lowest and the highest rate of inr, in
    bits per pixel (None: the usual range). `threads` is the number of cores (None: all). `network` is this project's codec. `references`
    are curves that are drawn beside.
    """

    codecs: tuple[Codec, ...]
    anchor: str
    points: int
    bpp: tuple[float, float] | None
    threads: int | None
    network: Network
    references: tuple[ReferencePoint, ...] = ()


def parse_plan(paths: list[Path], folder: Path, options: CurveOptions, selection: tuple[str, str]) -> Plan:
    """The plan, after checks of folder, tools and clips. `selection` holds the texts of --frames and --scale.

    OutputError, ResourceError, InputError, TargetMissed or UsageError if a check fails.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError("not-a-folder", f"-o {folder} is a file; results go into a folder", f"-o {folder.with_suffix('')}-bench")
    threads = _limited(options.threads)
    if options.codecs:
        check_tools(options.codecs)
    clips = [open_clip(path, *selection) for path in paths]
    stills = all(clip.still for clip in clips)
    codecs = options.codecs or parse_codecs(OF_PICTURES if stills else OF_VIDEOS, options.anchor, options.network)
    if not options.codecs:
        check_tools(codecs)
    check_clips(clips, codecs)
    bpp = options.bpp or (BPP_OF_PICTURES if stills else BPP_OF_VIDEOS)
    if options.network in codecs:
        check_rates(clips, bpp[0])
    names = [codec.name for codec in codecs]
    return Plan(
        folder=folder,
        clips=tuple(clips),
        codecs=codecs,
        anchor=options.anchor or ("x265" if "x265" in names else names[0]),
        points=options.points,
        bpp=bpp,
        threads=threads,
        ffmpeg=f"ffmpeg {ffmpeg.version()}" if any(isinstance(codec, FFmpegCodec) for codec in codecs) else "",
        inr=f"format {VERSION}",
        references=options.references,
    )


def check_tools(codecs: Sequence[Codec]) -> None:
    """Check the optional packages and the encoders of FFmpeg; ResourceError if one is missing."""
    ffmpeg_codecs = [codec for codec in codecs if isinstance(codec, FFmpegCodec)]
    needed = ["bjontegaard", "matplotlib", *(["imageio_ffmpeg"] if ffmpeg_codecs else [])]
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ResourceError("missing-extra", f"bench needs {', '.join(missing)}, which is not installed", "pip install 'inr-codec[eval]'")
    available = ffmpeg.encoders() if ffmpeg_codecs else set()
    if unavailable := [codec for codec in ffmpeg_codecs if codec.encoder not in available]:
        others = ",".join(codec.name for codec in codecs if codec not in unavailable) or "inr"
        names = ", ".join(f"{codec.name} ({codec.encoder})" for codec in unavailable)
        raise ResourceError("no-encoder", f"'{ffmpeg.executable()}' was built without {names}", f"--codecs {others}")


def check_clips(clips: list[SourceClip], codecs: Sequence[Codec]) -> None:
    """Check the clips; InputError if two have the same name, or if a codec does not support the size or the length of a clip."""
    by_name: dict[str, SourceClip] = {}
    for clip in clips:
        if clip.name in by_name:
            raise InputError("same-name", f"'{by_name[clip.name].path}' and '{clip.path}' are both called {clip.name}", "rename one")
        by_name[clip.name] = clip
        of_pictures = [codec.name for codec in codecs if isinstance(codec, PillowCodec) or (isinstance(codec, FFmpegCodec) and codec.still)]
        if of_pictures and not clip.still:
            what = f"'{clip.path}' has {clip.spec.frames} frames, and {', '.join(of_pictures)} code single pictures"
            raise InputError("no-picture", what, f"--frames 0:1   or omit {', '.join(of_pictures)}")
        unsuitable = [codec.name for codec in codecs if isinstance(codec, FFmpegCodec) and clip.odd and not codec.any_size]
        if unsuitable:
            width, height = clip.spec.width, clip.spec.height
            even = f"{max(2, width // 2 * 2)}x{max(2, height // 2 * 2)}"
            what = f"'{clip.path}' is {width}x{height}, and {', '.join(unsuitable)} cannot code odd sizes without padding"
            raise InputError("odd-size", what, f"--scale {even}   or omit {', '.join(unsuitable)}")


def check_rates(clips: list[SourceClip], bpp: float) -> None:
    """Check the rate `bpp`; TargetMissed if it is below that of the smallest file of a clip."""
    from train.plan.encode_plan import check_reachable

    for clip in clips:
        try:
            check_reachable(clip.spec, int(bpp * clip.spec.pixels / 8))
        except TargetMissed as error:
            fix = f"a --bpp LOW:HIGH that begins above {bpp:g}, or more frames"
            raise TargetMissed(error.identifier, f"'{clip.path}' at {bpp:g} bpp: {error.what}", fix) from error


def _limited(threads: int | None) -> int:
    """Limit this process and its children to `threads` cores (None: all available cores); returns the number of cores.

    UsageError if the machine has fewer cores, or if the system cannot limit a process.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
    if threads is None:
        return len(cores)
    if not 1 <= threads <= len(cores):
        raise UsageError("threads-range", f"--threads {threads} is not in the range 1 to {len(cores)}", f"--threads {len(cores)}")
    if threads < len(cores):
        if affinity is None:
            raise UsageError("threads-fixed", "this system cannot limit a process to some of its cores", f"--threads {len(cores)}")
        os.sched_setaffinity(0, cores[:threads])
    return threads
