"""The display of a fit's progress: a bar on a terminal, a line every 30 seconds elsewhere, or JSON lines on request."""

import sys
import time
from types import TracebackType
from typing import Self

from codec.shell import emit, say
from train.fit.progress import Display, Progress, Reporter

PLAIN_SECONDS = 30.0  # seconds between two lines


def left(progress: Progress, first: Progress) -> float:
    """The remaining seconds, at the mean speed since the progress report `first`; 0 if no step was done since then."""
    done = progress.step - first.step
    return (progress.seconds - first.seconds) / done * (progress.steps - progress.step) if done else 0.0


class Bar:
    """A progress bar on standard error, drawn by Rich."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("fit"), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._bar.start()
        self._task, self._first = self._bar.add_task("compiling", total=None), None
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        self._first = self._first or progress
        text = f"{progress.psnr:5.2f} dB  {progress.bpp:.4f} bpp  eta {left(progress, self._first):.0f} s"
        self._bar.update(self._task, completed=progress.step, total=progress.steps, description=text)


class Plain:
    """Prints one line on standard error every 30 seconds."""

    def __enter__(self) -> Self:
        self._printed, self._first = time.monotonic(), None
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def __call__(self, progress: Progress) -> None:
        self._first = self._first or progress
        if time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._printed = time.monotonic()
            self.say(progress, left(progress, self._first))

    def say(self, progress: Progress, eta: float) -> None:
        """Print one line; `eta` is the remaining time in seconds."""
        say(f"fit {progress.step}/{progress.steps}  {progress.psnr:.2f} dB  {progress.bpp:.4f} bpp  eta {eta:.0f} s")


class Lines(Plain):
    """Prints one JSON object on standard output every 30 seconds."""

    def say(self, progress: Progress, eta: float) -> None:
        measures = {"psnr_rgb": progress.psnr, "estimated_bpp": progress.bpp, "eta_seconds": eta}
        emit("progress", step=progress.step, steps=progress.steps, **measures)


def display(as_json: bool) -> Display:
    """JSON lines if `as_json`, a bar if standard error is a terminal, else plain lines."""
    if as_json:
        return Lines()
    return Bar() if sys.stderr.isatty() else Plain()


def reporter(as_json: bool) -> Reporter:
    """The reporter of a command: it has the display for this output, and its messages go to standard error."""
    return Reporter(display(as_json), say)
