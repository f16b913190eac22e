"""Norm and CAM against bits: NeRV plain, with norm, with norm and CAM; uniform quantisation with 8, 6 and 4 bits, and learned step sizes.

    INR_CLIPS=DIR python benchmarks/precision.py [--steps 2500]

With uniform quantisation, as in the papers, a fixed number of bits spans each tensor's largest weight, and the rate is not in the loss; the
coder takes the weights as they are. Learned step sizes are this codec's; the rate control of their fits aims at the size of the 6-bit and
of the 4-bit file. Bytes are of the file, PSNR is of the decoded file. The clip is bunny-small. The script writes benchmarks/precision.csv.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from clips import PAIR
from fits import complete_problem
from tables import write_rows
from uniform_quantisation import RATE_FREE, UniformFitter

from codec.encoder import encode
from codec.evaluation import compare
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from train.fit.fitter import Fitter
from train.fit.loop import fit
from train.plan.network_size import temporal_grid_length
from train.plan.options import FitOptions, Model
from train.plan.presets import plan

SIZED_FOR = 0.15  # bits per pixel
BITS = (8, 6, 4)
COLUMNS = ("network", "step_sizes", "bytes", "bpp", "psnr_rgb", "ms_ssim_rgb")


def main() -> None:
    """Fit every row and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2500)
    asked = parser.parse_args()
    prepare_jax()
    video = PAIR["bunny-small"].read()
    described = VideoSpec.of(video)
    plain, config = plan(described, SIZED_FOR, FitOptions(model=Model("nerv")))
    config = replace(config, steps=asked.steps)
    networks = {
        "no norm": plain,
        "norm": replace(plain, norm=True),
        "norm and CAM": replace(plain, norm=True, temporal_grid=temporal_grid_length(described.frames)),
    }
    rows: list[dict[str, object]] = []

    def add(network: str, step_sizes: str, fitter: Fitter) -> float:
        data = encode(fit(fitter).model)
        report = compare(fitter.model().render(), video.frames, len(data))
        measures = (len(data), round(report.bpp, 5), round(report.psnr_rgb, 3), round(report.ms_ssim_rgb or 0, 4))
        rows.append(dict(zip(COLUMNS, (network, step_sizes, *measures), strict=True)))
        print(rows[-1], flush=True)
        return report.bpp

    for network, spec in networks.items():
        free = complete_problem(spec, described, replace(config, rate_weight=RATE_FREE))
        used = {bits: add(network, f"{bits} bit", UniformFitter(free, video, bits)) for bits in BITS}
        for bits in BITS[1:]:
            problem = complete_problem(spec, described, replace(config, target_bpp=used[bits]))
            add(network, f"learned, as large as {bits} bit", Fitter(problem, video))
    write_rows(Path(__file__).with_name("precision.csv"), rows)


if __name__ == "__main__":
    main()
