"""Shared fixtures: a compilation cache, tiny clips, and the command line in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

CACHE = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", Path(tempfile.gettempdir()) / "inr-test-xla"))
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)  # read by JAX when it is imported, here and in child processes
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

from inr.video import Video  # noqa: E402  the environment comes first


def moving_square(frames: int = 6, height: int = 32, width: int = 48) -> Video:
    """A gradient with a bright square that moves: something a small network can learn in a few steps."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.empty((frames, height, width, 3), np.uint8)
    for index in range(frames):
        background = np.stack([4 * rows, 255 - 3 * columns, 2 * (rows + columns)], axis=-1) % 256
        square = (abs(rows - height // 2) < 6) & (abs(columns - 8 - 4 * index) < 6)
        pixels[index] = np.where(square[..., None], 230, background)
    return Video(pixels, name="square")


@pytest.fixture(scope="session")
def clip() -> Video:
    return moving_square()


@pytest.fixture(scope="session")
def clip_file(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip as a lossless mkv."""
    from inr.writing import write_video

    path = tmp_path_factory.mktemp("clips") / "square.mkv"
    write_video(clip, str(path))
    return path


@dataclass(frozen=True)
class Outcome:
    """A finished command: its exit code, its text, and the last JSON object it printed."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> dict:
        return json.loads(self.out.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def inr() -> Callable[..., Outcome]:
    """EncodePlan `inr` with arguments in a process of its own."""

    def run(*arguments: object, environment: dict[str, str] | None = None) -> Outcome:
        command = [sys.executable, "-m", "train", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **(environment or {})}, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def encoded(clip_file: Path, inr: Callable[..., Outcome]) -> tuple[Path, Outcome]:
    """The clip encoded by the command line in a few hundred steps, and what it said."""
    target = clip_file.with_suffix(".inr")
    outcome = inr("encode", clip_file, target, "--preset", "fast", "--target-bpp", "1.5", "--time-budget", "30s", "--json")
    assert outcome.code == 0, outcome.err
    return target, outcome
