"""The options of the verbs that fit, each written once: a dataclass for each group of options, which several verbs share."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codec.shell import STARTED, FrameSpan, ScaleText

if TYPE_CHECKING:
    from train.plan.options import EncodeOptions

PREEMPTED = 75  # exit code, EX_TEMPFAIL: run the same command again


@dataclass(frozen=True)
class TargetFlags:
    """The target of an encode. At most one of these options may be given."""

    quality: Annotated[int | None, typer.Option("--quality", "-q", metavar="1..100", help="Quality setting. Default: 50.")] = None
    target_size: Annotated[str, typer.Option(metavar="120kB", help="The largest size of the whole file: kB, MB, KiB, or bytes.")] = ""
    target_bpp: Annotated[float | None, typer.Option(metavar="BPP", help="The highest rate of the whole file, in bits per pixel.")] = None
    target_bitrate: Annotated[str, typer.Option(metavar="300k", help="The highest rate of the whole file, in bits per second.")] = ""
    target_psnr: Annotated[float | None, typer.Option(metavar="DB", help="The lowest RGB PSNR of the decoded file, in decibels.")] = None


@dataclass(frozen=True)
class SelectionFlags:
    """The part of the source that is encoded, and its size."""

    frames: FrameSpan = ""
    scale: ScaleText = ""


@dataclass(frozen=True)
class EffortFlags:
    """The number of steps and the seed of a fit."""

    preset: Annotated[str, typer.Option("--preset", "-p", help="fast, medium or slow, or a number of steps.")] = "medium"
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes on the same machine.")] = 0


@dataclass(frozen=True)
class BudgetFlags:
    """The time that a fit may take."""

    time_budget: Annotated[str, typer.Option(metavar="10m", help="Time from process start to finished file: 90s, 10m, 2h.")] = ""


@dataclass(frozen=True)
class RunFlags:
    """The folder that keeps a run's state, and whether an unfinished run continues."""

    workdir: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for checkpoints and TensorBoard logs.")] = None
    resume: Annotated[str, typer.Option(help="auto: continue an unfinished run; never: start over.")] = "auto"


@dataclass(frozen=True)
class DeviceFlags:
    """The devices that a fit uses."""

    devices: Annotated[
        str,
        typer.Option(metavar="N|all|cluster", help="Divide each step's frames among devices: N, all, or those of all processes of a job."),
    ] = "1"


@dataclass(frozen=True)
class NetworkFlags:
    """The network, the segments of a long video, and the mask of pixels."""

    model: Annotated[
        str,
        typer.Option(
            help="auto: cam (a canvas) or tree (of frames), by motion and rate; papers' networks: hnerv, nerv, nerv++, ffnerv, nirvana; "
            "siren, ffn for images."
        ),
    ] = "auto"
    cam: Annotated[bool, typer.Option("--cam", help="Add CAM to a paper's network: norm and grids over time in every block.")] = False
    chunk: Annotated[
        str, typer.Option(metavar="N|auto", help="Encode in segments, to save memory: of N frames each, or by motion (auto).")
    ] = ""
    key_every: Annotated[int, typer.Option(metavar="K", help="With --chunk: every K-th segment references no other segment.")] = 8
    mask: Annotated[
        Path | None, typer.Option(metavar="MASK", help="Image or video. Its white pixels have no weight; the network fills them in.")
    ] = None


@dataclass(frozen=True)
class ReuseFlags:
    """The use of earlier videos' weight layers by a further video of a bundle."""

    density: Annotated[
        float | None, typer.Option(metavar="0..1", help="Share of the claimed (non-zero) weights that a video keeps. Default: 1; image: 0.")
    ] = None
    corrections: Annotated[
        bool, typer.Option("--corrections/--free-only", help="A video's own layer may change claimed weights, or only the other weights.")
    ] = True
    every_layer: Annotated[bool, typer.Option("--every-layer", help="Reference the layers of all earlier videos, not only the first.")] = (
        False
    )


def encode_options_of(*groups: Any) -> "EncodeOptions":
    """The options from `groups`, which are dataclasses of flags; UsageError for a value outside its range."""
    from train.plan.options import encode_options

    values = {field.name: getattr(group, field.name) for group in groups for field in fields(group)}
    return encode_options(**values, started=STARTED)
