"""Writes a comparison as one HTML page that needs no other file, no network access and no server."""

import io
import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from PIL import Image

from codec.card import data_address
from codec.report.measuring import ComparedFile, Comparison
from inr.pixels import Frame

MOST_BYTES = 18_000_000  # the most bytes of pictures in a page, so that the page stays below 20 MB
MOST_FRAMES, FEWEST_FRAMES = 120, 8  # the most and the fewest frames that a page shows; a shorter video is shown whole
WORST = 6  # the number of frames with the lowest PSNR that a page lists
LOSSY = 92  # the quality of lossy WebP, used if FEWEST_FRAMES lossless frames exceed MOST_BYTES


def page(comparison: Comparison, extra_commands: Sequence[str] = ()) -> str:
    """The comparison as HTML. Its frames are spread over the video and include the frames with the lowest PSNR.

    The page says whether its frames are lossless. It lists `extra_commands` before the command that made the comparison.
    """
    kept, pictures, kept_as = _pictures(comparison)
    source = comparison.source
    facts = {
        "reference": comparison.reference,
        "width": source.width,
        "height": source.height,
        "frames": len(source),
        "kept": kept,
        "kept_as": kept_as,
        "pictures": pictures,
        "worst": comparison.worst(WORST),
        "compared_files": [_facts_of(file) for file in comparison.compared_files],
        "commands": [*extra_commands, f"{comparison.command} -o report.html"],
    }
    template = (files("codec.report") / "page.html").read_text()
    # A file's name can contain "</script>", which would end the script, so "<" is written as the JSON escape \u003c.
    return template.replace("FACTS", json.dumps(facts).replace("<", "\\u003c"), 1)


def _facts_of(file: ComparedFile) -> dict[str, object]:
    report = file.report
    return {
        "name": file.name,
        "bytes": report.bytes,
        "bpp": report.bpp,
        "psnr": report.psnr_rgb,
        "psnr_of_mean": report.psnr_rgb_of_mean_mse,
        "ms_ssim": report.ms_ssim_rgb,
        "frame_psnr": [round(decibels, 3) for decibels in report.frame_psnr_rgb],
        "frame_bits": [round(bits) for bits in file.frame_bits],
        "parts": {name: round(size, 1) for name, size in file.parts.items()},
    }


def _pictures(comparison: Comparison) -> tuple[list[int], dict[str, list[str]], str]:
    """The indices of the frames on the page, for each file the data URLs of these frames, and a sentence about their number and quality."""
    series = {f"source: {comparison.reference}": comparison.source.frames}
    series |= {file.name: file.frames for file in comparison.compared_files}
    worst, frames = comparison.worst(WORST), len(comparison.source)
    probe = sum(len(_webp(pictures[worst[0]], lossless=True)) for pictures in series.values())
    fitting = int(MOST_BYTES * 3 / 4 / max(probe, 1) / 1.15)
    lossless = fitting >= min(FEWEST_FRAMES, frames)
    count = min(frames, MOST_FRAMES, fitting if lossless else FEWEST_FRAMES)
    kept = _chosen(worst, frames, count)
    pictures = {name: [data_address(_webp(pictures[index], lossless), "webp") for index in kept] for name, pictures in series.items()}
    form = "exact pixels" if lossless else f"lossy WebP of quality {LOSSY}; judge single pixels in a decoded file"
    return kept, pictures, f"This page holds {len(kept)} of {frames} frames: {form}. The figures are those of all frames."


def _chosen(worst: Sequence[int], frames: int, count: int) -> list[int]:
    """The indices of `count` of all `frames` frames: up to half of them from `worst`, the others spread evenly over the video."""
    chosen = set(worst[: max(count // 2, 1)])
    for index in np.linspace(0, frames - 1, count).round().astype(int).tolist():
        if len(chosen) < count:
            chosen.add(index)
    return sorted(chosen)


def _webp(frame: Frame, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, "webp", lossless=lossless, quality=60 if lossless else LOSSY, method=2)
    return buffer.getvalue()
