"""Parses sizes, bit rates and counts as people write them. Any other text raises UsageError."""

import re

from inr.errors import UsageError

SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
COUNTS = {"": 1, "k": 1000, "m": 1000**2}
RATES = {"": 1, "k": 1000, "m": 1000**2, "kbit": 1000, "mbit": 1000**2, "kbps": 1000, "mbps": 1000**2, "bit": 1, "bps": 1}


def parse_size(text: str) -> int:
    """The number of bytes in a text such as '120kB', '8MB', '64KiB', or '1500' (bytes). UsageError for other text."""
    return int(_parsed(text, SIZES, "--target-size", "a size", "120kB"))


def parse_bitrate(text: str) -> float:
    """The bits per second in a text such as '300k', '1.5M', '64kbit', or '5000' (bits per second). UsageError for other text."""
    return _parsed(text, RATES, "--target-bitrate", "a bit rate", "300k")


def parse_count(text: str) -> int:
    """The number of weights in a text such as '200k', '1M' or '5000'. UsageError for other text."""
    return int(_parsed(text, COUNTS, "--size", "a number of weights", "200k"))


def parse_modes(text: str) -> tuple[int, int]:
    """The (rows, columns) of modes in a text such as '2x3', each 1 to 64. UsageError for other text."""
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text.lower())
    if match is None or max(int(match[1]), int(match[2])) > 64:
        raise UsageError("bad-modes", f"--fourier '{text}' is not ROWSxCOLUMNS, each 1 to 64", "--fourier 2x2")
    return int(match[1]), int(match[2])


def _parsed(text: str, units: dict[str, int], flag: str, quantity: str, example: str) -> float:
    """The number in `text` times its unit. UsageError if the text has another form or if the result is below 1."""
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)(?:/s)?\s*", text.lower())
    if match is None or match[2] not in units or float(match[1]) * units[match[2]] < 1:
        names = ", ".join(unit for unit in units if unit)
        raise UsageError(
            "bad-size", f"{flag} '{text}' is not {quantity}: a number, at least 1, with an optional unit ({names})", f"{flag} {example}"
        )
    return float(match[1]) * units[match[2]]
