"""Worker processes on this machine, which share its cores, its memory and its GPUs."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from inr.command import ROOT
from train.batch.events import Died, Ended, Event, Share, Task
from train.batch.resources import Resources, worker_environment

# The folder of the packages comes last, and the current folder is left out, so that no other file can hide them.
START = "import sys; sys.path.append(sys.argv[1]); from train.batch.worker import main; main()"
LEAVING_SECONDS = 20.0  # in which a worker saves its state before it is killed


@dataclass
class Attempt:
    """A task, and the number of workers that have died of it."""

    task: Task
    deaths: int = 0


@dataclass
class LocalWorkers:
    """Worker processes on this machine for the batch in the folder `root`.

    A worker that dies is replaced, and its task is tried again, at most `retries` times; a task of several items is then split into
    tasks of one.
    """

    root: Path
    resources: Resources
    retries: int
    _waiting: deque[Attempt] = field(default_factory=deque)
    _events: "queue.Queue[Event]" = field(default_factory=queue.Queue)
    _processes: dict[int, subprocess.Popen] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False

    def start(self, tasks: Sequence[Task]) -> None:
        """Start the workers on `tasks`."""
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

    def stop(self, seconds: float = LEAVING_SECONDS) -> None:
        """Ask all workers to save their states and leave; kill those that are still there after `seconds`."""
        with self._lock:
            self._stopping = True
            for process in self._processes.values():
                process.terminate()
        for thread in self._threads:
            thread.join(seconds)
        with self._lock:
            for process in self._processes.values():
                process.kill()

    def _serve(self, slot: int) -> None:
        """Give tasks to the workers of one slot, one process at a time, until none is waiting."""
        process: subprocess.Popen | None = None
        while (attempt := self._next()) is not None:
            if process is None or process.poll() is not None:
                process = self._started(slot)
            if process is None:
                return
            if (code := self._run(attempt.task, process)) is not None:
                self._again(attempt, code)
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            process.wait()

    def _next(self) -> Attempt | None:
        with self._lock:
            return None if self._stopping or not self._waiting else self._waiting.popleft()

    def _started(self, slot: int) -> subprocess.Popen | None:
        """A new worker; None if the batch is being stopped."""
        (self.root / "logs").mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **worker_environment(self.resources, slot)}
        with self._lock, (self.root / "logs" / f"worker-{slot}.txt").open("ab") as log:
            if self._stopping:
                return None
            command = [sys.executable, "-P", "-c", START, str(ROOT)]
            pipe = subprocess.PIPE
            # In a session of its own, the worker does not get the terminal's Ctrl-C: `stop` tells it what to do.
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment, start_new_session=True)
            self._processes[slot] = process
        return process

    def _run(self, task: Task, process: subprocess.Popen) -> int | None:
        """Let a worker run a task; returns the exit code of a worker that died of it."""
        assert process.stdin is not None
        assert process.stdout is not None
        order = {"root": str(self.root.absolute()), "items": [item.as_json() for item in task]}
        with suppress(OSError):  # a worker that has died writes no end
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            event = json.loads(line)
            if event.get("end") == "done":
                self._events.put(Ended(task))
                return None
            if "end" in event:  # it left because of a signal
                break
            self._events.put(Share(event["key"], event["share"]))
        return process.wait()

    def _again(self, attempt: Attempt, code: int) -> None:
        """Try a task again whose worker died, unless it has had all its tries."""
        with self._lock:
            if self._stopping:
                self._events.put(Ended(attempt.task, left=True))
            elif attempt.deaths < self.retries:
                self._waiting.appendleft(Attempt(attempt.task, attempt.deaths + 1))
            elif len(attempt.task) > 1:
                self._waiting.extendleft(Attempt((item,)) for item in reversed(attempt.task))
            else:
                self._events.put(Died(attempt.task, reason_of(code)))


def reason_of(code: int) -> str:
    """Why a process ended, from the exit code that `subprocess` gives."""
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"
