"""Pictures that a fit could fail on: bright, black, constant, noise, one pixel, one row, one column.

    python benchmarks/extremes.py OUT [--steps 1000] [--only NAME ...]

Each picture is encoded three times by `inr encode`: with -q 50, with --target-bpp 0.25, and with --target-psnr 35. OUT/extremes.csv gets
one row for each file. `flat_psnr` is the PSNR of the picture's mean colour, which any fit must reach. A target that no file can reach is
refused (exit code 6); the row then has the error's id instead of bytes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tables import write_rows

from codec.decoder import decode
from codec.evaluation import mean_psnr

Pixels = UInt8[np.ndarray, "h w 3"]
TARGETS: Mapping[str, tuple[str, ...]] = {
    "quality": ("-q", "50"),
    "rate": ("--target-bpp", "0.25"),
    "psnr": ("--target-psnr", "35"),
}


def pictures() -> dict[str, Pixels]:
    """The pictures by name."""
    noise = np.random.default_rng(0)
    y, x = np.mgrid[0:192, 0:256]
    waves = np.sin(x / 9.0) * np.cos(y / 7.0) + 0.5 * np.sin((x + 2 * y) / 3.0)
    bright = 235 + 8 * waves[..., None] * np.array([1, 0.8, 0.6]) + noise.normal(0, 1, (192, 256, 3))
    return {
        "bright": _pixels(bright),
        "dark": _pixels(bright - 225),
        "black": np.zeros((192, 256, 3), np.uint8),
        "white": np.full((192, 256, 3), 255, np.uint8),
        "constant": np.broadcast_to(np.array([30, 200, 90], np.uint8), (192, 256, 3)).copy(),
        "noise": noise.integers(0, 256, (128, 128, 3), dtype=np.uint8),
        "halves": _pixels(np.where(x[..., None] < 128, 0.0, 255.0) * np.ones(3)),
        "checks": _pixels(255.0 * ((x[:64, :64] + y[:64, :64]) % 2)[..., None] * np.ones(3)),
        "1x1": np.array([[[200, 30, 60]]], np.uint8),
        "2x2": noise.integers(0, 256, (2, 2, 3), dtype=np.uint8),
        "3000x1": _pixels(128 + 100 * np.sin(np.arange(3000) / 40)[None, :, None] * np.array([1, 0.5, -0.5])),
        "1x3000": _pixels(128 + 100 * np.sin(np.arange(3000) / 40)[:, None, None] * np.array([1, 0.5, -0.5])),
    }


def _pixels(levels: np.ndarray) -> Pixels:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def row(name: str, pixels: Pixels, kind: str, asked: argparse.Namespace) -> dict[str, object]:
    """The measures of one picture's file for one target."""
    source, output = asked.out / f"{name}.png", asked.out / f"{name}-{kind}.inr"
    Image.fromarray(pixels).save(source)
    options = [*TARGETS[kind], "--preset", str(asked.steps), "--overwrite", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "train", "encode", source, output, *options], stdout=subprocess.PIPE, text=True, check=False
    )
    last = json.loads(done.stdout.strip().splitlines()[-1])
    flat = np.broadcast_to(_pixels(pixels.mean(axis=(0, 1))), pixels.shape)
    found: dict[str, object] = {
        "picture": name,
        "target": " ".join(TARGETS[kind]),
        "exit_code": done.returncode,
        "bytes": last.get("id", ""),
    }
    found |= {"psnr_rgb": "", "flat_psnr": round(mean_psnr(flat[None], pixels[None]), 2)}
    if output.exists():
        data = output.read_bytes()
        found |= {"bytes": len(data), "psnr_rgb": round(mean_psnr(decode(data).render(), pixels[None]), 2)}
    return found


def main() -> None:
    """Encode all pictures and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", nargs="+", default=())
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, pixels in pictures().items():
        for kind in TARGETS if not asked.only or name in asked.only else ():
            rows.append(row(name, pixels, kind, asked))
            print(rows[-1], flush=True)
            write_rows(asked.out / "extremes.csv", rows)


if __name__ == "__main__":
    main()
