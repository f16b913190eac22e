"""Norm and CAM against bits: NeRV plain, with norm, with norm and CAM; uniform steps of 8, 6 and 4 bits, and learned ones. One clip.

    INR_CLIPS=DIR python benchmarks/precision.py [--steps 2500]   # writes benchmarks/precision.csv

Uniform steps are quantisation-aware training as in the papers: b bits span each tensor's largest weight, nothing pulls at the
rate, the coder takes what is left. Pretrained steps are this package's: their files are steered to the size of the 4-bit and of the
6-bit one. Real bytes, PSNR of the decoded file.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from bunny_small import clip
from tables import write_rows

from codec.encoder import encode
from codec.evaluation import compare
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from train.encode.run import zero_model
from train.fit.loop import Fitter, fit
from train.plan.presets import plan, times
from train.fit.step import Problem

SIZED_FOR = 0.15  # bits per pixel
UNIFORM = (8, 6, 4)
RATE_FREE = 1e-12  # a weight of bits that pulls at nothing


def main() -> None:
    """Every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2500)
    options = parser.parse_args()
    prepare_jax()
    video = read_video(clip("bunny-small.mkv"), (0, 32))
    described = VideoSpec.of(video)
    plain, config = plan(described, SIZED_FOR, "fast", "nerv", 0)
    networks = {
        "no norm": plain,
        "norm": replace(plain, norm=True),
        "norm and CAM": replace(plain, norm=True, temporal_grid=times(described.frames)),
    }
    rows: list[dict[str, object]] = []

    def add(network: str, steps: str, **changes: float) -> float:
        spec = networks[network]
        overhead = 8 * len(encode(zero_model(spec, described)))
        fitter = Fitter(Problem(spec, described, replace(config, steps=options.steps, **changes), overhead), video)
        data = encode(fit(fitter).model)
        report = compare(fitter.model().render(), video.frames, len(data))
        rows.append({
            "network": network, "steps": steps, "bytes": len(data), "bpp": round(report.bpp, 5), "psnr_rgb": round(report.psnr_rgb, 3),
            "ms_ssim_rgb": round(report.ms_ssim_rgb or 0, 4),
        })  # fmt: skip
        print(rows[-1], flush=True)
        return report.bpp

    for network in networks:
        used = {bits: add(network, f"{bits} bit", uniform_bits=bits, rate_weight=RATE_FREE) for bits in UNIFORM}
        for bits in UNIFORM[1:]:
            add(network, f"learned, as large as {bits} bit", target_bpp=used[bits])
    write_rows(Path(__file__).parent / "precision.csv", rows)


if __name__ == "__main__":
    main()
