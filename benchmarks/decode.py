"""How fast files decode: 720p frames a second on this machine, by rate, with and without what is done once a file.

    python benchmarks/decode.py [--frames 48]

The default network for each rate, with weights as initialised: the time does not depend on them. Writes benchmarks/decode.csv.
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
from train.plan.presets import modulated_spec

EXPONENT = -40  # of every step


def main() -> None:
    """Encode, decode and render; the second rendering is the compiled one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=48)
    options = parser.parse_args()
    prepare_jax()
    video, rows = VideoSpec(1280, 720, options.frames), []
    for bpp in (0.01, 0.03, 0.1):
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
    write_rows(Path(__file__).parent / "decode.csv", rows)


if __name__ == "__main__":
    main()
