"""An item of a batch: a source with its options, and the key that identifies its result."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codec.bitstream import DRAFT, VERSION
from inr.errors import InrError
from inr.images import image_files
from train.batch.manifest import Options, Row
from train.plan.options import EncodeOptions, encode_options

LONGEST_NAME = 100  # bytes of an item's name in the names of its folder and its file
READ_AT_ONCE = 1 << 20  # bytes


@dataclass(frozen=True)
class Item:
    """A source with its options. `source` is an absolute path, `name` that of the file without suffix, `key` a hash in hexadecimal."""

    source: str
    name: str
    options: Options
    key: str

    @classmethod
    def of(cls, row: Row) -> "Item":
        """The item of a manifest's row; reads the whole source to compute the key."""
        return cls(str(row.source.absolute()), row.name, dict(row.options), item_key(row))

    def as_json(self) -> dict[str, Any]:
        """The item as JSON values: `Item(**values)` is the item again."""
        return asdict(self)

    @property
    def encode_options(self) -> EncodeOptions:
        """The options as `train.encode` takes them."""
        return encode_options(**self.options)

    @property
    def file_name(self) -> str:
        """The name of the item's folder: the beginning of its name, and of its key."""
        return f"{self.short_name}-{self.key[:12]}"

    @property
    def short_name(self) -> str:
        """The item's name, cut to LONGEST_NAME bytes."""
        return self.name.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")


def item_key(row: Row) -> str:
    """A SHA-256 hash of all that determines an item's result: bytes of the source and of the mask, name, options, version of the format.

    A source that does not exist counts as empty: its failure is recorded like any other.
    """
    options = encode_options(**row.options)
    selection = options.selection
    digest = hashlib.sha256(_content(row.source))
    digest.update(b"" if selection.mask is None else _content(selection.mask))
    facts = (row.name, options.identity(selection.frames, str(selection.scale or ""), options.segmentation), VERSION, DRAFT)
    digest.update(repr(facts).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _content(source: Path) -> bytes:
    """A SHA-256 hash of the bytes of a file, or of the names and bytes of a folder's or a pattern's images."""
    digest = hashlib.sha256()
    for path in _files(source):
        try:
            with path.open("rb") as file:
                digest.update(path.name.encode(errors="surrogateescape"))
                while part := file.read(READ_AT_ONCE):
                    digest.update(part)
        except OSError:
            continue
    return digest.digest()


def _files(source: Path) -> Iterable[Path]:
    try:
        return image_files(source) or [source]
    except InrError:  # a folder without images; the encode reports it
        return []
