"""Settings of the process of a command: JAX caches compiled programs on disk, and the process keeps freed memory for reuse."""

import ctypes
import os
import sys
from pathlib import Path

import jax

from inr.errors import ResourceError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # parameters of mallopt in glibc's malloc.h


def prepare_jax() -> None:
    """Make JAX cache compiled programs on disk, and keep freed memory (see `keep_freed_memory`).

    The environment variable JAX_COMPILATION_CACHE_DIR names the folder of the cache. If it is not set, the folder is xla/ in the folder
    INR_CACHE (also an environment variable) or, without INR_CACHE, inr/xla/ in the user's cache folder. ResourceError if JAX cannot start
    any of the devices that it is to use.
    """
    check_devices()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("INR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inr"
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    keep_freed_memory()


def check_devices() -> None:
    """Start JAX's devices; ResourceError if those that the environment variable JAX_PLATFORMS names cannot be started."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = (str(error).splitlines() or ["no such device"])[0]
        what = f"JAX cannot start a device (JAX_PLATFORMS={asked}): {reason}"
        raise ResourceError("no-device", what, "JAX_PLATFORMS=cpu inr ...   uses the processor") from error


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks of memory instead of returning them to the system; on other systems do nothing.

    Without this, page faults take half of the time of each step of a fit. All threads must use the main arena, because the other arenas
    return blocks of more than 32 MiB whatever the thresholds are.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        library.mallopt(M_ARENA_MAX, 1)
