"""Workers of a Ray cluster: Ray starts them, places them by their resources, and replaces those that die."""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inr.errors import InrError, ResourceError, UsageError
from train.batch.events import Broken, Died, Ended, Event, Task
from train.batch.item import Item
from train.batch.resources import Resources, shared_gpu

LEAVING_SECONDS = 20.0  # in which workers save their states
CONNECT_SECONDS = 10.0  # in which a cluster must answer
MOST_DEPARTURES = 100  # of workers from one task, because a signal asked each of them to leave
PASSED_ON = ("JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR", "INR_CACHE", "XLA_FLAGS")  # environment variables that workers get


def check_ray() -> None:
    """UsageError if Ray is not installed."""
    if find_spec("ray") is None:
        raise UsageError("no-ray", "--backend ray needs Ray, which is not installed", "pip install 'inr-codec[ray]', or --backend local")


def run_remotely(root: str, items: list[dict[str, Any]]) -> bool | tuple[str, str, str]:
    """Run a task in a worker of Ray; returns whether all of its items have a record. False: a signal asked the worker to leave.

    If JAX cannot start, the error's id, message and fix.
    """
    from inr.runtime import prepare_jax
    from train.batch.work import run_task
    from train.fit.interrupts import Preempted

    try:
        prepare_jax()
    except InrError as error:
        return error.identifier, error.what, error.fix
    try:
        run_task([Item(**values) for values in items], Path(root), lambda key, share: None)
    except (Preempted, KeyboardInterrupt):
        return False
    return True


class RayWorkers:
    """Workers of the Ray cluster at `address`, for the batch in the folder `root`, which all of them must be able to reach.

    Without an address, RAY_ADDRESS names the cluster; without that, Ray is started on this machine. A task whose worker dies is tried again
    by Ray, at most `retries` times. With `resources.workers` of 0, as many tasks run at once as the cluster has room for.
    """

    def __init__(self, root: Path, resources: Resources, retries: int, address: str | None):
        check_ray()
        self.root, self.resources, self.retries, self.address = root, resources, retries, address
        self._waiting: deque[Task] = deque()
        self._running: dict[Any, Task] = {}
        self._departures = MOST_DEPARTURES
        self._stopping = self._connected = False

    def start(self, tasks: Sequence[Task]) -> None:
        """Connect to Ray and start to work on `tasks`; ResourceError if there is no Ray at the address."""
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_UV_RUN_RUNTIME_ENV"):
            os.environ.setdefault(name, "0")
        import ray

        self._waiting.extend(tasks)
        self._connected = not ray.is_initialized()
        if self._connected:
            self._check_address()
            try:
                ray.init(self.address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError) as error:
                reason = str(error).splitlines()[0]
                what = f"no Ray cluster can be reached: {reason}"
                raise ResourceError("no-cluster", what, "ray start --head   starts one; or leave out --address") from error
        resources = self.resources
        self._remote = ray.remote(run_remotely).options(
            name="inr batch",
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            resources={"TPU": resources.tpus} if resources.tpus else {},
            max_retries=self.retries,
            runtime_env={"env_vars": self._environment()},
        )
        self._fill()

    def _check_address(self) -> None:
        """ResourceError if nothing listens at the address: Ray would go on trying for minutes."""
        host, separator, port = (self.address or "").rpartition(":")
        if not separator or not port.isdecimal():
            return
        try:
            socket.create_connection((host.removeprefix("ray://"), int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            what = f"no Ray cluster can be reached at {self.address}: {error.strerror or error}"
            raise ResourceError("no-cluster", what, "ray start --head   starts one; or leave out --address") from error

    def _environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {"PJRT_NPROC": str(self.resources.cpus), **shared_gpu(self.resources.gpus), **passed}

    def _fill(self) -> None:
        """Give Ray as many tasks as may run at once."""
        while self._waiting and (not self.resources.workers or len(self._running) < self.resources.workers):
            task = self._waiting.popleft()
            self._running[self._remote.remote(str(self.root.absolute()), [item.as_json() for item in task])] = task

    def events(self, seconds: float) -> Iterator[Event]:
        """The events of the next `seconds`, at least the first one that comes in that time."""
        import ray

        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=seconds)
        for reference in ready:
            yield from self._ended(reference)
        self._fill()

    def _ended(self, reference: Any) -> Iterator[Event]:
        import ray

        task = self._running.pop(reference)
        try:
            done = ray.get(reference)
        except ray.exceptions.TaskCancelledError:
            done = False
        except ray.exceptions.RayError as error:
            yield Died(task, str(error).strip().splitlines()[0])
            return
        if isinstance(done, tuple):
            yield Broken(ResourceError(*done))
            return
        if not done and not self._stopping and self._departures:  # the node was pre-empted
            self._departures -= 1
            self._waiting.appendleft(task)
            return
        yield Ended(task, left=not done)

    @property
    def busy(self) -> bool:
        """Whether an event may still come."""
        return bool(self._running or self._waiting)

    def stop(self) -> None:
        """Ask all workers to save their states and leave, wait for that, and disconnect from a cluster that `start` connected to."""
        import ray

        self._stopping = True
        for reference in self._running:
            ray.cancel(reference)
        until = time.monotonic() + LEAVING_SECONDS
        while self._running and time.monotonic() < until:
            ready, _ = ray.wait(list(self._running), num_returns=1, timeout=1.0)
            for reference in ready:
                self._running.pop(reference)
        if self._connected:
            ray.shutdown()
