"""JAX's settings for the command line: compiled programs are kept on disk."""

import os
from pathlib import Path

import jax


def prepare_jax() -> None:
    """Keep compiled programs under INR_CACHE, or the user's cache folder; leave a JAX_COMPILATION_CACHE_DIR alone."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("INR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inr"
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
