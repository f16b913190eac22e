"""`inr bundle add` and `inr bundle pretrain`: the verbs of bundles that fit networks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.bundle_cli import Bundle
from codec.option_groups import with_option_groups
from codec.shell import STARTED, Json, emit, say
from inr.errors import TargetMissed, UsageError
from train.cli.arguments import (
    PREEMPTED,
    BudgetFlags,
    EffortFlags,
    ReuseFlags,
    RunFlags,
    SelectionFlags,
    TargetFlags,
    encode_options_of,
)

if TYPE_CHECKING:
    from train.encode.outcome import Encoded
    from train.plan.options import EncodeOptions


@dataclass(frozen=True)
class PretrainFlags(RunFlags, EffortFlags, SelectionFlags, TargetFlags):
    """All flags of `inr bundle pretrain` that are options of the fit."""


@dataclass(frozen=True)
class AddFlags(RunFlags, BudgetFlags, EffortFlags, SelectionFlags, ReuseFlags, TargetFlags):
    """All flags of `inr bundle add` that are options of the fit."""


@with_option_groups
def add_command(
    bundle: Bundle,
    sources: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, folders or globs of images, images.")],
    flags: AddFlags = AddFlags(),
    joint: Annotated[
        bool,
        typer.Option("--joint", help="Fit all videos at once, into an empty bundle: a smaller file, but all videos are in memory."),
    ] = False,
    as_json: Json = False,
) -> int:
    """Fit videos one after the other, or all at once with --joint, on the weight layers of a bundle, and append them to it.

    Sizes and rates are those of the file's growth. A time budget applies to each video. Earlier videos do not change at all. After Ctrl-C,
    the file holds the finished videos, and the same command adds the others.
    """
    from inr.reading import source_name

    if joint and (flags.time_budget or flags.density is not None or flags.every_layer or not flags.corrections):
        problem = "--joint fits one weight layer without base layers: it excludes --density, --free-only, --every-layer and --time-budget"
        raise UsageError("joint", problem, "--joint --preset fast")
    if len(sources) != len({source_name(source) for source in sources}):
        raise UsageError("duplicate-name", "two of the sources have the same name; a video gets the name of its file", "rename a file")
    return _add(bundle, sources, encode_options_of(flags), joint, as_json)


@with_option_groups
def pretrain_command(
    bundle: Bundle,
    sources: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, folders or globs of images, images: at least two.")],
    flags: PretrainFlags = PretrainFlags(),
    as_json: Json = False,
) -> int:
    """Pretrain the first weight layer of an empty bundle on several videos, before these or similar videos are added.

    The bundle then holds the shared weights, but no video. The target should be that of the videos that are added later. Ctrl-C saves the
    state and does not change the file; the same command continues the run.
    """
    from inr.runtime import prepare_jax
    from train.bundle.pretraining import pretrain_files
    from train.cli.display import reporter
    from train.fit.interrupts import Preempted

    prepare_jax()
    options = encode_options_of(flags)
    try:
        pretrained = pretrain_files(sources, bundle, options, reporter(as_json))
    except Preempted as preempted:
        return _report_unfinished(bundle, options, preempted.by_hand, as_json)
    if as_json:
        facts = {"bytes": pretrained.bytes, "layer_bytes": pretrained.layer_bytes, "steps": pretrained.steps, "psnr_rgb": pretrained.psnr}
        emit("result", output=str(bundle), **facts, seconds=pretrained.seconds)
    else:
        effort = f"{pretrained.steps} steps for each video in {pretrained.seconds:.0f} s, {pretrained.psnr:.2f} dB in the last round"
        say(f"{bundle}   {pretrained.bytes} bytes with the pretrained layer, {effort}; inr bundle add {bundle} VIDEO   adds a video")
    return 0


def _add(bundle: Path, sources: list[Path], options: "EncodeOptions", joint: bool, as_json: bool) -> int:
    """Add the videos and report each of them; returns the exit code."""
    from inr.runtime import prepare_jax
    from train.cli.messages import summary, target_note
    from train.fit.interrupts import Preempted

    prepare_jax()
    added, hit = [], True
    try:
        for encoded in _outcomes(bundle, sources, options, joint, as_json):
            added.append(encoded.problem.video.name)
            hit = hit and encoded.target_hit
            if as_json:
                emit("video", **{**encoded.fields(), "output": str(bundle), "video": added[-1]})
            else:
                say(summary(encoded, f"{bundle} + {added[-1]}"))
            if note := target_note(encoded):
                say(note)
    except Preempted as preempted:
        return _report_unfinished(bundle, options, preempted.by_hand, as_json)
    size = bundle.stat().st_size
    if as_json:
        emit("result", output=str(bundle), bytes=size, added=added, target_hit=hit, seconds=time.monotonic() - STARTED)
    else:
        say(f"{bundle}   {size} bytes, {len(added)} videos added")
    return 0 if hit else TargetMissed.exit_code


def _outcomes(bundle: Path, sources: list[Path], options: "EncodeOptions", joint: bool, as_json: bool) -> "Iterator[Encoded]":
    """Yields the outcome of each video when it is added. Videos that the same command has added before are skipped."""
    from inr.reading import source_name
    from train.bundle.adding import add_file
    from train.bundle.joint import add_files_jointly
    from train.cli.display import reporter

    if joint:
        outcomes = add_files_jointly(sources, bundle, options, reporter(as_json))
        if not outcomes:
            say(f"all videos are in '{bundle}' already, added by the same command")
        yield from outcomes
        return
    for source in sources:
        if (encoded := add_file(source, bundle, options, reporter(as_json))) is not None:
            yield encoded
        else:
            say(f"'{source_name(source)}' is in '{bundle}' already, added by the same command")


def _report_unfinished(bundle: Path, options: "EncodeOptions", by_hand: bool, as_json: bool) -> int:
    """Report where the state of an unfinished run is saved; returns the exit code. After Ctrl-C, the process ends by SIGINT."""
    from codec.interruption import die_of_interrupt

    folder = options.run.folder(bundle)
    say(f"stopped: '{bundle}' has the finished videos, '{folder}' has the state of the rest; run the same command again to continue")
    if as_json:
        name = "interrupted" if by_hand else "pre-empted"
        emit("error", id=name, message=f"saved in '{folder}'", fix="run the same command again", exit_code=130 if by_hand else PREEMPTED)
    if by_hand:
        die_of_interrupt()
    return PREEMPTED
