"""Files of `inr encode` against other codecs' points, for fits that ran on another machine: the comparison of `inr bench`.

    inr bench bunny-mid.mkv --codecs x264,x265,svtav1 --points 6 -o hybrids
    python benchmarks/against.py hybrids bunny-mid.mkv OUT/bunny-mid*.inr

The script decodes and measures every file, and prints BD-rates as `inr bench` does. Its rows replace the clip's in
benchmarks/ladders_gpu.csv.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from tables import read_rows, write_rows

from codec.decoder import decode
from codec.evaluation import compare
from inr.cost import macs_per_pixel
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.video import Video
from train.bench.curves import bd_rate
from train.bench.points import Point, read_points

TABLE = Path(__file__).with_name("ladders_gpu.csv")
KEPT = ("clip", "codec", "label", "bytes", "bpp", "psnr_rgb", "ms_ssim_rgb", "macs_per_pixel")


def measured(path: Path, source: Video, like: Point) -> Point:
    """The point of a file, with the facts of the clip and the machine from the point `like`."""
    model = decode(path.read_bytes())
    report = compare(model.render(), source.frames, path.stat().st_size)
    return replace(
        like,
        **report.fields(),
        codec="inr",
        label=path.stem,
        encode_seconds=None,
        macs_per_pixel=macs_per_pixel(model.spec, model.videos[0].spec),
    )


def main() -> None:
    """Measure the files, compare them with the other codecs, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path, help="folder that `inr bench` wrote")
    parser.add_argument("source", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    prepare_jax()
    source = read_video(asked.source)
    others = [point for point in read_points(asked.bench / "results.csv") if point.clip == source.name and point.codec != "inr"]
    ours = []
    for path in asked.files:
        ours.append(measured(path, source, others[0]))
        print(ours[-1].line)
    for codec in dict.fromkeys(point.codec for point in others):
        rate = bd_rate([point for point in others if point.codec == codec], ours)
        print(f"BD-rate against {codec}:", "n/a" if rate is None else f"{rate:+.1f} %")
    rows = [{name: getattr(point, name) for name in KEPT} for point in ours + others]
    write_rows(TABLE, [*(row for row in read_rows(TABLE) if row["clip"] != source.name), *rows])


if __name__ == "__main__":
    main()
