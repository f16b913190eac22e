"""`inr batch`: many encodes, by several worker processes."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codec.option_groups import with_option_groups
from codec.shell import Json, emit, say
from inr.errors import TargetMissed, UsageError
from train.cli.arguments import PREEMPTED, BudgetFlags, EffortFlags, NetworkFlags, SelectionFlags, TargetFlags

if TYPE_CHECKING:
    from train.batch.many import BatchOptions
    from train.batch.running import Batch, Outcome
    from train.fit.interrupts import Preempted

batch_application = typer.Typer(name="batch", help="Batches: many sources, several workers, one table of results.", no_args_is_help=True)

Output = Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a batch.")]


@dataclass(frozen=True)
class ItemFlags(BudgetFlags, EffortFlags, SelectionFlags, NetworkFlags, TargetFlags):
    """The options of all items; a column of the manifest replaces an option for its row."""


@dataclass(frozen=True)
class WorkFlags:
    """Where and how a batch runs."""

    backend: Annotated[str, typer.Option(metavar="local|ray", help="Workers on this machine, or those of a Ray cluster.")] = "local"
    workers: Annotated[int | None, typer.Option(metavar="N", help="Number of workers. Default: one for each GPU, else for each core.")] = (
        None
    )
    cpus: Annotated[int | None, typer.Option(metavar="N", help="Cores of each worker. Default: an equal share; with Ray 1.")] = None
    gpus: Annotated[float, typer.Option(metavar="N", help="With Ray: GPUs of each worker; 0.5 for two workers on a GPU.")] = 0.0
    tpus: Annotated[int, typer.Option(metavar="N", help="With Ray: TPU chips of each worker.")] = 0
    address: Annotated[str | None, typer.Option(metavar="ADDR", help="Address of a Ray cluster, or auto. Default: start Ray here.")] = None
    retries: Annotated[int, typer.Option(metavar="N", help="Most new tries of an item whose worker died.")] = 2
    pack: Annotated[
        str, typer.Option(metavar="auto|N", help="Fit up to N items of one size side by side in a worker. auto: pictures, on accelerators.")
    ] = "auto"
    shard: Annotated[str, typer.Option(metavar="I/N", help="Only part I (0 to N - 1) of N parts, for an array of jobs.")] = "0/1"
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 6 if an item failed or missed its target.")] = False


@batch_application.command("run")
@with_option_groups
def run_command(
    manifest: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="A .csv or .jsonl table, sources, or patterns in quotes.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for files, records and tables.")],
    items: ItemFlags = ItemFlags(),
    work: WorkFlags = WorkFlags(),
    as_json: Json = False,
) -> int:
    """Encode every source of a manifest that has no result in OUT yet. The same command continues after any interruption.

    A table has a column `source`, and may have a column `name` and columns named like options (`target_bpp`, `frames`). A source that
    cannot be encoded becomes a row of OUT/failures.csv, and the others go on.
    """
    from train.batch.manifest import read_manifest
    from train.batch.many import prepared

    options = _work_options(work)
    rows = read_manifest(manifest, _given(items))
    if output.exists() and not output.is_dir():
        raise UsageError("not-a-folder", f"'{output}' is a file; the results of a batch need a folder", "-o results")
    return _run(prepared(rows, output), options, work.strict, as_json)


@batch_application.command("retry")
@with_option_groups
def retry_command(
    output: Output,
    only: Annotated[str, typer.Option("--only", metavar="ID", help="Only failures with this error id, as failures.csv has it.")] = "",
    work: WorkFlags = WorkFlags(),
    as_json: Json = False,
) -> int:
    """Try the failed items of a batch again, and encode those that are missing."""
    from train.batch.folder import BatchFolder
    from train.batch.running import Batch

    options, folder = _work_options(work), BatchFolder(output)
    batch = Batch(folder, folder.items())
    failed = {record["key"]: record["id"] for _, record in folder.failed()}
    if only and only not in failed.values():
        raise UsageError("no-such-failure", f"no item failed with '{only}'", ", ".join(sorted(set(failed.values()))) or "no --only")
    for item in batch.items:
        if item.key in failed and only in ("", failed[item.key]):
            folder.of(item).forget_failure()
    return _run(batch, options, work.strict, as_json)


@batch_application.command("status")
def status_command(output: Output, as_json: Json = False) -> None:
    """Count the items of a batch that are done, begun, failed and waiting."""
    from train.batch.status import status, status_lines

    facts = status(output)
    if as_json:
        emit("result", **facts)
    else:
        print("\n".join(status_lines(facts)))


@batch_application.command("collect")
def collect_command(output: Output, as_json: Json = False) -> None:
    """Rebuild the tables of a batch from the records of its items: results.csv, failures.csv, results.parquet."""
    from train.batch.folder import BatchFolder
    from train.batch.tables import has_parquet, write_tables

    folder = BatchFolder(output)
    folder.items()
    written = write_tables(folder)
    if not has_parquet():
        say("results.parquet needs PyArrow: pip install pyarrow")
    if as_json:
        emit("result", output=str(output), written=[str(path) for path in written])
    else:
        say("wrote " + ", ".join(map(str, written)))


def _given(flags: Any) -> dict[str, Any]:
    """The options that were given on the command line, as values that JSON can hold."""
    values = {field.name: getattr(flags, field.name) for field in fields(flags) if getattr(flags, field.name) != field.default}
    return {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in values.items()}


def _work_options(work: WorkFlags) -> "BatchOptions":
    from train.batch.many import BACKENDS, BatchOptions
    from train.plan.texts import one_of, packed, shard

    backend = one_of("--backend", work.backend, BACKENDS)
    resources = {name: getattr(work, name) for name in ("workers", "cpus", "gpus", "tpus", "address", "retries")}
    return BatchOptions(backend, pack=packed(work.pack), shard=shard(work.shard), **resources)


def _run(batch: "Batch", options: "BatchOptions", strict: bool, as_json: bool) -> int:
    """Run a batch and report it; returns the exit code."""
    from train.batch.many import run_batch
    from train.batch.status import status
    from train.cli.batch_display import Tally, batch_display
    from train.fit.interrupts import Preempted

    before = len(batch.items) - len(batch.missing())
    if before:
        say(f"{before} of {len(batch.items)} items have a record already")
    try:
        tally = Tally(batch)
        with batch_display(tally, as_json) as display:
            batch.watch, batch.say = display.tick, say
            for outcome in run_batch(batch, options):
                tally.add(outcome)
                _report(outcome, as_json)
    except Preempted as left:
        return _left(left, as_json)
    facts = status(batch.folder.path)
    if as_json:
        emit("result", **facts)
    else:
        _say_end(facts)
    return TargetMissed.exit_code if strict and (facts["failed"] or facts["targets_missed"]) else 0


def _report(outcome: "Outcome", as_json: bool) -> None:
    item, record = outcome.item, outcome.record
    if as_json:
        emit("item", failed=outcome.failed, **record)
        return
    if outcome.failed:
        say(f"failed: {item.name}: {record['message']}   [{record['id']}]")
        return
    for warning in record.get("warnings", ()):
        say(f"warning: {item.name}: {warning}")
    missed = "" if record.get("target_hit", True) else "   target missed"
    if missed or not sys.stderr.isatty():
        say(f"{item.name}   {record['bytes']} bytes, {record['bpp']:.4f} bpp, {record['psnr_rgb']:.2f} dB{missed}")


def _say_end(facts: dict[str, Any]) -> None:
    from train.batch.status import status_lines

    say("\n".join(status_lines(facts)))
    if facts["failed"]:
        say(f"{facts['failures']}   has the errors; inr batch retry {facts['output']}   tries those items again")


def _left(left: "Preempted", as_json: bool) -> int:
    """Say that a signal ended the batch; returns the exit code, but after Ctrl-C the process ends."""
    from codec.interruption import die_of_interrupt

    name = "interrupted" if left.by_hand else "pre-empted"
    say(f"{name}: finished items are kept, states of fits are saved; run the same command again to continue")
    if as_json:
        emit("error", id=name, message="finished items are kept", fix="run the same command again", exit_code=PREEMPTED)
    if left.by_hand:
        die_of_interrupt()
    return PREEMPTED
