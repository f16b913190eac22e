"""The shares of a machine that workers get: cores, memory and accelerators."""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from inr.cores import usable_cores
from inr.memory import LIMIT, free_bytes

LEAST_MEMORY = 1_500_000_000  # bytes that a worker should have at least
DEVICE_MEMORY = 0.9  # share of a GPU's memory that all of its workers together may take


@dataclass(frozen=True)
class Resources:
    """The number of workers, and for each of them the number of cores, GPUs and TPU chips.

    A worker with `gpus` below 1 shares its GPU with others. `memory` are the bytes of memory of a worker, None if there is no limit.
    """

    workers: int
    cpus: int
    gpus: float = 0.0
    tpus: int = 0
    memory: int | None = None


def local_resources(tasks: int, workers: int | None, cpus: int | None) -> Resources:
    """The shares of this machine for `tasks` tasks; None for `workers` or `cpus` lets this function choose.

    There is a worker for every GPU or TPU chip. Without them, there is one for every core, because two fits on a core each are faster than
    one on two cores after the other. There are no more workers than tasks, nor than the free memory allows.
    """
    gpus, tpus, free = visible_gpus(), visible_tpus(), free_bytes()
    cores = usable_cores()
    if workers is None:
        most = len(gpus) or len(tpus) or max(1, cores // (cpus or 1))
        by_memory = most if free is None or gpus or tpus else max(1, free // LEAST_MEMORY)
        workers = max(1, min(most, by_memory, tasks))
    if tpus:
        workers = min(workers, len(tpus))  # a chip cannot be shared
    memory = None if free is None else free // workers
    return Resources(workers, cpus or max(1, cores // workers), min(1.0, len(gpus) / workers), min(1, len(tpus)), memory)


def visible_gpus() -> list[str]:
    """The names of NVIDIA's GPUs that JAX may use, as the environment variable CUDA_VISIBLE_DEVICES has them; empty without any."""
    if os.environ.get("JAX_PLATFORMS", "") == "cpu":
        return []
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    found = [entry.name for entry in Path("/dev").glob("nvidia*")]
    return sorted((match[1] for name in found if (match := re.fullmatch(r"nvidia(\d+)", name))), key=int)


def visible_tpus() -> list[str]:
    """The numbers of the TPU chips of this machine, as the environment variable TPU_VISIBLE_CHIPS has them; empty without any."""
    if os.environ.get("JAX_PLATFORMS", "tpu") != "tpu":
        return []
    if (chosen := os.environ.get("TPU_VISIBLE_CHIPS")) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    count = len([*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]) if find_spec("libtpu") else 0
    return [str(number) for number in range(count)]


def worker_environment(resources: Resources, slot: int) -> dict[str, str]:
    """The environment variables that keep worker number `slot` to its share of this machine."""
    workers = resources.workers
    cores = str(resources.cpus)
    environment = {"PJRT_NPROC": cores, "OMP_NUM_THREADS": cores, "OPENBLAS_NUM_THREADS": cores}
    if resources.memory is not None:
        environment[LIMIT] = str(resources.memory)
    if gpus := visible_gpus():
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        environment |= shared_gpu(1 / -(-workers // len(gpus)))
    elif resources.tpus:
        environment |= {"TPU_VISIBLE_CHIPS": visible_tpus()[slot], "TPU_CHIPS_PER_HOST_BOUNDS": "1,1,1", "TPU_HOST_BOUNDS": "1,1,1"}
    return environment


def shared_gpu(share: float) -> dict[str, str]:
    """The environment variables that keep a process to its share of the memory of one GPU; none if it does not share the GPU."""
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{DEVICE_MEMORY * share:.3f}"} if 0 < share < 1 else {}
