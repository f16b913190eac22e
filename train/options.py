"""Options of the verbs that fit, as people type them, checked."""

from pathlib import Path
from typing import Annotated

import typer

from inr.errors import UsageError

PREEMPTED = 75  # exit code, EX_TEMPFAIL: run the same command again

Preset = Annotated[str, typer.Option("--preset", "-p", help="fast, medium or slow, or a number of steps.")]
Quality = Annotated[int | None, typer.Option("--quality", "-q", metavar="1..100", help="Quality dial; 50 if nothing is asked for.")]
TargetSize = Annotated[str, typer.Option("--target-size", metavar="120kB", help="Whole file at or under this: kB, MB, KiB, or bytes.")]
TargetBitrate = Annotated[str, typer.Option("--target-bitrate", metavar="300k", help="Whole file at or under this many bits per second.")]
TargetPsnr = Annotated[
    float | None, typer.Option("--target-psnr", metavar="DB", help="RGB PSNR of the decoded file, or up to 0.3 dB more.")
]
TargetBpp = Annotated[float | None, typer.Option("--target-bpp", metavar="BPP", help="Whole file at or under this many bits per pixel.")]
Model = Annotated[str, typer.Option("--model", help="cam (default), or a paper's network: hnerv, nerv, nerv++, ffnerv, nirvana.")]
Cam = Annotated[bool, typer.Option("--cam", help="Modulate a paper's network: norm and grids over time in every block.")]
WithReport = Annotated[bool, typer.Option("--report", help="Also write OUT.html: the result beside its source, see `inr compare`.")]
Chunk = Annotated[
    str, typer.Option("--chunk", metavar="N|auto", help="Groups of N frames, or as their motion suggests: a long video in little memory.")
]
KeyEvery = Annotated[int, typer.Option("--key-every", metavar="K", help="With --chunk: every K-th group stands on no other; 1: all.")]
Mask = Annotated[
    Path | None, typer.Option("--mask", metavar="MASK", help="Image or video, white where the source does not count: it is painted over.")
]
TimeBudget = Annotated[str, typer.Option("--time-budget", metavar="10m", help="From process start to the finished file: 90s, 10m, 2h.")]
Workdir = Annotated[Path | None, typer.Option("--workdir", metavar="DIR", help="Checkpoints and TensorBoard logs go here.")]
Resume = Annotated[str, typer.Option("--resume", help="auto, or never: start over.")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same machine, same bytes.")]


def one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    """`value`, if `flag` takes it."""
    if value not in known:
        raise UsageError("unknown-choice", f"{flag} {value}: it is one of {', '.join(known)}", f"{flag} {known[0]}")
    return value


def known_preset(text: str) -> str:
    """`text`, if it names a preset or is a number of steps."""
    from train.presets import PRESETS, counts_steps

    return text if counts_steps(text) else one_of("--preset", text, tuple(PRESETS))


def at_least(flag: str, value: int, least: int) -> int:
    """`value`, if it is not below `least`."""
    if value < least:
        raise UsageError("too-small", f"{flag} {value}: at least {least}", f"{flag} {least}")
    return value


def chunked(text: str) -> int | None:
    """'16' as 16, 'auto' as 0; None for nothing."""
    if not text:
        return None
    if text != "auto" and not (text.isdigit() and int(text)):
        raise UsageError("bad-chunk", f"--chunk {text} is neither a number of frames nor auto", "--chunk 16")
    return 0 if text == "auto" else int(text)


def seconds(text: str) -> float | None:
    """'90', '90s', '10m', '2h' in seconds."""
    if not text:
        return None
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1].lower())
    number = text[:-1] if unit else text
    try:
        duration = float(number) * (unit or 1)
    except ValueError:
        duration = 0.0
    if not 0 < duration < float("inf"):
        raise UsageError("bad-duration", f"--time-budget {text} is not a duration above zero", "--time-budget 10m")
    return duration
