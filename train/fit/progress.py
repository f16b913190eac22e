"""The progress reports of a fit, and the interface of the displays that show them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Progress:
    """A report of a fit: `step` of `steps` steps are done, in `seconds` seconds.

    `psnr`, in decibels, and `bpp`, the estimated bits per pixel, are those of the last steps. `state` is the state of the fit.
    """

    step: int
    steps: int
    psnr: float
    bpp: float
    seconds: float
    state: Any


class Display(Protocol):
    """A context in which a display shows each progress report that it is called with."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def __call__(self, progress: Progress) -> None: ...


class Quiet:
    """A display that shows nothing."""

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
    """The outputs of a run: a display of its progress, and `say`, a function that gets each message as one line of text."""

    display: Display = field(default_factory=Quiet)
    say: Callable[[str], None] = _silent

    def about(self, name: str) -> "Reporter":
        """A reporter with the same outputs that puts the quoted `name` before each message."""
        return Reporter(self.display, lambda line: self.say(f"'{name}' {line}"))
