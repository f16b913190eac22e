"""A training step against the machine: its milliseconds, its FLOPs, and its share of the speed of a plain matrix product.

    python benchmarks/train_step.py [--width 320 --height 160 --frames 32 --bpp 0.15]

The patch convolution, which fits use on CPUs and GPUs, and XLA's own convolution are timed in turn in one run. The script writes
benchmarks/train_step.csv.
"""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from inr.cost import macs_per_pixel
from inr.layout import weights
from inr.network import bind
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.plan.options import FitOptions
from train.plan.presets import plan

PAIRS, STEPS = 7, 20  # timings of each convolution, and steps of a timing


def median_seconds(call: Callable[[], jax.Array], count: int) -> float:
    """Median seconds of `count` calls, after one that compiles."""
    call()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[count // 2]


def matmul_peak(size: int = 2048) -> float:
    """FLOPs a second of a float32 matrix product."""
    a = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / median_seconds(lambda: product(a), 7)


def main() -> None:
    """Time both convolutions pair by pair and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 320), ("height", 160), ("frames", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bpp", type=float, default=0.15)
    asked = parser.parse_args()
    video = VideoSpec(asked.width, asked.height, asked.frames)
    spec, config = plan(video, asked.bpp, FitOptions())
    pixels = np.random.default_rng(0).integers(0, 256, (video.frames, video.height, video.width, 3), np.uint8)

    class XlaProblem(Problem):
        @property
        def network(self):
            return bind(self.spec, self.video, lax.conv_general_dilated)

    fitters = {
        "patches": Fitter(Problem(spec, video, config), Video(pixels)),
        "xla": Fitter(XlaProblem(spec, video, config), Video(pixels)),
    }
    times: dict[str, list[float]] = {name: [] for name in fitters}
    for pair in range(PAIRS + 1):
        for name, fitter in fitters.items():
            began = time.perf_counter()
            fitter.run_steps(STEPS, 0.3, 0.0)
            if pair:
                times[name].append((time.perf_counter() - began) / STEPS)
    rows, columns = video.cells(spec)
    canvas = rows * columns * spec.upscale**2
    flops = 3 * 2 * macs_per_pixel(spec, video) * canvas * config.batch
    peak = matmul_peak()
    table: list[tuple[str, object]] = [
        ("device", jax.devices()[0].device_kind),
        ("weights", weights(spec, video)),
        ("MAC/pixel", macs_per_pixel(spec, video)),
        ("GFLOP a step (forward and backward convolutions)", flops / 1e9),
        ("matmul 2048 float32, GFLOP/s", peak / 1e9),
    ]
    for name, seconds in times.items():
        median = sorted(seconds)[len(seconds) // 2]
        table += [(f"{name}: ms a step, median", 1e3 * median), (f"{name}: share of matmul peak", flops / median / peak)]
    ratios = sorted(a / b for a, b in zip(times["patches"], times["xla"], strict=True))
    table.append(("patches / xla, median of pairs", ratios[len(ratios) // 2]))
    with Path(__file__).with_name("train_step.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("figure", "value"), *table])
    for name, value in table:
        print(f"{name:55} {value}")


if __name__ == "__main__":
    main()
