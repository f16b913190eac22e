"""Runs a batch: gives the items that have no record to workers, and yields each record when it is there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from inr.errors import InrError, ResourceError
from train.batch.events import Backend, Broken, Died, Ended, Event, Replaced, Share, Task
from train.batch.folder import BatchFolder, Record
from train.batch.item import Item
from train.fit.interrupts import Interrupts, Preempted

WAIT_SECONDS = 0.5  # between two looks at signals


class Outcome(NamedTuple):
    """An item with its record: that of its result, or if `failed`, that of its error."""

    item: Item
    record: Record
    failed: bool


@dataclass
class Batch:
    """A batch of `items` in `folder`.

    `shares` has the share of work that is done on each item that a worker has, by key. `watch` is called about twice a second, and `say`
    gets lines of text about workers.
    """

    folder: BatchFolder
    items: Sequence[Item]
    shares: dict[str, float] = field(default_factory=dict)
    watch: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda line: None

    def outcome(self, item: Item) -> Outcome | None:
        """The item with its record; None if it has none."""
        home = self.folder.of(item)
        if (record := home.result()) is not None:
            return Outcome(item, record, failed=False)
        if (record := home.failure()) is not None:
            return Outcome(item, record, failed=True)
        return None

    def missing(self) -> list[Item]:
        """The items without a record, in the order of the manifest."""
        return [item for item in self.items if self.outcome(item) is None]

    def run(self, backend: Backend, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Run `tasks` and yield the outcome of each item as soon as there is one.

        A signal to leave, including Ctrl-C, lets the workers save their states, and raises Preempted. InrError if no worker can start.
        """
        known = {item.key: item for task in tasks for item in task}
        told = {key for key, item in known.items() if self.outcome(item) is not None}
        with Interrupts() as interrupts:
            backend.start(tasks)
            try:
                while backend.busy:
                    for event in backend.events(WAIT_SECONDS):
                        for item in self._items_of(event, known):
                            if item.key not in told and (outcome := self.outcome(item)) is not None:
                                told.add(item.key)
                                self.shares.pop(item.key, None)
                                yield outcome
                    self.watch()
                    if interrupts.preempted or interrupts.interrupted:
                        raise Preempted
            finally:
                backend.stop()

    def _items_of(self, event: Event, known: dict[str, Item]) -> Sequence[Item]:
        """The items that may have a record now."""
        match event:
            case Broken(error):
                raise error
            case Share(key, share):
                self.shares[key] = share
                return [known[key]] if share == 1 else []
            case Replaced(task, reason):
                self.say(f"a worker ended before '{task[0].name}' did ({reason}); another one goes on with it")
                return []
            case Ended(task):
                return task
            case Died(task, reason):
                for item in task:
                    if self.outcome(item) is None:
                        self.folder.of(item).fail(_died(reason))
                return task


def _died(reason: str) -> InrError:
    what = f"the worker died each time that it ran this item: {reason}"
    return ResourceError("worker-died", what, "the worker's messages are in logs/; if memory ran out: --workers 1, or --scale 1/2")
