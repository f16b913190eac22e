"""Faults: processes of `inr` are killed and interrupted at random moments, and disks are full. OUT.csv gets a row for each kind.

    python benchmarks/faults.py OUT.csv [--times 20] [--only sigint-compilation ...]

Each process encodes a part of the sample clip. A kind counts how often the process ended as it should; `slowest` are the most seconds
between the signal and the end of the process. The kinds of full disks need a small file system to fill, whose folder `--small` gives
(Linux: mount -t tmpfs -o size=300k none DIR); without it, they are left out.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tables import write_rows

from codec.decoder import decode
from inr.errors import InrError

SAMPLE = Path(__file__).parent.parent / "inr" / "sample" / "bunny.mp4"
FIT = ("--frames", "0:4", "--scale", "1/2", "--target-bpp", "0.2")
LIMIT = 5.0  # seconds from Ctrl-C to the end of the process


def inr(*arguments: object, cache: Path | None = None) -> subprocess.Popen:
    """A process of `inr`; `cache` is its folder of compiled programs (None: the user's)."""
    environment = os.environ | ({} if cache is None else {"JAX_COMPILATION_CACHE_DIR": str(cache)})
    command = [sys.executable, "-m", "train", *map(str, arguments)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    # A script in the background of a shell ignores SIGINT, and its processes would too.
    return subprocess.Popen(command, env=environment, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes)


def ended_by(process: subprocess.Popen, number: int, again: float | None = None) -> tuple[float, str]:
    """Send a signal, and again after `again` seconds; returns the seconds until the process ended, and its messages."""
    began = time.monotonic()
    process.send_signal(number)
    if again is not None:
        time.sleep(again)
        process.send_signal(number)
    messages = process.communicate()[1]
    return time.monotonic() - began, messages


def is_whole(path: Path) -> bool:
    """Whether there is no file at `path`, or one that decodes."""
    try:
        return not path.exists() or bool(decode(path.read_bytes()).videos)
    except InrError:
        return False


class Trials:
    """The trials of one run of this script: a folder, a generator of random moments, and how often each kind is tried."""

    def __init__(self, folder: Path, times: int, small: Path | None):
        self.folder, self.times, self.small, self.random = folder, times, small, random.Random(0)
        self.slowest, self.notes = 0.0, list[str]()

    def sigint_compilation(self) -> int:
        """Ctrl-C while the steps are compiled: the cache is empty, and the signal comes in the first ten seconds."""
        good = 0
        for trial in range(self.times):
            target, cache = self.folder / f"compiling{trial}.inr", self.folder / f"cache{trial}"
            process = inr("encode", SAMPLE, target, *FIT, cache=cache)
            time.sleep(self.random.uniform(0.5, 12.0))
            good += self._ended_well(process, target, ended_by(process, signal.SIGINT))
            shutil.rmtree(cache, ignore_errors=True)
        return good

    def sigint_fit(self) -> int:
        """Ctrl-C during a fit."""
        good = 0
        for trial in range(self.times):
            target = self.folder / f"fitting{trial}.inr"
            process = inr("encode", SAMPLE, target, *FIT)
            time.sleep(self.random.uniform(5.0, 20.0))
            good += self._ended_well(process, target, ended_by(process, signal.SIGINT))
        return good

    def sigint_twice(self) -> int:
        """Ctrl-C twice in a row."""
        good = 0
        for trial in range(self.times):
            target = self.folder / f"twice{trial}.inr"
            process = inr("encode", SAMPLE, target, *FIT)
            time.sleep(self.random.uniform(2.0, 15.0))
            good += self._ended_well(process, target, ended_by(process, signal.SIGINT, self.random.uniform(0.05, 0.5)))
        return good

    def sigint_landing(self) -> int:
        """Ctrl-C in the landing of --target-psnr: a short fit, whose rate control then needs many attempts."""
        good = 0
        for trial in range(self.times):
            target = self.folder / f"landing{trial}.inr"
            options = ("--frames", "0:4", "--scale", "1/2", "--target-psnr", 30, "--preset", 300)
            process = inr("encode", SAMPLE, target, *options)
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("rate control"):
                    break
            time.sleep(self.random.uniform(0.0, 2.0))
            good += self._ended_well(process, target, ended_by(process, signal.SIGINT))
        return good

    def _ended_well(self, process: subprocess.Popen, target: Path, outcome: tuple[float, str]) -> bool:
        seconds, messages = outcome
        self.slowest = max(self.slowest, seconds)
        good = process.returncode in (-signal.SIGINT, 0) and seconds <= LIMIT and is_whole(target) and "Traceback" not in messages
        if not good:
            self.notes.append(f"exit {process.returncode} after {seconds:.1f} s: {messages.strip().splitlines()[-1:]}")
        return good

    def sigkill_fit(self) -> int:
        """A kill during a fit; the same command then ends with the bytes of a run that nobody killed."""
        options = ("--frames", "0:4", "--scale", "1/2", "--target-bpp", "0.2", "--preset", 400)
        clean = self.folder / "clean.inr"
        inr("encode", SAMPLE, clean, *options).communicate()
        good = 0
        for trial in range(self.times):
            target = self.folder / f"killed{trial}.inr"
            process = inr("encode", SAMPLE, target, *options)
            time.sleep(self.random.uniform(2.0, 12.0))
            ended_by(process, signal.SIGKILL)
            whole = is_whole(target)
            again = inr("encode", SAMPLE, target, *options)
            messages = again.communicate()[1]
            if whole and again.returncode == 0 and target.read_bytes() == clean.read_bytes():
                good += 1
            else:
                self.notes.append(f"exit {again.returncode}: {messages.strip().splitlines()[-1:]}")
        return good

    def two_bundle_adds(self) -> int:
        """Two processes that add to one bundle at once: both videos are in it."""
        good = 0
        for trial in range(self.times):
            bundle = self.folder / f"bundle{trial}.inr"
            inr("bundle", "create", bundle).communicate()
            sources = [self.folder / f"{trial}{name}.mp4" for name in "ab"]
            for source in sources:
                shutil.copy(SAMPLE, source)
            options = ("--frames", "0:2", "--scale", "1/4", "--target-bpp", 1, "--preset", 60)
            processes = [inr("bundle", "add", bundle, source, *options) for source in sources]
            messages = [process.communicate()[1] for process in processes]
            names = {video.spec.name for video in decode(bundle.read_bytes()).videos}
            if names == {source.stem for source in sources} and not any(process.returncode for process in processes):
                good += 1
            else:
                self.notes.append(f"{names}: {[text.strip().splitlines()[-1:] for text in messages]}")
        return good

    def full_disk(self) -> int:
        """A full disk: each command says so with exit code 4 and leaves nothing half-written."""
        if self.small is None:
            raise FileNotFoundError
        vector = Path(__file__).parent.parent / "tests" / "vectors" / "cam.inr"
        filler, good = self.small / "filler", 0
        commands: list[Callable[[Path], tuple[object, ...]]] = [
            lambda folder: ("decode", vector, folder / "a.mkv"),
            lambda folder: ("decode", vector, folder / "a.y4m"),
            lambda folder: ("decode", vector, folder / "a.mp4"),
            lambda folder: ("decode", vector, folder / "f_%02d.png"),
            lambda folder: ("decode", vector, folder / "a.npy"),
            lambda folder: ("compare", "--ref", SAMPLE, SAMPLE, "-o", folder / "c.html"),
            lambda folder: ("eval", SAMPLE, "--ref", SAMPLE, "--per-frame", folder / "d.csv"),
            lambda folder: ("bundle", "create", folder / "b.inr"),
            lambda folder: ("retarget", vector, folder / "c.inr", "--target-size", "2570b"),
            lambda folder: ("encode", SAMPLE, folder / "d.inr", *FIT, "--preset", 60, "--workdir", self.folder / "work"),
        ]
        for command in commands:
            self._fill(filler)
            process = inr(*command(self.small))
            messages = process.communicate()[1]
            left = [path.name for path in self.small.rglob("*") if path.is_file() and path != filler]
            if process.returncode == 4 and not left and "Traceback" not in messages:
                good += 1
            else:
                self.notes.append(f"{command(self.small)[0]}: exit {process.returncode}, left {left}, {messages.strip().splitlines()[-1:]}")
        self.times = len(commands)
        return good

    def full_disk_of_states(self) -> int:
        """A full disk for the states of a fit only: the fit goes on, says so, and ends with its file."""
        if self.small is None:
            raise FileNotFoundError
        self._fill(self.small / "filler")
        good, self.times = 0, 1
        target = self.folder / "a.inr"
        process = inr("encode", SAMPLE, target, *FIT, "--preset", 200, "--workdir", self.small / "work")
        messages = process.communicate()[1]
        if process.returncode == 0 and target.exists() and is_whole(target) and "cannot be saved" in messages:
            good += 1
        else:
            self.notes.append(f"exit {process.returncode}: {messages.strip().splitlines()[-3:]}")
        return good

    @staticmethod
    def _fill(filler: Path) -> None:
        """Fill the file system of `filler` to its last byte."""
        filler.write_bytes(b"")
        with filler.open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue


KINDS = (
    "sigint_compilation",
    "sigint_fit",
    "sigint_twice",
    "sigint_landing",
    "sigkill_fit",
    "two_bundle_adds",
    "full_disk",
    "full_disk_of_states",
)


def main() -> None:
    """Try all kinds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=KINDS)
    parser.add_argument("--small", type=Path)
    asked, rows = parser.parse_args(), []
    for kind in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            trials = Trials(Path(folder), asked.times, asked.small)
            try:
                good = getattr(trials, kind)()
            except FileNotFoundError:
                print(f"{kind}: left out, --small gives no folder")
                continue
        rows.append({"kind": kind, "tried": trials.times, "as_it_should": good, "slowest": round(trials.slowest, 1)})
        print(rows[-1], *trials.notes, sep="\n  ", flush=True)
        write_rows(asked.out, rows)


if __name__ == "__main__":
    main()
