"""A comparison as one page that needs nothing beside it: no network, no kernel, no server."""

import io
import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from PIL import Image

from codec.card import data_address
from codec.report.measuring import ComparedFile, Comparison
from inr.pixels import Frame

MOST_BYTES = 18_000_000  # of pictures, so that the page stays below 20 MB
MOST_FRAMES, FEWEST_FRAMES = 120, 8
WORST = 6
LOSSY = 92  # WebP's quality, where even FEWEST_FRAMES do not fit as they are


def page(comparison: Comparison, extra_commands: Sequence[str] = ()) -> str:
    """The HTML. Frames are spread over the video and include the worst ones; as they are, or said to be lossy."""
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
        "compared_files": [_facts_of(candidate) for candidate in comparison.compared_files],
        "commands": [*extra_commands, f"{comparison.command} -o report.html"],
    }
    template = (files("codec.report") / "page.html").read_text()
    # A name may hold "</script>"; in JSON "<" may be written otherwise.
    return template.replace("FACTS", json.dumps(facts).replace("<", "\\u003c"), 1)


def _facts_of(candidate: ComparedFile) -> dict[str, object]:
    report = candidate.report
    return {
        "name": candidate.name,
        "bytes": report.bytes,
        "bpp": report.bpp,
        "psnr": report.psnr_rgb,
        "psnr_of_mean": report.psnr_rgb_of_mean_mse,
        "ms_ssim": report.ms_ssim_rgb,
        "frame_psnr": [round(decibels, 3) for decibels in report.frame_psnr_rgb],
        "frame_bits": [round(bits) for bits in candidate.frame_bits],
        "parts": {name: round(size, 1) for name, size in candidate.parts.items()},
    }


def _pictures(comparison: Comparison) -> tuple[list[int], dict[str, list[str]], str]:
    """Which frames are kept, as data addresses by name, and in what form."""
    series = {f"source: {comparison.reference}": comparison.source.frames}
    series |= {candidate.name: candidate.frames for candidate in comparison.compared_files}
    worst, frames = comparison.worst(WORST), len(comparison.source)
    probe = sum(len(_webp(pictures[worst[0]], lossless=True)) for pictures in series.values())
    fitting = int(MOST_BYTES * 3 / 4 / max(probe, 1) / 1.15)
    lossless = fitting >= min(FEWEST_FRAMES, frames)
    count = min(frames, MOST_FRAMES, fitting if lossless else FEWEST_FRAMES)
    kept = _chosen(worst, frames, count)
    pictures = {name: [data_address(_webp(pictures[at], lossless), "webp") for at in kept] for name, pictures in series.items()}
    what = "exact pixels" if lossless else f"lossy WebP, quality {LOSSY}: look at single pixels in a decoded file"
    return kept, pictures, f"{len(kept)} of {frames} frames are in this page, {what}; figures are of all frames."


def _chosen(worst: Sequence[int], frames: int, count: int) -> list[int]:
    """`count` frames, the worst among them, the others spread evenly."""
    chosen = set(worst[: max(count // 2, 1)])
    for at in np.linspace(0, frames - 1, count).round().astype(int).tolist():
        if len(chosen) < count:
            chosen.add(at)
    return sorted(chosen)


def _webp(frame: Frame, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, "webp", lossless=lossless, quality=60 if lossless else LOSSY, method=2)
    return buffer.getvalue()
