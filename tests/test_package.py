"""The wheel holds three packages, the format page, the sample and its credit, and nothing else."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_three_packages(tmp_path: Path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"inr", "codec", "train"}
    assert {"codec/FORMAT.md", "codec/report/page.html", "inr/sample/bunny.mp4", "inr/sample/CREDITS.md"} <= set(names)


def test_the_script_and_the_public_names_exist():
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["inr"].split(":")
    assert callable(getattr(import_module(module), function))
    for package in map(import_module, ("inr", "codec", "train")):
        assert package.__all__
        for name in package.__all__:
            assert getattr(package, name).__name__ == name


def test_the_readme_gives_two_commands_that_set_themselves_up():
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert commands[0].endswith("inr demo")
    assert commands[1].endswith("pytest")
    assert all("pip install" in command and "&&" in command for command in commands)


def test_the_tree_names_no_index_and_no_machine():
    for path in [*ROOT.glob("*.toml"), *ROOT.glob(".ci/*"), *ROOT.glob("*.md")]:
        assert not re.search(r"index-url|/simple/|file://", path.read_text()), path
