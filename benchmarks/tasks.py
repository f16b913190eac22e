"""Three other uses of a fitted network, each measured on two clips: frames between frames, inpainting, denoising.

    INR_CLIPS=DIR python benchmarks/tasks.py [--bpp 0.1] [--model cam]

Interpolation: every second frame is fitted, and the frames between them are rendered and measured. Inpainting: a mask covers five boxes
(at HNeRV's places, as large relative to the picture), and the picture inside them is measured. Denoising: the source is noisy, and the
result is measured against the clean source. Each has a simple rival: the mean of the two source frames around; boxes of the picture's mean
colour; a 3x3 median. The script writes benchmarks/tasks.csv.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from clips import PAIR
from jaxtyping import Bool
from tables import write_rows

from codec.decoder import decode
from codec.evaluation import mean_psnr
from codec.metrics import psnr
from codec.model import QuantizedModel
from inr.pixels import MAX_LEVEL, Frames
from inr.runtime import prepare_jax
from inr.video import Video
from inr.writing import write_video
from train.encode.run import encode_video
from train.plan.options import encode_options

DEVIATION = 15.0  # of the noise, in levels
PLACES = ((1 / 2, 1 / 2), (1 / 4, 1 / 4), (1 / 4, 3 / 4), (3 / 4, 1 / 4), (3 / 4, 3 / 4))  # of the boxes' centres: row, column
BOX = 50 / 640  # of the picture's height: HNeRV's boxes of 50 pixels


def fitted(video: Video, bpp: float, model: str, mask: Path | None = None) -> tuple[QuantizedModel, float]:
    """The model in the file of a fit of 2,500 steps, and its bits per pixel."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "task.inr"
        done = encode_video(video, target, encode_options(preset="fast", model=model, target_bpp=bpp, mask=mask))
        assert done is not None
        return decode(target.read_bytes()), done.report.bpp


def interpolation(video: Video, bpp: float, model: str) -> dict[str, object]:
    """The odd frames from a fit of the even ones."""
    even = replace(video, frames=video.frames[::2])
    found, used = fitted(even, bpp, model)
    hidden = video.frames[1:-1:2]
    rendered = found.render(np.arange(len(even) - 1) + 0.5)
    both = even.frames[:-1].astype(float), even.frames[1:].astype(float)
    mean = np.round((both[0] + both[1]) / 2).astype(np.uint8)
    return {
        "bpp": used, "psnr_fitted": mean_psnr(found.render(), even.frames), "psnr": mean_psnr(rendered, hidden),
        "rival": "mean of the source's frames around", "psnr_rival": mean_psnr(mean, hidden),
    }  # fmt: skip


def boxes(height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """True inside the boxes."""
    mask, side = np.zeros((height, width), bool), round(BOX * height)
    for row, column in PLACES:
        top, left = round(row * height - side / 2), round(column * width - side / 2)
        mask[top : top + side, left : left + side] = True
    return mask


def inpainting(video: Video, bpp: float, model: str) -> dict[str, object]:
    """The picture inside five boxes that the fit did not see."""
    hidden = boxes(video.height, video.width)
    holed = video.frames.copy()
    holed[:, hidden] = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.png"
        write_video(Video(np.repeat(MAX_LEVEL * hidden.astype(np.uint8)[None, ..., None], 3, axis=-1)), str(path))
        found, used = fitted(replace(video, frames=holed), bpp, model, path)
    frames = found.render()
    filled = video.frames.copy()
    filled[:, hidden] = np.round(video.frames[:, ~hidden].mean(axis=(0, 1))).astype(np.uint8)

    def inside(pictures: Frames) -> float:
        return psnr(float(np.mean(np.square(pictures[:, hidden].astype(float) - video.frames[:, hidden]))))

    return {
        "bpp": used, "psnr_fitted": mean_psnr(frames, video.frames), "psnr": inside(frames),
        "rival": "boxes of the mean colour", "psnr_rival": inside(filled),
    }  # fmt: skip


def denoising(video: Video, bpp: float, model: str) -> dict[str, object]:
    """The clean picture from a fit of the noisy one."""
    noise = DEVIATION * np.random.default_rng(0).standard_normal(video.frames.shape)
    noisy = np.clip(np.round(video.frames + noise), 0, MAX_LEVEL).astype(np.uint8)
    found, used = fitted(replace(video, frames=noisy), bpp, model)
    frames = found.render()
    edged = np.pad(noisy, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    around = [edged[:, i : i + video.height, j : j + video.width] for i in range(3) for j in range(3)]
    return {
        "bpp": used, "psnr_fitted": mean_psnr(frames, noisy), "psnr": mean_psnr(frames, video.frames),
        "rival": f"3x3 median; the noisy source has {mean_psnr(noisy, video.frames):.2f} dB",
        "psnr_rival": mean_psnr(np.median(around, axis=0).astype(np.uint8), video.frames),
    }  # fmt: skip


def main() -> None:
    """Run all tasks on both clips and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpp", type=float, default=0.1)
    parser.add_argument("--model", default="cam")
    asked = parser.parse_args()
    prepare_jax()
    rows = []
    for title, part in PAIR.items():
        video = part.read()
        for task in (interpolation, inpainting, denoising):
            found = task(video, asked.bpp, asked.model)
            rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}
            rows.append({"clip": title, "task": task.__name__, "model": asked.model, **rounded})
            print(rows[-1], flush=True)
    write_rows(Path(__file__).with_name("tasks.csv"), rows)


if __name__ == "__main__":
    main()
