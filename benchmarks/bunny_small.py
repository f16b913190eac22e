"""The headline runs: bunny-small in five minutes on a CPU, and every figure that goes with it, as a table.

    INR_CLIPS=DIR python benchmarks/bunny_small.py --target-psnr 25.3
    INR_CLIPS=DIR python benchmarks/bunny_small.py --target-bpp 0.15 [--time-budget 5m]

Each step is a process of its own, as a user would run it. Writes benchmarks/bunny_small_psnr.csv or bunny_small_bpp.csv.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ONE_THREAD = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}


def clip(name: str) -> Path:
    """A measuring clip under INR_CLIPS; leaves with a reason if there is none."""
    folder = os.environ.get("INR_CLIPS")
    if not folder or not (Path(folder) / name).exists():
        sys.exit(f"skipped: INR_CLIPS is unset or holds no {name}")
    return Path(folder) / name


def inr(*arguments: object, environment: dict[str, str] | None = None) -> dict:
    """The result line of a run of the command line, with the whole process's seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "train", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **(environment or {})})
    return json.loads(done.stdout.splitlines()[-1]) | {"process_seconds": time.monotonic() - began}


def main() -> None:
    """Encode, decode twice, measure, tabulate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--time-budget", default="5m")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--target-bpp")
    asked.add_argument("--target-psnr")
    options = parser.parse_args()
    source, kind = clip("bunny-small.mkv"), "bpp" if options.target_bpp else "psnr"
    rows: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.inr"
        encode = inr(
            "encode", source, target, f"--target-{kind}", options.target_bpp or options.target_psnr, "--time-budget", options.time_budget
        )
        rows |= {f"encode {key}": value for key, value in encode.items() if not isinstance(value, str)}
        info = inr("info", target)
        rows |= {f"bytes: {name}": size for name, size in info["sections"].items()}
        rows |= {
            "weights": info["weights"],
            "MAC/pixel": info["macs_per_pixel"],
            "sections sum to file": sum(info["sections"].values()) == info["bytes"],
        }
        first = inr("decode", target, Path(folder) / "first.npy", "--frames", "0:1")
        rows["process start to first decoded frame, s"] = first["process_seconds"]
        whole = inr("decode", target, Path(folder) / "whole.npy")
        rows["decode fps, compilation included"] = whole["frames"] / whole["render_seconds"]
        single = inr("decode", target, Path(folder) / "single.npy", environment=ONE_THREAD)
        rows["decode fps on one thread, compilation included"] = single["frames"] / single["render_seconds"]
        a, b = (np.load(Path(folder) / f"{name}.npy").astype(int) for name in ("whole", "single"))
        rows["largest pixel difference between the two decodes"] = int(abs(a - b).max())
        rows["eval psnr_rgb"] = inr("eval", target, "--ref", source)["psnr_rgb"]
        rows |= warm_decode(target)
    with (HERE / f"bunny_small_{kind}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("figure", "value"), *rows.items()])
    for name, value in rows.items():
        print(f"{name:60} {value}")


def warm_decode(target: Path) -> dict[str, object]:
    """Frames a second of a renderer that is compiled already: the median of five passes."""
    from codec.decoder import decode

    model = decode(target.read_bytes())
    seconds = []
    for _ in range(6):
        began = time.monotonic()
        frames = model.render()
        seconds.append(time.monotonic() - began)
    return {"decode fps, compiled": len(frames) / sorted(seconds[1:])[2]}


if __name__ == "__main__":
    main()
