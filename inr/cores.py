"""The cores that this process may use."""

import os

LIMIT = "PJRT_NPROC"  # environment variable: the number of threads of JAX on a CPU; a batch gives each of its workers a share of the cores


def usable_cores() -> int:
    """The number of cores: those of PJRT_NPROC, or else those of this machine that the system lets this process use."""
    if os.environ.get(LIMIT, "").isdecimal():
        return max(1, int(os.environ[LIMIT]))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
