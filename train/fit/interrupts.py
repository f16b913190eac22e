"""Signals to a running fit: Ctrl-C asks for an early end; SIGTERM, SIGUSR1 and SIGHUP, pre-emptions, ask to save the state and leave."""

import signal
import threading
import time
from enum import Enum
from types import FrameType
from typing import Any, Self

PREEMPTIONS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))


class StopRequest(Enum):
    """A request to a running fit.

    NOTHING: no request. FINISH: end early, with a complete result. HURRY: the same, within seconds. LEAVE: save the state and raise
    `Preempted` at once.
    """

    NOTHING = "nothing"
    FINISH = "finish"
    HURRY = "hurry"
    LEAVE = "leave"


class Preempted(Exception):
    """A signal asked the run to leave: Ctrl-C if `by_hand`, else a pre-emption.

    If `saved`, the state is saved, and the same command continues the run from there; else from an earlier state, if there is one.
    """

    by_hand = False

    def __init__(self, saved: bool = True):
        super().__init__()
        self.saved = saved


class Interrupts:
    """A context that handles signals: the first Ctrl-C asks for an early end; PREEMPTIONS ask to save the state and leave.

    A second Ctrl-C raises KeyboardInterrupt. Outside the main thread, the context handles no signal.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.preempted = False

    def __enter__(self) -> Self:
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread can set signal handlers
        handlers = {signal.SIGINT: self._interrupt} | dict.fromkeys(PREEMPTIONS, self._preempt)
        # A process that ignores a signal goes on doing so, as one under `nohup` ignores SIGHUP.
        self._previous = {number: before for number in handlers if (before := signal.getsignal(number)) is not signal.SIG_IGN}
        for number in self._previous:
            signal.signal(number, handlers[number])
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
        """The request to the training loop that follows from the signals so far.

        After `deadline`, in seconds of the monotonic clock, the request is FINISH even without a signal. Ctrl-C gives HURRY; but if `whole`
        tells that a part of a fit is of no use, it gives LEAVE.
        """
        if self.preempted or (self.interrupted and whole):
            return StopRequest.LEAVE
        if self.interrupted:
            return StopRequest.HURRY
        return StopRequest.FINISH if time.monotonic() > deadline else StopRequest.NOTHING
