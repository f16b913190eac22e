"""The whole command line: codec's verbs, and those that fit networks."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.bundle_cli import bundle_application
from codec.cli import application
from codec.shell import STARTED, Frames, Json, Overwrite, Scale, emit, run, say, scaling, span
from inr.errors import TargetMissed
from train.bench.command import bench_command
from train.bundle_cli import add_command, learn_command
from train.options import (
    PREEMPTED,
    Cam,
    Chunk,
    KeyEvery,
    Mask,
    Model,
    Preset,
    Quality,
    Resume,
    Seed,
    TargetBitrate,
    TargetBpp,
    TargetPsnr,
    TargetSize,
    TimeBudget,
    WithReport,
    Workdir,
    at_least,
    chunked,
    known_preset,
    one_of,
    seconds,
)

if TYPE_CHECKING:
    from train.encoding import EncodeOptions

application.command("bench")(bench_command)
bundle_application.command("add")(add_command)
bundle_application.command("learn")(learn_command)


@application.command("encode")
def encode_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="mp4, mkv, y4m, gif; a folder or glob of images; one image.")],
    target: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="Default: IN with .inr.")] = None,
    preset: Preset = "medium",
    quality: Quality = None,
    target_size: TargetSize = "",
    target_bpp: TargetBpp = None,
    target_bitrate: TargetBitrate = "",
    target_psnr: TargetPsnr = None,
    model: Model = "cam",
    cam: Cam = False,
    chunk: Chunk = "",
    key_every: KeyEvery = 8,
    mask: Mask = None,
    frames: Frames = "",
    scale: Scale = "",
    time_budget: TimeBudget = "",
    seed: Seed = 0,
    workdir: Workdir = None,
    resume: Resume = "auto",
    overwrite: Overwrite = False,
    report: WithReport = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say size, quality, time and memory, and write nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Fit a network to a video or image and write it as one complete file.

    Ctrl-C stops early with a valid file; the same command then goes on.
    """
    from inr.writing import check_free
    from train.encoding import EncodeOptions
    from train.family import NIRVANA_GROUP
    from train.presets import MODELS, MODULATED
    from train.wish import checked_wish

    options = EncodeOptions(
        preset=known_preset(preset),
        model=one_of("--model", model, MODELS) + MODULATED * (cam and model != "cam"),
        chunk=NIRVANA_GROUP if model == "nirvana" and not chunk else chunked(chunk),
        key_every=at_least("--key-every", key_every, 1),
        mask=mask,
        wish=checked_wish(quality, target_size, target_bpp, target_bitrate, target_psnr),
        frames=span(frames),
        scale=scaling(scale),
        time_budget=seconds(time_budget),
        seed=seed,
        workdir=workdir,
        resume=one_of("--resume", resume, ("auto", "never")) == "auto",
        overwrite=overwrite,
        started=STARTED,
    )
    if estimate:
        return _estimate(source, options, as_json)
    target = target or default_target(source)
    page = target.with_suffix(".html")
    if report and not target.exists():
        check_free(page, overwrite)
    outcome = _encode(source, target, options, as_json)
    return _report(source, target, page, options, outcome) if report and outcome in (0, TargetMissed.exit_code) else outcome


@application.command("presets")
def presets_command(
    source: Annotated[Path | None, typer.Argument(metavar="[IN]", help="Plan networks for this video.")] = None,
    target_bpp: Annotated[float, typer.Option("--target-bpp", metavar="BPP", help="And for this rate.")] = 0.05,
    as_json: Json = False,
) -> None:
    """List presets and models: network, MAC per pixel, time and PSNR as measured."""
    from inr.reading import Source
    from inr.spec import VideoSpec
    from train.listing import NOMINAL, listed, print_tables
    from train.wish import checked_wish

    bpp, video = checked_wish(bpp=target_bpp).target_bpp or target_bpp, NOMINAL
    if source is not None:
        frames = Source(source)
        first = frames[0:1]
        video = VideoSpec(first.width, first.height, len(frames))
    found = listed(video, bpp)
    if as_json:
        emit("result", **found)
    else:
        print_tables(found, video, bpp)


@application.command("doctor")
def doctor_command(as_json: Json = False) -> None:
    """Say what this machine gives a fit: devices, memory, caches, encoders, versions; and what stands in its way."""
    from inr.runtime import prepare_jax
    from train.doctor import examined, lines

    prepare_jax()
    facts = examined(Path.cwd())
    if as_json:
        emit("result", **facts)
    else:
        print("\n".join(lines(facts)))


@application.command("demo")
def demo_command(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where the results go.")] = Path("demo"),
    as_json: Json = False,
) -> int:
    """Encode, decode and measure the clip that comes with the package: clip.inr, clip.mp4 and a picture in DIR."""
    from train.demo import run_demo

    facts = run_demo(folder, STARTED, as_json)
    if as_json:
        emit("result", **facts)
    return 0


def _estimate(source: Path, options: "EncodeOptions", as_json: bool) -> int:
    from inr.runtime import prepare_jax
    from train.estimate import estimate, estimate_line

    prepare_jax()
    facts = estimate(source, options)
    if as_json:
        emit("result", **facts)
    else:
        say(estimate_line(facts))
    return 0


def _report(source: Path, target: Path, page: Path, options: "EncodeOptions", outcome: int) -> int:
    from codec.report.measuring import compared
    from codec.report.page import page as laid_out
    from inr.writing import write_atomically

    if page.exists() and not options.overwrite:  # the run was finished already
        return outcome
    commands = [shlex.join(["inr", *sys.argv[1:]])]
    write_atomically(page, laid_out(compared(source, [target], options.frames, scale=options.scale), commands).encode())
    say(f"{page}   to look at")
    return outcome


def default_target(source: Path) -> Path:
    """IN with .inr; a pattern of images is named after its folder."""
    from inr.images import is_pattern

    return (source.parent.absolute() if is_pattern(source) else source).with_suffix(".inr")


def _encode(source: Path, target: Path, options: "EncodeOptions", as_json: bool) -> int:
    from inr.runtime import prepare_jax
    from train.display import display
    from train.files import encode_file
    from train.interrupts import Preempted, die_of_interrupt
    from train.outcome import missed, result_fields, summary

    prepare_jax()
    try:
        encoded = encode_file(source, target, options, display(as_json), say)
    except Preempted as left:
        place = options.folder(target)
        say(f"pre-empted: saved in '{place}'; run the same command to go on")
        if as_json:
            emit("error", id="pre-empted", message=f"saved in '{place}'", fix="run the same command again", exit_code=PREEMPTED)
        if left.by_hand:
            die_of_interrupt()
        return PREEMPTED
    if encoded is None:
        say(f"'{target}' is up to date")
        if as_json:
            emit("result", output=str(target), up_to_date=True, bytes=target.stat().st_size)
        return 0
    if as_json:
        emit("result", **result_fields(encoded, str(target)))
    else:
        say(summary(encoded, str(target)))
    if not encoded.target_hit and not encoded.interrupted:
        say(missed(encoded))
        return TargetMissed.exit_code
    if encoded.interrupted:
        say("stopped early: the file is complete; the same command goes on from here")
        die_of_interrupt()
    return 0


def main() -> None:
    """Entry point of `inr`."""
    sys.exit(run(application))
