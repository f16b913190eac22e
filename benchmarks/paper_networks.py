"""All models, plain and with CAM, at equal bytes and equal seconds: real files, into benchmarks/family.csv.

    INR_CLIPS=DIR python benchmarks/family.py [--seconds 60] [--models nerv,ffnerv]

Two clips of 32 frames at 320x160 (bunny-small, BasketballPass), two sizes each. NIRVANA runs in groups of four frames, the others on the
whole clip. What is decoded is timed warm: rendering alone, frames in order. Rows that are there already are not made again.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

from bunny_small import clip
from tables import read_rows, write_rows

from codec.decoder import decode
from codec.evaluation import compare
from inr.cost import macs_per_pixel
from inr.layout import weights
from inr.reading import read_video
from inr.runtime import prepare_jax
from train.encode.run import EncodeOptions
from train.encode.files import encode_file
from train.plan.presets import MODELS, MODULATED
from train.fit.target import RateTarget

CLIPS = {"bunny-small": "bunny-small.mkv", "BasketballPass": "BasketballPass_416x240_100f.ffv1.mkv"}
FRAMES, SCALE = (0, 32), "320x160"
RATES = (0.05, 0.15)
NAMES = [name + suffix for name in MODELS[1:] for suffix in ("", MODULATED)] + ["cam"]
TABLE = Path(__file__).parent / "family.csv"


def measured(name: str, source: Path, bpp: float, seconds: float, folder: Path) -> dict[str, object]:
    """One file, as a row."""
    target = folder / f"{source.stem}-{name.replace('+', 'p')}-{bpp}.inr"
    chunk = 4 if name.startswith("nirvana") else None
    options = EncodeOptions(
        model=name, target=RateTarget(target_bpp=bpp), frames=FRAMES, scale=SCALE, time_budget=seconds, overwrite=True, chunk=chunk
    )
    done = encode_file(source, target, options)
    assert done is not None
    data = target.read_bytes()
    model = decode(data)
    model.render()
    began = time.monotonic()
    frames = model.render()
    fps = len(frames) / (time.monotonic() - began)
    report = compare(frames, read_video(source, FRAMES, SCALE).frames, len(data))
    first = model.videos[0].spec
    return {
        "model": name, "asked_bpp": bpp, "bytes": len(data), "bpp": round(report.bpp, 5), "psnr_rgb": round(report.psnr_rgb, 3),
        "ms_ssim_rgb": round(report.ms_ssim_rgb or 0, 4), "weights": len(model.videos) * weights(model.spec, first),
        "mac_per_pixel": round(macs_per_pixel(model.spec, first)), "steps": done.steps, "step_ms": round(1e3 * done.step_seconds, 1),
        "seconds": round(done.seconds, 1), "decode_fps": round(fps),
    }  # fmt: skip


def main() -> None:
    """Every row that is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--models", default=",".join(NAMES))
    parser.add_argument("--clips", default=",".join(CLIPS))
    parser.add_argument("--out", type=Path, default=Path("family-files"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    prepare_jax()
    rows: list[Mapping[str, object]] = [*read_rows(TABLE)]
    for title in options.clips.split(","):
        for bpp in RATES:
            for name in options.models.split(","):
                if any((row["clip"], row["model"], row["asked_bpp"]) == (title, name, str(bpp)) for row in rows):
                    continue
                rows.append({"clip": title} | measured(name, clip(CLIPS[title]), bpp, options.seconds, options.out))
                print(rows[-1], flush=True)
                write_rows(TABLE, rows)


if __name__ == "__main__":
    main()
