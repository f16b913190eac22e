"""All models, plain and with CAM, at equal bytes and equal seconds.

    INR_CLIPS=DIR python benchmarks/paper_networks.py [--seconds 60] [--models nerv,ffnerv] [--clips bunny-small] [--out DIR]

Two clips of 32 frames at 320x160 (bunny-small, BasketballPass), two rates each. NIRVANA runs in segments of four frames, the other models
on the whole clip. Bytes are of the file; decoding is timed compiled, rendering alone, frames in order. The script writes
benchmarks/paper_networks.csv; rows that are there already are not made again.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

from clips import PAIR, ClipPart, clip
from tables import read_rows, write_rows

from codec.decoder import decode
from codec.evaluation import compare
from inr.cost import macs_per_pixel
from inr.layout import weights
from inr.runtime import prepare_jax
from train.encode.files import encode_file
from train.plan.options import MODELS, MODULATED
from train.plan.paper_networks import NIRVANA_SEGMENT

RATES = (0.05, 0.15)  # bits per pixel
NAMES = [name + suffix for name in MODELS[1:] for suffix in ("", MODULATED)] + ["cam"]
TABLE = Path(__file__).with_name("paper_networks.csv")


def measured(name: str, part: ClipPart, bpp: float, seconds: float, folder: Path) -> dict[str, object]:
    """One file, as a row."""
    source = clip(part.file)
    target = folder / f"{source.stem}-{name.replace('+', 'p')}-{bpp}.inr"
    chunk = NIRVANA_SEGMENT if name.startswith("nirvana") else None
    options = {"model": name, "target_bpp": bpp, "time_budget": seconds, "chunk": chunk, "overwrite": True}
    done = encode_file(source, target, frames=part.frames, scale=part.scale, **options)
    assert done is not None
    data = target.read_bytes()
    model = decode(data)
    model.render()
    began = time.monotonic()
    frames = model.render()
    fps = len(frames) / (time.monotonic() - began)
    report = compare(frames, part.read().frames, len(data))
    first = model.videos[0].spec
    return {
        "model": name, "asked_bpp": bpp, "bytes": len(data), "bpp": round(report.bpp, 5), "psnr_rgb": round(report.psnr_rgb, 3),
        "ms_ssim_rgb": round(report.ms_ssim_rgb or 0, 4), "weights": len(model.videos) * weights(model.spec, first),
        "mac_per_pixel": round(macs_per_pixel(model.spec, first)), "steps": done.steps, "step_ms": round(1e3 * done.step_seconds, 1),
        "seconds": round(done.seconds, 1), "decode_fps": round(fps),
    }  # fmt: skip


def main() -> None:
    """Make every row that is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--models", default=",".join(NAMES))
    parser.add_argument("--clips", default=",".join(PAIR))
    parser.add_argument("--out", type=Path, default=Path("paper-networks"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    prepare_jax()
    rows: list[Mapping[str, object]] = [*read_rows(TABLE)]
    for title in asked.clips.split(","):
        for bpp in RATES:
            for name in asked.models.split(","):
                if any((row["clip"], row["model"], row["asked_bpp"]) == (title, name, str(bpp)) for row in rows):
                    continue
                rows.append({"clip": title} | measured(name, PAIR[title], bpp, asked.seconds, asked.out))
                print(rows[-1], flush=True)
                write_rows(TABLE, rows)


if __name__ == "__main__":
    main()
