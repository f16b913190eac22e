"""Many small images on one decoder: bytes an image at 1, 4, 12 and 24 of Kodak's images, against files of their own.

    INR_CLIPS=DIR python benchmarks/kodak_bundle.py [--out DIR] [--steps 1500] [--quality 80]
        [--every-layer | --fresh | --learned N | --joint N]

DIR holds the folder kodak with kodim01.png .. kodim24.png, which are reduced to 192x128 (or 128x192). Every fit is what
`inr encode` or `inr bundle add` does with -q and so many steps; files stay in the folder of --out, and finished ones are not
made again. Writes kodak_bundle.csv, kodak_chain.csv (--every-layer: each image on the layers of all before), kodak_fresh.csv
(--fresh: on none), kodak_learnedN.csv (--learned N: on one learned from the first N of them beforehand) or kodak_togetherN.csv
(--joint N: the first N put in at once, on one layer fitted to them together, the others one after the other): total bytes
of the bundle after each image, and of files of their own at the same PSNR (interpolated between two qualities, one on either side).
"""

import argparse
import csv
from dataclasses import replace
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
from bundles import Row, bytes_alone, row
from bunny_small import clip

import train.plan.presets
from codec.bitstream import CRC_BYTES, MAGIC, FINGERPRINT_BYTES, Kind, records
from codec.bundle import BundleSettings, empty
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.video import Video
from train.bundle.adding import add_video
from train.encode.run import EncodeOptions, encode_video
from train.bundle.pretraining import learn
from train.bundle.joint import add_jointly
from train.fit.target import RateTarget

COUNTS = (1, 4, 12, 24)
AROUND = (-9, 9)  # qualities of files of their own, beside that of the bundle


def images() -> list[Video]:
    """Kodak's images at a quarter of their size along each axis."""
    return [replace(read_video(path, scale="1/4"), name=path.stem) for path in sorted(clip("kodak").glob("kodim*.png"))]


def grown(data: bytes, index: int) -> int:
    """Bytes that a bundle had once its image `index` was in it, which may be long ago: its records up to there, and an end mark."""
    ends = [at for at, record in enumerate(records(data)) if record.kind is Kind.VIDEO]
    mark = 1 + 1 + CRC_BYTES + FINGERPRINT_BYTES * (index + 1)
    return len(MAGIC) + 1 + sum(record.overhead + len(record.payload) for record in islice(records(data), ends[index] + 1)) + mark


def main() -> None:
    """Fit all, and tabulate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("kodak"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--quality", type=int, default=80)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--every-layer", action="store_true")
    way.add_argument("--fresh", action="store_true")
    way.add_argument("--learned", type=int, default=0, metavar="N")
    way.add_argument("--joint", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    prepare_jax()
    asked.out.mkdir(exist_ok=True)
    with patch.dict(train.plan.presets.PRESETS, fast=asked.steps):
        rows = []
        for quality in (asked.quality + change for change in AROUND):
            for image in images():
                target = asked.out / f"alone-{quality}-{image.name}.inr"
                encode_video(image, target, EncodeOptions("fast", target=RateTarget(quality=quality)))
                rows.append(row("alone", quality, target.read_bytes(), 0, image, 0.0))
        ways = {"learned": asked.learned, "together": asked.together, "chain": asked.every_layer, "fresh": asked.fresh}
        name = next((way for way, chosen in ways.items() if chosen), "bundle")
        table_of = f"{name}{asked.learned or asked.together or ''}"
        target = asked.out / f"{table_of}-{asked.quality}.inr"
        options = EncodeOptions(
            "fast", target=RateTarget(quality=asked.quality), every_layer=asked.every_layer, density=0.0 if asked.fresh else 1.0
        )
        if not target.exists():
            target.write_bytes(empty(BundleSettings()))
            if asked.learned:
                learn(images()[: asked.learned], target, options)
            if asked.together:
                add_jointly(images()[: asked.together], target, options)
        sizes, psnrs, total = [], [], 0.0
        table: list[Row] = []
        for index, image in enumerate(images()):
            if index >= asked.together:
                add_video(image, target, options)
            data = target.read_bytes()
            made = row(name, asked.quality, data, index, image, 0.0)
            sizes.append(grown(data, index))
            psnrs.append(float(str(made["psnr_rgb"])))
            total += bytes_alone(rows, image.name, psnrs[-1])
            facts = {
                key: made[key] for key in ("video", "bytes", "psnr_rgb", "layer_bytes", "private_bytes", "reused", "corrected", "claimed")
            }
            table.append(facts | {"images": index + 1, "bundle_bytes": sizes[-1], "alone_bytes": round(total)})
    with (Path(__file__).parent / f"kodak_{table_of}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    for count in COUNTS:
        last = table[count - 1]
        against = float(str(last["alone_bytes"]))
        print(
            f"{count:3} images: {sizes[count - 1] / count:.0f} bytes each, {np.mean(psnrs[:count]):.2f} dB; "
            f"alone at that PSNR {against / count:.0f}: {sizes[count - 1] / against:.3f}"
        )


if __name__ == "__main__":
    main()
