"""Worker processes on this machine, which share its cores, its memory and its GPUs."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inr.command import ROOT
from inr.errors import ResourceError
from train.batch.events import Broken, Died, Ended, Event, Replaced, Share, Task
from train.batch.resources import Resources, worker_environment

# The folder of the packages comes last, and the current folder is left out, so that no other file can hide them.
START = "import sys; sys.path.append(sys.argv[1]); from train.batch.worker import main; main()"
LEAVING_SECONDS = 20.0  # in which a worker saves its state before it is killed


class Worker:
    """One worker process; `log` gets its messages.

    It is a session of its own, so that it does not get the terminal's Ctrl-C: the process that started it tells it what to do.
    """

    def __init__(self, environment: Mapping[str, str], log: Path):
        self.log = log
        with log.open("ab") as messages:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", START, str(ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages,
                text=True, env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip

    def cannot_start(self) -> ResourceError | None:
        """Wait until the worker has started; returns the reason if it cannot, which concerns all workers."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        event = json.loads(line) if line else {}
        if "error" in event:
            return ResourceError(*event["error"])
        code = self.process.wait() if not line else 0
        if code >= 0 and not line:
            return ResourceError("no-worker", f"no worker can start: {reason_of(code)}", f"see '{self.log}'")
        return None  # it has started, or a signal ended it, which may not happen again

    def run(self, root: Path, task: Task, put: Callable[[Event], None]) -> int | None:
        """Run a task and `put` its events; returns the exit code if the worker ended before the task did."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        order = {"root": str(root.absolute()), "items": [item.as_json() for item in task]}
        with suppress(OSError):  # it has ended
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            event = json.loads(line)
            if event.get("end") == "done":
                put(Ended(task))
                return None
            if "end" in event:  # it leaves because of a signal
                break
            put(Share(event["key"], event["share"]))
        return process.wait()

    def close(self) -> None:
        """Let the process end, and wait for that."""
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self.process.wait()


@dataclass(frozen=True)
class Attempt:
    """A task, and the number of workers that have ended before it did."""

    task: Task
    deaths: int = 0


class LocalWorkers:
    """Worker processes on this machine for the batch in the folder `root`.

    A worker that dies is replaced, and its task is tried again, at most `retries` times; a task of several items is then split into
    tasks of one.
    """

    def __init__(self, root: Path, resources: Resources, retries: int):
        self.root, self.resources, self.retries = root, resources, retries
        self.workers: dict[int, Worker] = {}  # by slot
        self._waiting: deque[Attempt] = deque()
        self._events: queue.Queue[Event] = queue.Queue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def start(self, tasks: Sequence[Task]) -> None:
        """Start the workers on `tasks`."""
        (self.root / "logs").mkdir(parents=True, exist_ok=True)
        self._waiting.extend(map(Attempt, tasks))
        count = min(self.resources.workers, len(tasks))
        self._threads = [threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in range(count)]
        for thread in self._threads:
            thread.start()

    def events(self, seconds: float) -> Iterator[Event]:
        """The events of the next `seconds`, at least the first one that comes in that time."""
        with suppress(queue.Empty):
            yield self._events.get(timeout=seconds)
            while True:
                yield self._events.get_nowait()

    @property
    def busy(self) -> bool:
        """Whether an event may still come."""
        return any(thread.is_alive() for thread in self._threads) or not self._events.empty()

    def stop(self) -> None:
        """Ask all workers to save their states and leave; kill those that are still there after LEAVING_SECONDS."""
        with self._lock:
            self._stopping = True
            for worker in self.workers.values():
                worker.process.terminate()
        until = time.monotonic() + LEAVING_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            for worker in self.workers.values():
                worker.process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, slot: int) -> None:
        """Give tasks to the workers of one slot, one process at a time, until none is waiting."""
        while (attempt := self._next()) is not None:
            worker = self._worker(slot)
            if worker is None:
                break
            if (code := worker.run(self.root, attempt.task, self._events.put)) is not None:
                self._dismiss(slot)
                self._again(attempt, code)
        self._dismiss(slot)

    def _next(self) -> Attempt | None:
        with self._lock:
            return None if self._stopping or not self._waiting else self._waiting.popleft()

    def _worker(self, slot: int) -> Worker | None:
        """The worker of a slot, a new one if there is none; None if the batch is being stopped, or if it cannot start."""
        with self._lock:
            if self._stopping:
                return None
            known = self.workers.get(slot)
            worker = known or Worker(worker_environment(self.resources, slot), self.root / "logs" / f"worker-{slot}.txt")
            self.workers[slot] = worker
        if known is None and (error := worker.cannot_start()) is not None:
            self._events.put(Broken(error))
            return None
        return worker

    def _dismiss(self, slot: int) -> None:
        """Let the worker of a slot end, if there is one."""
        with self._lock:
            worker = self.workers.pop(slot, None)
        if worker is not None:
            worker.close()

    def _again(self, attempt: Attempt, code: int) -> None:
        """Try a task again whose worker ended before it, unless it has had all its tries."""
        with self._lock:
            if self._stopping:
                self._events.put(Ended(attempt.task, left=True))
                return
            if attempt.deaths < self.retries or len(attempt.task) > 1:
                self._events.put(Replaced(attempt.task, reason_of(code)))
            if attempt.deaths < self.retries:
                self._waiting.appendleft(Attempt(attempt.task, attempt.deaths + 1))
            elif len(attempt.task) > 1:
                self._waiting.extendleft(Attempt((item,)) for item in reversed(attempt.task))
            else:
                self._events.put(Died(attempt.task, reason_of(code)))


def reason_of(code: int) -> str:
    """Why a process ended, from the exit code that `subprocess` gives."""
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"
