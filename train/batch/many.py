"""Runs a whole batch from Python or from the command line: `train.encode_many`, and `inr batch run` as a function."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inr.reading import source_name
from train.batch.events import Backend, Task
from train.batch.folder import BatchFolder
from train.batch.item import Item
from train.batch.local import LocalWorkers
from train.batch.manifest import Row
from train.batch.resources import Resources, local_resources
from train.batch.running import Batch, Outcome
from train.batch.tables import write_tables
from train.plan.options import encode_options

MEMORY = "memory"  # id of the error of a fit that needs more memory than its worker may use


@dataclass(frozen=True)
class BatchOptions:
    """Where and how a batch runs.

    `backend` is local or ray. None for `workers` or `cpus` (of each worker) lets `train.batch.resources` choose. `retries` is the number of
    times that a task is tried again after its worker died. `shard` (i, n) selects every n-th task, from task number i on.
    """

    backend: str = "local"
    workers: int | None = None
    cpus: int | None = None
    retries: int = 2
    shard: tuple[int, int] = (0, 1)


def encode_many(sources: Iterable[str | Path | Mapping[str, Any]], output: str | Path, **options: Any) -> Iterator[Outcome]:
    """Encode `sources` to files in the folder `output`, with several worker processes; yields each outcome as soon as it is known.

    A source is a path, or a mapping with the key "source" and options of its own. `options` are those of `train.encode_file`, and the
    fields of `BatchOptions`. The same call does only what is missing. A failed item is an outcome as well, and the others go on.
    """
    where = BatchOptions(**{name: options.pop(name) for name in list(options) if name in BatchOptions.__dataclass_fields__})
    rows = [_row(source, options) for source in sources]
    return run_batch(prepared(rows, Path(output)), where)


def _row(source: str | Path | Mapping[str, Any], defaults: Mapping[str, Any]) -> Row:
    values = dict(source) if isinstance(source, Mapping) else {"source": source}
    path = Path(values.pop("source"))
    name = values.pop("name", "") or source_name(path)
    options = {**defaults, **values}
    encode_options(**options)
    return Row(path, name, options)


def prepared(rows: Sequence[Row], output: Path) -> Batch:
    """The batch of `rows` in the folder `output`, which gets the list of its items. Equal rows are one item."""
    items = {item.key: item for item in map(Item.of, rows)}
    batch = Batch(BatchFolder(output), list(items.values()))
    batch.folder.write_items(batch.items)
    return batch


def run_batch(batch: Batch, options: BatchOptions) -> Iterator[Outcome]:
    """Run all items that have no record, yield their outcomes, and write the tables at the end.

    The number of workers follows from all items, not only from the missing ones, so that a batch that was interrupted gives the same files.
    An item that needs more memory than the share of a worker is tried again alone, with all memory.
    """
    index, count = options.shard
    tasks = _tasks(batch.items)[index::count]
    resources = local_resources(len(tasks), options.workers, options.cpus)
    missing = {item.key for item in batch.missing()}
    begun: list[Task] = [task for task in tasks if any(item.key in missing for item in task)]
    large: list[Item] = []
    try:
        for outcome in batch.run(_backend(batch, options, resources), begun):
            if outcome.failed and outcome.record["id"] == MEMORY and resources.workers > 1:
                large.append(outcome.item)
            else:
                yield outcome
        for item in large:
            batch.folder.of(item).forget_failure()
        alone = replace(resources, workers=1, memory=None)
        yield from batch.run(_backend(batch, options, alone), [(item,) for item in large])
    finally:
        write_tables(batch.folder)


def _tasks(items: Sequence[Item]) -> list[Task]:
    return [(item,) for item in items]


def _backend(batch: Batch, options: BatchOptions, resources: Resources) -> Backend:
    return LocalWorkers(batch.folder.path, resources, options.retries)
