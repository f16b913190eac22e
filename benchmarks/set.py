"""Compares the bits of `inr encode` with those of x264 and x265 at equal PSNR, for each of eight clips and as geometric means.

    INR_CLIPS=DIR python benchmarks/set.py OUT [--time-budget 2m] [--rates 0.05 0.15]

DIR holds the eight clips (bunny.mkv, basketball.mkv, ...). Each fit is a process of its own, and its result stays in OUT, so the same
command continues after an interruption. The points of x264 and x265 are in benchmarks/set_hybrids.csv. The script writes benchmarks/set.csv
and prints the table of benchmarks/RESULTS.md.
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
FITTED, TARGET_MISSED = 0, 6  # exit codes of encodes that wrote a file


def main() -> None:
    """Fit the clips that OUT has no result of, compare, write the table, and print it as Markdown."""
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
                | {f"{codec}_ratio": round(float(ratio), 3) for codec, (ratio, _) in ratios.items()}
                | {f"{codec}_extrapolated": extrapolated for codec, (_, extrapolated) in ratios.items()}
            )
            print(rows[-1], file=sys.stderr, flush=True)
    write_rows(HERE / "set.csv", rows)
    print(markdown(rows))


def fit(source: Path, result: Path, rate: str, budget: str) -> dict:
    """The result line of one encode of `source` at `rate` bits per pixel, with the time budget `budget`.

    The result is read from the file `result` if an earlier run wrote it; otherwise, this function fits and writes it.
    """
    if not result.exists():
        words = ["encode", source, result.with_suffix(".inr"), "--target-bpp", rate, "--time-budget", budget, "--overwrite", "--json"]
        done = subprocess.run([sys.executable, "-m", "train", *map(str, words)], capture_output=True, text=True)
        if done.returncode not in (FITTED, TARGET_MISSED):
            sys.exit(f"{source.name}: exit {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-2000:]}")
        result.write_text(done.stdout.splitlines()[-1])
    return json.loads(result.read_text())


def bits_ratio(clip: str, codec: str, bpp: float, psnr: float) -> tuple[float, bool]:
    """The ratio of `bpp` to the bits per pixel that `codec` takes on `clip` at the same PSNR, `psnr` in decibels.

    The logarithm of the codec's rate is interpolated linearly in PSNR between its measured points, and extrapolated beyond them; the second
    result says whether it was extrapolated.
    """
    with (HERE / "set_hybrids.csv").open(newline="") as file:
        points = sorted(
            (float(row["psnr_rgb"]), float(row["bpp"])) for row in csv.DictReader(file) if (row["clip"], row["codec"]) == (clip, codec)
        )
    decibels, rates = (np.array(column) for column in zip(*points, strict=True))
    at = int(np.clip(np.searchsorted(decibels, psnr) - 1, 0, len(points) - 2))
    slope = math.log(rates[at + 1] / rates[at]) / (decibels[at + 1] - decibels[at])
    outside = not decibels[0] <= psnr <= decibels[-1]
    return bpp / (rates[at] * math.exp(slope * (psnr - decibels[at]))), outside


def ratio_text(row: dict, codec: str) -> str:
    """A ratio with two digits; '~' marks an extrapolated one."""
    return "~" * row[f"{codec}_extrapolated"] + f"{row[f'{codec}_ratio']:.2f}"


def markdown(rows: list[dict]) -> str:
    """The rows as a Markdown table: a line for each clip and a cell for each rate, then a line of geometric means.

    A last line names the best and the worst clip against x264.
    """
    rates = list(dict.fromkeys(row["target_bpp"] for row in rows))
    table = [["clip", *(f"{rate} bpp: PSNR, x264, x265" for rate in rates)]]
    for clip in CLIPS:
        mine = [row for row in rows if row["clip"] == clip]
        table.append([clip, *(f"{row['psnr_rgb']:.2f} dB, {', '.join(ratio_text(row, codec) for codec in FFMPEG_CODECS)}" for row in mine)])
    means = []
    for rate in rates:
        ratios = [[row[f"{codec}_ratio"] for row in rows if row["target_bpp"] == rate] for codec in FFMPEG_CODECS]
        means.append(", ".join(f"{math.exp(np.log(column).mean()):.2f}" for column in ratios))
    table.append(["**geometric mean**", *(f"**{mean}**" for mean in means)])
    over = {clip: np.mean([math.log(row["x264_ratio"]) for row in rows if row["clip"] == clip]) for clip in CLIPS}
    best, worst = (pick(over, key=lambda clip: over[clip]) for pick in (min, max))
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    lines.insert(1, "|---" * len(table[0]) + "|")
    last = f"Against x264, all rates: best {best} {math.exp(over[best]):.2f}, worst {worst} {math.exp(over[worst]):.2f}"
    return "\n".join([*lines, "", last])


if __name__ == "__main__":
    main()
