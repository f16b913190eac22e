"""The options of the verbs that fit, each said once: a dataclass for each group of options, which several verbs share.

`with_option_groups` turns a command whose parameters are such dataclasses into one that Typer understands, with a flag for every field.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from codec.shell import STARTED, FrameSpan, ScaleText, span
from inr.errors import UsageError

if TYPE_CHECKING:
    from train.plan.options import EncodeOptions

PREEMPTED = 75  # exit code, EX_TEMPFAIL: run the same command again


@dataclass(frozen=True)
class TargetFlags:
    """The target: at most one of these."""

    quality: Annotated[int | None, typer.Option("--quality", "-q", metavar="1..100", help="Quality dial; 50 by default.")] = None
    target_size: Annotated[str, typer.Option(metavar="120kB", help="Whole file at or under this: kB, MB, KiB, or bytes.")] = ""
    target_bpp: Annotated[float | None, typer.Option(metavar="BPP", help="Whole file at or under this many bits per pixel.")] = None
    target_bitrate: Annotated[str, typer.Option(metavar="300k", help="Whole file at or under this many bits per second.")] = ""
    target_psnr: Annotated[float | None, typer.Option(metavar="DB", help="RGB PSNR that the decoded file reaches, in decibels.")] = None


@dataclass(frozen=True)
class SelectionFlags:
    """The part of the source that is coded."""

    frames: FrameSpan = ""
    scale: ScaleText = ""


@dataclass(frozen=True)
class EffortFlags:
    """The length and seed of a fit."""

    preset: Annotated[str, typer.Option("--preset", "-p", help="fast, medium or slow, or a number of steps.")] = "medium"
    seed: Annotated[int, typer.Option(help="Same seed, same machine, same bytes.")] = 0


@dataclass(frozen=True)
class BudgetFlags:
    """The time that a fit may take."""

    time_budget: Annotated[str, typer.Option(metavar="10m", help="From process start to the finished file: 90s, 10m, 2h.")] = ""


@dataclass(frozen=True)
class RunFlags:
    """The place of a run's state."""

    workdir: Annotated[Path | None, typer.Option(metavar="DIR", help="Checkpoints and TensorBoard logs go here.")] = None
    resume: Annotated[str, typer.Option(help="auto, or never: start over.")] = "auto"


@dataclass(frozen=True)
class NetworkFlags:
    """The network, and how a long video is cut."""

    model: Annotated[str, typer.Option(help="cam (default), or a paper's network: hnerv, nerv, nerv++, ffnerv, nirvana.")] = "cam"
    cam: Annotated[bool, typer.Option("--cam", help="Modulate a paper's network: norm and grids over time in every block.")] = False
    chunk: Annotated[
        str, typer.Option(metavar="N|auto", help="Segments of N frames, or as the motion suggests: a long video in little memory.")
    ] = ""
    key_every: Annotated[int, typer.Option(metavar="K", help="With --chunk: every K-th segment references no other; 1: all.")] = 8
    mask: Annotated[
        Path | None, typer.Option(metavar="MASK", help="Image or video; its white pixels do not count and are painted over.")
    ] = None


@dataclass(frozen=True)
class ReuseFlags:
    """The use that a further video of a bundle makes of earlier ones."""

    density: Annotated[
        float | None, typer.Option(metavar="0..1", help="Share of the claimed weights that a video keeps; 0, an image's default: none.")
    ] = None
    corrections: Annotated[
        bool, typer.Option("--corrections/--free-only", help="May a video's layer correct the weights it keeps, or only claim free ones?")
    ] = True
    every_layer: Annotated[bool, typer.Option("--every-layer", help="Reference the layers of all earlier videos, not the first alone.")] = (
        False
    )


def encode_options_of(*groups: Any) -> "EncodeOptions":
    """The options that groups of flags spell, checked; UsageError for a value outside its range."""
    from train.plan.options import Model, encode_options
    from train.plan.paper_networks import NIRVANA_SEGMENT

    given = {field.name: getattr(group, field.name) for group in groups for field in fields(group)}
    if "time_budget" in given:
        given["time_budget"] = seconds(given["time_budget"])
    if "resume" in given:
        given["resume"] = one_of("--resume", given["resume"], ("auto", "never")) == "auto"
    if "frames" in given:
        given["frames"] = span(given["frames"])
    if "model" in given:
        chunk = given["chunk"]
        given["chunk"] = NIRVANA_SEGMENT if given["model"] == "nirvana" and not chunk else segment_frames(chunk)
        given["key_every"] = at_least("--key-every", given["key_every"], 1)
        given["model"] = Model.parse(given["model"], given.pop("cam"))
    if (density := given.get("density")) is not None and not 0 <= density <= 1:
        raise UsageError("density-range", f"--density {density} lies outside 0..1", "--density 1")
    return encode_options(**given, started=STARTED)


def with_option_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` as Typer needs it: each parameter that is a dataclass of flags becomes one parameter for each of its fields."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _flags(groups[parameter.name])
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))

    def flat(**values: Any) -> Any:
        grouped = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})  # pyrefly: ignore[not-callable]
            for name, group in groups.items()
        }
        return command(**grouped, **values)

    flat.__name__, flat.__doc__ = command.__name__, command.__doc__
    flat.__signature__ = inspect.Signature(parameters)  # pyrefly: ignore[missing-attribute]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _flags(group: Any) -> list[inspect.Parameter]:
    """A keyword parameter for each field of a group."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(group)
    ]


def one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    """`value`, if `flag` takes it; else UsageError."""
    if value not in known:
        raise UsageError("unknown-choice", f"{flag} {value}: it is one of {', '.join(known)}", f"{flag} {known[0]}")
    return value


def at_least(flag: str, value: int, least: int) -> int:
    """`value`, if it is not below `least`; else UsageError."""
    if value < least:
        raise UsageError("too-small", f"{flag} {value}: at least {least}", f"{flag} {least}")
    return value


def segment_frames(text: str) -> int | None:
    """Frames of a segment: '16' is 16, 'auto' is 0 (by motion); None for an empty text."""
    if not text:
        return None
    if text != "auto" and not (text.isdigit() and int(text)):
        raise UsageError("bad-chunk", f"--chunk {text} is neither a number of frames nor auto", "--chunk 16")
    return 0 if text == "auto" else int(text)


def seconds(text: str) -> float | None:
    """'90', '90s', '10m' or '2h' in seconds; None for an empty text."""
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
