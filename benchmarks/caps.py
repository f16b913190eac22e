"""Random caps for `inr encode --target-size` on three tiny clips. Each is a real encode.

    INR_CLIPS=DIR python benchmarks/caps.py [--runs 50]        (DIR holds bunny-small.mkv)

A file must never be larger than its cap. It must use at least 97 % of the cap, unless the cap is refused before the fit (exit code 6, no
file) or the file is better than 50 dB. The script writes benchmarks/caps.csv.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from clips import clip
from tables import write_rows

from inr.errors import TargetMissed

LEAST, MOST = 90, 9000  # bytes
LEAST_USED, RICH = 0.97, 50.0  # share of a cap, decibels


def verdict(code: int, cap: int, last: dict) -> str:
    """The outcome of a cap in a word, from the encode's exit code and its last line."""
    if code == TargetMissed.exit_code and last["type"] == "error":
        return "refused"
    if code not in (0, TargetMissed.exit_code) or last["bytes"] > cap:
        return "BROKEN"
    if last["bytes"] >= LEAST_USED * cap:
        return "used"
    return "above 50 dB" if last["psnr_rgb"] >= RICH else "UNDERUSED"


def encoded(cap: int, source: Path, out: Path, *options: str) -> dict[str, object]:
    """The outcome of one encode at a cap."""
    began = time.monotonic()
    command = [sys.executable, "-m", "train", "encode", str(source), str(out), *options]
    done = subprocess.run([*command, "--target-size", str(cap), "--preset", "fast", "--json"], capture_output=True, text=True, check=False)
    last = json.loads(done.stdout.splitlines()[-1])
    kept = verdict(done.returncode, cap, last)
    if out.exists() and out.stat().st_size != last["bytes"]:
        kept = "BROKEN"
    seconds = round(time.monotonic() - began, 1)
    return {"exit": done.returncode, "bytes": last.get("bytes"), "psnr_rgb": last.get("psnr_rgb"), "seconds": seconds, "verdict": kept}


def main() -> None:
    """Encode at random caps and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    asked = parser.parse_args()
    caps = np.exp(np.random.default_rng(0).uniform(np.log(LEAST), np.log(MOST), asked.runs)).astype(int).tolist()
    small = clip("bunny-small.mkv")
    with as_file(files("inr") / "sample" / "bunny.mp4") as sample, tempfile.TemporaryDirectory() as folder:
        sources = {
            "bunny-small 64x32, 8 frames": (small, "64x32", "0:8"),
            "bunny-small 64x32, an image": (small, "64x32", "16:17"),
            "sample 48x48, 6 frames": (sample, "48x48", "0:6"),
        }
        rows = []
        for index, cap in enumerate(caps):
            name = list(sources)[index % len(sources)]
            source, scale, frames = sources[name]
            found = encoded(cap, source, Path(folder) / f"{index}.inr", "--scale", scale, "--frames", frames)
            rows.append({"clip": name, "cap": cap, **found})
            print(rows[-1], flush=True)
    write_rows(Path(__file__).with_name("caps.csv"), rows)
    print({kind: sum(row["verdict"] == kind for row in rows) for kind in dict.fromkeys(row["verdict"] for row in rows)})


if __name__ == "__main__":
    main()
