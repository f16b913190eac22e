"""The display of a batch's progress: one bar on a terminal, a line every 30 seconds elsewhere, or JSON lines on request."""

import sys
import time
from statistics import fmean
from types import TracebackType
from typing import TYPE_CHECKING, Self

from codec.shell import emit, say
from train.cli.display import PLAIN_SECONDS

if TYPE_CHECKING:
    from train.batch.running import Batch, Outcome


class Tally:
    """The state of a running batch: the items with a record, the shares of those that are fitted, and means of the results."""

    def __init__(self, batch: "Batch"):
        self.batch, self.began = batch, time.monotonic()
        self.first = self.done = len(batch.items) - len(batch.missing())
        self.failed = 0
        self.bpp: list[float] = []
        self.psnr: list[float] = []

    def add(self, outcome: "Outcome") -> None:
        """Count an outcome."""
        self.done += 1
        if outcome.failed:
            self.failed += 1
        else:
            self.bpp.append(outcome.record["bpp"])
            self.psnr.append(outcome.record["psnr_rgb"])

    @property
    def left(self) -> float | None:
        """The remaining seconds at the speed so far; None before anything is done."""
        here = self.done - self.first + sum(self.batch.shares.values())
        rest = len(self.batch.items) - self.first - here
        return (time.monotonic() - self.began) / here * rest if here > 0.01 else None

    def fields(self) -> dict[str, object]:
        """The fields of a line of JSON."""
        means = {"mean_psnr_rgb": fmean(self.psnr), "mean_bpp": fmean(self.bpp)} if self.bpp else {}
        return {"done": self.done, "items": len(self.batch.items), "failed": self.failed, "eta_seconds": self.left, **means}

    def line(self) -> str:
        """The state as a line of text, without the number of items."""
        means = f"{fmean(self.psnr):.2f} dB  {fmean(self.bpp):.4f} bpp  " if self.bpp else ""
        failed = f"{self.failed} failed  " if self.failed else ""
        return f"{means}{failed}" + ("" if self.left is None else f"eta {self.left:.0f} s")


class BatchLines:
    """Prints the progress of a batch every 30 seconds: text on standard error, or JSON on standard output if `as_json`."""

    def __init__(self, tally: Tally, as_json: bool):
        self.tally, self._as_json, self._printed = tally, as_json, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def tick(self) -> None:
        """Show the progress if it is time."""
        if time.monotonic() - self._printed < PLAIN_SECONDS:
            return
        self._printed = time.monotonic()
        if self._as_json:
            emit("progress", **self.tally.fields())
        else:
            say(f"{self.tally.done}/{len(self.tally.batch.items)} items  {self.tally.line()}")


class BatchBar:
    """One progress bar for a batch on standard error, drawn by Rich."""

    def __init__(self, tally: Tally):
        self.tally = tally

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("items"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task("", total=len(self.tally.batch.items))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def tick(self) -> None:
        """Show the progress."""
        self._bar.update(self._task, completed=self.tally.done, description=self.tally.line())


def batch_display(tally: Tally, as_json: bool) -> BatchBar | BatchLines:
    """JSON lines if `as_json`, a bar if standard error is a terminal, else plain lines."""
    return BatchBar(tally) if sys.stderr.isatty() and not as_json else BatchLines(tally, as_json)
