"""A part of a source's frames, written as 'A:B': the frames from A up to, but not including, B."""

from inr.errors import UsageError

Span = tuple[int | None, int | None]  # (start, end) in frames, end excluded, as in a slice: None means no limit, -1 is the last frame


def parse_span(text: str) -> Span:
    """The pair (A, B) for 'A:B'. An omitted A or B, or an empty text, gives None. UsageError for any other text."""
    try:
        first, last = text.split(":") if text else ("", "")
        return (int(first) if first else None), (int(last) if last else None)
    except ValueError:
        raise UsageError("bad-frames", f"--frames '{text}' is not of the form A:B", "--frames 0:100") from None
