"""How far two runs agree: the bytes of two encodes, and the samples of one file under other renderers, threads and instruction sets.

    python benchmarks/determinism.py [--also PLATFORM]

The files are encoded here: a canvas and a tree of the sample, and a picture of one frame of it. Every row is a process of its own.
`same_bytes` compares a second encode of the same source and seed with the first. For decodes, `same_symbols` compares the symbols of all
tensors, `samples_that_differ` is their share in per cent, `largest_difference` is in 8-bit levels. `--also cuda` adds a row for that
platform of JAX. The script writes benchmarks/determinism.csv.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tables import write_rows

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "inr" / "sample" / "bunny.mp4"
COLUMNS = ("file", "run", "same_bytes", "same_symbols", "samples_that_differ", "largest_difference")
FILES = {
    "canvas": ("--model", "cam", "--frames", "0:12", "--target-bpp", "0.3", "--preset", "300"),
    "tree": ("--model", "tree", "--frames", "0:12", "--target-bpp", "0.3", "--preset", "100"),
    "picture": ("--frames", "12:13", "--target-bpp", "0.6", "--preset", "200"),
}
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
ENCODES = {"again": {}, "one thread": {"XLA_FLAGS": ONE_THREAD, "OMP_NUM_THREADS": "1"}}
DECODES: dict[str, tuple[str, dict[str, str]]] = {
    "JAX": ("jax", {}),
    "JAX, one thread": ("jax", {"XLA_FLAGS": ONE_THREAD}),
    "JAX, AVX": ("jax", {"XLA_FLAGS": "--xla_cpu_max_isa=AVX"}),
    "JAX, SSE 4.2": ("jax", {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}),
    "NumPy": ("numpy", {}),
    "NumPy, one thread": ("numpy", {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
}
# Prints a hash of the symbols of a file, and writes its frames.
DECODE = """
import hashlib, sys
import numpy as np
from codec.clip import open_file
from inr.backend import Backend
backend = Backend(sys.argv[2])
backend.prepare()
clip = open_file(sys.argv[1], backend=backend)
entry, found = clip.model.videos[0], hashlib.sha256()
for tensors in (*(layer.tensors for layer in clip.model.layers), entry.tensors):
    for name in sorted(tensors):
        found.update(np.ascontiguousarray(tensors[name].symbols, np.int32).tobytes())
np.save(sys.argv[3], clip[:])
print(found.hexdigest())
"""


def child(command: list[str], environment: dict[str, str]) -> str:
    """The last line that a process of its own prints."""
    cache = tempfile.mkdtemp()  # compiled functions of another instruction set must not be found
    settings = {"JAX_PLATFORMS": "cpu"} | environment | {"JAX_COMPILATION_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=os.environ | settings, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def encoded(name: str, folder: Path, environment: dict[str, str]) -> bytes:
    """The bytes of a new encode of the file `name`."""
    target = folder / f"{name}-{len(list(folder.iterdir()))}.inr"
    child(["-m", "train", "encode", str(SAMPLE), str(target), *FILES[name], "--streams", "none"], environment)
    return target.read_bytes()


def decoded(path: Path, backend: str, environment: dict[str, str]) -> tuple[str, np.ndarray]:
    """A hash of the symbols, and the samples as integers."""
    frames = path.with_suffix(".npy")
    symbols = child(["-c", DECODE, str(path), backend, str(frames)], environment)
    return symbols, np.load(frames).astype(int)


def main() -> None:
    """Encode, decode, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--also", action="append", default=[], metavar="PLATFORM")
    asked = parser.parse_args()
    decodes = DECODES | {f"JAX, {platform}": ("jax", {"JAX_PLATFORMS": platform}) for platform in asked.also}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            data = encoded(name, Path(folder), {})
            for run, environment in ENCODES.items():
                again = encoded(name, Path(folder), environment)
                same = hashlib.sha256(again).digest() == hashlib.sha256(data).digest()
                rows.append({"file": name, "run": f"encode, {run}", "same_bytes": same})
                print(rows[-1], flush=True)
            path = Path(folder) / f"{name}.inr"
            path.write_bytes(data)
            first_symbols, first = decoded(path, *decodes["JAX"])
            for run, (backend, environment) in decodes.items():
                symbols, frames = decoded(path, backend, environment)
                difference = np.abs(frames - first)
                rows.append(
                    {
                        "file": name,
                        "run": f"decode, {run}",
                        "same_symbols": symbols == first_symbols,
                        "samples_that_differ": f"{100 * float(np.mean(difference > 0)):.4f}",
                        "largest_difference": int(difference.max()),
                    }
                )
                print(rows[-1], flush=True)
    write_rows(Path(__file__).with_suffix(".csv"), [dict.fromkeys(COLUMNS, "") | row for row in rows])


if __name__ == "__main__":
    main()
