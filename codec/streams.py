"""The `extra` record that holds the parts of a source beside its pictures; `inr.streams` reads them from a source and writes them."""

from fractions import Fraction

from codec.bitstream import CRC_BYTES, BitstreamError, Fields, Kind, assemble_file, positive, records, varint
from inr.streams import Chapter, Streams

STREAMS = 2  # the first byte of the record's payload
MAX_TICK = 1 << 31  # of the numerator and the denominator of a tick
MAX_FRAMES, MAX_CHAPTERS, MAX_TITLE = 1 << 24, 1 << 12, 1 << 10  # frames with durations; chapters; bytes of a title


def payload_of(streams: Streams) -> bytes:
    """The payload of the record that holds `streams`."""
    numbers = [streams.shift, len(streams.durations)]
    if streams.durations:
        numbers += [*streams.tick.as_integer_ratio(), *streams.durations]
    data = bytes([STREAMS]) + b"".join(map(varint, [*numbers, len(streams.chapters)]))
    for chapter in streams.chapters:
        title = chapter.title.encode()[:MAX_TITLE].decode(errors="ignore").encode()
        data += varint(chapter.start) + varint(chapter.end) + varint(len(title)) + title
    return data + streams.container


def with_streams(data: bytes, streams: Streams) -> bytes:
    """The file `data` with `streams` instead of those that it holds."""
    kept = [(record.kind, record.payload) for record in records(data) if not _holds_streams(record.kind, record.payload)]
    *before, (_, fingerprints) = kept
    return assemble_file([*before, *[(Kind.EXTRA, payload_of(streams))] * bool(streams)], fingerprints)


def streams_of(data: bytes) -> Streams:
    """The streams that the file `data` holds. BitstreamError if their record is not valid."""
    for record in records(data):
        if _holds_streams(record.kind, record.payload):
            return _parsed(Fields(record.payload[1:]))
    return Streams()


def streams_bytes(data: bytes) -> int:
    """The bytes of a file that its streams take, with the record around them."""
    return sum(record.overhead + len(record.payload) for record in records(data) if _holds_streams(record.kind, record.payload))


def size_of(streams: Streams) -> int:
    """The bytes that `streams` add to a file."""
    payload = payload_of(streams) if streams else b""
    return 1 + len(varint(len(payload))) + len(payload) + CRC_BYTES if streams else 0


def _holds_streams(kind: Kind, payload: bytes) -> bool:
    return kind is Kind.EXTRA and payload[:1] == bytes([STREAMS])


def _parsed(fields: Fields) -> Streams:
    shift, count = fields.varint(), fields.varint(MAX_FRAMES)
    tick, durations = Fraction(1), ()
    if count:
        tick = Fraction(positive(fields, MAX_TICK), positive(fields, MAX_TICK))
        durations = tuple(fields.varint() for _ in range(count))
    chapters = []
    for _ in range(fields.varint(MAX_CHAPTERS)):
        start, end, length = fields.varint(), fields.varint(), fields.varint(MAX_TITLE)
        try:
            chapters.append(Chapter(start, end, fields.take(length).decode()))
        except UnicodeDecodeError as error:
            raise BitstreamError("out-of-range", "the title of a chapter is not UTF-8") from error
    return Streams(fields.rest(), shift, tick, durations, tuple(chapters))
