"""`inr encode`: fits a network to a video or image and writes one complete file."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.option_groups import with_option_groups
from codec.shell import Json, Overwrite, emit, report_error, say
from inr.errors import InrError, TargetMissed, UsageError
from train.cli.arguments import (
    PREEMPTED,
    BudgetFlags,
    DeviceFlags,
    EffortFlags,
    NetworkFlags,
    RunFlags,
    SelectionFlags,
    TargetFlags,
    encode_options_of,
)

if TYPE_CHECKING:
    from train.encode.outcome import Encoded
    from train.encode.side_by_side import Outcome, Work
    from train.fit.interrupts import Preempted
    from train.plan.options import EncodeOptions


CLUSTER = "cluster"  # value of --devices: those of several processes


@dataclass(frozen=True)
class EncodeFlags(RunFlags, DeviceFlags, BudgetFlags, EffortFlags, SelectionFlags, NetworkFlags, TargetFlags):
    """All flags of an encode that are options of the fit."""

    streams: Annotated[
        str, typer.Option(metavar="auto|copy|none", help="Sound, subtitles, chapters, times of frames: auto copies up to half of a cap.")
    ] = "auto"
    overwrite: Overwrite = False


@dataclass(frozen=True)
class ReportFlags:
    """The reports that an encode makes."""

    report: Annotated[bool, typer.Option("--report", help="Also write OUT.html, a comparison with the source as by `inr compare`.")] = False
    estimate: Annotated[bool, typer.Option("--estimate", help="Print the expected size, quality, time and memory; write nothing.")] = False
    as_json: Json = False


@with_option_groups
def encode_command(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN... [OUT]", help="mp4, mkv, y4m, gif; a folder or glob of images; images.")],
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files of several inputs, or the name of a file.")
    ] = None,
    flags: EncodeFlags = EncodeFlags(),
    reports: ReportFlags = ReportFlags(),
) -> int:
    """Fit a network to a video or image and write it as one complete file. OUT defaults to IN with the suffix .inr.

    Several inputs need -o DIR; a target and a time budget are those of each file. Small pictures of one size are fitted side by side.
    Ctrl-C ends the fit early and writes a valid file, or saves the states of fits side by side; the same command then continues.
    """
    if flags.devices == CLUSTER:
        return _in_cluster(inputs, folder, flags, reports)
    return _encode_files(inputs, folder, flags, reports)


def _in_cluster(inputs: list[Path], folder: Path | None, flags: EncodeFlags, reports: ReportFlags) -> int:
    """Encode with the devices of several processes, of which the first one does all but the steps; returns the exit code."""
    from inr.runtime import prepare_jax
    from train.fit.cluster import dismiss, follow, join_cluster

    leads = join_cluster()
    if not leads:
        prepare_jax()
        follow()
        return 0
    try:
        return _encode_files(inputs, folder, flags, reports)
    finally:
        dismiss()


def _encode_files(inputs: list[Path], folder: Path | None, flags: EncodeFlags, reports: ReportFlags) -> int:
    options, files = encode_options_of(flags), planned_files(inputs, folder)
    if folder is not None and folder != files[0][1] and not reports.estimate:
        folder.mkdir(parents=True, exist_ok=True)
    if len(files) == 1:
        return _estimate(files[0][0], options, reports.as_json) if reports.estimate else _encode_one(*files[0], options, reports)
    return _encode_several(files, options, reports)


def planned_files(inputs: list[Path], folder: Path | None) -> list[tuple[Path, Path]]:
    """The pairs (source, output) of a command line; UsageError if it is not clear where a file should go.

    Without `folder`, `inputs` are a source and perhaps its output. A `folder` with the suffix .inr names the file of a single source.
    """
    from inr.files import check_inr, is_there
    from inr.images import source_name

    if folder is not None and len(inputs) == 1 and folder.suffix.lower() == ".inr" and not folder.is_dir():
        return [(inputs[0], folder)]
    if folder is not None:
        files = [(source, folder / f"{source_name(source)}.inr") for source in inputs]
        if len({output for _, output in files}) < len(files):
            what = f"two of the inputs would have the same name in '{folder}'; a file gets the name of its input"
            raise UsageError("duplicate-name", what, "rename an input, or encode it to another folder")
        return files
    if len(inputs) == 1:
        return [(inputs[0], default_output(inputs[0]))]
    if len(inputs) > 2 or (inputs[1].suffix != ".inr" and is_there(inputs[1])):
        raise UsageError("many-inputs", f"{len(inputs)} inputs need a folder for their files", "-o DIR")
    check_inr(inputs[1], overwrite=True, sources=[inputs[0]])
    return [(inputs[0], inputs[1])]


def of_several(options: "EncodeOptions", output: Path, first: bool) -> "EncodeOptions":
    """`options` for one of several files: state in a folder of its own, and a time budget that starts with this file, unless `first`."""
    workdir = options.run.workdir and options.run.workdir / output.stem
    return options.with_run(workdir=workdir, started=options.run.started if first else None)


def _encode_several(files: list[tuple[Path, Path]], options: "EncodeOptions", reports: ReportFlags) -> int:
    """Encode several files, or estimate them; returns the first exit code that is not 0. An error does not stop the other files."""
    from inr.runtime import prepare_jax
    from train.encode.side_by_side import Work, grouped, most_pictures

    prepare_jax()
    works = [Work(*pair, of_several(options, pair[1], first=pair is files[0])) for pair in files]
    codes = list[int]()
    for group in [[work] for work in works] if reports.estimate else grouped(works, most_pictures):
        if len(group) > 1:
            codes += _encode_group(group, reports)
        else:
            source, output, own = group[0]
            try:
                codes.append(_estimate(source, own, reports.as_json) if reports.estimate else _encode_one(source, output, own, reports))
            except InrError as error:
                codes.append(report_error(error, reports.as_json))
        if codes[-1] == PREEMPTED:
            return PREEMPTED
    return next((code for code in codes if code), 0)


def _encode_group(group: "list[Work]", reports: ReportFlags) -> list[int]:
    """Encode files whose fits run side by side; returns the exit code of each, the last one PREEMPTED if a signal asked to leave."""
    from train.cli.display import reporter
    from train.encode.side_by_side import Work, encode_side_by_side
    from train.fit.interrupts import Preempted

    codes, ready = list[int](), list[Work]()
    for work in group:
        try:
            _check_page(work.output, work.options, reports)
            ready.append(work)
        except InrError as error:
            codes.append(report_error(error, reports.as_json))

    def listener(work: Work, outcome: "Outcome") -> None:
        if isinstance(outcome, InrError):
            codes.append(report_error(outcome, reports.as_json))
            return
        codes.append(_finished(outcome, work.output, reports.as_json))
        _report(work.source, work.output, work.options, reports)

    try:
        encode_side_by_side(ready, reporter(reports.as_json), listener)
    except Preempted as preempted:
        codes.append(_preempted(preempted, group[0].options.run.folder(group[0].output), reports.as_json))
    return codes


def _encode_one(source: Path, output: Path, options: "EncodeOptions", reports: ReportFlags) -> int:
    """Encode one file and write its report if one is asked for; returns the exit code."""
    _check_page(output, options, reports)
    code = _encode(source, output, options, reports.as_json)
    if code in (0, TargetMissed.exit_code):
        _report(source, output, options, reports)
    return code


def _check_page(output: Path, options: "EncodeOptions", reports: ReportFlags) -> None:
    """Check the path of the report if one is asked for; OutputError if another file is there."""
    from inr.files import check_free

    if reports.report and not output.exists():
        check_free(output.with_suffix(".html"), options.run.overwrite)


def default_output(source: Path) -> Path:
    """`source` with the suffix .inr; for a folder or a pattern of images, a file beside the folder, with its name and the suffix .inr."""
    from inr.images import is_pattern

    if source.is_dir() or is_pattern(source):
        folder = (source if source.is_dir() else source.parent).absolute().resolve()
        return folder.with_name(f"{folder.name}.inr")
    return source.with_suffix(".inr")


def _estimate(source: Path, options: "EncodeOptions", as_json: bool) -> int:
    """Print the estimate; returns the exit code."""
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
    """Encode and report the outcome; returns the exit code."""
    from inr.runtime import prepare_jax
    from train.cli.display import reporter
    from train.encode.files import encode_file
    from train.fit.interrupts import Preempted

    prepare_jax()
    try:
        encoded = encode_file(source, output, options, reporter(as_json))
    except Preempted as preempted:
        return _preempted(preempted, options.run.folder(output), as_json)
    return _finished(encoded, output, as_json)


def _preempted(preempted: "Preempted", folder: Path, as_json: bool) -> int:
    """Say that the state of a fit is in `folder`; returns the exit code, but after Ctrl-C the process ends."""
    from codec.interruption import die_of_interrupt

    preempted_notice(folder, as_json, preempted)
    if preempted.by_hand:
        die_of_interrupt()
    return PREEMPTED


def preempted_notice(folder: Path, as_json: bool, preempted: "Preempted") -> None:
    """Say that a signal ended the fit, and whether its latest state is saved in `folder`."""
    state = f"saved in '{folder}'" if preempted.saved else f"not saved; '{folder}' may have an earlier one"
    name = "interrupted" if preempted.by_hand else "pre-empted"
    say(f"{name}: the state is {state}; run the same command again to continue")
    if as_json:
        emit("error", id=name, message=state, fix="run the same command again", exit_code=PREEMPTED)


def _finished(encoded: "Encoded | None", output: Path, as_json: bool) -> int:
    """Report the outcome (None: the file is up to date); returns the exit code."""
    from codec.interruption import die_of_interrupt
    from train.cli.messages import summary, target_note

    if encoded is None:
        say(f"'{output}' is up to date")
        if as_json:
            emit("result", output=str(output), up_to_date=True, bytes=output.stat().st_size)
        return 0
    if as_json:
        emit("result", **encoded.fields())
    else:
        say(summary(encoded, str(output)))
    if encoded.interrupted:
        say("stopped early: the file is complete; the same command continues from here")
        die_of_interrupt()
    if note := target_note(encoded):
        say(note)
    return 0 if encoded.target_hit else TargetMissed.exit_code


def _report(source: Path, output: Path, options: "EncodeOptions", reports: ReportFlags) -> None:
    """Write the page of `inr compare` if one is asked for; an existing page is kept, unless `options` allow to overwrite it."""
    from codec.report.measuring import compared
    from codec.report.page import page as html_page
    from inr.files import write_atomically

    page = output.with_suffix(".html")
    if not reports.report or (page.exists() and not options.run.overwrite):
        return
    commands = [shlex.join(["inr", *sys.argv[1:]])]
    selection = options.selection
    comparison = compared(source, [output], selection.frames, scale=selection.scale)
    write_atomically(page, html_page(comparison, commands).encode())
    say(f"{page}   comparison with the source")
