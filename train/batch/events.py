"""The events that a backend passes on from its workers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from inr.errors import InrError
from train.batch.item import Item

Task = tuple[Item, ...]


class Share(NamedTuple):
    """The `share` of the work on an item that is done; 1 if the item has a record."""

    key: str
    share: float


class Ended(NamedTuple):
    """A task ended: all of its items have a record, or the worker `left` because a signal asked it to."""

    task: Task
    left: bool = False


class Replaced(NamedTuple):
    """The worker of a task ended before the task did, for a `reason`; the task is tried again."""

    task: Task
    reason: str


class Died(NamedTuple):
    """The workers of a task died, as often as the batch allows; `reason` says how."""

    task: Task
    reason: str


class Broken(NamedTuple):
    """No worker can start, whatever its task is."""

    error: InrError


Event = Share | Ended | Replaced | Died | Broken


class Backend(Protocol):
    """A runner of tasks: `train.batch.local.LocalWorkers` or `train.batch.on_ray.RayWorkers`."""

    def start(self, tasks: Sequence[Task]) -> None:
        """Start to work on `tasks`."""
        ...

    def events(self, seconds: float) -> Iterator[Event]:
        """The events of the next `seconds`, at least the first one that comes in that time."""
        ...

    @property
    def busy(self) -> bool:
        """Whether an event may still come."""
        ...

    def stop(self) -> None:
        """Ask all workers to save their states and leave, and wait for that."""
        ...
