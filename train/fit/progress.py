"""The progress that a fit reports, and the interface of anything that shows it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Progress:
    """A fit's report: steps done of `steps`, PSNR in decibels over the last steps, estimated bits per pixel, seconds so far, its state."""

    step: int
    steps: int
    psnr: float
    bpp: float
    seconds: float
    state: Any


class Display(Protocol):
    """Shows progress while it is entered."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def __call__(self, progress: Progress) -> None: ...


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def __call__(self, progress: Progress) -> None:
        return None


def _silent(line: str) -> None:
    return None


@dataclass(frozen=True)
class Reporter:
    """The two ways in which a run speaks: a display of its progress, and `say`, which takes one line for a person."""

    display: Display = field(default_factory=Quiet)
    say: Callable[[str], None] = _silent

    def about(self, name: str) -> "Reporter":
        """The same, with `name` before every line."""
        return Reporter(self.display, lambda line: self.say(f"'{name}' {line}"))
