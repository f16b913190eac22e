"""One change at a time: fit the same clip with the same seed and number of steps, and keep the row.

    INR_CLIPS=DIR python benchmarks/ablation.py [--clip bunny-small.mkv] [--steps 8000] [--target-bpp 0.06] [--only NAME ...]

Bytes are of the file, PSNR is of the decoded file. The script appends to benchmarks/ablation.csv; benchmarks/EXPERIMENTS.md says what was
concluded.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from clips import ClipPart
from fits import complete_problem, make_fitter
from tables import append_row

from codec.encoder import encode
from codec.evaluation import compare
from inr.layout import weights
from inr.runtime import prepare_jax
from inr.spec import NetworkSpec, VideoSpec
from train.fit.config import FitConfig
from train.fit.loop import fit
from train.fit.target import RateTarget
from train.plan.encode_plan import CAP_AIM, analyse_motion
from train.plan.network_size import BITS_PER_WEIGHT, modulated_spec
from train.plan.options import FitOptions
from train.plan.paper_networks import hnerv_spec
from train.plan.presets import plan

TABLE = Path(__file__).with_name("ablation.csv")
HNERV_RATE = 2e-3  # learning rate of HNeRV

Change = Callable[[NetworkSpec, FitConfig], tuple[NetworkSpec, FitConfig]]


def changes(video: VideoSpec, bpp: float) -> dict[str, Change]:
    """The changes by name."""

    def on_spec(**fields: object) -> Change:
        return lambda spec, config: (replace(spec, **fields), config)

    def on_canvas(**fields: object) -> Change:
        return lambda spec, config: (replace(spec, canvas=replace(spec.canvas, **fields)), config)

    def on_config(**fields: object) -> Change:
        return lambda spec, config: (spec, replace(config, **fields))

    def sized(bits_per_weight: float) -> Change:
        return lambda spec, config: (modulated_spec(video, bpp, bits_per_weight), config)

    return {
        "no canvas": on_spec(canvas=None),
        "canvas of one grid a size": on_canvas(grids=(1, 1, 1, 1)),
        "canvas mixed by 1x1": on_canvas(kernel=1),
        "flow of 2x3": on_canvas(flow_grids=((2, 3),)),
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
        "fixed step sizes": on_config(exponent_learning_rate=0.0),
        "batch 1": on_config(batch=1),
        "2.5 bits a weight": sized(2.5),
        "4 bits a weight": sized(4.0),
        "5 bits a weight": sized(5.0),
        "embedder for the first 10 %": on_config(embedder_until=0.1),
        "hnerv, paper's network": lambda spec, config: (
            hnerv_spec(video, bpp * video.pixels / BITS_PER_WEIGHT),
            replace(config, learning_rate=HNERV_RATE, embedder_until=config.anneal_from),
        ),
    }


def main() -> None:
    """Fit each change and append its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="bunny-small.mkv")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--target-bpp", type=float, default=0.06)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    prepare_jax()
    video, options = ClipPart(asked.clip).read(), FitOptions(RateTarget(target_bpp=asked.target_bpp))
    path, described = analyse_motion(video, options)
    for name, change in changes(described, asked.target_bpp).items():
        if asked.only and name not in asked.only:
            continue
        spec, config = change(*plan(described, asked.target_bpp, options))
        config = replace(config, steps=asked.steps, target_bpp=CAP_AIM * asked.target_bpp)
        problem = complete_problem(spec, described, config)
        fitted = fit(make_fitter(problem, video, path))
        data = encode(fitted.model)
        report = compare(fitted.model.render(), video.frames, len(data))
        seconds = fitted.step_seconds * fitted.steps
        row = {
            "clip": asked.clip, "change": name, "steps": asked.steps, "bytes": len(data), "bpp": round(report.bpp, 5),
            "psnr_rgb": round(report.psnr_rgb, 3), "ms_ssim_rgb": report.ms_ssim_rgb, "seconds": round(seconds, 1),
            "weights": weights(spec, described), "spec": asdict(spec),
        }  # fmt: skip
        append_row(TABLE, row)
        print(f"{name:32} {row['psnr_rgb']:.2f} dB  {row['bpp']:.4f} bpp  {seconds:.0f} s  {row['weights']} weights", flush=True)


if __name__ == "__main__":
    main()
