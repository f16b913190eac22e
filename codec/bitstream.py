"""Writes and reads the outer structure of a file: magic, version, records with lengths and chained checksums, an end record.

codec/FORMAT.md is the normative definition. No other module splits a file into records. A length is checked before memory of this
length is allocated.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from inr.errors import InrError

MAGIC = b"\x8fINR"
VERSION, DRAFT = 0, 4  # while the version is 0, a decoder reads only files of its own draft
CRC_BYTES = 4
FINGERPRINT_BYTES = 4  # the most bytes that the end record holds for each video record
MAX_VARINT = 1 << 32


class BitstreamError(InrError, ValueError):
    """The bytes are not a file that this version can decode: the file is damaged, cut short, of another format, or of another version."""

    exit_code = 5

    def __init__(self, identifier: str, what: str, fix: str = "copy or download the file again"):
        super().__init__(identifier, what, fix)


class Kind(IntEnum):
    """The kind of a record, which is its first byte."""

    END = 0
    SPEC = 1
    LAYER = 2
    VIDEO = 3
    EXTRA = 4


@dataclass(frozen=True)
class Record:
    """One record of a file. `overhead` is the number of bytes of its kind, length and checksum, so of all bytes except the payload."""

    kind: Kind
    payload: bytes
    overhead: int


# Writing


def varint(value: int) -> bytes:
    """Encode an unsigned integer in bytes of 7 bits each, least significant first. The top bit of a byte is 1 if another byte follows."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def assemble_file(records: list[tuple[Kind, bytes]], fingerprints: bytes = b"") -> bytes:
    """The bytes of a whole file: `records` as (kind, payload), then the end record, whose payload is `fingerprints`."""
    start = MAGIC + bytes([VERSION | DRAFT << 4])
    return _continued(start, zlib.crc32(start), records, fingerprints)


@dataclass(frozen=True)
class AppendableFile:
    """A file to which records can be appended: its bytes before the end record, and the checksum that the next record continues."""

    start: bytes
    checksum: int

    @classmethod
    def of(cls, data: bytes) -> "AppendableFile":
        """The appendable form of the whole file `data`. BitstreamError if the checksum of a record does not match."""
        _check_start(data)
        at = end = len(MAGIC) + 1
        checksum = running = zlib.crc32(data[:at])
        while at < len(data):
            end, checksum = at, running
            _, at, running = _next_record(data, at, checksum)
        return cls(data[:end], checksum)

    def with_records(self, new: list[tuple[Kind, bytes]], fingerprints: bytes = b"") -> bytes:
        """The bytes of a whole file: those of this file, then the records `new`, then a new end record with `fingerprints`."""
        return _continued(self.start, self.checksum, new, fingerprints)


def _continued(start: bytes, checksum: int, records: list[tuple[Kind, bytes]], fingerprints: bytes) -> bytes:
    """`start`, then `records` and the end record; `checksum` covers all of `start` except its checksum fields."""
    data = bytearray(start)
    for kind, payload in [*records, (Kind.END, fingerprints)]:
        record = bytes([kind]) + varint(len(payload)) + payload
        # The checksum continues from record to record and leaves the checksum fields out. A CRC over data that ends with the CRC of
        # this data is a constant, so a checksum over the fields would not change if an earlier record were dropped or swapped.
        checksum = zlib.crc32(record, checksum)
        data += record + checksum.to_bytes(CRC_BYTES, "little")
    return bytes(data)


# Reading


class Fields:
    """Reads the fields of one payload in order. BitstreamError if the payload is too short."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        """Read one byte, 0..255."""
        return self.take(1)[0]

    def varint(self, limit: int = MAX_VARINT) -> int:
        """Read an unsigned integer. BitstreamError if it is larger than `limit`, or if it takes more than 5 bytes."""
        value = shift = 0
        while True:
            group = self.byte()
            value |= (group & 0x7F) << shift
            shift += 7
            if value > limit or shift > 35:
                raise BitstreamError("out-of-range", f"a field is larger than its limit {limit}")
            if group < 0x80:
                return value

    def take(self, count: int) -> bytes:
        """Read the next `count` bytes."""
        if count > len(self._data) - self._at:
            raise BitstreamError("truncated", f"a record ends {count - len(self._data) + self._at} bytes too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        """Read all remaining bytes."""
        return self.take(len(self._data) - self._at)

    @property
    def position(self) -> int:
        """The number of bytes that were read."""
        return self._at


def records(data: bytes) -> Iterator[Record]:
    """Yield the records of a file, the end record last. BitstreamError at the first record whose checksum does not match."""
    _check_start(data)
    at = len(MAGIC) + 1
    checksum = zlib.crc32(data[:at])
    while True:
        record, at, checksum = _next_record(data, at, checksum)
        yield record
        if record.kind is Kind.END:
            break
    if at != len(data):
        raise BitstreamError("trailing-bytes", f"{len(data) - at} bytes follow the end record", "remove them, or copy the file again")


def _next_record(data: bytes, start: int, checksum: int) -> tuple[Record, int, int]:
    """The record that begins at byte `start`, the position after it, and the checksum that the next record continues."""
    fields = Fields(data[start : start + 6])
    if start >= len(data):
        raise _cut_short(data, 1)
    kind = fields.byte()
    try:
        length = fields.varint()
    except BitstreamError:
        if len(data) - start < 6:
            raise _cut_short(data, 1) from None
        raise
    payload = start + fields.position
    end = payload + length
    if end + CRC_BYTES > len(data):
        raise _cut_short(data, end + CRC_BYTES - len(data))
    checksum = zlib.crc32(data[start:end], checksum)
    if checksum != int.from_bytes(data[end : end + CRC_BYTES], "little"):
        raise BitstreamError("checksum", f"damaged: the checksum of the record in bytes {start} to {end} does not match")
    if kind not in Kind.__members__.values():
        raise BitstreamError("unknown-record", f"a record has the unknown kind {kind}", "pip install -U inr-codec")
    after = end + CRC_BYTES
    return Record(Kind(kind), data[payload:end], after - start - length), after, checksum


def _cut_short(data: bytes, missing: int) -> BitstreamError:
    """The error for a file that lacks at least `missing` bytes."""
    return BitstreamError("truncated", f"cut short: the file has {len(data)} bytes and lacks at least {missing} more")


def _check_start(data: bytes) -> None:
    """Raise BitstreamError unless `data` begins with the magic and with the version and draft that this program reads."""
    if len(data) <= len(MAGIC) and MAGIC.startswith(data[: len(MAGIC)]):
        raise BitstreamError("truncated", f"cut short: the file has only {len(data)} bytes")
    if not data.startswith(MAGIC):
        raise BitstreamError(
            "foreign", f"not an .inr file: it starts with {data[:8]!r}, not {MAGIC!r}", "inr encode FILE   compresses a video or image"
        )
    version, draft = data[len(MAGIC)] & 15, data[len(MAGIC)] >> 4
    if (version, draft) != (VERSION, DRAFT):
        newer = (version, draft) > (VERSION, DRAFT)
        raise BitstreamError(
            "version",
            f"the file has format version {version}, draft {draft}; this program reads version {VERSION}, draft {DRAFT}",
            "pip install -U inr-codec" if newer else "encode the source again",
        )


def positive(fields: Fields, limit: int) -> int:
    """Read a field from 1 to `limit`. BitstreamError if it is out of this range."""
    value = fields.varint(limit)
    if value < 1:
        raise BitstreamError("out-of-range", "a field holds 0, but must be at least 1")
    return value
