"""`inr demo`: encodes, decodes and measures the clip that comes with the package."""

import time
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import imageio.v3 as iio

from codec.comparison_image import comparison_image
from codec.decoder import decode
from codec.evaluation import compare
from codec.shell import say
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.writing import write_video
from train.cli.display import reporter
from train.encode.files import encode_file
from train.plan.options import encode_options

TARGET_BPP = 0.2  # bits per pixel
TIME_BUDGET = 100.0  # seconds


def run_demo(folder: Path, started: float, as_json: bool) -> dict[str, object]:
    """Encode, decode and measure the clip, with results in `folder`; returns the fields of the result line."""
    prepare_jax()
    folder.mkdir(exist_ok=True)
    target, copy, sheet = folder / "clip.inr", folder / "clip.mp4", folder / "original_decoded_difference.png"
    options = encode_options(target_bpp=TARGET_BPP, time_budget=TIME_BUDGET, started=started, overwrite=True)
    with as_file(files("inr") / "sample" / "bunny.mp4") as source:
        say("Big Buck Bunny, (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0")
        encode_file(source, target, options, reporter(as_json))
        original, source_bytes = read_video(source), source.stat().st_size
    data = target.read_bytes()
    decoded = decode(data).render()
    write_video(replace(original, frames=decoded), str(copy))
    middle = len(original) // 2
    iio.imwrite(sheet, comparison_image(original.frames[middle], decoded[middle]))
    report = compare(decoded, original.frames, len(data))
    raw = original.frames.nbytes
    say(f"source   {source_bytes:>9} bytes as H.264, {raw} as raw RGB: {original.width}x{original.height}, {len(original)} frames")
    say(f"{target}   {len(data)} bytes, {report.bpp:.4f} bpp: {raw / len(data):.0f} times smaller than raw, PSNR {report.psnr_rgb:.2f} dB")
    say(f"{copy}   decoded video      {sheet}   original, decoded frame and difference")
    facts: dict[str, object] = {"output": str(target)} | report.fields()
    facts |= {"width": original.width, "height": original.height, "frames": len(original), "fps": float(original.fps)}
    return facts | {"seconds": time.monotonic() - started}
