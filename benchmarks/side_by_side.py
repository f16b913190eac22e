"""Pictures fitted side by side: milliseconds of a step for each picture, against steps of one picture at a time.

    INR_CLIPS=DIR python benchmarks/side_by_side.py OUT.csv [--sides 32 64 128] [--counts 4 16 64] [--picture kodak/kodim14.png]

The pictures are squares of DIR's picture. Both ways take turns in one process; the figures are medians of ROUNDS rounds.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import jax
from clips import clip
from tables import write_rows

from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.config import FitConfig
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.fit.side_by_side import SideBySide
from train.plan.picture import picture_config, picture_spec, picture_values

ROUNDS, STEPS, BPP = 5, 4000, 1.0


def squares(picture: Video, side: int, count: int) -> list[Video]:
    """The first `count` squares of `picture`, row by row."""
    corners = [(y, x) for y in range(0, picture.height - side + 1, side) for x in range(0, picture.width - side + 1, side)]
    return [Video(picture.frames[:, y : y + side, x : x + side]) for y, x in corners[:count]]


def fitter(picture: Video) -> Fitter:
    """The fit of a picture at BPP bits per pixel, before its first step."""
    described = VideoSpec.of(picture)
    problem = Problem(picture_spec(described, BPP), described, picture_config(FitConfig(STEPS), BPP))
    return Fitter(problem, picture, initial_values=picture_values(picture.frames))


def milliseconds(fit: Fitter | SideBySide) -> float:
    """The duration of a step in the next chunk of steps."""
    began, before = time.monotonic(), fit.done
    fit.run_chunk()
    return 1e3 * (time.monotonic() - began) / (fit.done - before)


def row(picture: Video, side: int, count: int) -> dict[str, object]:
    """The measures of `count` squares."""
    parts = squares(picture, side, count)
    alone, together = fitter(parts[0]), SideBySide([fitter(part) for part in parts])
    began = time.monotonic()
    together.run_chunk()
    compiled = time.monotonic() - began
    alone.run_chunk()
    pairs = [(milliseconds(alone), milliseconds(together) / len(parts)) for _ in range(ROUNDS)]
    one, each = (median(values) for values in zip(*pairs, strict=True))
    return {
        "backend": jax.default_backend(),
        "side": side,
        "pictures": len(parts),
        "ms_alone": round(one, 3),
        "ms_side_by_side": round(each, 3),
        "times_faster": round(one / each, 2),
        "seconds_of_first_chunk": round(compiled, 1),
    }


def main() -> None:
    """Measure all sides and counts, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--counts", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--picture", default="kodak/kodim14.png")
    asked = parser.parse_args()
    prepare_jax()
    picture, rows = read_video(clip(asked.picture)), []
    for side in asked.sides:
        for count in asked.counts:
            rows.append(row(picture, side, count))
            print(rows[-1], flush=True)
            write_rows(asked.out, rows)


if __name__ == "__main__":
    main()
