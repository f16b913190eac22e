"""Many small pictures on one decoder: bytes a picture after 1, 4, 12 and 24 of Kodak's pictures, against separate files.

    INR_CLIPS=DIR python benchmarks/kodak_bundle.py [--out DIR] [--steps 1500] [--quality 80]
        [--every-layer | --fresh | --pretrained N | --joint N]

DIR holds the folder kodak with kodim01.png .. kodim24.png. They are reduced to 192x128 (or 128x192). Every fit is that of `inr encode` or
`inr bundle add` with -q and that number of steps. The files stay in the folder of --out; finished ones are not made again.

The table has the bytes of the bundle after each picture, and those of separate files at the same PSNR, interpolated between a lower and a
higher quality. Its file depends on the way in which the bundle is made:

kodak_bundle.csv       each picture references the first one's weight layer
kodak_chain.csv        each references the weight layers of all earlier ones (--every-layer)
kodak_fresh.csv        each references none (--fresh)
kodak_pretrainedN.csv  each references a weight layer that was pretrained on the first N (--pretrained N)
kodak_jointN.csv       the first N are fitted jointly on one weight layer, and the others are added one after the other (--joint N)
"""

import argparse
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from bundles import Row, bytes_alone, row
from clips import clip
from tables import write_rows

from codec.bitstream import CRC_BYTES, FINGERPRINT_BYTES, MAGIC, Kind, records
from codec.bundle import BundleSettings, empty_bundle, has_network
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.scale import Scale
from inr.video import Video
from train.bundle.adding import add_video
from train.bundle.joint import add_jointly
from train.bundle.pretraining import pretrain
from train.encode.run import encode_video
from train.plan.options import EncodeOptions, encode_options

COUNTS = (1, 4, 12, 24)
AROUND = (-9, 9)  # qualities of the separate files, relative to that of the bundle
KEPT = ("video", "bytes", "psnr_rgb", "layer_bytes", "private_bytes", "reused", "corrected", "claimed")


def pictures() -> list[Video]:
    """Kodak's pictures at a quarter of their width and height."""
    return [replace(read_video(path, scale=Scale.parse("1/4")), name=path.stem) for path in sorted(clip("kodak").glob("kodim*.png"))]


def bytes_after(data: bytes, index: int) -> int:
    """Bytes that a bundle had right after its picture `index` was added: its records up to there, and an end record."""
    ends = [at for at, record in enumerate(records(data)) if record.kind is Kind.VIDEO]
    end_record = 1 + 1 + CRC_BYTES + FINGERPRINT_BYTES * (index + 1)
    return len(MAGIC) + 1 + sum(record.overhead + len(record.payload) for record in islice(records(data), ends[index] + 1)) + end_record


def separate_files(images: list[Video], asked: argparse.Namespace) -> list[Row]:
    """The rows of a file for each picture, at a quality below and a quality above that of the bundle."""
    rows = list[Row]()
    for quality in (asked.quality + change for change in AROUND):
        for image in images:
            target = asked.out / f"alone-{quality}-{image.name}.inr"
            encode_video(image, target, encode_options(preset=str(asked.steps), quality=quality))
            rows.append(row("alone", quality, target.read_bytes(), 0, image, 0.0))
    return rows


def begin(images: list[Video], target: Path, asked: argparse.Namespace, options: EncodeOptions) -> None:
    """Create the bundle if it is not there; a pretrained or joint one gets its weight layer here."""
    if not target.exists():
        target.write_bytes(empty_bundle(BundleSettings()))
    if (asked.pretrained or asked.joint) and not has_network(target.read_bytes()):
        (pretrain if asked.pretrained else add_jointly)(images[: asked.pretrained or asked.joint], target, options)


def main() -> None:
    """Fit all pictures and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("kodak"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--quality", type=int, default=80)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--every-layer", action="store_true")
    way.add_argument("--fresh", action="store_true")
    way.add_argument("--pretrained", type=int, default=0, metavar="N")
    way.add_argument("--joint", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    prepare_jax()
    asked.out.mkdir(exist_ok=True)
    images = pictures()
    separate = separate_files(images, asked)
    ways = {"pretrained": asked.pretrained, "joint": asked.joint, "chain": asked.every_layer, "fresh": asked.fresh}
    kind = next((name for name, chosen in ways.items() if chosen), "bundle")
    name = f"{kind}{asked.pretrained or asked.joint or ''}"
    target = asked.out / f"{name}-{asked.quality}.inr"
    density = 0.0 if asked.fresh else 1.0
    options = encode_options(preset=str(asked.steps), quality=asked.quality, every_layer=asked.every_layer, density=density)
    begin(images, target, asked, options)
    sizes, psnrs, total = list[int](), list[float](), 0.0
    table = list[dict[str, object]]()
    for index, image in enumerate(images):
        if index >= asked.joint:
            add_video(image, target, options)
        data = target.read_bytes()
        made = row(kind, asked.quality, data, index, image, 0.0)
        sizes.append(bytes_after(data, index))
        psnrs.append(float(str(made["psnr_rgb"])))
        total += bytes_alone(separate, image.name, psnrs[-1])
        table.append({key: made[key] for key in KEPT} | {"images": index + 1, "bundle_bytes": sizes[-1], "alone_bytes": round(total)})
    write_rows(Path(__file__).with_name(f"kodak_{name}.csv"), table)
    for count in COUNTS:
        if count <= len(table):
            against = float(str(table[count - 1]["alone_bytes"]))
            print(
                f"{count:3} pictures: {sizes[count - 1] / count:.0f} bytes each, {np.mean(psnrs[:count]):.2f} dB; "
                f"separate files at that PSNR {against / count:.0f}: {sizes[count - 1] / against:.3f}"
            )


if __name__ == "__main__":
    main()
