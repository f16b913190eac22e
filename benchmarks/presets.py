"""What presets take and give: bunny-small at 0.05 bits per pixel by each, in processes of their own. Writes benchmarks/presets.csv.

    INR_CLIPS=DIR python benchmarks/presets.py

`inr presets` shows these figures: after a change, copy them into `train/presets.py`.
"""

import tempfile
from pathlib import Path

from bunny_small import clip, inr
from tables import write_rows

from train.plan.presets import MEASURED_BPP, PRESETS

KEYS = ("steps", "bytes", "bpp", "psnr_rgb", "ms_ssim_rgb", "seconds", "step_seconds")


def main() -> None:
    """A row a preset."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for preset in PRESETS:
            target = Path(folder) / f"{preset}.inr"
            result = inr("encode", clip("bunny-small.mkv"), target, "--preset", preset, "--target-bpp", MEASURED_BPP)
            rows.append({"preset": preset, **{key: round(value, 4) for key in KEYS if (value := result[key]) is not None}})
            print(rows[-1], flush=True)
    write_rows(Path(__file__).parent / "presets.csv", rows)


if __name__ == "__main__":
    main()
