"""Settings of the command line's process: compiled programs are cached on disk, and freed memory is kept for reuse."""

import ctypes
import os
import sys
from pathlib import Path

import jax

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h


def prepare_jax() -> None:
    """Cache compiled programs under INR_CACHE or, without it, in the user's cache folder. JAX_COMPILATION_CACHE_DIR takes precedence."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("INR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inr"
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks instead of returning them to the system. Page faults would cost half of every step's time.

    All threads must use the main arena: the other arenas return blocks of more than 32 MiB, whatever the thresholds are.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        library.mallopt(M_ARENA_MAX, 1)
