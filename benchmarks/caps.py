"""Does `inr encode --target-size` keep its promise? Random caps over three tiny clips, each a real encode.

usage: INR_CLIPS=DIR python benchmarks/caps.py [--runs 50]        (DIR holds bunny-small.mkv; writes caps.csv)

A cap must never be exceeded, and be used to at least 97 %, unless it is refused up front (exit 6, no file) or the file
is better than 50 dB.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from bunny_small import clip

LEAST, MOST = 90, 9000  # bytes
LEAST_USED, RICH = 0.97, 50.0


def verdict(code: int, cap: int, last: dict) -> str:
    """What became of a cap."""
    if code == 6 and last["type"] == "error":
        return "refused"
    if code not in (0, 6) or last["bytes"] > cap:
        return "BROKEN"
    if last["bytes"] >= LEAST_USED * cap:
        return "used"
    return "above 50 dB" if last["psnr_rgb"] >= RICH else "UNDERUSED"


def main() -> None:
    """Encode at random caps and tabulate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    caps = np.exp(np.random.default_rng(0).uniform(np.log(LEAST), np.log(MOST), options.runs)).astype(int).tolist()
    with as_file(files("inr") / "sample" / "bunny.mp4") as sample, tempfile.TemporaryDirectory() as folder:
        sources = {
            "bunny-small 64x32, 8 frames": [clip("bunny-small.mkv"), "--scale", "64x32", "--frames", "0:8"],
            "bunny-small 64x32, an image": [clip("bunny-small.mkv"), "--scale", "64x32", "--frames", "16:17"],
            "sample 48x48, 6 frames": [sample, "--scale", "48x48", "--frames", "0:6"],
        }
        rows = []
        for index, cap in enumerate(caps):
            name = list(sources)[index % len(sources)]
            source, *arguments = sources[name]
            out = Path(folder) / f"{index}.inr"
            command = [sys.executable, "-m", "train", "encode", str(source), str(out), *arguments]
            began = time.monotonic()
            done = subprocess.run(
                [*command, "--target-size", str(cap), "--preset", "fast", "--json"], capture_output=True, text=True, check=False
            )
            last = json.loads(done.stdout.splitlines()[-1])
            row = {
                "clip": name, "cap": cap, "exit": done.returncode, "bytes": last.get("bytes"), "psnr_rgb": last.get("psnr_rgb"),
                "seconds": round(time.monotonic() - began, 1), "verdict": verdict(done.returncode, cap, last),
            }  # fmt: skip
            if out.exists() and out.stat().st_size != last["bytes"]:
                row["verdict"] = "BROKEN"
            rows.append(row)
            print(row, flush=True)
    with (Path(__file__).parent / "caps.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    counts = {kind: sum(row["verdict"] == kind for row in rows) for kind in dict.fromkeys(row["verdict"] for row in rows)}
    print(counts)


if __name__ == "__main__":
    main()
