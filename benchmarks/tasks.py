"""What a fitted network is also good for, each with a number on two clips. Writes benchmarks/tasks.csv.

    INR_CLIPS=DIR python benchmarks/tasks.py [--bpp 0.1]

Frames between frames: every second frame is fitted, the others are rendered between them, and scored. Painting over: five boxes
are masked (HNeRV's places, as large against the picture), and the picture in them is scored. Noise: the source is noisy, the score
is against the clean one. Beside each the simplest rival: the mean of the two frames around; the boxes filled with the mean of the
picture; a 3x3 median.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from bunny_small import clip
from family import CLIPS, FRAMES, SCALE
from jaxtyping import Bool, UInt8
from tables import write_rows

from codec.decoder import decode
from codec.evaluation import mean_psnr
from codec.metrics import psnr
from codec.model import QuantizedModel
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.video import Video
from inr.writing import write_video
from train.encode.run import EncodeOptions, encode_video
from train.fit.target import RateTarget

DEVIATION = 15.0  # of the noise, in levels
PLACES = ((1 / 2, 1 / 2), (1 / 4, 1 / 4), (1 / 4, 3 / 4), (3 / 4, 1 / 4), (3 / 4, 3 / 4))
BOX = 50 / 640  # of the picture's height: HNeRV's boxes of 50 pixels

Frames = UInt8[np.ndarray, "t h w 3"]


def fitted(video: Video, bpp: float, model: str, mask: Path | None = None) -> tuple[QuantizedModel, float]:
    """The model in the file of a fit of 2,500 steps, and its bits per pixel."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "task.inr"
        done = encode_video(video, target, EncodeOptions(preset="fast", model=model, target=RateTarget(target_bpp=bpp), mask=mask))
        assert done is not None
        return decode(target.read_bytes()), done.report.bpp


def interpolation(video: Video, bpp: float, model: str) -> dict[str, object]:
    """The odd frames from a fit of the even ones."""
    even = replace(video, frames=video.frames[::2])
    found, used = fitted(even, bpp, model)
    hidden = video.frames[1:-1:2]
    rendered = found.render(np.arange(len(even) - 1) + 0.5)
    both = even.frames[:-1].astype(float), even.frames[1:].astype(float)
    blended = np.round((both[0] + both[1]) / 2).astype(np.uint8)
    return {
        "bpp": used, "psnr_fitted": mean_psnr(found.render(), even.frames), "psnr": mean_psnr(rendered, hidden),
        "rival": "mean of the source's frames around", "psnr_rival": mean_psnr(blended, hidden),
    }  # fmt: skip


def boxes(height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Where the boxes are."""
    mask, side = np.zeros((height, width), bool), round(BOX * height)
    for row, column in PLACES:
        top, left = round(row * height - side / 2), round(column * width - side / 2)
        mask[top : top + side, left : left + side] = True
    return mask


def inpainting(video: Video, bpp: float, model: str) -> dict[str, object]:
    """The picture under five boxes that the fit did not see."""
    hidden = boxes(video.height, video.width)
    holed = video.frames.copy()
    holed[:, hidden] = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.png"
        write_video(Video(np.repeat(255 * hidden.astype(np.uint8)[None, ..., None], 3, axis=-1)), str(path))
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
    noisy = np.clip(np.round(video.frames + noise), 0, 255).astype(np.uint8)
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
    """All tasks on all clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpp", type=float, default=0.1)
    parser.add_argument("--model", default="cam")
    options = parser.parse_args()
    prepare_jax()
    rows = []
    for title, name in CLIPS.items():
        video = read_video(clip(name), FRAMES, SCALE)
        for task in (interpolation, inpainting, denoising):
            found = task(video, options.bpp, options.model)
            rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}
            rows.append({"clip": title, "task": task.__name__, "model": options.model, **rounded})
            print(rows[-1], flush=True)
    write_rows(Path(__file__).parent / "tasks.csv", rows)


if __name__ == "__main__":
    main()
