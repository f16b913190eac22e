"""Signals to a running fit: Ctrl-C asks for an early end, a pre-emption asks to save the state and leave."""

import signal
import threading
import time
from enum import Enum
from types import FrameType
from typing import Any, Self

PREEMPTIONS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class StopRequest(Enum):
    """A request to a running fit: no request, an early but complete end, or to save the state and leave at once."""

    NOTHING = "nothing"
    FINISH = "finish"
    LEAVE = "leave"


class Preempted(Exception):
    """The run was asked to leave (by Ctrl-C if `by_hand`). Its state is saved, and the same command continues it."""

    by_hand = False


class Interrupts:
    """In this context, the first Ctrl-C asks for an early end and the second aborts; SIGTERM and SIGUSR1 ask to save and leave."""

    def __init__(self) -> None:
        self.interrupted = False
        self.preempted = False

    def __enter__(self) -> Self:
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread can set signal handlers
        self._previous = {number: signal.getsignal(number) for number in (signal.SIGINT, *PREEMPTIONS)}
        signal.signal(signal.SIGINT, self._interrupt)
        for number in PREEMPTIONS:
            signal.signal(number, self._preempt)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Preempted):
            error.by_hand = self.interrupted
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def _preempt(self, number: int, frame: FrameType | None) -> None:
        self.preempted = True

    def request_by(self, deadline: float, whole: bool = False) -> StopRequest:
        """The request to the loop from the signals so far. After `deadline` (monotonic clock), it is at least an early end.

        If only a `whole` fit is useful, Ctrl-C asks to save and leave, too.
        """
        if self.preempted or (self.interrupted and whole):
            return StopRequest.LEAVE
        return StopRequest.FINISH if self.interrupted or time.monotonic() > deadline else StopRequest.NOTHING


def die_of_interrupt() -> None:
    """End the process by the signal SIGINT, so that a shell's loop over files stops as well."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)
