"""Ctrl-C: a command ends within seconds also while a library computes, and without the end of a usual process.

Python calls a signal's handler between two of its instructions, so a handler waits as long as a library computes: compilation takes up to a
minute. A thread therefore waits for the signal as well. The end of a usual process frees what a library's threads still use, which has
crashed during compilation; a process that Ctrl-C ends is therefore ended by the system.
"""

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE = 4.0  # seconds from Ctrl-C to the end of the process, if the command itself does not end before
FAILED = 130  # exit code of a process that the signal could not end


def die_of_interrupt() -> None:
    """End this process by the signal SIGINT, so that a shell's loop that runs it stops as well."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a closed pipe
            continue
    try:
        ctypes.CDLL(None).signal(int(signal.SIGINT), None)  # the system's own handler; `signal.signal` works in the main thread only
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os._exit(FAILED)


@contextmanager
def ending_soon(say: Callable[[str], None]) -> Iterator[None]:
    """A context in which the process ends at most GRACE seconds after Ctrl-C, and at once after a second Ctrl-C.

    If the command has not ended by then, `say` gets a line of text, and the process dies of the signal. Outside the main thread, the
    context does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    previous = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiver, say), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        sender.close()  # ends the thread


def _watch(receiver: socket.socket, say: Callable[[str], None]) -> None:
    """Read the numbers of signals until the socket is closed; end the process after SIGINT."""
    interrupted = False
    with receiver:
        while True:
            receiver.settimeout(GRACE if interrupted else None)
            try:
                numbers = receiver.recv(64)
            except TimeoutError:
                numbers = b"\x02"
            if not numbers:
                return
            for number in numbers:
                if number == signal.SIGINT and interrupted:
                    say("interrupted: what was saved before stays, and the same command continues from there")
                    die_of_interrupt()
                interrupted = interrupted or number == signal.SIGINT
