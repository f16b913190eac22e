"""The headline runs: bunny-small in five minutes on a CPU, and every figure that belongs to it, as a table.

    INR_CLIPS=DIR python benchmarks/bunny_small.py --target-psnr 25.3
    INR_CLIPS=DIR python benchmarks/bunny_small.py --target-bpp 0.15 [--time-budget 5m]

Each step is a process of its own, as a user would run it. The script writes benchmarks/bunny_small_psnr.csv or bunny_small_bpp.csv.
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np
from clips import clip
from command_line import inr

from codec.decoder import decode

HERE = Path(__file__).parent
ONE_THREAD = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
PASSES = 5  # of a compiled renderer


def main() -> None:
    """Encode, decode twice, measure, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time-budget", default="5m")
    target_group = parser.add_mutually_exclusive_group(required=True)
    target_group.add_argument("--target-bpp")
    target_group.add_argument("--target-psnr")
    asked = parser.parse_args()
    source, kind = clip("bunny-small.mkv"), "bpp" if asked.target_bpp else "psnr"
    rows: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.inr"
        encode = inr(
            "encode", source, target, f"--target-{kind}", asked.target_bpp or asked.target_psnr, "--time-budget", asked.time_budget
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
        rows["decode fps, compiled"] = warm_fps(target)
    with (HERE / f"bunny_small_{kind}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("figure", "value"), *rows.items()])
    for name, value in rows.items():
        print(f"{name:60} {value}")


def warm_fps(target: Path) -> float:
    """Frames a second of a renderer that is compiled already: the median of PASSES passes."""
    model = decode(target.read_bytes())
    frames, seconds = model.render(), []
    for _ in range(PASSES):
        began = time.monotonic()
        model.render()
        seconds.append(time.monotonic() - began)
    return len(frames) / sorted(seconds)[PASSES // 2]


if __name__ == "__main__":
    main()
