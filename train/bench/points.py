"""Measured points: a table of them on disk, and the loop that measures the missing ones."""

import csv
import io
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from codec.evaluation import Report
from inr.errors import InputError, TargetMissed
from inr.files import write_atomically
from train.bench.plan import Job, Plan


@dataclass(frozen=True)
class Point:
    """A row of the results.

    Seconds are wall-clock time. `encode_seconds` is None for a fit that was resumed from a checkpoint.
    """

    clip: str
    pixels: str
    codec: str
    label: str
    version: str
    threads: int
    width: int
    height: int
    frames: int
    bytes: int
    bpp: float
    psnr_rgb: float
    psnr_rgb_of_mean_mse: float
    ms_ssim_rgb: float | None
    encode_seconds: float | None
    decode_seconds: float
    macs_per_pixel: float | None
    steps: int | None
    stream: str
    command: str

    @property
    def line(self) -> str:
        """The point as a line of text."""
        seconds = "" if self.encode_seconds is None else f", encoded in {self.encode_seconds:.1f} s"
        return f"{self.clip}  {self.codec} {self.label}: {self.bytes} bytes, {self.bpp:.4f} bpp, {self.psnr_rgb:.2f} dB{seconds}"


@dataclass(frozen=True)
class MeasuredJob:
    """The measurements of one job; the report is that of the stream's bytes on disk."""

    report: Report
    encode_seconds: float | None
    decode_seconds: float
    macs_per_pixel: float | None = None
    steps: int | None = None

    def point(self, job: Job, folder: Path) -> Point:
        """The row of these measurements of `job` in the results."""
        clip, spec, report = job.clip, job.clip.spec, self.report
        return Point(
            clip=clip.name, pixels=clip.pixels, codec=job.codec.name, label=job.label, version=job.version, threads=job.threads,
            width=spec.width, height=spec.height, frames=spec.frames, bytes=report.bytes, bpp=report.bpp, psnr_rgb=report.psnr_rgb,
            psnr_rgb_of_mean_mse=report.psnr_rgb_of_mean_mse, ms_ssim_rgb=report.ms_ssim_rgb, encode_seconds=self.encode_seconds,
            decode_seconds=self.decode_seconds, macs_per_pixel=self.macs_per_pixel, steps=self.steps,
            stream=job.stream, command=job.command(folder),
        )  # fmt: skip


class Results:
    """The table `results.csv` of a folder. It holds every point that was ever measured there."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / "results.csv"
        self._points = {point.stream: point for point in read_points(self.path)} if self.path.is_file() else {}

    def finished(self, job: Job) -> Point | None:
        """The point of a job that was run before, if its stream still exists with the same size; else None."""
        point = self._points.get(job.stream)
        stream = self.folder / job.stream
        return point if point and stream.is_file() and stream.stat().st_size == point.bytes else None

    def add(self, point: Point) -> None:
        """Write a point to the table. It replaces an earlier point of the same stream."""
        self._points.pop(point.stream, None)
        self._points[point.stream] = point
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(field.name for field in fields(Point))
        writer.writerows(astuple(row) for row in self._points.values())
        write_atomically(self.path, table.getvalue().encode())


def read_points(path: Path) -> list[Point]:
    """The points of a table; InputError if it is not a table of this version."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, strict=True)
            return [Point(**{field.name: _value(field.type, row[field.name]) for field in fields(Point)}) for row in rows]
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError("foreign-results", f"'{path}' is not a table of points of this version", "another folder for -o") from error


def _value(kind: object, text: str) -> Any:
    """The value of a field of type `kind`; an empty text is None if the type allows it."""
    if kind is str:
        return text
    if text == "" and kind in (int | None, float | None):
        return None
    return int(text) if kind in (int, int | None) else float(text)


def measure(plan: Plan, run: Callable[[Job, Path], MeasuredJob], say: Callable[[str], None]) -> tuple[list[Point], list[str]]:
    """All points of a plan, and a message for each point whose rate is out of reach.

    `run` measures a point that is not in the results yet. `say` gets a line of text for each point.
    """
    results = Results(plan.folder)
    points: list[Point] = []
    left_out: list[str] = []
    for job in (job for clip in plan.clips for job in plan.jobs(clip)):
        if point := results.finished(job):
            say(f"{point.line}   (reused)")
        else:
            try:
                point = run(job, plan.folder).point(job, plan.folder)
            except TargetMissed as error:
                left_out.append(f"{job.clip.name}  {job.codec.name} {job.label}: {error.what}")
                say(f"left out: {left_out[-1]}")
                continue
            results.add(point)
            say(point.line)
        points.append(point)
    return points, left_out
