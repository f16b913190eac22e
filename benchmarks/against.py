"""Files that exist against other codecs' points: what `inr bench` does, where the fits were run elsewhere.

    inr bench bunny-mid.mkv --codecs x264,x265,svtav1 --points 6 -o hybrids
    python benchmarks/against.py hybrids bunny-mid.mkv OUT/bunny-mid*.inr

Every file is decoded and measured here; BD-rates are those of `inr bench`. Adds rows to benchmarks/ladders_gpu.csv, in place of the clip's.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from tables import read_rows, write_rows

from codec.decoder import decode
from codec.evaluation import compare
from inr.cost import macs_per_pixel
from inr.reading import read_video
from inr.runtime import prepare_jax
from train.bench.curves import bd_rate
from train.bench.points import read_points

TABLE = Path(__file__).with_name("ladders_gpu.csv")
KEPT = ("clip", "codec", "label", "bytes", "bpp", "psnr_rgb", "ms_ssim_rgb", "macs_per_pixel")


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bench", type=Path, help="folder that `inr bench` wrote")
    parser.add_argument("source", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    prepare_jax()
    source = read_video(asked.source)
    others = [point for point in read_points(asked.bench / "results.csv") if point.clip == source.name and point.codec != "inr"]
    like = others[0]
    ours = []
    for path in asked.files:
        model = decode(path.read_bytes())
        report = compare(model.render_entry(-1), source.frames, path.stat().st_size)
        measured = {name: getattr(report, name) for name in ("bytes", "bpp", "psnr_rgb", "psnr_rgb_of_mean_mse", "ms_ssim_rgb")}
        cost = macs_per_pixel(model.spec, model.videos[-1].spec)
        ours.append(
            type(like)(**asdict(like) | measured | {"codec": "inr", "label": path.stem, "encode_seconds": None, "macs_per_pixel": cost})
        )
        print(ours[-1].line)
    for codec in dict.fromkeys(point.codec for point in others):
        rate = bd_rate([point for point in others if point.codec == codec], ours)
        print(f"BD-rate against {codec}:", "n/a" if rate is None else f"{rate:+.1f} %")
    rows = [{name: getattr(point, name) for name in KEPT} for point in ours + others]
    write_rows(TABLE, [row for row in read_rows(TABLE) if row["clip"] != source.name] + rows)


if __name__ == "__main__":
    main()
