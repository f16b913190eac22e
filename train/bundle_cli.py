"""`inr bundle add` and `inr bundle learn`: the verbs of bundles that fit networks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.bundle_cli import Bundle
from codec.shell import STARTED, Frames, Json, Scale, emit, say, scaling, span
from inr.errors import TargetMissed, UsageError
from train.options import (
    PREEMPTED,
    Preset,
    Quality,
    Resume,
    Seed,
    TargetBitrate,
    TargetBpp,
    TargetPsnr,
    TargetSize,
    TimeBudget,
    Workdir,
    known_preset,
    one_of,
    seconds,
)

if TYPE_CHECKING:
    from train.encoding import Encoded, EncodeOptions

Density = Annotated[
    float | None,
    typer.Option("--density", metavar="0..1", help="Share of the claimed weights that a video keeps; 0, an image's default: none."),
]
EveryLayer = Annotated[bool, typer.Option("--every-layer", help="Stand on the layers of all earlier videos, not on the first alone.")]
Corrections = Annotated[
    bool, typer.Option("--corrections/--free-only", help="May a video's layer correct what it keeps, or claim free weights only?")
]
Together = Annotated[
    bool, typer.Option("--together", help="Into an empty bundle: fit all at once, on one layer common to them. Smaller; all are in memory.")
]


def add_command(
    target: Bundle,
    sources: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, folders or globs of images, images.")],
    preset: Preset = "medium",
    quality: Quality = None,
    target_size: TargetSize = "",
    target_bpp: TargetBpp = None,
    target_bitrate: TargetBitrate = "",
    target_psnr: TargetPsnr = None,
    density: Density = None,
    corrections: Corrections = True,
    every_layer: EveryLayer = False,
    together: Together = False,
    frames: Frames = "",
    scale: Scale = "",
    time_budget: TimeBudget = "",
    seed: Seed = 0,
    workdir: Workdir = None,
    resume: Resume = "auto",
    as_json: Json = False,
) -> int:
    """Fit videos, one after the other or all --together, on what a bundle's decoder knows already, and append them.

    Sizes and rates are of what the file grows by; a time budget is each video's. Earlier videos do not change by a bit.
    Ctrl-C leaves the file with the videos that are finished; the same command goes on.
    """
    from inr.reading import source_name
    from train.encoding import EncodeOptions
    from train.wish import checked_wish

    if density is not None and not 0 <= density <= 1:
        raise UsageError("density-range", f"--density {density} lies outside 0..1", "--density 1")
    if together and (time_budget or density is not None or every_layer or not corrections):
        what = "--together has one layer for all and nothing below it: no --density, --free-only, --every-layer; nor a --time-budget yet"
        raise UsageError("together", what, "--together --preset fast")
    if len(sources) != len({source_name(source) for source in sources}):
        raise UsageError("duplicate-name", "two of the sources have the same name, and a video is called after its file", "rename one")
    options = EncodeOptions(
        preset=known_preset(preset),
        wish=checked_wish(quality, target_size, target_bpp, target_bitrate, target_psnr),
        frames=span(frames),
        scale=scaling(scale),
        time_budget=seconds(time_budget),
        seed=seed,
        workdir=workdir,
        resume=one_of("--resume", resume, ("auto", "never")) == "auto",
        density=density,
        corrections=corrections,
        every_layer=every_layer,
    )
    return _add(target, sources, options, together, as_json)


def learn_command(
    target: Bundle,
    sources: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, folders or globs of images, images: two at least.")],
    preset: Preset = "medium",
    quality: Quality = None,
    target_size: TargetSize = "",
    target_bpp: TargetBpp = None,
    target_bitrate: TargetBitrate = "",
    target_psnr: TargetPsnr = None,
    frames: Frames = "",
    scale: Scale = "",
    seed: Seed = 0,
    workdir: Workdir = None,
    resume: Resume = "auto",
    as_json: Json = False,
) -> int:
    """Learn an empty bundle's decoder from several videos at once; add them, or others like them, afterwards.

    None of them is in the bundle then: only what they share. Give the quality or rate that they will be added with.
    Ctrl-C saves and leaves the file as it is; the same command goes on.
    """
    from train.encoding import EncodeOptions
    from train.wish import checked_wish

    options = EncodeOptions(
        preset=known_preset(preset),
        wish=checked_wish(quality, target_size, target_bpp, target_bitrate, target_psnr),
        frames=span(frames),
        scale=scaling(scale),
        seed=seed,
        workdir=workdir,
        resume=one_of("--resume", resume, ("auto", "never")) == "auto",
    )
    return _learn(target, sources, options, as_json)


def _learn(target: Path, sources: list[Path], options: "EncodeOptions", as_json: bool) -> int:
    from inr.runtime import prepare_jax
    from train.display import display
    from train.interrupts import Preempted, die_of_interrupt
    from train.learning import learn_files

    prepare_jax()
    try:
        learned = learn_files(sources, target, options, display(as_json), say)
    except Preempted as left:
        return _left(target, options, left.by_hand, as_json, die_of_interrupt)
    if as_json:
        facts = {"bytes": learned.bytes, "layer_bytes": learned.layer_bytes, "steps": learned.steps, "psnr_rgb": learned.psnr}
        emit("result", output=str(target), **facts, seconds=learned.seconds)
    else:
        taken = f"{learned.steps} steps of each in {learned.seconds:.0f} s, {learned.psnr:.2f} dB at the last"
        say(f"{target}   {learned.bytes} bytes of decoder, {taken}; inr bundle add {target} VIDEO")
    return 0


def _add(target: Path, sources: list[Path], options: "EncodeOptions", together: bool, as_json: bool) -> int:
    import time

    from inr.reading import source_name
    from inr.runtime import prepare_jax
    from train.adding import add_file
    from train.display import display
    from train.interrupts import Preempted, die_of_interrupt
    from train.outcome import missed, result_fields, summary
    from train.together import add_files_together

    def outcomes() -> "Iterator[Encoded]":
        if together:
            found = add_files_together(sources, target, options, display(as_json), say)
            if not found:
                say(f"all of them are in '{target}' already, by this very command")
            yield from found
            return
        for source in sources:
            if (encoded := add_file(source, target, options, display(as_json), say)) is not None:
                yield encoded
            else:
                say(f"'{source_name(source)}' is in '{target}' already, by this very command")

    prepare_jax()
    added, hit = [], True
    try:
        for encoded in outcomes():
            added.append(encoded.problem.video.name)
            hit = hit and encoded.target_hit
            if as_json:
                emit("video", **{**result_fields(encoded, str(target)), "video": added[-1]})
            else:
                say(summary(encoded, f"{target} + {added[-1]}"))
            if not encoded.target_hit:
                say(missed(encoded))
    except Preempted as left:
        return _left(target, options, left.by_hand, as_json, die_of_interrupt)
    size = target.stat().st_size
    if as_json:
        emit("result", output=str(target), bytes=size, added=added, target_hit=hit, seconds=time.monotonic() - STARTED)
    else:
        say(f"{target}   {size} bytes, {len(added)} videos more")
    return 0 if hit else TargetMissed.exit_code


def _left(target: Path, options: "EncodeOptions", by_hand: bool, as_json: bool, die: "Callable[[], None]") -> int:
    """Say where the state of what is unfinished is; by Ctrl-C the process ends as such."""
    place = options.folder(target)
    say(f"stopped: '{target}' has what was finished, '{place}' the state of the rest; run the same command to go on")
    if as_json:
        name = "interrupted" if by_hand else "pre-empted"
        emit("error", id=name, message=f"saved in '{place}'", fix="run the same command again", exit_code=130 if by_hand else PREEMPTED)
    if by_hand:
        die()
    return PREEMPTED
