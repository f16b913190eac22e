"""Imports go down the house only, and the decoder carries nothing of the encoder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {"inr": {"inr"}, "codec": {"inr", "codec"}, "train": {"inr", "codec", "train"}}
TRAINING = {"optax", "orbax", "tensorboardX"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("floor", BELOW)
def test_imports_go_down(floor: str):
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    for path in files:
        up = imported(path) & set(BELOW) - BELOW[floor]
        assert not up, f"{path} imports {up}"
        if floor != "train":
            assert not imported(path) & TRAINING, f"{path} imports training libraries"


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split())


def test_importing_codec_loads_no_jax_and_no_training():
    assert not loaded_after("import codec; codec.decode; codec.encode") & (TRAINING | {"jax", "flax", "train"})


def test_the_command_line_parses_without_jax():
    assert not loaded_after("import train.cli.main") & (TRAINING | {"jax", "flax", "av", "numpy"})


def test_the_decoder_never_loads_the_embedder():
    code = "import sys, inr.rendering, codec.decoder; print('inr.embedder' in sys.modules, 'train' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.split() == ["False", "False"]
