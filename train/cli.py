"""The whole command line: codec's verbs, and those that fit networks."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.cli import Frames, Json, Overwrite, application
from codec.shell import STARTED, emit, run, say, span
from inr.errors import UsageError
from train.bench.command import bench_command

if TYPE_CHECKING:
    from train.encoding import Encoded, EncodeOptions

application.command("bench")(bench_command)
PREEMPTED = 75  # EX_TEMPFAIL: run the same command again

Preset = Annotated[str, typer.Option("--preset", "-p", help="fast, medium or slow.")]
Quality = Annotated[int | None, typer.Option("--quality", "-q", metavar="1..100", help="Quality dial; 50 if nothing is asked for.")]
TargetBpp = Annotated[float | None, typer.Option("--target-bpp", metavar="BPP", help="Whole file at or under this many bits per pixel.")]
Model = Annotated[str, typer.Option("--model", help="cam (default) or hnerv, as in the paper.")]
Scale = Annotated[str, typer.Option("--scale", metavar="WxH|1/2", help="Resize the source first.")]
TimeBudget = Annotated[str, typer.Option("--time-budget", metavar="10m", help="From process start to the finished file: 90s, 10m, 2h.")]
Workdir = Annotated[Path | None, typer.Option("--workdir", metavar="DIR", help="Checkpoints and TensorBoard logs go here.")]
Resume = Annotated[str, typer.Option("--resume", help="auto, or never: start over.")]


@application.command("encode")
def encode_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="mp4, mkv, y4m, gif; a folder or glob of images; one image.")],
    target: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="Default: IN with .inr.")] = None,
    preset: Preset = "medium",
    quality: Quality = None,
    target_bpp: TargetBpp = None,
    model: Model = "cam",
    frames: Frames = "",
    scale: Scale = "",
    time_budget: TimeBudget = "",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same machine, same bytes.")] = 0,
    workdir: Workdir = None,
    resume: Resume = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Fit a network to a video or image and write it as one complete file.

    Ctrl-C stops early with a valid file; the same command then goes on.
    """
    from train.encoding import EncodeOptions
    from train.presets import MODELS, PRESETS

    options = EncodeOptions(
        preset=_one_of("--preset", preset, tuple(PRESETS)),
        model=_one_of("--model", model, MODELS),
        wish=_wish(quality, target_bpp),
        frames=span(frames),
        scale=_scale(scale),
        time_budget=_seconds(time_budget),
        seed=seed,
        workdir=workdir,
        resume=_one_of("--resume", resume, ("auto", "never")) == "auto",
        overwrite=overwrite,
        started=STARTED,
    )
    return _encode(source, target or default_target(source), options, as_json)


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


def default_target(source: Path) -> Path:
    """IN with .inr; a pattern of images is named after its folder."""
    pattern = any(mark in source.name for mark in "*?")
    return (source.parent.absolute() if pattern else source).with_suffix(".inr")


def _encode(source: Path, target: Path, options: "EncodeOptions", as_json: bool) -> int:
    from inr.runtime import prepare_jax
    from train.display import display
    from train.encoding import encode_file
    from train.interrupts import Preempted, die_of_interrupt

    prepare_jax()
    try:
        encoded = encode_file(source, target, options, display(as_json), say)
    except Preempted:
        place = options.workdir or f"{target}.work"
        say(f"pre-empted: saved in '{place}'; run the same command to go on")
        if as_json:
            emit("error", id="pre-empted", message=f"saved in '{place}'", fix="run the same command again", exit_code=PREEMPTED)
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
    if encoded.interrupted:
        say("stopped early: the file is complete; the same command goes on from here")
        die_of_interrupt()
    return 0


def result_fields(encoded: "Encoded", target: str) -> dict[str, object]:
    """The result line's keys."""
    report, video = encoded.report, encoded.problem.video
    return {
        "output": target,
        **report.fields(),
        "width": video.width,
        "height": video.height,
        "frames": video.frames,
        "fps": float(video.fps),
        "seconds": encoded.seconds,
        "steps": encoded.steps,
        "estimated_bits": encoded.estimated_bits,
        "seconds_to_first_step": encoded.seconds_to_first_step,
        "step_seconds": encoded.step_seconds,
        "interrupted": encoded.interrupted,
    }


def summary(encoded: "Encoded", target: str) -> str:
    """The result for a person."""
    report = encoded.report
    similarity = "" if report.ms_ssim_rgb is None else f", MS-SSIM {report.ms_ssim_rgb:.4f}"
    return (
        f"{target}   {report.bytes} bytes, {report.bpp:.4f} bpp, PSNR {report.psnr_rgb:.2f} dB{similarity} (RGB, "
        f"decoded file), {encoded.steps} steps in {encoded.seconds:.0f} s"
    )


def _wish(quality: int | None, target_bpp: float | None):
    from train.presets import Wish

    if quality is not None and target_bpp is not None:
        raise UsageError("two-targets", f"-q {quality} and --target-bpp {target_bpp} both set the rate; give one", f"-q {quality}")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError("quality-range", f"-q {quality} lies outside 1..100", "-q 50")
    if target_bpp is not None and not 0 < target_bpp <= 24:
        raise UsageError("bpp-range", f"--target-bpp {target_bpp} lies outside 0..24 bits per pixel", "--target-bpp 0.1")
    return Wish(quality or 50, target_bpp)


def _one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError("unknown-choice", f"{flag} {value}: it is one of {', '.join(known)}", f"{flag} {known[0]}")
    return value


def _seconds(text: str) -> float | None:
    """'90', '90s', '10m', '2h' in seconds."""
    if not text:
        return None
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1].lower())
    number = text[:-1] if unit else text
    try:
        seconds = float(number) * (unit or 1)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError("bad-duration", f"--time-budget {text} is not a duration above zero", "--time-budget 10m")
    return seconds


def _scale(text: str) -> str:
    """'1/2' or '320x160', checked; empty for none."""
    top, slash, bottom = text.partition("/")
    wide, cross, high = text.lower().partition("x")
    for first, mark, second in ((top, slash, bottom), (wide, cross, high)):
        if mark and first.isdigit() and second.isdigit() and int(first) and int(second):
            return text
    if text:
        raise UsageError("bad-scale", f"--scale {text} is neither WxH nor a fraction", "--scale 1/2")
    return ""


def main() -> None:
    """Entry point of `inr`."""
    sys.exit(run(application))
