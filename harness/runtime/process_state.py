"""State of the process that a call changes, and puts back; and that calls are not made in calls.

Which CPU a call runs on is in cpus.py, what becomes of the collector in collector.py.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from ..locks import afresh, raw
from ..locks.callsite import place_of
from ..locks.errors import ScenarioError
from ..locks.outsiders import Outsiders
from ..locks.parking import recover
from ..locks.task import current, this_thread
from . import cpus

_OURS = f"{__name__.partition('.')[0]}."
Change = tuple[Callable[[], Any], Callable[[], Any]]    # makes it, undoes it


@contextmanager
def settled(switch_interval: float | None = None, *changes: Change) -> Iterator[None]:
    """Run the block, and the threads it starts, on one CPU of those allowed.

    Args:
        switch_interval: seconds between the interpreter's own thread switches; None leaves it.
        changes: more that is changed of the process meanwhile.

    Raises:
        ScenarioError: this interpreter runs without its global lock, on which the account relies.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ScenarioError("this Python runs without the global interpreter lock; the account of "
                            "lock owners relies on it: set PYTHON_GIL=1")
    task = current()
    around = task.run
    thread = threading.get_native_id() if hasattr(threading, "get_native_id") else 0
    undo: list[Callable[[], Any]] = []

    def change() -> None:
        had = cpus.pin(thread)
        undo.append(lambda: cpus.unpin(thread, had))
        if switch_interval is not None:
            _switch_every(switch_interval)
            undo.append(_switch_back)
        for make, put_back in changes:
            make()
            undo.append(put_back)

    def put_back() -> None:
        while undo:
            undo.pop()()

    try:
        aside(change)    # there, no signal handler raises in the middle of it
        if around is not None and around.watched:
            # A watched test: neither the call nor its threads are part of it.
            task.run = None   # type: ignore[assignment]
            around.step(task, "")    # it is an operation of ours all the same
        yield
    finally:
        task.run = around
        surely(lambda: aside(put_back))


@contextmanager
def no_call_inside(part: bool = False) -> Iterator[None]:
    """Refuse a call of `harness` in the middle of another, which the block is.

    Its roles could wait for those of the other, and neither would know.

    Args:
        part: the block is no call, but may make one that is part of the call under way.

    Raises:
        ScenarioError: the caller is code that another call runs.
    """
    task, before = current(), this_thread.in_call
    if not part and (before or task.run is not None and not task.run.watched):
        frame: Any = sys._getframe()
        while frame.f_back is not None and (
                f"{frame.f_globals.get('__name__')}.".startswith((_OURS, "contextlib."))):
            method, frame = frame.f_code.co_name, frame.f_back
        where = "what another call of harness asks" if before or task.run.alone else \
            f"{task.name}, a role of another call," if hasattr(task.run, "scenario") else task.name
        raise ScenarioError(f"{method}() is called inside {where} at "
                            f"{place_of(frame.f_code, frame.f_lasti)}; call one after the other, "
                            f"or side by side in threads that no role started")
    this_thread.in_call = not part
    try:
        # A signal handler may use locks between the runs, too.
        with nullcontext() if part else Outsiders([], of_run=False):
            yield
    finally:
        this_thread.in_call = before


_intervals_lock = afresh.module_lock()
_intervals: list[float] = []    # what was set as each call under way began
_HALF = 5e-7    # of the microseconds to which CPython cuts what is set: 0.1 would lose one a call


def _switch_every(seconds: float) -> None:
    """Change the process-wide switch interval."""
    with _intervals_lock:
        _intervals.append(sys.getswitchinterval() + _HALF)
        sys.setswitchinterval(seconds)


def _switch_back() -> None:
    """Undo that; the last of the calls side by side puts it back."""
    with _intervals_lock:
        if _intervals:    # else this process was forked in the middle of the call
            latest = _intervals.pop()    # of the last call under way: what there was before all
            if not _intervals:
                sys.setswitchinterval(latest)


@afresh.in_child
def _forget() -> None:
    """Put back what a call changes, in a process that somebody forked."""
    if not afresh.is_ours() and _intervals:
        sys.setswitchinterval(_intervals[0])
        _intervals.clear()


PATIENCE = 3.0   # seconds that a step gets to end after an interrupt


class Watch(Protocol):
    """Who looks after what is done aside.

    Attributes:
        slice: seconds between looks.
        helpers: identifiers of the threads that do it.
        lost: of those that never come back.
    """

    slice: float
    helpers: set[int]
    lost: set[int]

    def look(self, now: float) -> bool: ...    # at the time *now*, of time.monotonic()


def aside(step: Callable[[], Any], watch: Watch | None = None) -> Any:
    """Return what *step* returns, called once in a thread of its own; raise what it raises.

    Args:
        watch: looks after it; None is returned if *step* never comes back.

    A signal handler that raises does so in the main thread, at any instruction: were the guard held
    there, it would never be given up. An interrupt that comes while *step* is under way does not
    cut it short; it is raised when it has ended.
    """
    if watch is None and threading.current_thread() is not threading.main_thread():
        return step()
    recover()    # an interrupt may have kept this thread from giving the guard up
    once, done = raw.Lock(), raw.Lock()    # a semaphore may be left half taken
    done.acquire()
    answers: list[Any] = []
    errors: list[BaseException] = []

    helpers, helper = watch.helpers if watch is not None else set(), []

    def body() -> None:
        if once.acquire(False):
            helper.append(threading.get_ident())
            helpers.update(helper)
            try:
                answers.append(step())
            except BaseException as exc:
                errors.append(exc)
            finally:
                helpers.difference_update(helper)
                done.release()

    def wait(limit: float) -> None:
        if watch is None:
            done.acquire(True, limit)
            return
        end = time.monotonic() + limit
        while not done.acquire(True, watch.slice):
            now = time.monotonic()
            watch.look(now)
            if watch.lost.intersection(helper) or limit >= 0 and now >= end:
                return

    interrupt: BaseException | None = None
    while True:
        try:
            _thread.start_new_thread(begin_aside, (body,))   # again, lest it was not started
            wait(-1 if interrupt is None else PATIENCE)
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
    return answers[0] if answers else None


def begin_aside(body: Callable[[], Any]) -> None:
    """Do *body*. By this function a thread of `aside` is known."""
    body()


def surely(step: Callable[[], Any]) -> None:
    """Call *step* in this thread, once more if an interrupt came in the middle, which is raised
    when it has ended.
    """
    interrupt: BaseException | None = None
    for _ in range(3):
        try:
            step()
            break
        except BaseException as exc:
            interrupt = exc
    if interrupt is not None:
        raise interrupt


def is_refused(exc: BaseException) -> bool:
    """Say whether *exc*, of the start of a thread, means that the system gives no more of them."""
    return isinstance(exc, MemoryError) or \
        isinstance(exc, RuntimeError) and str(exc).startswith("can't start new thread")
