"""Change one thing, fit the same clip with the same seed and steps, keep the row: the experiment loop.

    INR_CLIPS=DIR python benchmarks/ablation.py [--steps 8000] [--target-bpp 0.15] [--only NAME ...]

Real bytes, PSNR of the decoded file. Appends to benchmarks/ablation.csv; RESULTS.md says what was concluded.
"""

import argparse
import csv
import dataclasses
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bunny_small import clip

from codec.encoder import encode
from codec.evaluation import compare
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.spec import CanvasSpec, NetworkSpec, VideoSpec
from train.fit.config import FitConfig
from train.encode.run import CAP_AIM, zero_model
from train.plan.paper_networks import hnerv_spec
from train.fit.loop import Fitter, fit
from train.plan.presets import modulated_spec, plan
from train.fit.step import Problem

Change = Callable[[NetworkSpec, FitConfig], tuple[NetworkSpec, FitConfig]]


def changes(video: VideoSpec, bpp: float) -> dict[str, Change]:
    """Named departures from the defaults."""

    def on_spec(**fields: object) -> Change:
        return lambda spec, config: (replace(spec, **fields), config)

    def on_config(**fields: object) -> Change:
        return lambda spec, config: (spec, replace(config, **fields))

    def sized(bits_per_weight: float) -> Change:
        return lambda spec, config: (modulated_spec(video, bpp, bits_per_weight), config)

    canvas = CanvasSpec((2, 2, 2, 2), ((3, 6),))
    return {
        "no canvas": on_spec(canvas=None),
        "canvas of one grid a size": on_spec(canvas=replace(canvas, grids=(1, 1, 1, 1))),
        "canvas mixed by 1x1": on_spec(canvas=replace(canvas, kernel=1)),
        "flow of 2x3": on_spec(canvas=replace(canvas, flow_grids=((2, 3),))),
        "default": lambda spec, config: (spec, config),
        "norm, no CAM": on_spec(temporal_grid=0),
        "no norm, no CAM": on_spec(norm=False, temporal_grid=0),
        "CAM, no norm": on_spec(norm=False),
        "temporal grid 2": on_spec(temporal_grid=2),
        "temporal grid 16": on_spec(temporal_grid=16),
        "spatial grid 4x8 beside": on_spec(spatial_grid=(4, 8)),
        "noise, then hard, no annealing": on_config(anneal_from=0.8),
        "hard from the start": on_config(anneal_from=0.0, hard_from=0.0),
        "anneal longer (0.4)": on_config(anneal_from=0.4),
        "hard tail 10 %": on_config(anneal_from=0.75, hard_from=0.9),
        "hard tail 30 %": on_config(anneal_from=0.5, hard_from=0.7),
        "hard tail 40 %": on_config(anneal_from=0.4, hard_from=0.6),
        "learning rate x 0.5": on_config(learning_rate=12e-3),
        "learning rate x 2": on_config(learning_rate=48e-3),
        "fixed steps": on_config(exponent_learning_rate=0.0),
        "batch 1": on_config(batch=1),
        "2.5 bits a weight": sized(2.5),
        "4 bits a weight": sized(4.0),
        "5 bits a weight": sized(5.0),
        "embedder for the first 10 %": on_config(embedder_until=0.1),
        "hnerv, paper's network": lambda spec, config: (
            hnerv_spec(video, bpp * video.pixels / 3.2),
            replace(config, learning_rate=2e-3, embedder_until=config.anneal_from),
        ),
    }


def main() -> None:
    """Fit each change and append its row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", default="bunny-small.mkv")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--target-bpp", type=float, default=0.06)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    prepare_jax()
    video = read_video(clip(options.clip))
    described = VideoSpec.of(video)
    table = Path(__file__).parent / "ablation.csv"
    for name, change in changes(described, options.target_bpp).items():
        if options.only and name not in options.only:
            continue
        spec, config = change(*plan(described, options.target_bpp, "medium", "cam", 0))
        config = replace(config, steps=options.steps, target_bpp=CAP_AIM * options.target_bpp)
        overhead = 8 * len(encode(zero_model(spec, described)))
        fitter = Fitter(Problem(spec, described, config, overhead), video)
        began = time.monotonic()
        fitted = fit(fitter)
        seconds = time.monotonic() - began
        data = encode(fitted.model)
        report = compare(fitted.model.render(), video.frames, len(data))
        row = {
            "clip": options.clip, "change": name, "steps": options.steps, "bytes": len(data), "bpp": round(report.bpp, 5),
            "psnr_rgb": round(report.psnr_rgb, 3), "ms_ssim_rgb": report.ms_ssim_rgb, "seconds": round(seconds, 1),
            "weights": sum(tensor.size for tensor in fitted.model.tensors().values()), "spec": dataclasses.asdict(spec),
        }  # fmt: skip
        new = not table.exists()
        with table.open("a", newline="") as file:
            rows = csv.DictWriter(file, row)
            if new:
                rows.writeheader()
            rows.writerow(row)
        print(f"{name:32} {row['psnr_rgb']:.2f} dB  {row['bpp']:.4f} bpp  {seconds:.0f} s  {row['weights']} weights", flush=True)


if __name__ == "__main__":
    main()
