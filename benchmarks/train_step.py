"""A training step against the machine: seconds, FLOPs, and the peak of a plain matrix product.

    python benchmarks/train_step.py [--width 320 --height 160 --frames 32 --bpp 0.15]

Patch convolution (what CPUs fit with) and XLA's own are timed in turn in one run. Writes benchmarks/train_step.csv.
"""

import argparse
import csv
import time
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
from train.fit.loop import Fitter
from train.plan.presets import plan
from train.fit.step import Problem

PAIRS, STEPS = 7, 20


def median_seconds(call, count: int) -> float:
    """Median of `count` timed calls after one that compiles."""
    call()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[count // 2]


def matmul_peak(size: int = 2048) -> float:
    """FLOP/s of a float32 matrix product."""
    a = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / median_seconds(lambda: product(a), 7)


def main() -> None:
    """Time both convolutions pair by pair and tabulate."""
    parser = argparse.ArgumentParser()
    for name, default in (("width", 320), ("height", 160), ("frames", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bpp", type=float, default=0.15)
    options = parser.parse_args()
    video = VideoSpec(options.width, options.height, options.frames)
    spec, config = plan(video, options.bpp, "medium", "cam", 0)
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
    with (Path(__file__).parent / "train_step.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("figure", "value"), *table])
    for name, value in table:
        print(f"{name:55} {value}")


if __name__ == "__main__":
    main()
