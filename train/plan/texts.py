"""Values of options as texts, in the form that the command line and tables of batches have in common."""

from inr.errors import UsageError

EVERY = 1 << 30  # more devices than there are


def one_of(flag: str, value: str, accepted: tuple[str, ...]) -> str:
    """`value`; UsageError if it is not one of the values that `flag` accepts."""
    if value not in accepted:
        raise UsageError("unknown-choice", f"{flag} {value}: the value must be one of {', '.join(accepted)}", f"{flag} {accepted[0]}")
    return value


def at_least(flag: str, value: int, least: int) -> int:
    """`value`; UsageError if it is below `least`, the smallest value that `flag` accepts."""
    if value < least:
        raise UsageError("too-small", f"{flag} {value}: the value must be at least {least}", f"{flag} {least}")
    return value


def segment_frames(text: str) -> int | None:
    """The number of frames of a segment: 16 for '16'; 0 for 'auto', which means by motion; None for an empty text.

    UsageError for any other text.
    """
    if not text:
        return None
    if text != "auto" and not (text.isdigit() and int(text)):
        raise UsageError("bad-chunk", f"--chunk {text} is neither a number of frames nor auto", "--chunk 16")
    return 0 if text == "auto" else int(text)


def seconds(text: str) -> float | None:
    """The seconds of a text such as '90', '90s', '10m' or '2h'; None for an empty text. UsageError for any other text."""
    if not text:
        return None
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1].lower())
    number = text[:-1] if unit else text
    try:
        duration = float(number) * (unit or 1)
    except ValueError:
        duration = 0.0
    if not 0 < duration < float("inf"):
        raise UsageError("bad-duration", f"--time-budget {text} is not a duration above zero", "--time-budget 10m")
    return duration


def shard(text: str) -> tuple[int, int]:
    """The numbers of a part and of all parts, for a text such as '0/4'; UsageError for any other text."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UsageError("bad-shard", f"--shard {text} is not of the form I/N, with I from 0 to N - 1", "--shard 0/4")
    return int(index), int(count)


def packed(text: str) -> int | None:
    """The number of items for a text such as '16'; None for 'auto'. UsageError for any other text."""
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise UsageError("bad-pack", f"--pack {text} is neither a number of items nor auto", "--pack auto")
    return None if text == "auto" else int(text)


def device_count(text: str) -> int:
    """The most devices for a text such as '4'; EVERY for 'all' and 'cluster'. UsageError for any other text."""
    if text in ("all", "cluster"):
        return EVERY
    if not (text.isdecimal() and int(text)):
        raise UsageError("bad-devices", f"--devices {text} is neither a number of devices nor all nor cluster", "--devices all")
    return int(text)
