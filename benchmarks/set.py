"""The set of eight: bits of `inr encode` against x264's and x265's at equal PSNR, clip by clip and as geometric means.

    INR_CLIPS=DIR python benchmarks/set.py OUT [--time-budget 2m] [--rates 0.05 0.15]

DIR holds the eight clips (bunny.mkv, basketball.mkv, ...). Each fit is a process of its own and its result stays in OUT,
so the same command continues where it was stopped. The hybrids' points are in set_hybrids.csv. Writes benchmarks/set.csv.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from tables import write_rows

HERE = Path(__file__).parent
CLIPS = ("bunny", "basketball", "tennis", "calendar", "carphone", "blocks", "bmx", "blackswan")
FFMPEG_CODECS = ("x264", "x265")
FITTED, TARGET_MISSED = 0, 6  # exit codes that leave a file to measure


def main() -> None:
    """Fit what OUT lacks, compare, write the table, print it as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--time-budget", default="2m")
    parser.add_argument("--rates", nargs="+", default=["0.05", "0.15"])
    arguments = parser.parse_args()
    folder = os.environ.get("INR_CLIPS")
    if not folder or not all((Path(folder) / f"{clip}.mkv").exists() for clip in CLIPS):
        sys.exit("skipped: INR_CLIPS is unset or lacks a clip of the set")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for rate in arguments.rates:
        for clip in CLIPS:
            result = fit(Path(folder) / f"{clip}.mkv", arguments.out / f"{clip}-{rate}.json", rate, arguments.time_budget)
            ratios = {codec: bits_ratio(clip, codec, result["bpp"], result["psnr_rgb"]) for codec in FFMPEG_CODECS}
            rows.append(
                {"clip": clip, "target_bpp": rate, "time_budget": arguments.time_budget}
                | {name: result[name] for name in ("bytes", "bpp", "psnr_rgb", "steps")}
                | {f"{codec}_ratio": round(ratio, 3) for codec, ratio in ratios.items()}
            )
            print(rows[-1], file=sys.stderr, flush=True)
    write_rows(HERE / "set.csv", rows)
    print(markdown(rows))


def fit(source: Path, result: Path, rate: str, budget: str) -> dict:
    """The result line of one encode; read from `result` where an earlier run left it there."""
    if not result.exists():
        words = ["encode", source, result.with_suffix(".inr"), "--target-bpp", rate, "--time-budget", budget, "--overwrite", "--json"]
        done = subprocess.run([sys.executable, "-m", "train", *map(str, words)], capture_output=True, text=True)
        if done.returncode not in (FITTED, TARGET_MISSED):
            sys.exit(f"{source.name}: exit {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-2000:]}")
        result.write_text(done.stdout.splitlines()[-1])
    return json.loads(result.read_text())


def bits_ratio(clip: str, codec: str, bpp: float, psnr: float) -> float:
    """Our bits over a hybrid's at the same PSNR: log(bpp) is linear in PSNR between its points, and beyond its ends."""
    with (HERE / "set_hybrids.csv").open(newline="") as file:
        points = sorted(
            (float(row["psnr_rgb"]), float(row["bpp"])) for row in csv.DictReader(file) if (row["clip"], row["codec"]) == (clip, codec)
        )
    decibels, rates = (np.array(column) for column in zip(*points, strict=True))
    at = int(np.clip(np.searchsorted(decibels, psnr) - 1, 0, len(points) - 2))
    slope = math.log(rates[at + 1] / rates[at]) / (decibels[at + 1] - decibels[at])
    return bpp / (rates[at] * math.exp(slope * (psnr - decibels[at])))


def markdown(rows: list[dict]) -> str:
    """One line a clip with both rates side by side, then the geometric means, the best and the worst clip."""
    rates = list(dict.fromkeys(row["target_bpp"] for row in rows))
    lines = [
        "| clip | " + " | ".join(f"{rate} bpp: PSNR, bits against x264, x265" for rate in rates) + " |",
        "|---" * (1 + len(rates)) + "|",
    ]
    for clip in CLIPS:
        mine = [row for row in rows if row["clip"] == clip]
        cells = [f"{row['psnr_rgb']:.2f} dB, {row['x264_ratio']:.2f}, {row['x265_ratio']:.2f}" for row in mine]
        lines.append(f"| {clip} | " + " | ".join(cells) + " |")
    means = []
    for rate in rates:
        ratios = [[row[f"{codec}_ratio"] for row in rows if row["target_bpp"] == rate] for codec in FFMPEG_CODECS]
        means.append(", ".join(f"{math.exp(np.log(column).mean()):.2f}" for column in ratios))
    lines.append("| **geometric mean** | " + " | ".join(f"**{mean}**" for mean in means) + " |")
    over = {clip: np.mean([math.log(row["x264_ratio"]) for row in rows if row["clip"] == clip]) for clip in CLIPS}
    best, worst = (pick(over, key=lambda clip: over[clip]) for pick in (min, max))
    return (
        "\n".join(lines)
        + f"\n\nAgainst x264, both rates: best {best} {math.exp(over[best]):.2f}, worst {worst} {math.exp(over[worst]):.2f}"
    )


if __name__ == "__main__":
    main()
