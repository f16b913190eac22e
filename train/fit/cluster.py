"""A fit on the devices of several processes, such as the hosts of a TPU slice or the tasks of a Slurm job.

The first process leads: it alone reads the source, plans, keeps checkpoints, controls the rate and writes the file. The others follow: for
every chunk of steps, they get the state from it, run the same steps on their devices, and throw the result away. So only the steps are
distributed, and a decision that depends on a clock or on a signal is made once.
"""

import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from inr.errors import UsageError
from train.fit.devices import mesh_of
from train.fit.interrupts import PREEMPTIONS
from train.fit.problem import Problem, StepSchedule
from train.fit.state import TrainState
from train.fit.step import Advance, Metrics, Sources, make_advance

ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"  # environment variables


class Order(NamedTuple):
    """The leader's order to the others: run `count` steps of the fit of `problem`.

    `sources` are None if they are those of the last order.
    """

    problem: Problem
    sources: Sources | None
    state: TrainState
    schedule: StepSchedule
    count: int
    use_embedder: bool


def join_cluster() -> bool:
    """Join the other processes of this job; returns whether this process leads.

    JAX finds them in the environment of Slurm, Open MPI, Kubernetes (with the package `kubernetes`) or a TPU slice. Elsewhere, the
    variables ADDRESS (host and port of the first process), COUNT and INDEX (from 0) name them. UsageError if there is no such environment.
    """
    given = {name: os.environ.get(variable) for name, variable in (("num_processes", COUNT), ("process_id", INDEX))}
    numbers = {name: int(value) for name, value in given.items() if value and value.isdecimal()}
    try:
        with _output_as_messages():
            jax.distributed.initialize(**numbers)  # pyrefly: ignore[bad-argument-type]
            multihost_utils.broadcast_one_to_all(np.int32(0))
    except (ValueError, RuntimeError) as error:
        what = f"this process finds no cluster to join: {(str(error).splitlines() or ['no address'])[0]}"
        raise UsageError("no-cluster", what, f"{ADDRESS}=HOST:PORT {COUNT}=2 {INDEX}=0 inr encode ..., or --devices all") from error
    return jax.process_index() == 0


@contextmanager
def _output_as_messages() -> Iterator[None]:
    """A context in which what a library prints on standard output goes to standard error: Gloo prints a line when it connects."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def follow() -> None:
    """Run the steps that the leader orders, until it is done. Signals to leave are the leader's business."""
    for number in (signal.SIGINT, *PREEMPTIONS):
        signal.signal(number, signal.SIG_IGN)
    sources = None
    while (order := received()) is not None:
        sources = order.sources if order.sources is not None else sources
        if mesh_of(order.problem.devices).local_devices:  # a batch of few frames leaves some processes without work
            run_here(order._replace(sources=sources))


def dismiss() -> None:
    """Let the followers end."""
    _send(None)


def advance_by_all(problem: Problem) -> Advance:
    """The function that runs steps of the fit of `problem` on its devices; if they belong to several processes, this process leads."""
    compiled = problem.compiled
    return LedAdvance(compiled) if problem.devices > 1 and jax.process_count() > 1 else make_advance(compiled)


class LedAdvance:
    """A `train.fit.step.Advance` that all processes run together; only the leader calls it."""

    sent: Sources | None = None  # the sources that the followers have; they belong to the fit that ran last

    def __init__(self, problem: Problem):
        self.problem = problem

    def __call__(
        self, state: TrainState, sources: Sources, schedule: StepSchedule, count: int, use_embedder: bool
    ) -> tuple[TrainState, Metrics]:
        new = sources is not LedAdvance.sent
        LedAdvance.sent = sources
        sent, state, schedule = jax.tree.map(np.asarray, (sources if new else None, state, schedule))
        order = Order(replace(self.problem), sent, state, schedule, count, use_embedder)
        _send(order)
        return run_here(order._replace(sources=sources))


def run_here(order: Order) -> tuple[TrainState, Metrics]:
    """The state and the metrics after the steps of an order, as arrays of one of this process's devices."""
    mesh = mesh_of(order.problem.devices)
    sharding = NamedSharding(mesh, PartitionSpec())

    def everywhere(array: Any) -> jax.Array:
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    state, sources, schedule = jax.tree.map(everywhere, (order.state, order.sources, order.schedule))
    done = make_advance(order.problem)(state, sources, schedule, order.count, order.use_embedder)
    return jax.tree.map(lambda array: array.addressable_data(0), done)


def _send(order: Order | None) -> None:
    """Send an order to all followers, first the number of its bytes."""
    data = np.frombuffer(pickle.dumps(order), np.uint8)
    multihost_utils.broadcast_one_to_all(np.int32(len(data)))
    multihost_utils.broadcast_one_to_all(data)


def received() -> Order | None:
    """The next order of the leader; None if there is nothing more to do."""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(0)))
    data = np.asarray(multihost_utils.broadcast_one_to_all(np.zeros(size, np.uint8)))
    return pickle.loads(data.tobytes())
