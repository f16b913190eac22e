"""Decoding speed: frames of 1280x720 a second on this machine at three rates, compiled, and the seconds of work before that.

    python benchmarks/decode.py [--frames 48]

The network is the default one for each rate. Its weights are the initial ones, because the time does not depend on them. The script writes
benchmarks/decode.csv.
"""

import argparse
import time
from pathlib import Path

from tables import write_rows

from codec.decoder import decode
from codec.encoder import encode
from codec.model import QuantizedTensor, single_video
from codec.quantizer import quantize
from inr.cost import macs_per_pixel
from inr.network import initial_tensors
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from train.plan.network_size import modulated_spec

EXPONENT = -40  # of every step size
RATES = (0.01, 0.03, 0.1)  # bits per pixel


def main() -> None:
    """Encode, decode and render at each rate; the second rendering is the compiled one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=48)
    asked = parser.parse_args()
    prepare_jax()
    video, rows = VideoSpec(1280, 720, asked.frames), []
    for bpp in RATES:
        spec = modulated_spec(video, bpp)
        tensors = initial_tensors(spec, video, 0)
        data = encode(single_video(spec, video, {n: QuantizedTensor(quantize(t, EXPONENT), EXPONENT) for n, t in tensors.items()}))
        began = time.monotonic()
        model = decode(data)
        parsed = time.monotonic()
        model.render()
        first = time.monotonic()
        model.render()
        rows.append({
            "bpp": bpp, "mac_per_pixel": round(macs_per_pixel(spec, video)), "symbols_seconds": round(parsed - began, 3),
            "first_rendering_seconds": round(first - parsed, 2), "fps": round(video.frames / (time.monotonic() - first), 1),
        })  # fmt: skip
        print(rows[-1], flush=True)
    write_rows(Path(__file__).with_name("decode.csv"), rows)


if __name__ == "__main__":
    main()
