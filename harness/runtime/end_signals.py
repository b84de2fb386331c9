"""What asks a command to end: Ctrl-C (SIGINT), SIGTERM, and SIGHUP of a terminal that is closed.

Python's own way is a traceback, or no word at all. A command ends with 128 + the signal's number,
and with what was found so far: its work is broken into as by Ctrl-C (methods/ctrl_c.py). While its
modules load nothing was found, so it ends at once. A call from Python is left alone.

A command imports this before all else, so it imports next to nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ENDING = tuple(number for name in ("SIGINT", "SIGTERM", "SIGHUP")
               if (number := getattr(signal, name, None)) is not None)
# Terminals and service managers send two at once, and people press Ctrl-C twice: in this many
# seconds all belong to the first. A later one is of somebody who does not want to wait.
AGAIN = 1.0

_handled: list[int] = []     # those that this command handles
_came, _since = 0, 0.0       # the first that came, and when


class ToldToEnd(KeyboardInterrupt):
    """A command was asked to end."""


def at_once(number: int, frame: FrameType | None,
            leave: Callable[[int], Any] = os._exit) -> None:    # as it is: see locks/exits.py
    """End the process: there is nothing to tell, or nobody who wants to wait for it."""
    with suppress(OSError):
        os.write(2, b"\ninterrupted\n")
    leave(128 + (_came or number))


def ends_at_once() -> None:
    """End the process at once from now on. What was ignored is still ignored (nohup)."""
    if not _handled:
        plain = signal.SIG_DFL, signal.default_int_handler
        _handled.extend(number for number in ENDING if signal.getsignal(number) in plain)
    for number in _handled:
        signal.signal(number, at_once)


def told(number: int, frame: FrameType | None) -> None:
    """Break into the work of a command."""
    global _came, _since
    if not _came:
        _came, _since = number, time.monotonic()
        raise ToldToEnd
    if time.monotonic() - _since >= AGAIN:
        at_once(number, frame)


@contextmanager
def broken_into() -> Iterator[None]:
    """Let `told` handle the signals in the block, of a command that ends at once without."""
    for number in _handled:
        signal.signal(number, told)
    yield    # after an exception `told` stays: what comes after the first one belongs to it
    if _handled:
        ends_at_once()


def came() -> bool:
    """Say whether the command was asked to end."""
    return _came > 0


def status() -> int:
    """Return the exit status of what was asked to end."""
    return 128 + (_came or signal.SIGINT)


def of_a_child() -> dict[int, Any]:
    """Return what handles all but Ctrl-C in a process that a command forks: what would in a call
    from Python.
    """
    found = {number: signal.getsignal(number) for number in ENDING if number != signal.SIGINT}
    return {number: signal.SIG_DFL if handler in (told, at_once) else handler
            for number, handler in found.items() if handler is not None}


@contextmanager
def later() -> Iterator[None]:
    """Let what comes in the block come after it: something in it would be forgotten. The block must
    not wait for anybody.
    """
    threading = sys.modules.get("threading")    # without it there is one thread
    if threading is not None and threading.current_thread() is not threading.main_thread():
        yield    # handlers run in the main thread
        return
    came: list[int] = []
    before = {number: handler for number in ENDING
              if callable(handler := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
