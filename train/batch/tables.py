"""The tables of a batch: results and failures, rebuilt from the records of its items."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inr.files import replaced, write_atomically
from train.batch.folder import BatchFolder

FIRST = ("name", "source", "output")  # columns before all others
FAILURE = ("name", "source", "id", "message", "fix", "exit_code", "key")

Table = list[dict[str, Any]]


def result_rows(folder: BatchFolder) -> Table:
    """A row for every finished item: name, source, path of the file in the folder, measures, options, key."""
    rows: Table = []
    for item, record in folder.finished():
        measures = {name: value for name, value in record.items() if name not in ("options", "key", *FIRST)}
        measures["warnings"] = "; ".join(record.get("warnings", ()))
        options = {f"option_{name}": value for name, value in item.options.items()}
        rows.append({"name": item.name, "source": item.source, "output": record["output"], **measures, **options, "key": item.key})
    return rows


def failure_rows(folder: BatchFolder) -> Table:
    """A row for every failed item: name, source, the error's id, message, fix and exit code, key."""
    return [{name: record.get(name, "") for name in FAILURE} for _, record in folder.failed()]


def write_tables(folder: BatchFolder) -> list[Path]:
    """Rebuild results.csv, failures.csv, and if PyArrow is installed results.parquet; returns the paths that were written."""
    rows, failures = result_rows(folder), failure_rows(folder)
    written = [_write_csv(folder.path / "results.csv", rows, FIRST), _write_csv(folder.path / "failures.csv", failures, FAILURE)]
    if has_parquet():
        written.append(_write_parquet(folder.path / "results.parquet", rows))
    return written


def has_parquet() -> bool:
    """Whether PyArrow, which writes Parquet, is installed."""
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def columns_of(rows: Sequence[Mapping[str, Any]], first: Sequence[str]) -> list[str]:
    """The names of all columns: `first`, then the others in the order in which they appear."""
    return list(dict.fromkeys([*first, *(name for row in rows for name in row)]))


def _write_csv(path: Path, rows: Table, first: Sequence[str]) -> Path:
    table = io.StringIO()
    writer = csv.DictWriter(table, columns_of(rows, first), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, table.getvalue().encode(errors="backslashreplace"))
    return path


def _write_parquet(path: Path, rows: Table) -> Path:
    import pyarrow
    from pyarrow import parquet

    columns = {name: [row.get(name) for row in rows] for name in columns_of(rows, FIRST)}
    with replaced(path) as temporary:
        parquet.write_table(pyarrow.table({name: _uniform(values) for name, values in columns.items()}), temporary)
    return path


def _uniform(values: list[Any]) -> list[Any]:
    """`values` as they are if they have one type, numbers as floats, anything else as text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]
