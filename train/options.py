"""Options as people type them, checked."""

from inr.errors import UsageError

PREEMPTED = 75  # exit code, EX_TEMPFAIL: run the same command again


def one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    """`value`, if `flag` takes it."""
    if value not in known:
        raise UsageError("unknown-choice", f"{flag} {value}: it is one of {', '.join(known)}", f"{flag} {known[0]}")
    return value


def seconds(text: str) -> float | None:
    """'90', '90s', '10m', '2h' in seconds."""
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


def scaling(text: str) -> str:
    """'1/2' or '320x160', checked; empty for none."""
    top, slash, bottom = text.partition("/")
    wide, cross, high = text.lower().partition("x")
    for first, mark, second in ((top, slash, bottom), (wide, cross, high)):
        if mark and first.isdigit() and second.isdigit() and int(first) and int(second):
            return text
    if text:
        raise UsageError("bad-scale", f"--scale {text} is neither WxH nor a fraction", "--scale 1/2")
    return ""
