"""How tasks wait: in a parking lot, under one guard.

A task that cannot have a lock waits in one uninterrupted acquire of a raw lock of its own, so that
a detector can let it go without touching the lock it waits for. The account of who holds and who
waits is guarded by one lock for the process. The guard is a baton: `leave()` hands it straight to a
task that was woken, so that no third thread sees a lock between its release and the next grant.
This file knows nothing of locks.

Every section under the guard is a ``with guarded:``, or where speed counts ``enter()``, ``try:``,
``finally: leave()``: whatever is raised in it, and whoever raises it, gives the guard up. Code may
run in the middle of a section that is no part of it: a finalizer, a callback of the collector, a
trace function, a signal handler.
The guard knows whose it is, so such code never waits for its own thread: it passes, what changes
who may go on is done once the section has ended (`afterwards`), and what would have to wait is
refused. The collector, which would bring most of such code, is kept out.

This file is long because it is the one that knows what may happen to whoever has the guard.
"""

from __future__ import annotations

import gc
import operator
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import compress
from types import FrameType
from typing import Any

from . import afresh
from .errors import LockTaken
from .task import Task

get_ident = threading.get_ident
_plain_enable, _plain_disable = gc.enable, gc.disable

_guard = afresh.module_lock()
_woken: deque[Task] = deque()
_owner = 0      # identifier of the thread that has the guard; 0 if nobody has, or is about to
_depth = 0      # how many sections of that thread began in the middle of another
_later: list[Callable[[], Any]] = []    # what it is to do once it has left
_automatic = False                      # the collector works by itself, but not under the guard

# The main thread runs signal handlers, which may raise, after any call: so it takes the guard, and
# notes that in `_mains`, in one call of C. What it notes is the frame of the section.
_main = threading.main_thread().ident or 0
_mains: list[Any] = []
_call = operator.methodcaller("__call__")
_acquire = (_guard.acquire,)
_acquire_alone = _guard.acquire, _plain_disable    # a collection may begin after any call, too
_exhaust: Callable[[Any], None] = deque(maxlen=0).extend


def enter() -> bool:
    """Take the guard of the account. Never wait for anything else while it is held.

    Returns:
        Whether the caller is in the middle of a section of its own thread.
    """
    global _owner, _depth
    me = get_ident()
    if me == _main:
        return _enter_main(sys._getframe(1))
    if _owner == me:
        _depth += 1
        return True
    # On one line each: a trace function may run before any other.
    if _automatic:
        _exhaust(map(_call, _acquire_alone)); _owner = me    # noqa: E702
    else:
        _guard.acquire(); _owner = me    # noqa: E702
    return False


def _enter_main(frame: FrameType) -> bool:
    global _owner, _depth
    if _mains and _is_under_way(_mains[0], frame):
        _depth += 1
        return True
    try:
        if _mains:    # a handler raised as a section was to end: the thread has the guard still
            _mains[0], _depth = frame, 0
        else:
            _mains.extend(compress((frame, None), map(
                _call, _acquire_alone if _automatic else _acquire)))
            _owner = _main
    except BaseException:
        recover()
        raise
    return False


def _is_under_way(section: FrameType, now: FrameType | None) -> bool:
    """Say whether the frame of *section* led to the call *now*."""
    while (now := now and now.f_back) is not None:
        if now is section:
            return True
    return False


def leave(a: Any = None, b: Any = None, c: Any = None) -> None:
    """Give the guard up: to the task woken first, if it was, else to anyone.

    It needs no deeper stack than `enter` had.
    """
    global _owner, _depth, _later
    if _depth:
        _depth -= 1
        return
    then = None
    if _later:
        then, _later = _later, []
    gate = _guard
    if _woken:
        gate = _woken[0].gate
        del _woken[0]
    elif _automatic:
        _plain_enable()
    if _mains:
        del _mains[0]
    # A signal handler may run after any call, so the one call is last that gives up the guard.
    _owner = 0; gate.release()    # noqa: E702
    if then is not None:
        _do(then)


class _Guarded:
    """A block that is run with the guard held."""

    __enter__, __exit__ = staticmethod(enter), staticmethod(leave)


guarded = _Guarded()


def _do(deferred: list[Callable[[], Any]]) -> None:
    """Do what code asked for that interrupted a section; nobody can be told what it raises."""
    for act in deferred:
        try:
            act()
        except BaseException as exc:
            hook: Any = sys.unraisablehook
            hook(sys.UnraisableHookArgs((type(exc), exc, exc.__traceback__, None, act)))  # type: ignore


