"""The entry point of the command `inr`, which checks that no other file hides the packages `codec` and `train`."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent.resolve()  # the folder of the three packages
HIDDEN = 2  # exit code


def hiding_file(name: str) -> str | None:
    """The path of the file that Python would import as the package `name`, if it is not the one beside this package; it is not executed.

    The path is empty if there is no such package at all.
    """
    spec = find_spec(name)
    if spec is None:
        return ""
    origin = spec.origin or next(iter(spec.submodule_search_locations or []), "")
    own = ROOT / name
    return None if Path(origin).resolve() in (own, own / "__init__.py") else origin


def check_packages(*names: str) -> None:
    """End the process with a message if Python would import another file as one of these packages."""
    for name in names:
        if (origin := hiding_file(name)) is None:
            continue
        what = f"'{origin}' hides inr's package '{name}'" if origin else f"inr's package '{name}' is missing in '{ROOT}'"
        fix = "rename it, or leave its folder out of PYTHONPATH" if origin else "pip install --force-reinstall inr-codec"
        print(f"error: {what}\n  fix: {fix}   [hidden-package]", file=sys.stderr, flush=True)
        sys.exit(HIDDEN)


def main() -> None:
    """Entry point of `inr`."""
    check_packages("codec", "train")
    import_module("train.cli.main").main()
