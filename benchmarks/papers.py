"""The papers' own points on bunny-full (640x1280, 132 frames): HNeRV and NeRV at their sizes, 300 epochs, 8 bits. Meant for a GPU.

    INR_CLIPS=DIR python benchmarks/papers.py --model hnerv --size 1.5 [--cam] [--epochs 300]   # one command a point

HNeRV: 32.81 dB at 0.75 million weights, 35.57 at 1.5 (its table 2); NeRV 28.46 and 30.87. The papers' PSNR is of unrounded frames and
8-bit weights without entropy coding; here it is of the decoded file. Learning rate 1e-3, batches of two, no pull at the rate, uniform 8-bit
steps. Appends to benchmarks/papers.csv.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import jax
from bunny_small import clip
from tables import read_rows, write_rows

from codec.encoder import encode
from codec.evaluation import compare
from inr.layout import weights
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from train.fit.config import FitConfig
from train.plan.paper_networks import hnerv_spec, nerv_spec
from train.fit.loop import Fitter, fit
from train.plan.presets import times
from train.fit.step import Problem

TABLE = Path(__file__).parent / "papers.csv"
BATCH, RATE_FREE = 2, 1e-12
PAPER = {("hnerv", 0.75): 32.81, ("hnerv", 1.5): 35.57, ("nerv", 0.75): 28.46, ("nerv", 1.5): 30.87}


def main() -> None:
    """One point, as a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("hnerv", "nerv"), default="hnerv")
    parser.add_argument("--size", type=float, default=1.5, help="million weights")
    parser.add_argument("--cam", action="store_true", help="with norm and CAM")
    parser.add_argument("--epochs", type=float, default=300)
    parser.add_argument("--frames", type=int, default=132)
    options = parser.parse_args()
    prepare_jax()
    video = read_video(clip("bunny-full.mkv"), (0, options.frames))
    described = VideoSpec.of(video)
    spec = hnerv_spec(described, 1e6 * options.size) if options.model == "hnerv" else nerv_spec(described, 1e6 * options.size)
    if options.cam:
        spec = replace(spec, norm=True, temporal_grid=times(len(video)))
    steps = max(1, round(options.epochs * len(video) / BATCH))
    config = FitConfig(steps, BATCH, 1e-3, warmup=0.1, floor=0.0, rate_weight=RATE_FREE, uniform_bits=8)
    config = replace(config, embedder_until=config.anneal_from if options.model == "hnerv" else 0.0)
    began = time.monotonic()
    fitted = fit(Fitter(Problem(spec, described, config), video), watch=lambda progress: print(progress.step, round(progress.psnr, 2)))
    data = encode(fitted.model)
    report = compare(fitted.model.render(), video.frames, len(data))
    row = {
        "model": options.model + "+cam" * options.cam, "million": options.size, "weights": weights(spec, described),
        "epochs": options.epochs, "bytes": len(data), "bpp": round(report.bpp, 5), "psnr_rgb": round(report.psnr_rgb, 3),
        "paper": PAPER.get((options.model, options.size)), "seconds": round(time.monotonic() - began),
        "device": jax.devices()[0].device_kind,
    }  # fmt: skip
    print(row)
    write_rows(TABLE, [*read_rows(TABLE), row])


if __name__ == "__main__":
    main()
