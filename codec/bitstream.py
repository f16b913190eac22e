"""The outer form of a file: magic, version, records with lengths and chained checksums, an end record.

FORMAT.md is the normative page. Only this module slices bytes. Nothing is allocated before its length is checked.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from inr.errors import InrError

MAGIC = b"\x8fINR"
VERSION, DRAFT = 0, 4  # while the version is 0, drafts of it do not read each other's files
CRC_BYTES = 4
FINGERPRINT_BYTES = 4  # for each video record, at most, in the end record
MAX_VARINT = 1 << 32


class BitstreamError(InrError, ValueError):
    """The bytes are not a file this version can decode: damaged, cut short, foreign, or newer."""

    exit_code = 5

    def __init__(self, identifier: str, what: str, fix: str = "fetch the file again from where it came"):
        super().__init__(identifier, what, fix)


class Kind(IntEnum):
    """The kind of a record."""

    END = 0
    SPEC = 1
    LAYER = 2
    VIDEO = 3
    EXTRA = 4


@dataclass(frozen=True)
class Record:
    """One record of a file: its payload, and the number of bytes spent around it."""

    kind: Kind
    payload: bytes
    overhead: int


# Writing


def varint(value: int) -> bytes:
    """An unsigned integer in groups of 7 bits, least significant first; the top bit says that more follow."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def assemble_file(records: list[tuple[Kind, bytes]], fingerprints: bytes = b"") -> bytes:
    """A whole file: `records` as (kind, payload), then the end record, whose payload is `fingerprints`."""
    start = MAGIC + bytes([VERSION | DRAFT << 4])
    return _continued(start, zlib.crc32(start), records, fingerprints)


@dataclass(frozen=True)
class AppendableFile:
    """A file without its end record, to be continued: its bytes so far, and the running checksum."""

    start: bytes
    checksum: int

    @classmethod
    def of(cls, data: bytes) -> "AppendableFile":
        """The file `data`; the checksum of every record is verified."""
        _check_start(data)
        at = end = len(MAGIC) + 1
        checksum = running = zlib.crc32(data[:at])
        while at < len(data):
            end, checksum = at, running
            _, at, running = _next_record(data, at, checksum)
        return cls(data[:end], checksum)

    def with_records(self, new: list[tuple[Kind, bytes]], fingerprints: bytes = b"") -> bytes:
        """The whole file with `new` records and a new end record; all bytes before them stay as they are."""
        return _continued(self.start, self.checksum, new, fingerprints)


def _continued(start: bytes, checksum: int, records: list[tuple[Kind, bytes]], fingerprints: bytes) -> bytes:
    """`start`, then `records` and the end record; `checksum` covers all of `start` except its checksum fields."""
    data = bytearray(start)
    for kind, payload in [*records, (Kind.END, fingerprints)]:
        record = bytes([kind]) + varint(len(payload)) + payload
        # The checksum continues from record to record and leaves the checksum fields out: a CRC over data that includes its own
        # CRC is a constant, and would not notice a record that was dropped or swapped.
        checksum = zlib.crc32(record, checksum)
        data += record + checksum.to_bytes(CRC_BYTES, "little")
    return bytes(data)


# Reading


class Fields:
    """A bounds-checked reader of one payload."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self, limit: int = MAX_VARINT) -> int:
        """An unsigned integer of at most `limit`."""
        value = shift = 0
        while True:
            group = self.byte()
            value |= (group & 0x7F) << shift
            shift += 7
            if value > limit or shift > 35:
                raise BitstreamError("out-of-range", f"a field holds more than {limit}, which is all it may")
            if group < 0x80:
                return value

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self._data) - self._at:
            raise BitstreamError("truncated", f"a record ends {count - len(self._data) + self._at} bytes too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        """All remaining bytes."""
        return self.take(len(self._data) - self._at)

    @property
    def position(self) -> int:
        return self._at


def records(data: bytes) -> Iterator[Record]:
    """The records of a file, the end record last. A record is yielded only after its checksum was verified."""
    _check_start(data)
    at = len(MAGIC) + 1
    checksum = zlib.crc32(data[:at])
    while True:
        record, at, checksum = _next_record(data, at, checksum)
        yield record
        if record.kind is Kind.END:
            break
    if at != len(data):
        raise BitstreamError("trailing-bytes", f"{len(data) - at} bytes follow the end record", "cut them off, or fetch the file again")


def _next_record(data: bytes, start: int, checksum: int) -> tuple[Record, int, int]:
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
        raise BitstreamError("unknown-record", f"a record of unknown kind {kind} must be understood to decode", "pip install -U inr-codec")
    after = end + CRC_BYTES
    return Record(Kind(kind), data[payload:end], after - start - length), after, checksum


def _cut_short(data: bytes, missing: int) -> BitstreamError:
    return BitstreamError("truncated", f"cut short: at least {missing} more bytes should follow the {len(data)} that are here")


def _check_start(data: bytes) -> None:
    if len(data) <= len(MAGIC) and MAGIC.startswith(data[: len(MAGIC)]):
        raise BitstreamError("truncated", f"cut short: only {len(data)} bytes")
    if not data.startswith(MAGIC):
        raise BitstreamError(
            "foreign", f"not an .inr file: it starts with {data[:8]!r}, not {MAGIC!r}", "inr encode FILE   compresses a video or image"
        )
    version, draft = data[len(MAGIC)] & 15, data[len(MAGIC)] >> 4
    if (version, draft) != (VERSION, DRAFT):
        newer = (version, draft) > (VERSION, DRAFT)
        raise BitstreamError(
            "version",
            f"format version {version}, draft {draft}; this program reads version {VERSION}, draft {DRAFT}",
            "pip install -U inr-codec" if newer else "encode the source again",
        )
