"""Shared fixtures: a cache of compiled programs, tiny clips, the command line, and one encoded file."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import hypothesis
import numpy as np
import pytest

CACHE = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", Path(tempfile.gettempdir()) / "inr-test-xla"))
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)  # read by JAX when it is imported, here and in child processes
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

from inr.video import Video  # noqa: E402  the environment comes first

# No test depends on the time that it takes, or leaves files in the tree.
hypothesis.settings.register_profile("inr", deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("inr")

ENCODE_OPTIONS = (
    "--model",
    "cam",
    "--preset",
    600,
    "--target-bpp",
    1.5,
)  # of the shared encoded file: enough steps to land on its cap at once
PATIENCE = 600  # seconds after which a process of a test counts as stuck


def moving_square(frames: int = 6, height: int = 32, width: int = 48) -> Video:
    """A gradient with a bright square that moves: something that a small network learns in a few steps."""
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
    """A finished command: its exit code, its text, and the last JSON object that it printed."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> dict:
        return json.loads(self.out.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def inr() -> Callable[..., Outcome]:
    """`inr` with the given arguments, in this process: the entry is the program's own, and a new process takes seconds to start."""
    from codec.shell import run
    from train.cli.main import application

    def run_inr(*arguments: object) -> Outcome:
        with ExitStack() as stack:
            for module in ("codec.shell", "codec.cli", "train.cli.arguments", "train.cli.bundle", "train.cli.main"):
                stack.enter_context(patch(f"{module}.STARTED", time.monotonic()))
            stack.enter_context(patch("codec.interruption.GRACE", PATIENCE))  # a slow machine must not end the tests
            out, err = (stack.enter_context(redirect(io.StringIO())) for redirect in (redirect_stdout, redirect_stderr))
            words = list(map(str, arguments))
            stack.enter_context(patch.object(sys, "argv", ["inr", *words]))
            code = run(application, words)
        return Outcome(code, out.getvalue(), err.getvalue())

    return run_inr


@pytest.fixture(scope="session")
def inr_process() -> Callable[..., Outcome]:
    """`python -m MODULE` with the given arguments in a process of its own; `environment` is added to this process's."""

    def run_process(module: str, *arguments: object, environment: dict[str, str] | None = None, cwd: Path | None = None) -> Outcome:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        settings = {**os.environ, **(environment or {})}
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=settings, cwd=cwd, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run_process


@pytest.fixture(scope="session")
def encoded(clip_file: Path, inr: Callable[..., Outcome]) -> tuple[Path, Outcome]:
    """The clip encoded by the command line, and the outcome of the command."""
    target = clip_file.with_suffix(".inr")
    outcome = inr("encode", clip_file, target, *ENCODE_OPTIONS, "--json")
    assert outcome.code == 0, outcome.err
    return target, outcome
