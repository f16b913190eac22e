"""`inr bundle add` and `inr bundle pretrain`: the verbs of bundles that fit networks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.bundle_cli import Bundle
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
    with_option_groups,
)

if TYPE_CHECKING:
    from train.encode.outcome import Encoded
    from train.plan.options import EncodeOptions


@dataclass(frozen=True)
class PretrainFlags(RunFlags, EffortFlags, SelectionFlags, TargetFlags):
    """All flags of a joint fit."""


@dataclass(frozen=True)
class AddFlags(RunFlags, BudgetFlags, EffortFlags, SelectionFlags, ReuseFlags, TargetFlags):
    """All flags of an addition that are options of the fit."""


@with_option_groups
def add_command(
    bundle: Bundle,
    sources: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, folders or globs of images, images.")],
    flags: AddFlags = AddFlags(),
    joint: Annotated[
        bool, typer.Option("--joint", help="Into an empty bundle: fit all at once, on one layer. Smaller; all videos are in memory.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Fit videos, one after the other or all --joint, on the layers that a bundle holds already, and append them.

    Sizes and rates are of the file's growth; a time budget is each video's. Earlier videos do not change by a bit. Ctrl-C leaves the
    file with the videos that are finished; the same command goes on.
    """
    from inr.reading import source_name

    if joint and (flags.time_budget or flags.density is not None or flags.every_layer or not flags.corrections):
        what = "--joint has one layer for all and nothing below it: no --density, --free-only, --every-layer; nor a --time-budget yet"
        raise UsageError("joint", what, "--joint --preset fast")
    if len(sources) != len({source_name(source) for source in sources}):
        raise UsageError("duplicate-name", "two of the sources have the same name, and a video is called after its file", "rename one")
    return _add(bundle, sources, encode_options_of(flags), joint, as_json)


@with_option_groups
def pretrain_command(
    bundle: Bundle,
    sources: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, folders or globs of images, images: at least two.")],
    flags: PretrainFlags = PretrainFlags(),
    as_json: Json = False,
) -> int:
    """Fit an empty bundle's decoder to several videos at once; add them, or others like them, afterwards.

    The bundle then holds none of them, only the weights that they share. Give the quality or rate that they will be added with. Ctrl-C
    saves and leaves the file as it is; the same command goes on.
    """
    from inr.runtime import prepare_jax
    from train.bundle.pretraining import pretrain_files
    from train.cli.display import reporter
    from train.fit.interrupts import Preempted

    prepare_jax()
    options = encode_options_of(flags)
    try:
        found = pretrain_files(sources, bundle, options, reporter(as_json))
    except Preempted as left:
        return _left(bundle, options, left.by_hand, as_json)
    if as_json:
        facts = {"bytes": found.bytes, "layer_bytes": found.layer_bytes, "steps": found.steps, "psnr_rgb": found.psnr}
        emit("result", output=str(bundle), **facts, seconds=found.seconds)
    else:
        taken = f"{found.steps} steps of each in {found.seconds:.0f} s, {found.psnr:.2f} dB in the last round"
        say(f"{bundle}   {found.bytes} bytes of decoder, {taken}; inr bundle add {bundle} VIDEO")
    return 0


def _add(bundle: Path, sources: list[Path], options: "EncodeOptions", joint: bool, as_json: bool) -> int:
    from inr.runtime import prepare_jax
    from train.cli.messages import result_fields, summary, target_note
    from train.fit.interrupts import Preempted

    prepare_jax()
    added, hit = [], True
    try:
        for encoded in _outcomes(bundle, sources, options, joint, as_json):
            added.append(encoded.problem.video.name)
            hit = hit and encoded.target_hit
            if as_json:
                emit("video", **{**result_fields(encoded, str(bundle)), "video": added[-1]})
            else:
                say(summary(encoded, f"{bundle} + {added[-1]}"))
            if note := target_note(encoded):
                say(note)
    except Preempted as left:
        return _left(bundle, options, left.by_hand, as_json)
    size = bundle.stat().st_size
    if as_json:
        emit("result", output=str(bundle), bytes=size, added=added, target_hit=hit, seconds=time.monotonic() - STARTED)
    else:
        say(f"{bundle}   {size} bytes, {len(added)} videos more")
    return 0 if hit else TargetMissed.exit_code


def _outcomes(bundle: Path, sources: list[Path], options: "EncodeOptions", joint: bool, as_json: bool) -> "Iterator[Encoded]":
    """The outcome of each video, as it is added; videos that the bundle holds already, by this very command, have none."""
    from inr.reading import source_name
    from train.bundle.adding import add_file
    from train.bundle.joint import add_files_jointly
    from train.cli.display import reporter

    if joint:
        found = add_files_jointly(sources, bundle, options, reporter(as_json))
        if not found:
            say(f"all of them are in '{bundle}' already, by this very command")
        yield from found
        return
    for source in sources:
        if (encoded := add_file(source, bundle, options, reporter(as_json))) is not None:
            yield encoded
        else:
            say(f"'{source_name(source)}' is in '{bundle}' already, by this very command")


def _left(bundle: Path, options: "EncodeOptions", by_hand: bool, as_json: bool) -> int:
    """Say where the state of the unfinished part is; after Ctrl-C the process ends by that signal."""
    from train.fit.interrupts import die_of_interrupt

    place = options.run.folder(bundle)
    say(f"stopped: '{bundle}' has the finished videos, '{place}' the state of the rest; run the same command to go on")
    if as_json:
        name = "interrupted" if by_hand else "pre-empted"
        emit("error", id=name, message=f"saved in '{place}'", fix="run the same command again", exit_code=130 if by_hand else PREEMPTED)
    if by_hand:
        die_of_interrupt()
    return PREEMPTED
