"""inr/reference: the second renderer, in NumPy alone, agrees with the vectors and with JAX's, and needs no JAX."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_vectors import FOLDER

from codec.clip import open_file
from codec.decoder import decode
from inr.backend import Backend
from inr.errors import ResourceError

NAMES = sorted(path.stem for path in FOLDER.glob("*.inr"))
WITHOUT_JAX = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "flax", "optax", "orbax"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "jax" else found(name, package)
"""


@pytest.mark.parametrize("name", NAMES)
def test_pixels_of_a_vector_are_within_one_level(name: str):
    model, expected = decode((FOLDER / f"{name}.inr").read_bytes()), np.load(FOLDER / f"{name}.npy")
    rendered = model.render_entry(-1, backend=Backend.NUMPY)
    assert rendered.shape == expected.shape
    assert np.abs(rendered.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["drift", "ffnerv", "means", "nerv", "nirvana", "picture", "tree"])
def test_frames_between_two_frames_are_those_of_jax(name: str):
    model = decode((FOLDER / f"{name}.inr").read_bytes())
    times = [0, 0] if name == "picture" else [1.75, 0, 0.5, 1, 1.5]
    frames, expected = (model.render_entry(-1, times, backend).astype(int) for backend in (Backend.NUMPY, Backend.JAX))
    assert np.abs(frames - expected).max() <= 1


def test_frames_in_any_order_are_those_of_the_whole_video():
    clip = open_file(FOLDER / "tree.inr", backend=Backend.NUMPY)
    frames = clip[:]
    assert np.array_equal(clip[4], frames[4])
    assert np.array_equal(clip.model.render([5, 0, 3, 0], backend=Backend.NUMPY), frames[[5, 0, 3, 0]])


def without_jax(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_JAX + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)


def test_a_process_without_jax_decodes(tmp_path: Path):
    code = "from codec.cli import application; from codec.shell import run; sys.exit(run(application, sys.argv[1:]))"
    out = tmp_path / "canvas.npy"
    done = without_jax(code, "decode", str(FOLDER / "canvas.inr"), str(out))
    assert done.returncode == 0, done.stderr
    assert np.abs(np.load(out).astype(int) - np.load(FOLDER / "canvas.npy")).max() <= 1
    asked = without_jax(code, "decode", str(FOLDER / "canvas.inr"), str(tmp_path / "b.npy"), "--backend", "jax")
    assert asked.returncode == ResourceError.exit_code
    assert "JAX is not installed" in asked.stderr
    assert not (tmp_path / "b.npy").exists()


def test_a_fit_without_jax_says_what_is_missing(tmp_path: Path):
    code = "sys.argv[0] = 'inr'; from inr.command import main; main()"
    done = without_jax(code, "encode", str(FOLDER / "canvas.npy"), str(tmp_path / "a.inr"))
    assert done.returncode == ResourceError.exit_code
    assert "is not installed; this command needs it, a decoder does not" in done.stderr
    assert not list(tmp_path.iterdir())
