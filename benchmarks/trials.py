"""Changes from the literature against the default: one change at a time, with the same clips, seed, number of steps and target.

    INR_CLIPS=DIR python benchmarks/trials.py [--steps 4000] [--only NAME ...] [--clips NAME ...]

Bytes are of the file, PSNR is of the decoded file. benchmarks/trial_changes.py has the changes; the codec has none of them. The script
appends to benchmarks/trials.csv; benchmarks/EXPERIMENTS.md says what was concluded.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import jax
import optax
from clips import ClipPart
from fits import complete_problem, make_fitter
from muon import muon_on_kernels
from tables import append_row
from trial_changes import (
    Averaged,
    Change,
    Fit,
    bilinear,
    configured,
    embedding_as_differences,
    fitted_by,
    gaussian,
    kumaraswamy,
    l1_with_ms_ssim,
    nothing_as_differences,
    optimiser,
    prior,
    rounded_by,
    specified,
    warm_start,
    without_camera,
    without_margins,
)

import train.fit.step
from codec.encoder import encode
from codec.evaluation import compare
from inr.cost import macs_per_pixel
from inr.rendering import render
from inr.runtime import prepare_jax
from train.fit.loop import fit
from train.fit.problem import Problem
from train.fit.target import RateTarget
from train.plan.encode_plan import CAP_AIM, analyse_motion
from train.plan.options import FitOptions
from train.plan.presets import plan

TABLE = Path(__file__).with_name("trials.csv")


@dataclass(frozen=True)
class Setting:
    """A part of a clip, and its target in bits per pixel."""

    part: ClipPart
    bpp: float


SETTINGS = {
    "bunny-small": Setting(ClipPart("bunny-small.mkv"), 0.04),
    "bunny-small, richer": Setting(ClipPart("bunny-small.mkv"), 0.1),
    "bunny-small, rich": Setting(ClipPart("bunny-small.mkv"), 0.4),
    "BasketballPass": Setting(ClipPart("BasketballPass_416x240_100f.ffv1.mkv", (0, 32), "1/2"), 0.15),
    "tennis": Setting(ClipPart("tennis_432x240_70f.ffv1.mkv", (0, 32), "320x160"), 0.15),
    "bikes": Setting(ClipPart("bikes.mp4", (0, 32), "320x160"), 0.1),
    "bmx-trees": Setting(ClipPart("bmx-trees", (0, 32), "320x160"), 0.1),
    "bunny-mid": Setting(ClipPart("bunny-mid.mkv"), 0.0342),
    "bunny-mid, rich": Setting(ClipPart("bunny-mid.mkv"), 0.0979),
}
USUAL = "bunny-small", "BasketballPass"

CHANGES: dict[str, Change] = {
    "default": configured(),
    "flow coded as it is, not as differences": nothing_as_differences,
    "flow and embedding as differences": embedding_as_differences,
    "R'G'B' instead of opponent colours": specified(opponent=False),
    "no canvas": specified(canvas=None),
    "norm, no CAM": specified(temporal_grid=0),
    "neither norm nor CAM": specified(temporal_grid=0, norm=False),
    "rate only from half-way on": configured(rate_weight=1e-8, controller_from=0.5),
    "no annealing: noise, then hard": configured(anneal_from=0.8),
    "Kumaraswamy noise between soft roundings": rounded_by(kumaraswamy),
    "Gaussian noise between soft roundings": rounded_by(gaussian),
    "average of weights over the tail": fitted_by(Averaged),
    "Muon on kernels": lambda f: optimiser(muon_on_kernels(f.problem.layout)),
    "AdEMAMix": lambda f: optimiser(optax.contrib.scale_by_ademamix(b1=0.9, b2=0.99)),
    "ADOPT": lambda f: optimiser(optax.contrib.scale_by_adopt(b1=0.9, b2=0.99)),
    "0.7 L1 + 0.3 (1 - MS-SSIM)": lambda f: patch.object(train.fit.step, "mean_squared_error", l1_with_ms_ssim),
    "canvas read bilinearly between pixels": bilinear,
    "canvas no larger than a frame": without_margins,
    "flows begin at zero": without_camera,
    **{f"learning rate {rate:g}": configured(learning_rate=rate, lr_decay_after_steps=sys.maxsize) for rate in (24e-3, 12e-3, 8e-3, 3e-3)},
    "warm start from another clip": warm_start,
    "prior: another clip's decoder, differences coded": prior,
    # Each tensor has a fixed step size, chosen from the spread of its weights at the start: the same number of bits for all tensors.
    **{f"uniform {bits} bits a weight": configured(exponent_learning_rate=0.0, initial_bits=float(bits)) for bits in (4, 5, 6, 7, 8)},
}


def row(name: str, setting: Setting, steps: int) -> dict[str, object]:
    """Fit one change on one clip."""
    video, options = setting.part.read(), FitOptions(RateTarget(target_bpp=setting.bpp))
    path, described = analyse_motion(video, options)
    spec, config = plan(described, setting.bpp, options)
    changed = Fit(video, Problem(spec, described, replace(config, steps=steps, target_bpp=CAP_AIM * setting.bpp)), path)
    with CHANGES[name](changed):
        # Compiled steps of other changes hold other functions.
        jax.clear_caches()
        train.fit.step.make_advance.cache_clear()
        problem = changed.problem = complete_problem(changed.problem.spec, changed.problem.video, changed.problem.config)
        fitter = make_fitter(problem, video, changed.path, changed.kind)
        fitter.dry_run(1)  # compiles, so that the time of a step is that of a compiled one
        fitted = fit(fitter)
    tensors = {key: value + changed.prior.get(key, 0) for key, value in fitted.model.tensors().items()}
    data = encode(fitted.model)
    report = compare(render(problem.spec, problem.video, tensors), video.frames, len(data))
    return {
        "clip": described.name, "trial": name, "steps": steps, "bytes": len(data), "bpp": round(report.bpp, 5),
        "psnr_rgb": round(report.psnr_rgb, 3), "ms_ssim_rgb": report.ms_ssim_rgb,
        "step_ms": round(1e3 * fitted.step_seconds, 1), "weights": sum(value.size for value in tensors.values()),
        "kmac_per_pixel": round(macs_per_pixel(problem.spec, problem.video) / 1e3, 3),
    }  # fmt: skip


def main() -> None:
    """Fit each change on each clip and append its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--only", nargs="*", choices=CHANGES, metavar="NAME")
    parser.add_argument("--clips", nargs="*", choices=SETTINGS, default=USUAL, metavar="NAME")
    asked = parser.parse_args()
    prepare_jax()
    for name in asked.only or CHANGES:
        for setting in asked.clips:
            found = row(name, SETTINGS[setting], asked.steps)
            append_row(TABLE, found)
            print(*found.values(), flush=True)


if __name__ == "__main__":
    main()
