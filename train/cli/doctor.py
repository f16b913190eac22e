"""`inr doctor` reports the devices, memory, caches, encoders and versions of this machine, and warns of obstacles to a fit."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import jax

import codec
from codec.bitstream import DRAFT, VERSION
from inr.cores import usable_cores
from inr.errors import ResourceError
from train.bench import ffmpeg
from train.bench.ffmpeg_codecs import FFMPEG_CODECS
from train.plan.memory import available_bytes

PACKAGES = ("inr-codec", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "constriction", "av", "imageio", "imageio-ffmpeg", "numpy")
PROJECT_PACKAGES = ("inr", "codec", "train")


def examined(folder: Path) -> dict[str, object]:
    """The fields of the result line of `inr doctor`, including `warnings`; `folder` is the user's working folder."""
    devices = jax.local_devices()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "format": f"version {VERSION}, draft {DRAFT}",
        "versions": {name: _version(name) for name in PACKAGES},
        "backend": jax.default_backend(),
        "devices": [f"{device.device_kind} ({device.platform}:{device.id})" for device in devices],
        "cores": usable_cores(),
        "free_memory_bytes": available_bytes(),
        "compiled_programs": _cache(),
        "encoders": _encoders(),
        "warnings": [*_shadows(folder), *_accelerators(jax.default_backend())],
    }


def _version(name: str) -> str | None:
    """The version of an installed package, None if it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cache() -> dict[str, object]:
    """The folder of compiled programs, and the number and bytes of its files."""
    folder = Path(getattr(jax.config, "jax_compilation_cache_dir", None) or "")
    files = [entry for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
    return {"folder": str(folder), "files": len(files), "bytes": sum(entry.stat().st_size for entry in files)}


def _encoders() -> list[str] | None:
    """The names of the codecs that `inr bench` can compare with; None if the extra `eval` is not installed."""
    if find_spec("imageio_ffmpeg") is None:
        return None
    try:
        available = ffmpeg.encoders()
    except ResourceError:
        return None
    return [codec.name for codec in FFMPEG_CODECS if codec.encoder in available]


def _shadows(folder: Path) -> list[str]:
    """A warning for each file or folder in `folder` that Python may import instead of one of this project's packages."""
    home = Path(codec.__file__).parent.parent
    found = [path for name in PROJECT_PACKAGES for path in (folder / f"{name}.py", folder / name / "__init__.py") if path.exists()]
    return [
        f"'{path}' has the name of a package of inr and may be imported in its place: rename it, or work in another folder"
        for path in found
        if folder.resolve() != home.resolve()
    ]


def _accelerators(backend: str) -> list[str]:
    """Warnings about a GPU that JAX does not use, and about the default precision of a TPU."""
    warnings = []
    if backend == "cpu" and shutil.which("nvidia-smi"):
        warnings.append("there is an NVIDIA driver, but JAX runs on the CPU: pip install 'inr-codec[cuda]', or see JAX_PLATFORMS")
    if backend == "tpu" and getattr(jax.config, "jax_default_matmul_precision", None) in (None, "default", "bfloat16"):
        warnings.append("a TPU convolves in bfloat16 by default: fits use this precision, rendering requests the highest")
    return warnings


def lines(facts: dict) -> list[str]:
    """The fields that `examined` returns, as lines of text."""
    cache, memory = facts["compiled_programs"], facts["free_memory_bytes"]
    encoders = facts["encoders"]
    return [
        f"inr       {facts['versions']['inr-codec']}, format {facts['format']}; Python {facts['python']} on {facts['platform']}",
        f"JAX       {facts['backend']}: {', '.join(facts['devices'])}; {facts['cores']} cores"
        + ("" if memory is None else f", {memory / 1e9:.1f} GB free"),
        f"compiled  {cache['files']} files, {cache['bytes'] / 1e6:.0f} MB in '{cache['folder']}'",
        "encoders  " + ("none: pip install 'inr-codec[eval]'" if encoders is None else ", ".join(encoders) or "none of those compared"),
        "versions  " + ", ".join(f"{name} {number or 'missing'}" for name, number in facts["versions"].items()),
        *(f"warning:  {warning}" for warning in facts["warnings"]),
    ]
