"""Decoding speed: frames of 1280x720 a second on this machine, by JAX (compiled) and by NumPy, and the seconds of work before that.

    python benchmarks/decode.py [--frames 48]

Canvases: the default network at three rates, with its initial weights, because the time does not depend on them. A tree: one symbol in
fifty is not zero, of samples and of motion. The script writes benchmarks/decode.csv.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from tables import write_rows

from codec.decoder import decode
from codec.encoder import encode
from codec.model import QuantizedModel, QuantizedTensor, single_video
from codec.quantizer import quantize
from inr.backend import Backend
from inr.cost import macs_per_pixel
from inr.layout import tensor_shapes
from inr.network import initial_tensors
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from train.plan.network_size import modulated_spec
from train.plan.tree import tree_spec

EXPONENT = -40  # of every step size
RATES = (0.01, 0.03, 0.1)  # bits per pixel
FILLED, REPEATS = 0.02, 3  # share of a tree's symbols that are not zero; renderings of which the fastest counts


def canvas(video: VideoSpec, bpp: float) -> QuantizedModel:
    """The default network with a canvas at this rate."""
    spec = modulated_spec(video, bpp)
    tensors = initial_tensors(spec, video, 0)
    return single_video(spec, video, {n: QuantizedTensor(quantize(t, EXPONENT), EXPONENT) for n, t in tensors.items()})


def tree(video: VideoSpec) -> QuantizedModel:
    """A tree with few symbols that are not zero."""
    spec, generator, tensors = tree_spec(), np.random.default_rng(0), {}
    for name, shape in tensor_shapes(spec, video).items():
        filled = generator.random(shape) < (FILLED if name in ("bands", "motion") else 0)
        tensors[name] = QuantizedTensor(np.where(filled, generator.choice([-1, 1], shape), 0).astype(np.int32), 0)
    tensors["steps"] = QuantizedTensor(np.full(video.frames, -40, np.int32), -24)
    return single_video(spec, video, tensors)


def seconds(render: Callable[[], object]) -> float:
    """The shortest duration of some renderings."""
    durations = []
    for _ in range(REPEATS):
        began = time.monotonic()
        render()
        durations.append(time.monotonic() - began)
    return min(durations)


def main() -> None:
    """Encode, decode and render each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=48)
    asked = parser.parse_args()
    prepare_jax()
    video, rows = VideoSpec(1280, 720, asked.frames), []
    models = {f"canvas, {bpp} bpp": canvas(video, bpp) for bpp in RATES} | {"tree": tree(video)}
    for name, original in models.items():
        data = encode(original)
        began = time.monotonic()
        model = decode(data)
        parsed = time.monotonic()
        model.render()
        first = time.monotonic()
        rows.append({
            "network": name, "bytes": len(data), "mac_per_pixel": round(macs_per_pixel(model.spec, video)),
            "symbols_seconds": round(parsed - began, 3), "first_rendering_seconds": round(first - parsed, 2),
            "fps": round(video.frames / seconds(model.render), 1),
            "numpy_fps": round(video.frames / seconds(partial(model.render, backend=Backend.NUMPY)), 1),
        })  # fmt: skip
        print(rows[-1], flush=True)
    write_rows(Path(__file__).with_name("decode.csv"), rows)


if __name__ == "__main__":
    main()
