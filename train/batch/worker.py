"""The process of a local worker: it reads tasks from standard input and writes events to standard output, one JSON object a line.

The first event is {"ready": true}, or {"error": [ID, MESSAGE, FIX]} if JAX cannot start. A task is {"root": FOLDER, "items": [ITEM, ...]}.
Its events are {"key": KEY, "share": 0..1} for an item, and {"end": "done"} or {"end": "left"} for the task: all of its items have a record,
or a signal asked to leave. The end of standard input asks to leave as well, so no worker survives the process that started it.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from inr.errors import InrError
from inr.runtime import prepare_jax
from train.batch.item import Item
from train.batch.work import run_task
from train.fit.interrupts import Preempted

PATIENCE = 20.0  # seconds in which a worker saves its state after the process that started it has ended
EVENT_SECONDS = 1.0  # least seconds between two events about one item


def main() -> None:
    """Serve tasks until standard input ends."""
    events = _take_output()
    tasks: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    try:
        prepare_jax()
    except InrError as error:
        _write(events, {"error": [error.identifier, error.what, error.fix]})
        return
    _write(events, {"ready": True})
    while (line := tasks.get()) is not None:
        task = json.loads(line)
        told = 0.0

        def tell(key: str, share: float) -> None:
            nonlocal told
            if share == 1 or time.monotonic() - told >= EVENT_SECONDS:
                told = time.monotonic()
                _write(events, {"key": key, "share": share})

        try:
            run_task([Item(**values) for values in task["items"]], Path(task["root"]), tell)
        except Preempted:
            _write(events, {"end": "left"})
            return
        _write(events, {"end": "done"})


def _take_output() -> TextIO:
    """Standard output for events alone: whatever else is printed goes to standard error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _write(events: TextIO, event: dict[str, object]) -> None:
    try:
        events.write(json.dumps(event) + "\n")
        events.flush()
    except BrokenPipeError:  # nobody listens: the records in the folder tell it all
        return


def _read(tasks: "queue.Queue[str | None]") -> None:
    """Pass on lines of standard input; at its end, ask the fit to save its state and leave."""
    for line in sys.stdin:
        tasks.put(line)
    tasks.put(None)
    if threading.main_thread().is_alive():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)
