"""The cost and the result of each preset: bunny-small at 0.05 bits per pixel, each fit in a process of its own.

    INR_CLIPS=DIR python benchmarks/presets.py

The script writes benchmarks/presets.csv. `inr presets` shows seconds and PSNR from it: after a change, copy them into
`train/cli/preset_tables.py`.
"""

import argparse
import tempfile
from pathlib import Path

from clips import clip
from command_line import inr
from tables import write_rows

from train.plan.network_size import MEASURED_BPP
from train.plan.options import PRESETS

KEYS = ("steps", "bytes", "bpp", "psnr_rgb", "ms_ssim_rgb", "seconds", "step_seconds")


def main() -> None:
    """Fit a row for each preset and write the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for preset in PRESETS:
            target = Path(folder) / f"{preset}.inr"
            result = inr("encode", clip("bunny-small.mkv"), target, "--preset", preset, "--target-bpp", MEASURED_BPP)
            rows.append({"preset": preset, **{key: round(value, 4) for key in KEYS if (value := result[key]) is not None}})
            print(rows[-1], flush=True)
    write_rows(Path(__file__).with_name("presets.csv"), rows)


if __name__ == "__main__":
    main()
