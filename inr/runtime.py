"""Settings of this process for the command line: compiled programs kept on disk, freed memory kept at hand."""

import ctypes
import os
import sys
from pathlib import Path

import jax

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h


def prepare_jax() -> None:
    """Keep compiled programs under INR_CACHE, or the user's cache folder; leave a JAX_COMPILATION_CACHE_DIR alone."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("INR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inr"
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Have glibc keep large freed blocks, whichever thread frees them: faulted in again at every step, they cost half of it.

    Threads' own arenas hand blocks of more than 32 MiB back whatever the thresholds say; the main one does not.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        library.mallopt(M_ARENA_MAX, 1)
