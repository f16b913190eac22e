"""Imports go down the house and down the rooms of its top floor; decoders load nothing of the encoder; nothing grows too large."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"inr": {"inr"}, "codec": {"inr", "codec"}, "train": {"inr", "codec", "train"}}  # each floor, and the floors it may import
ROOMS = ("fit", "tree", "plan", "encode", "bundle", "bench", "batch", "cli")  # of train/: each may import itself and those before it
ENTRIES = {"train/__init__.py", "train/__main__.py"}  # these belong to no room: they only pass names on
TRAINING = {"optax", "orbax", "tensorboardX"}
PLOTTING = {"matplotlib", "scipy", "bjontegaard", "imageio_ffmpeg"}
MOST_LINES, MOST_PARAMETERS = 300, 6


def modules_of(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it, also inside functions; `from a import b` is both a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def python_files(folder: Path) -> list[Path]:
    """The project's Python files below a folder: none of hidden folders and build outputs."""
    found = [path for path in sorted(folder.rglob("*.py")) if not set(path.relative_to(ROOT).parts) & {"build", "dist"}]
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]


@pytest.mark.parametrize("floor", FLOORS)
def test_floors_import_downwards_only(floor: str):
    files = python_files(ROOT / floor)
    assert files
    for path in files:
        packages = {name.split(".")[0] for name in modules_of(path)}
        assert not packages & set(FLOORS) - FLOORS[floor], path
        assert floor == "train" or not packages & TRAINING, path


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_top_floor_import_downwards_only(room: str):
    files, above = python_files(ROOT / "train" / room), ROOMS[ROOMS.index(room) + 1 :]
    assert files
    for path in files:
        imported = {name.split(".")[1] for name in modules_of(path) if name.startswith("train.")}
        assert not imported & set(above), f"{path} imports from {imported & set(above)}"


def test_every_file_of_the_top_floor_is_in_a_room():
    files = {str(path.relative_to(ROOT)) for path in python_files(ROOT / "train")}
    assert {path.split("/")[1] for path in files - ENTRIES} == set(ROOMS)
    assert files >= ENTRIES


def test_only_the_entry_imports_the_command_line():
    for path in [*python_files(ROOT / "train"), *python_files(ROOT / "codec"), *python_files(ROOT / "inr")]:
        if path.parent != ROOT / "train" / "cli" and path != ROOT / "train" / "__main__.py":
            assert not any(name.startswith("train.cli") for name in modules_of(path)), path


def loaded_after(*statements: str) -> list[set[str]]:
    """The modules that a fresh process has loaded after each of several statements."""
    show = "print(json.dumps(sorted(sys.modules)))"
    code = "\n".join(["import json, sys", *(f"{statement}\n{show}" for statement in statements)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


def test_specs_and_decoders_load_no_jax_and_no_training():
    plain, files, rendering = loaded_after(
        "import inr.constants, inr.pixels, inr.spec, inr.layout",
        "import codec; codec.decode; codec.encode",
        "import inr.rendering",
    )
    assert not plain & {"jax", "flax", "codec", "train"}
    assert not files & (TRAINING | {"jax", "flax", "train"})
    assert "jax" in rendering
    assert not rendering & {"train", "inr.embedder"}  # Flax itself loads Optax and Orbax


def test_the_command_line_parses_without_heavy_libraries():
    (loaded,) = loaded_after("import train.cli.main")
    assert not loaded & (TRAINING | PLOTTING | {"jax", "flax", "av", "numpy"})


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Name and number of parameters, without self and cls, of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
            own = len(names) - (names[:1] in (["self"], ["cls"]))
            yield node.name, own + len(given.kwonlyargs) + (given.vararg is not None) + (given.kwarg is not None)


def test_functions_have_few_parameters():
    assert not {
        f"{path.relative_to(ROOT)}:{name}": count
        for floor in FLOORS
        for path in python_files(ROOT / floor)
        for name, count in functions_of(path)
        if count > MOST_PARAMETERS
    }


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files(ROOT)}
    assert len(lengths) > 100
    assert not {path: length for path, length in lengths.items() if length > MOST_LINES}