def afterwards(act: Callable[[], Any]) -> None:
    """Let *act*, which takes the guard itself, be called once the section has ended that this code
    interrupts: see `enter`.
    """
    _later.append(act)


def collect_automatically(on: bool) -> None:
    """Say whether the collector works by itself while a call is under way.

    It never does under the guard: a finalizer could not wait there.
    """
    global _automatic
    with guarded:
        _automatic = on
        _plain_disable()


@afresh.in_child
def _begin_afresh() -> None:
    """Forget, in a forked process, what threads do that it does not have."""
    global _owner, _depth, _main
    _woken.clear()
    _later[:] = []
    _mains.clear()
    _owner = _depth = 0
    _main = get_ident()
    if _automatic:
        _plain_enable()    # whoever had the guard is not here


def recover() -> None:
    """Give the guard up if an interrupt kept the calling thread, the main one, from it.

    Called where no section of the thread is under way.
    """
    global _depth
    if get_ident() == _main and _mains:
        _depth = 0
        leave()


def park(task: Task, timeout: float = -1) -> bool:
    """Wait until *task*, the caller's, is woken. Called and returns with the guard held.

    Args:
        timeout: seconds; negative waits for ever.

    Returns:
        Whether it was woken; False means that the time was up.

    Raises:
        LockTaken: it would wait in the middle of a section of its own thread.
        Whatever a signal handler raises in the main thread, or what the run asks when nobody can
            go on, with the guard held.
    """
    global _owner
    refuse_to_wait()
    # Only an untimed wait of a thread that gets no signals can be handed the guard: any other may
    # leave its wait by itself at the moment the guard is on its way to it.
    run = task.run
    task.parked = True
    task.baton = timeout < 0 and run is not None and not task.signals
    if task.baton:
        run.running -= 1
        if run.running <= run.timed:
            _ask_who_goes(task)
        leave()
        task.gate.acquire()
        _owner = get_ident()
        return True
    if run is not None:
        task.until = time.monotonic() + timeout
        run.timed += 1
        if run.running <= run.timed:
            _ask_who_goes(task)
    try:
        without_guard(task.gate.acquire, True, timeout)
    finally:
        woken = not task.parked
        if woken:
            task.gate.acquire(False)   # woken after the time was up: take the wake-up back
        else:
            task.parked = False
            if task.run is not None:
                task.run.timed -= 1
    return woken


def _ask_who_goes(task: Task) -> None:
    """Tell the run of *task*, which is parked, that nobody goes on by himself."""
    run = task.run
    try:
        run.quiescent()
    except BaseException:
        if task.parked and task.baton:
            run.running += 1
        elif task.parked:
            run.timed -= 1
        elif task.baton:
            _woken.remove(task)    # it goes on here, and has the guard
        else:
            task.gate.acquire(False)
        task.parked = False
        raise


def without_guard(wait: Callable[..., Any], *how: Any) -> None:
    """Call *wait* while the guard, which the caller has, is given up; raise what it raises.

    Raises:
        LockTaken: the caller is in the middle of another section of its own thread.
    """
    refuse_to_wait()
    section = _mains[:]
    try:
        leave()   # a handler may raise in there: `enter` finds out who has the guard
        wait(*how)
    finally:
        enter()
        if get_ident() == _main:
            _mains[:] = section


def refuse_to_wait() -> None:
    """Raise LockTaken if the caller is in the middle of another section of its own thread."""
    if _depth:
        raise LockTaken("what interrupts the harness (a signal handler, a trace function) waits "
                        "for a lock; it must take none that may be held")


def unpark(task: Task) -> None:
    """Wake *task*, if it is parked, once the caller, who has the guard, leaves it."""
    if not task.parked:
        return
    task.parked = False
    if task.baton:
        task.run.running += 1
        _woken.append(task)
    else:
        if task.run is not None:
            task.run.timed -= 1    # from now on it is one that goes on by itself
        task.gate.release()


def pause(task: Task) -> None:
    """Hold *task*, the caller's, until someone wakes it; it waits for no lock. Guard as `park`."""
    if task.run.unwinding:
        return   # who would wake it has been and gone
    task.paused = True
    try:
        park(task)
    finally:
        task.paused = False
