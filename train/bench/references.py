"""Curves that were measured elsewhere, such as a paper's: drawn beside the measured ones, never compared in figures."""

import csv
from dataclasses import dataclass
from pathlib import Path

from inr.errors import InputError


@dataclass(frozen=True)
class ReferencePoint:
    """A point of a codec's curve. `clip` is the name of the clip, or empty for a mean over several clips."""

    codec: str
    clip: str
    bpp: float
    psnr_rgb: float


def read_references(path: Path) -> tuple[ReferencePoint, ...]:
    """The points of the table `path`, a CSV with the columns codec, bpp, psnr_rgb, and optionally clip; InputError for any other file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, strict=True)
            points = tuple(ReferencePoint(row["codec"], row.get("clip") or "", float(row["bpp"]), float(row["psnr_rgb"])) for row in rows)
    except OSError as error:
        raise InputError("missing-input", f"--curves {path}: {error.strerror}", "the path of a CSV file") from error
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        what = f"--curves {path} is no CSV table with the columns codec, bpp, psnr_rgb"
        raise InputError("bad-curves", what, "a first line `codec,clip,bpp,psnr_rgb`; an empty clip means a mean over clips") from error
    if not points or min(point.bpp for point in points) <= 0:
        raise InputError("bad-curves", f"--curves {path} has no points, or one without a positive bpp", "rows with bpp above 0")
    return points
