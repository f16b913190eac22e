"""Batches: throughput, equal bytes, killed workers, killed batches, memory. OUT.csv gets a row for each kind.

    python benchmarks/batches.py OUT.csv [--only throughput kills memory pictures] [--seed 0]

Sources are crops of the sample clip: 16 pictures of 64x64, 14 clips of 8 frames, two corrupt files. `equal` counts the files with the bytes
of a run of `inr encode` by itself, with as many cores as a worker has.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
from tables import write_rows

from inr.reading import read_video
from inr.writing import write_video

SAMPLE = Path(__file__).parent.parent / "inr" / "sample" / "bunny.mp4"
PRESET, PICTURE_PRESET = "300", "600"
KILLS, KILL_AFTER = 5, (4.0, 12.0)  # kills in a batch, and the range of seconds between them
SHAPES = ((64, 96), (48, 80))  # of clips: height and width


def inr(*arguments: object, cores: int | None = None, wait: bool = True) -> subprocess.Popen:
    """A process of `inr`, on `cores` cores (None: all)."""
    environment = os.environ | ({} if cores is None else {"PJRT_NPROC": str(cores)})
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-m", "train", *map(str, arguments)], env=environment, stdout=quiet, stderr=quiet)
    if wait:
        process.wait()
    return process


def write_sources(folder: Path) -> Path:
    """Write 30 sources, two corrupt files and a table of them; returns the path of the table."""
    video = read_video(SAMPLE)
    names = []
    for index in range(16):
        names.append(f"picture{index:02}.png")
        down, right = 8 * (index % 8), 16 * (index // 2)
        iio.imwrite(folder / names[-1], video.frames[index, down : down + 64, right : right + 64])
    for index in range(14):
        height, width = SHAPES[index % 2]
        names.append(f"clip{index:02}.mkv")
        part = video.frames[index : index + 8, 4 * index : 4 * index + height, 8 * index : 8 * index + width]
        write_video(replace(video, frames=part, name=""), str(folder / names[-1]))
    (folder / "corrupt.png").write_bytes(b"no picture")
    (folder / "cut.mkv").write_bytes((folder / names[-1]).read_bytes()[:200])
    names[4:4], names[20:20] = ["corrupt.png"], ["cut.mkv"]
    table = folder / "jobs.csv"
    table.write_text("source\n" + "\n".join(names) + "\n")
    return table


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of the files of a batch, or of a folder of files, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.inr"))}


class Runs:
    """The kinds of rows. `expected` are the files of lone runs with one core."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "sources").mkdir()
        self.table = write_sources(folder / "sources")
        self.expected: dict[str, bytes] = {}
        self.rows: list[dict[str, object]] = []

    def row(self, kind: str, out: Path, seconds: float, note: str = "") -> None:
        """Add a row about the batch in the folder `out`."""
        found = files(out)
        equal = sum(found[name] == data for name, data in self.expected.items() if name in found)
        failed = len(list(out.glob("items/*/failure.json")))
        rate = round(60 * len(found) / seconds, 1)
        row = {"kind": kind, "files": len(found), "failed": failed, "equal": equal, "seconds": round(seconds, 1), "items_a_minute": rate}
        self.rows.append({**row, "note": note})
        print(self.rows[-1], flush=True)

    def batch(self, out: Path, *flags: object, wait: bool = True) -> subprocess.Popen:
        """A process that runs the batch."""
        return inr("batch", "run", self.table, "-o", out, "--preset", PRESET, "--cpus", 1, *flags, wait=wait)

    def throughput(self) -> None:
        """Lone runs, one worker, two workers, Ray; a first batch compiles everything."""
        self.batch(self.folder / "warm", "--workers", 2)
        out, began = self.folder / "lone", time.monotonic()
        out.mkdir()
        for name in self.table.read_text().split()[1:]:
            inr("encode", self.table.parent / name, out / f"{Path(name).stem}.inr", "--preset", PRESET, cores=1)
        self.expected = files(out)
        self.row("lone runs, one core", out, time.monotonic() - began)
        for kind, flags in (("1 worker", ("--workers", 1)), ("2 workers", ("--workers", 2)), ("Ray", ("--backend", "ray"))):
            out, began = self.folder / kind, time.monotonic()
            self.batch(out, *flags)
            self.row(kind, out, time.monotonic() - began, "with the start of Ray" if kind == "Ray" else "")

    def kills(self) -> None:
        """Workers are killed at random moments; then the whole batch is."""
        for number in range(5):
            out, began = self.folder / f"killed{number}", time.monotonic()
            process = self.batch(out, "--workers", 2, "--retries", KILLS, wait=False)
            killed = 0
            while process.poll() is None:
                time.sleep(random.uniform(*KILL_AFTER))
                if killed < KILLS and (workers := children(process.pid)):
                    os.kill(random.choice(workers), signal.SIGKILL)
                    killed += 1
            self.row(f"2 workers, batch {number + 1} with killed workers", out, time.monotonic() - began, f"{killed} kills")
        out, began = self.folder / "rerun", time.monotonic()
        process = self.batch(out, "--workers", 2, wait=False)
        time.sleep(random.uniform(15, 25))
        process.kill()
        process.wait()
        before = {path: path.stat().st_mtime_ns for path in out.glob("items/*/*.inr")}
        self.batch(out, "--workers", 2)
        touched = sum(path.stat().st_mtime_ns != stamp for path, stamp in before.items())
        note = f"{len(before)} files were there when the batch was killed, {touched} of them were written again"
        self.row("whole batch killed and run again", out, time.monotonic() - began, note)

    def pictures(self) -> None:
        """64 pictures of 64x64: own commands, one command, workers, packed."""
        folder, video = self.folder / "pictures", read_video(SAMPLE)
        folder.mkdir()
        for index in range(64):
            down, right = 8 * (index % 8), 24 * (index // 8)
            iio.imwrite(folder / f"{index:02}.png", video.frames[index % len(video), down : down + 64, right : right + 64])
        paths = sorted(folder.glob("*.png"))
        commands: dict[str, Callable[[Path], object]] = {
            "64 pictures, warming up": lambda out: inr("batch", "run", *paths[:8], "-o", out, "--preset", PICTURE_PRESET),
            "64 pictures, a command each": lambda out: [
                inr("encode", path, out / f"{path.stem}.inr", "--preset", PICTURE_PRESET) for path in paths
            ],
            "64 pictures, 1 worker with 2 cores": lambda out: inr(
                "batch", "run", *paths, "-o", out, "--preset", PICTURE_PRESET, "--workers", 1
            ),
            "64 pictures, 2 workers": lambda out: inr("batch", "run", *paths, "-o", out, "--preset", PICTURE_PRESET),
            "64 pictures, 2 workers, packed by 32": lambda out: inr(
                "batch", "run", *paths, "-o", out, "--preset", PICTURE_PRESET, "--pack", 32
            ),
        }
        self.expected = {}
        for kind, run in commands.items():
            out, began = self.folder / kind, time.monotonic()
            out.mkdir()
            run(out)
            self.row(kind, out, time.monotonic() - began)
            if "each" in kind:
                self.expected = files(out)

    def memory(self) -> None:
        """The memory of the two workers of a batch of 200 pictures of ten sizes."""
        folder, video = self.folder / "many", read_video(SAMPLE)
        folder.mkdir()
        for index in range(200):
            side = 24 + 4 * (index % 10)
            down, right = index % 8, index // 8
            iio.imwrite(folder / f"{index:03}.png", video.frames[index % len(video), down : down + side, right : right + side])
        out, began, peaks = self.folder / "memory", time.monotonic(), list[tuple[int, float]]()
        process = inr("batch", "run", folder / "*.png", "-o", out, "--preset", 50, wait=False)
        while process.poll() is None:
            done = len(list(out.glob("items/*/result.json")))
            peaks.append((done, sum(map(resident, [process.pid, *children(process.pid)]))))
            time.sleep(1)
        means = [[size for done, size in peaks if low < done <= low + 50] for low in range(0, 200, 50)]
        note = "MB of the batch and its workers in each quarter: " + ", ".join(f"{max(part):.0f}" for part in means if part)
        self.expected = {}
        self.row("200 pictures of ten sizes, 2 workers", out, time.monotonic() - began, note)


def children(process: int) -> list[int]:
    """The numbers of the processes that a process has started."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False)
    return [int(number) for number in found.stdout.split()]


def resident(process: int) -> float:
    """The resident memory of a process in megabytes; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--only", nargs="+", choices=("throughput", "kills", "pictures", "memory"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        for kind in arguments.only or ("throughput", "kills", "pictures", "memory"):
            getattr(runs, kind)()
        write_rows(arguments.table, runs.rows)


if __name__ == "__main__":
    main()
