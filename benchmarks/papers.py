"""The papers' own points on bunny-full (1280x640, 132 frames): HNeRV and NeRV at their sizes, 300 epochs, 8 bits. Meant for a GPU.

    INR_CLIPS=DIR python benchmarks/papers.py --model hnerv --size 1.5 [--cam] [--epochs 300]   # one command for each point

HNeRV reports 32.81 dB with 0.75 million weights and 35.57 dB with 1.5 million (its table 2); NeRV 28.46 and 30.87 dB. The papers' PSNR is
of unrounded frames from 8-bit weights without entropy coding; here it is of the decoded file. Learning rate 1e-3, two frames a step, the
rate not in the loss, uniform quantisation with 8 bits. The script appends to benchmarks/papers.csv.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import jax
from clips import ClipPart
from tables import append_row
from uniform_quantisation import RATE_FREE, UniformFitter

from codec.encoder import encode
from codec.evaluation import compare
from inr.layout import weights
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from train.fit.config import FitConfig
from train.fit.loop import fit
from train.fit.problem import Problem
from train.plan.network_size import temporal_grid_length
from train.plan.paper_networks import hnerv_spec, nerv_spec

TABLE = Path(__file__).with_name("papers.csv")
BATCH, BITS = 2, 8
PAPER = {("hnerv", 0.75): 32.81, ("hnerv", 1.5): 35.57, ("nerv", 0.75): 28.46, ("nerv", 1.5): 30.87}  # decibels


def main() -> None:
    """Fit one point and append its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("hnerv", "nerv"), default="hnerv")
    parser.add_argument("--size", type=float, default=1.5, help="million weights")
    parser.add_argument("--cam", action="store_true", help="with norm and CAM")
    parser.add_argument("--epochs", type=float, default=300)
    parser.add_argument("--frames", type=int, default=132)
    asked = parser.parse_args()
    prepare_jax()
    video = ClipPart("bunny-full.mkv", (0, asked.frames)).read()
    described = VideoSpec.of(video)
    spec = hnerv_spec(described, 1e6 * asked.size) if asked.model == "hnerv" else nerv_spec(described, 1e6 * asked.size)
    if asked.cam:
        spec = replace(spec, norm=True, temporal_grid=temporal_grid_length(len(video)))
    steps = max(1, round(asked.epochs * len(video) / BATCH))
    config = FitConfig(steps, BATCH, learning_rate=1e-3, lr_decay_after_steps=steps, warmup=0.1, final_lr_scale=0.0, rate_weight=RATE_FREE)
    config = replace(config, embedder_until=config.anneal_from if asked.model == "hnerv" else 0.0)
    began = time.monotonic()
    fitter = UniformFitter(Problem(spec, described, config), video, BITS)
    fitted = fit(fitter, watch=lambda progress: print(progress.step, round(progress.psnr, 2)))
    data = encode(fitted.model)
    report = compare(fitted.model.render(), video.frames, len(data))
    row = {
        "model": asked.model + "+cam" * asked.cam, "million": asked.size, "weights": weights(spec, described), "epochs": asked.epochs,
        "bytes": len(data), "bpp": round(report.bpp, 5), "psnr_rgb": round(report.psnr_rgb, 3),
        "paper": PAPER.get((asked.model, asked.size)), "seconds": round(time.monotonic() - began), "device": jax.devices()[0].device_kind,
    }  # fmt: skip
    print(row)
    append_row(TABLE, row)


if __name__ == "__main__":
    main()
