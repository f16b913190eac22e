"""Runs a whole batch from Python or from the command line: `train.encode_many`, and `inr batch run` as a function."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inr.errors import UsageError
from inr.reading import Extent
from train.batch.events import Backend, Task
from train.batch.folder import BatchFolder
from train.batch.item import Item
from train.batch.local import LocalWorkers
from train.batch.manifest import Row, options_of, row_of
from train.batch.on_ray import RayWorkers, check_ray
from train.batch.resources import Resources, local_resources, visible_gpus
from train.batch.running import Batch, Outcome
from train.batch.tables import write_tables
from train.encode.side_by_side import ACCELERATOR_PIXELS, Work, grouped, pictures_within
from train.fit.interrupts import Preempted

BACKENDS = ("local", "ray")
MEMORY = "memory"  # id of the error of a fit that needs more memory than its worker may use


@dataclass(frozen=True)
class BatchOptions:
    """Where and how a batch runs.

    `backend` is local or ray; `address` is that of a Ray cluster. `cpus`, `gpus` and `tpus` are resources of each worker. None for
    `workers` or `cpus` lets `train.batch.resources` choose; for Ray it means all workers that there is room for, and one core. `retries` is
    the number of times that a task is tried again after its worker died. `pack` is the most items of one size and options whose fits run
    side by side in a task; None: on accelerators as many pictures as fill one, else 1. `shard` (i, n) selects every n-th task, from task
    number i on.
    """

    backend: str = "local"
    workers: int | None = None
    cpus: int | None = None
    gpus: float = 0.0
    tpus: int = 0
    address: str | None = None
    retries: int = 2
    pack: int | None = None
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UsageError("unknown-choice", f"there is no backend '{self.backend}', only {' and '.join(BACKENDS)}", BACKENDS[0])
        if self.backend == "local" and (self.gpus or self.tpus or self.address):
            raise UsageError(
                "ray-only", "an address, and numbers of GPUs or TPU chips, are for Ray; local workers share all", "--backend ray"
            )
        least = {"workers": 1, "cpus": 1, "pack": 1, "retries": 0, "gpus": 0, "tpus": 0}
        for name, value in least.items():
            if getattr(self, name) is not None and getattr(self, name) < value:
                raise UsageError("too-small", f"{name} {getattr(self, name)}: the value must be at least {value}", f"--{name} {value}")


def encode_many(sources: Iterable[str | Path | Mapping[str, Any]], output: str | Path, **options: Any) -> Iterator[Outcome]:
    """Encode `sources` to files in the folder `output`, with several worker processes; yields each outcome as soon as it is known.

    A source is a path, or a mapping with the key "source" and options of its own. `options` are those of `train.encode_file`, and the
    fields of `BatchOptions`. The same call does only what is missing. A failed item is an outcome as well, and the others go on. After
    Ctrl-C, the workers save their states, and KeyboardInterrupt is raised; after SIGTERM, `train.fit.interrupts.Preempted`.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    where = BatchOptions(**{name: options.pop(name) for name in list(options) if name in BatchOptions.__dataclass_fields__})
    defaults, here = options_of(options, Path()), Path()
    rows = [row_of(source if isinstance(source, Mapping) else {"source": source}, here, defaults) for source in sources]
    return _interruptible(run_batch(prepared(rows, Path(output)), where))


def _interruptible(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    try:
        yield from outcomes
    except Preempted as left:
        if left.by_hand:
            raise KeyboardInterrupt from left
        raise


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
    if options.backend == "ray":
        check_ray()
    index, count = options.shard
    tasks = tasks_of(batch.items, options)[index::count]
    resources = _resources(options, len(tasks))
    missing = {item.key for item in batch.missing()}
    begun: list[Task] = [task for task in tasks if any(item.key in missing for item in task)]
    large: list[Item] = []
    try:
        for outcome in batch.run(_backend(batch, options, resources), begun) if begun else ():
            if outcome.failed and outcome.record["id"] == MEMORY and resources.workers > 1:
                large.append(outcome.item)
            else:
                yield outcome
        for item in large:
            batch.folder.of(item).forget_failure()
        if large:
            alone = replace(resources, workers=1, memory=None)
            yield from batch.run(_backend(batch, options, alone), [(item,) for item in large])
    finally:
        write_tables(batch.folder)


def tasks_of(items: Sequence[Item], options: BatchOptions) -> list[Task]:
    """The tasks of all items, also of those that have a record: what an item is packed with must not depend on that."""
    on_ray = options.backend == "ray"
    accelerated = options.gpus or options.tpus if on_ray else visible_gpus()
    if options.pack == 1 or (options.pack is None and not accelerated):
        return [(item,) for item in items]
    by_key = {item.key: item for item in items}
    works = [Work(Path(item.source), Path(item.key), item.encode_options) for item in items]

    def most(extent: Extent) -> int:
        return options.pack or pictures_within(extent, ACCELERATOR_PIXELS)

    groups = grouped(works, most)
    return [tuple(by_key[work.output.name] for work in group) for group in groups]


def _resources(options: BatchOptions, tasks: int) -> Resources:
    if options.backend == "ray":
        return Resources(options.workers or 0, options.cpus or 1, options.gpus, options.tpus)
    return local_resources(tasks, options.workers, options.cpus)


def _backend(batch: Batch, options: BatchOptions, resources: Resources) -> Backend:
    if options.backend == "ray":
        return RayWorkers(batch.folder.path, resources, options.retries, options.address)
    return LocalWorkers(batch.folder.path, resources, options.retries)
