"""Signals as questions the loop can ask: stop and finalise, or save and leave."""

import signal
import threading
import time
from enum import Enum
from types import FrameType
from typing import Any, Self

PREEMPTIONS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class StopRequest(Enum):
    """What is asked of a running fit: nothing, an early but proper end, or to save and leave at once."""

    NOTHING = "nothing"
    FINISH = "finish"
    LEAVE = "leave"


class Preempted(Exception):
    """The job was told to leave, by Ctrl-C if `by_hand`; its state is saved, and the same command goes on from there."""

    by_hand = False


class Interrupts:
    """While entered, the first Ctrl-C asks to finalise, a second aborts; SIGTERM and SIGUSR1 ask to save and leave."""

    def __init__(self) -> None:
        self.interrupted = False
        self.preempted = False

    def __enter__(self) -> Self:
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return self  # signals are the main thread's
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
        """What the signals so far ask of the loop; after `deadline`, on the monotonic clock, an end in any case.

        Where only a `whole` fit is of use, Ctrl-C too asks to save and leave.
        """
        if self.preempted or (self.interrupted and whole):
            return StopRequest.LEAVE
        return StopRequest.FINISH if self.interrupted or time.monotonic() > deadline else StopRequest.NOTHING


def die_of_interrupt() -> None:
    """End the process by SIGINT itself, so that a shell's loop over files stops too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)
