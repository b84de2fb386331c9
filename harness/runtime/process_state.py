"""State of the process that a call changes, and puts back.

Real-thread runs want all their threads on one CPU: a hand-over between two CPUs costs three to ten
times as much. Where `os.sched_setaffinity` does not exist nothing is changed.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from ..locks import afresh
from ..locks.errors import ScenarioError
from ..locks.parking import recover
from ..locks.task import current


@contextmanager
def settled(switch_interval: float | None = None) -> Iterator[None]:
    """Run the block, and the threads it starts, on one CPU of those allowed.

    Args:
        switch_interval: seconds between the interpreter's own thread switches; None leaves it.

    Raises:
        ScenarioError: this interpreter runs without its global lock, on which the account relies.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ScenarioError("this Python runs without the global interpreter lock; the account of "
                            "lock owners relies on it: set PYTHON_GIL=1")
    allowed: set[int] = set()
    with suppress(AttributeError, OSError):   # it is missing, or a sandbox forbids it: only slower
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
    task = current()
    around = task.run
    if around is not None and around.watched:
        # A watched test: neither the call nor its threads are part of it.
        task.run = None   # type: ignore[assignment]
        around.step(task, "")    # it is an operation of ours all the same
    try:
        with nullcontext() if switch_interval is None else _switching_every(switch_interval):
            yield
    finally:
        task.run = around
        if allowed:
            # A CPU may have been taken from the process meanwhile; the result is worth more.
            with suppress(OSError):
                os.sched_setaffinity(0, allowed)


_intervals_lock = afresh.module_lock()
_intervals: list[float] = []    # what was set as each call under way began


@contextmanager
def _switching_every(seconds: float) -> Iterator[None]:
    """Change the process-wide switch interval; the last of the calls side by side puts it back."""
    with _intervals_lock:
        _intervals.append(sys.getswitchinterval())
        sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        with _intervals_lock:
            # Of the last call under way: what there was before all. None is left in a process
            # that was forked in the middle.
            latest = _intervals.pop() if _intervals else None
            if latest is not None and not _intervals:
                sys.setswitchinterval(latest)


@afresh.in_child
def _forget() -> None:
    """Put back what a call changes, in a process that somebody forked."""
    if not afresh.is_ours() and _intervals:
        sys.setswitchinterval(_intervals[0])
        _intervals.clear()


PATIENCE = 3.0   # seconds that a step gets to end after an interrupt


def aside(step: Callable[[], Any]) -> Any:
    """Return what *step* returns, called once in a thread of its own; raise what it raises.

    A signal handler that raises does so in the main thread, at any instruction: were the guard held
    there, it would never be given up. An interrupt that comes while *step* is under way does not
    cut it short; it is raised when it has ended.
    """
    recover()    # an interrupt may have kept this thread from giving the guard up
    once, done = threading.Lock(), threading.Semaphore(0)
    answers: list[Any] = []
    errors: list[BaseException] = []

    def body() -> None:
        if once.acquire(False):
            try:
                answers.append(step())
            except BaseException as exc:
                errors.append(exc)
            finally:
                done.release()

    interrupt: BaseException | None = None
    while True:
        try:
            _thread.start_new_thread(body, ())   # again after an interrupt, lest it was not started
            done.acquire(True, None if interrupt is None else PATIENCE)
            break
        except BaseException as exc:
            if is_refused(exc):
                body()    # there are no more threads: an interrupt may cut it short
                done.acquire()
                break
            interrupt = exc
            if answers or errors:
                break
    if interrupt is not None:
        raise interrupt
    if errors:
        raise errors[0]
    return answers[0]


def is_refused(exc: BaseException) -> bool:
    """Say whether *exc*, of the start of a thread, means that the system gives no more of them."""
    return isinstance(exc, MemoryError) or \
        isinstance(exc, RuntimeError) and str(exc).startswith("can't start new thread")
