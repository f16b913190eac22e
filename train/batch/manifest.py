"""Reads a manifest: a table of sources and their options, or a pattern of sources."""

import csv
import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from inr.errors import InputError, InrError, UsageError
from inr.images import is_pattern, source_name
from train.plan.options import TARGETS, encode_options

SOURCE, NAME = ("source", "input"), "name"  # columns of a table; the first of SOURCE is the usual one
TABLES = (".csv", ".jsonl", ".ndjson")
YES, NO = ("1", "true", "yes"), ("0", "false", "no")
EXAMPLE = "a header such as   source,target_bpp"


def _truth(text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ValueError(text)
    return text.lower() in YES


# Columns that are options of `inr encode`, and how their cells are read.
OPTIONS: dict[str, Callable[[str], Any]] = {
    "quality": int, "target_size": str, "target_bpp": float, "target_bitrate": str, "target_psnr": float, "frames": str, "scale": str,
    "preset": str, "seed": int, "time_budget": str, "model": str, "cam": _truth, "chunk": str, "key_every": int, "mask": str,
}  # fmt: skip

Options = Mapping[str, Any]  # keywords of `train.plan.options.encode_options`, with values that JSON can hold


@dataclass(frozen=True)
class Row:
    """A row of a manifest: the path of a source, the name of its file without suffix, and its options."""

    source: Path
    name: str
    options: Options


def read_manifest(paths: Sequence[str | Path], defaults: Options) -> list[Row]:
    """The rows of a manifest: a table (.csv, .jsonl), or sources and patterns of sources. `defaults` are the options of all rows.

    A row's options replace the defaults; any target replaces a default target of another kind. Relative paths in a table start at its
    folder, or if there is nothing, at the current folder. Unlike for `inr encode`, each file that a pattern matches is a source of its own.
    InputError if a table cannot be read, UsageError for an unknown column or a value that `inr encode` refuses; both name the line.
    """
    rows = list[Row]()
    for path in map(Path, paths):
        if path.suffix.lower() in TABLES:
            rows += _table(path, defaults)
        else:
            rows += [Row(source, source_name(source), defaults) for source in _matches(path)]
    if not rows:
        raise InputError("empty-manifest", f"there is no source in {', '.join(map(str, paths))}", EXAMPLE)
    encode_options(**defaults)
    return rows


def _matches(path: Path) -> list[Path]:
    """The sources that a pattern names, hidden ones left out, or the one source at `path`. InputError if there is none."""
    if path.exists() or not set(str(path)) & set("*?["):
        if path.is_dir():
            what = f"'{path}' is a folder; it is not clear whether it is one video of images or a folder of sources"
            raise InputError("folder-manifest", what, f"'{path}/*'   each file is a source; or a table whose row names the folder")
        if not path.exists():
            raise InputError("missing-manifest", f"no such file: '{path}'", "a table, a source, or a pattern in quotes")
        return [path]
    # Brackets belong to the pattern, or if nothing matches, to the name of a folder.
    found = [Path(name) for name in sorted(glob(str(path), recursive=True) or glob(str(path).replace("[", "[[]"), recursive=True))]
    if not found:
        raise InputError("missing-manifest", f"nothing matches '{path}'", "'clips/*.mp4'   in quotes")
    return found


def _table(path: Path, defaults: Options) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError("bad-manifest", f"the manifest '{path}' cannot be read: {reason}", EXAMPLE) from error
    lines = _csv_lines(text, path) if path.suffix.lower() == ".csv" else _json_lines(text, path)
    for number, cells in lines:
        try:
            yield row_of(cells, path.parent, defaults)
        except InrError as error:
            error.what = f"'{path}', line {number}: {error.what}"
            raise


def _csv_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the cells of each line of a CSV table that is not empty."""
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True, skipinitialspace=True)
    try:
        header = [(name or "").strip() for name in reader.fieldnames or []]
        if header and not set(header) & set(SOURCE):
            what = f"'{path}' has no column {SOURCE[0]}, only {', '.join(header)}"
            raise UsageError("no-source-column", what, EXAMPLE)
        reader.fieldnames = header
        for cells in reader:
            if None in cells:
                raise UsageError("long-line", f"'{path}', line {reader.line_num}: more cells than columns", "quote a cell with commas")
            yield reader.line_num, {name: cell.strip() for name, cell in cells.items() if cell and cell.strip()}
    except csv.Error as error:
        raise InputError("bad-manifest", f"'{path}', line {reader.line_num}: {error}", EXAMPLE) from error


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the values of each line of a JSONL table that is not empty."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise InputError("bad-manifest", f"'{path}', line {number} is not JSON: {error}", '{"source": "a.mp4"}') from error
        if not isinstance(values, dict):
            raise InputError("bad-manifest", f"'{path}', line {number} is not a JSON object", '{"source": "a.mp4"}')
        yield number, {name: value for name, value in values.items() if value is not None}


def row_of(cells: Mapping[str, Any], folder: Path, defaults: Options) -> Row:
    """The row of the values of one line, by column; `folder` is the start of relative paths. Errors do not name the line."""
    given = {name if name in SOURCE else name.removeprefix("--").replace("-", "_"): value for name, value in cells.items()}
    sources = [given.pop(name) for name in SOURCE if name in given]
    if len(sources) != 1 or not isinstance(sources[0], str | Path):
        raise UsageError("no-source", f"a row needs one {SOURCE[0]}", EXAMPLE)
    source = Path(sources[0])
    if not source.is_absolute():
        beside = folder / source
        source = source if not beside.exists() and not is_pattern(beside) and source.exists() else beside
    name = str(given.pop(NAME, "")) or source_name(source)
    own = options_of(given, folder)
    targets = set() if own.keys().isdisjoint(TARGETS) else set(TARGETS)
    options = {key: value for key, value in defaults.items() if key not in targets} | own
    encode_options(**options)  # raises for a value outside its range
    return Row(source, name.replace("/", "_"), options)


def options_of(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options by name, with values that JSON can hold. UsageError for an unknown name or value."""
    return {name: _value(name, value, folder) for name, value in given.items() if value is not None}


def _value(column: str, value: Any, folder: Path) -> Any:
    """The value of the option `column`; UsageError if there is no such option, or if the option has no such value."""
    if column not in OPTIONS:
        similar = difflib.get_close_matches(column, OPTIONS, n=1)
        raise UsageError("unknown-column", f"there is no option '{column}'", similar[0] if similar else ", ".join(OPTIONS))
    if column == "frames" and isinstance(value, list | tuple):
        value = ":".join("" if end is None else str(end) for end in value)
    text = str(value)
    try:
        parsed = OPTIONS[column](text)
    except ValueError as error:
        kind = "truth value" if column == "cam" else "number"
        raise UsageError("bad-value", f"{column} '{text}' is not a {kind}", YES[-1] if column == "cam" else "a number") from error
    return str((folder / parsed).absolute()) if column == "mask" else parsed
