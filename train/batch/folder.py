"""The folder of a batch: a folder for each item with its file, log and record, and the list of all items.

    OUT/batch.json                  items of the latest manifest
    OUT/items/NAME-KEY/NAME.inr     the file
    OUT/items/NAME-KEY/result.json  its record, written last: an item with a record is finished
    OUT/items/NAME-KEY/failure.json in its place if the item failed
    OUT/items/NAME-KEY/log.txt      messages; the state of an unfinished fit is in NAME.inr.work/

A changed source or option gives an item another key, and the folder of the earlier item stays.

Several processes can work on one folder: every file is renamed into place, and no two of them run the same item (see `inr.files.locked`).
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inr.errors import InputError, InrError
from inr.files import write_atomically
from train.batch.item import Item

Record = Mapping[str, Any]  # JSON values


@dataclass(frozen=True)
class ItemFolder:
    """The folder of one item."""

    path: Path
    item: Item

    @property
    def file(self) -> Path:
        """The path of the item's .inr file."""
        return self.path / f"{self.item.short_name}.inr"

    @property
    def log(self) -> Path:
        """The path of the item's messages."""
        return self.path / "log.txt"

    def result(self) -> Record | None:
        """The record of the finished item; None if it is not finished, or if its file has gone or has another size since then."""
        record = _read(self.path / "result.json")
        if record is None or not self.file.is_file() or self.file.stat().st_size != record.get("bytes"):
            return None
        return record

    def failure(self) -> Record | None:
        """The record of the failed item, None if it has not failed."""
        return _read(self.path / "failure.json")

    def finish(self, fields: Record) -> None:
        """Record that the item is finished; `fields` are the result's."""
        self._write("result.json", fields)
        (self.path / "failure.json").unlink(missing_ok=True)

    def fail(self, error: InrError) -> None:
        """Record that the item failed."""
        self._write("failure.json", {"id": error.identifier, "message": error.what, "fix": error.fix, "exit_code": error.exit_code})

    def forget_failure(self) -> None:
        """Let the item be tried again."""
        (self.path / "failure.json").unlink(missing_ok=True)

    def _write(self, name: str, fields: Record) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / name, json.dumps({**self.item.as_json(), **fields}, indent=1).encode())

    def say(self, line: str) -> None:
        """Append a line of text to the log. It is lost if it cannot be written: a fit goes on with a full disk."""
        with suppress(OSError), self.log.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


class BatchFolder:
    """The folder of a batch."""

    def __init__(self, path: Path):
        self.path, self.list = path, path / "batch.json"

    def of(self, item: Item) -> ItemFolder:
        """The folder of an item."""
        return ItemFolder(self.path / "items" / item.file_name, item)

    def write_items(self, items: Sequence[Item]) -> None:
        """Keep the list of the items of the latest manifest."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.list, json.dumps({"items": [item.as_json() for item in items]}, indent=1).encode())

    def items(self) -> list[Item]:
        """The items of the latest manifest; InputError if the folder is not that of a batch."""
        listed = _read(self.list)
        if listed is None:
            raise InputError(
                "no-batch", f"'{self.path}' is not the folder of a batch: it has no batch.json", "inr batch run MANIFEST -o OUT"
            )
        return [Item(**values) for values in listed["items"]]

    def finished(self) -> Iterator[tuple[Item, Record]]:
        """The finished items of the latest manifest and their records."""
        for item in self.items():
            if (record := self.of(item).result()) is not None:
                yield item, record

    def failed(self) -> Iterator[tuple[Item, Record]]:
        """The failed items of the latest manifest and their records."""
        for item in self.items():
            if self.of(item).result() is None and (record := self.of(item).failure()) is not None:
                yield item, record


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no such file, or no object in it."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
