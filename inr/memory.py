"""The free memory of this machine, and the memory of this process."""

import os
from pathlib import Path

LIMIT = "INR_MEMORY"  # environment variable: the most bytes that this process may use
CGROUP = Path("/sys/fs/cgroup")  # of this process, in a container


def free_bytes() -> int | None:
    """The free bytes of this machine, of the container around this process, or of INR_MEMORY, whichever is least; None if unknown."""
    limits = [_of_system(), _of_container(CGROUP), int(os.environ[LIMIT]) if os.environ.get(LIMIT, "").isdecimal() else None]
    return min((limit for limit in limits if limit is not None), default=None)


def resident_bytes() -> int | None:
    """The bytes of memory that this process occupies; None if the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _of_system() -> int | None:
    try:
        with open("/proc/meminfo") as lines:
            facts = dict(line.split(":") for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None


def _of_container(folder: Path) -> int | None:
    """The free bytes below a container's limit (cgroup version 2); None without a limit. Cached files count as free."""
    try:
        limit, used = (folder / "memory.max").read_text().strip(), int((folder / "memory.current").read_text())
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(limit) - used + int(facts.get("inactive_file", 0)) if limit.isdecimal() else None
