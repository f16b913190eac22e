"""`inr encode`: a video or image to one complete file."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.shell import Json, Overwrite, emit, say
from inr.errors import TargetMissed
from train.cli.arguments import (
    PREEMPTED,
    BudgetFlags,
    EffortFlags,
    NetworkFlags,
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
class EncodeFlags(RunFlags, BudgetFlags, EffortFlags, SelectionFlags, NetworkFlags, TargetFlags):
    """All flags of an encode that are options of the fit."""

    overwrite: Overwrite = False


@dataclass(frozen=True)
class ReportFlags:
    """The ways in which an encode reports."""

    report: Annotated[bool, typer.Option("--report", help="Also write OUT.html: the result beside its source, see `inr compare`.")] = False
    estimate: Annotated[bool, typer.Option("--estimate", help="Say size, quality, time and memory, and write nothing.")] = False
    as_json: Json = False


@with_option_groups
def encode_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="mp4, mkv, y4m, gif; a folder or glob of images; one image.")],
    output: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="Default: IN with .inr.")] = None,
    flags: EncodeFlags = EncodeFlags(),
    reports: ReportFlags = ReportFlags(),
) -> int:
    """Fit a network to a video or image and write it as one complete file.

    Ctrl-C stops early with a valid file; the same command then goes on.
    """
    from inr.writing import check_free

    options = encode_options_of(flags)
    if reports.estimate:
        return _estimate(source, options, reports.as_json)
    output = output or default_output(source)
    page = output.with_suffix(".html")
    if reports.report and not output.exists():
        check_free(page, flags.overwrite)
    code = _encode(source, output, options, reports.as_json)
    if reports.report and code in (0, TargetMissed.exit_code):
        _report(source, output, page, options)
    return code


def default_output(source: Path) -> Path:
    """IN with .inr; a pattern of images is named after its folder."""
    from inr.images import is_pattern

    return (source.parent.absolute() if is_pattern(source) else source).with_suffix(".inr")


def _estimate(source: Path, options: "EncodeOptions", as_json: bool) -> int:
    from inr.runtime import prepare_jax
    from train.plan.estimate import estimate, estimate_line

    prepare_jax()
    facts = estimate(source, options)
    if as_json:
        emit("result", **facts)
    else:
        say(estimate_line(facts))
    return 0


def _encode(source: Path, output: Path, options: "EncodeOptions", as_json: bool) -> int:
    from inr.runtime import prepare_jax
    from train.cli.display import reporter
    from train.encode.files import encode_file
    from train.fit.interrupts import Preempted, die_of_interrupt

    prepare_jax()
    try:
        encoded = encode_file(source, output, options, reporter(as_json))
    except Preempted as left:
        place = options.run.folder(output)
        say(f"pre-empted: saved in '{place}'; run the same command to go on")
        if as_json:
            emit("error", id="pre-empted", message=f"saved in '{place}'", fix="run the same command again", exit_code=PREEMPTED)
        if left.by_hand:
            die_of_interrupt()
        return PREEMPTED
    if encoded is None:
        say(f"'{output}' is up to date")
        if as_json:
            emit("result", output=str(output), up_to_date=True, bytes=output.stat().st_size)
        return 0
    return _finished(encoded, output, as_json)


def _finished(encoded: "Encoded", output: Path, as_json: bool) -> int:
    """Report the outcome; returns the exit code."""
    from train.cli.messages import result_fields, summary, target_note
    from train.fit.interrupts import die_of_interrupt

    if as_json:
        emit("result", **result_fields(encoded, str(output)))
    else:
        say(summary(encoded, str(output)))
    if encoded.interrupted:
        say("stopped early: the file is complete; the same command goes on from here")
        die_of_interrupt()
    if note := target_note(encoded):
        say(note)
    return 0 if encoded.target_hit else TargetMissed.exit_code


def _report(source: Path, output: Path, page: Path, options: "EncodeOptions") -> None:
    """Write the page of `inr compare`, unless the run was finished already and the page exists."""
    from codec.report.measuring import compared
    from codec.report.page import page as laid_out
    from inr.writing import write_atomically

    if page.exists() and not options.run.overwrite:
        return
    commands = [shlex.join(["inr", *sys.argv[1:]])]
    selection = options.selection
    comparison = compared(source, [output], selection.frames, scale=selection.scale)
    write_atomically(page, laid_out(comparison, commands).encode())
    say(f"{page}   to look at")
