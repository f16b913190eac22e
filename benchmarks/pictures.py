"""Single pictures: bytes and PSNR of some of Kodak's pictures at given rates and times.

    INR_CLIPS=DIR python benchmarks/pictures.py OUT [--bpp 0.1 0.2 0.35] [--budget 600] [--pictures 03 05 ...] [--scale 1/2] [--model tree]

DIR holds the folder kodak with kodim01.png .. kodim24.png. Each fit is that of `inr encode` with --target-bpp and --time-budget (seconds).
The files stay in OUT; finished ones are measured again, but not made again. OUT/pictures.csv gets one row for each file.
"""

import argparse
from pathlib import Path

from clips import clip
from tables import write_rows

from codec.decoder import decode
from codec.evaluation import mean_psnr
from inr.layout import layer_specs
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.scale import Scale
from train.encode.run import encode_video
from train.plan.options import encode_options

EIGHT = ("03", "05", "08", "13", "14", "19", "20", "23")


def row(name: str, bpp: float, asked: argparse.Namespace) -> dict[str, object]:
    """The measures of one picture's file at `bpp` bits per pixel, which is made if it is not there."""
    picture, path = read_video(clip(f"kodak/kodim{name}.png"), scale=Scale.parse(asked.scale)), asked.out / f"kodim{name}_{bpp}.inr"
    options = encode_options(target_bpp=bpp, time_budget=asked.budget, preset="slow", model=asked.model)
    encoded = None if path.exists() else encode_video(picture, path, options)
    data = path.read_bytes()
    model, pixels = decode(data), picture.height * picture.width
    return {
        "picture": f"kodim{name}",
        "width": picture.width,
        "height": picture.height,
        "bytes": len(data),
        "bpp": round(8 * len(data) / pixels, 5),
        "psnr_rgb": round(mean_psnr(model.render(), picture.frames), 4),
        "layer_weights": sum(tensor.size for tensor in layer_specs(model.spec)),
        "steps": encoded.steps if encoded else "",
        "seconds": round(encoded.seconds, 1) if encoded else "",
    }


def main() -> None:
    """Fit the pictures and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.1, 0.2, 0.35])
    parser.add_argument("--budget", type=float, default=600.0)
    parser.add_argument("--pictures", nargs="+", default=EIGHT)
    parser.add_argument("--scale", default="")
    parser.add_argument("--model", default="auto", choices=("auto", "tree"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    prepare_jax()
    rows = []
    for name in asked.pictures:
        for bpp in asked.bpp:
            rows.append(row(name, bpp, asked))
            print(rows[-1], flush=True)
            write_rows(asked.out / "pictures.csv", rows)


if __name__ == "__main__":
    main()
