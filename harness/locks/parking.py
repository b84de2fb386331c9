"""How tasks wait: in a parking lot, under one guard.

A task that cannot have a lock waits in one uninterrupted acquire of a raw lock of its own, so that
a detector can let it go without touching the lock it waits for. The account of who holds and who
waits is guarded by one lock for the process. The guard is a baton: `leave()` hands it straight to a
task that was woken, so that no third thread sees a lock between its release and the next grant.
This file knows nothing of locks.

Every section under the guard is a ``with guarded:``; whatever is raised in it, and whoever raises
it, gives the guard up. Code may run in the middle of a section that is no part of it: a finalizer,
a callback of the collector, a trace function, a signal handler. The guard knows whose it is, so
such code never waits for its own thread: it passes, what changes who may go on is done once the
section has ended (`afterwards`), and what would have to wait is refused. The collector, which would
bring most of such code, is kept out.

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
from itertools import chain, starmap
from types import FrameType
from typing import Any

from . import afresh
from .errors import LockTaken
from .task import Task

get_ident, _getframe = threading.get_ident, sys._getframe
_plain_enable, _plain_disable = gc.enable, gc.disable

_guard = afresh.module_lock()
_acquire, _release = _guard.acquire, _guard.release
_woken: deque[Task] = deque()
_owner = 0      # identifier of the thread that has the guard; 0 if nobody has, or is about to
_depth = 0      # how many sections of that thread began in the middle of another
_later: list[Callable[[], Any]] = []    # what it is to do once it has left
_automatic = False    # the collector works by itself, but not under the guard
_else_on = False      # it is on, whatever the guard: no call is under way any more
_special = False      # `leave` has more to do than to give the guard up; changed with it held

# The main thread runs signal handlers, which may raise, after any call: so it takes the guard and
# notes that, in `_mains`, in one call of C, and then the frame of the section. A collection may
# begin after any call, too: where it comes by itself, it is switched off in the same call.
_main = threading.main_thread().ident or 0
_mains: list[Any] = []
_section: FrameType | None = None
_call = operator.call    # which makes no object: that might begin a collection
_take: tuple[Callable[[], Any], ...] = (_acquire,)
_probe = (gc.isenabled,)
_exhaust: Callable[[Any], None] = deque(maxlen=0).extend


def enter() -> bool:
    """Take the guard of the account. Never wait for anything else while it is held.

    Returns:
        Whether the caller is in the middle of a section of its own thread.
    """
    global _owner
    me = get_ident()
    if me == _main or _owner == me or _automatic:
        return _enter_specially(me)
    # On one line: before any other a trace function may run.
    _acquire(); _owner = me    # noqa: E702
    if _automatic:    # since a moment ago
        _plain_disable()
    return False


def _enter_specially(me: int) -> bool:
    global _owner, _depth, _section, _special
    frame = _getframe(2)
    if _mains and _is_under_way(_section, frame) if me == _main else _owner == me:
        _depth += 1
        _special = True
        return True
    _exhaust(map(_call, _probe))    # the stack has the room: it will for all that is called so
    if me != _main:
        _exhaust(map(_call, _take)); _owner = me; _special = True    # noqa: E702
        _settle()
        return False
    try:
        if not _mains:    # else a handler raised as a section was to end: it has the guard still
            _section = None
            _mains.extend(map(_call, _take))
        _depth, _owner, _special, _section = 0, me, True, frame
    except BaseException:
        recover()
        raise
    return False


def _settle() -> None:
    """Put the collector back if what it was to be has changed while the caller took the guard."""
    if not _automatic and _else_on:
        _plain_enable()


def _is_under_way(section: FrameType | None, now: FrameType | None) -> bool:
    """Say whether the frame of *section* led to the call *now*."""
    while section is not None and (now := now and now.f_back) is not None:
        if now is section:
            return True
    return section is None    # it is about to begin


def leave(a: Any = None, b: Any = None, c: Any = None) -> None:
    """Give the guard up: to the task woken first, if it was, else to anyone.

    It needs no deeper stack than `enter` had.
    """
    global _owner
    if _special:
        _leave_specially()
        return
    release = _release
    if _woken:
        release = _woken[0].gate.release
        del _woken[0]
    _owner = 0; release()    # noqa: E702


def _leave_specially() -> None:
    global _owner, _depth, _later, _section, _special
    if _depth:
        _depth -= 1
        return
    then: list[Callable[[], Any]] = []
    if _later:
        then, _later = _later, then
    release = _release
    if _woken:
        release = _woken[0].gate.release
        del _woken[0]
    elif _automatic:
        _plain_enable()
    _special = _automatic
    if _mains:
        _section = None
        del _mains[:]
    # A signal handler may run after any call, so the one call is last that gives up the guard.
    _owner = 0; release()    # noqa: E702
    if then:
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
    """Call *act*, which takes the guard itself, when the section has ended that this interrupts."""
    _later.append(act)


def collect_automatically(on: bool, afterwards: bool = False) -> None:
    """Say whether the collector works by itself, which it never does under the guard.

    Args:
        afterwards: it is on again, since no call is under way.
    """
    global _automatic, _else_on, _special, _take
    with guarded:
        _automatic, _else_on, _special = on, afterwards, True
        _take = (_acquire, _plain_disable) if on else (_acquire,)
        if not afterwards:
            _plain_disable()
    if afterwards:
        _plain_enable()


@afresh.in_child
def _begin_afresh() -> None:
    """Forget, in a forked process, what threads do that it does not have."""
    global _owner, _depth, _main, _special
    _woken.clear()
    _later[:] = []
    _mains.clear()
    _owner = _depth = 0
    _special = _automatic
    _main = get_ident()
    if _automatic:
        _plain_enable()    # whoever had the guard is not here


def recover() -> None:
    """Give the guard up if an interrupt, or what a trace function raised, kept the calling thread
    from it.

    Called where no section of the thread is under way.
    """
    global _depth, _special
    me = get_ident()
    if _mains if me == _main else _owner == me:
        _depth, _special = 0, True
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
    elif run is not None:
        task.until = time.monotonic() + timeout
        run.timed += 1
    try:
        if run is not None and run.running <= run.timed:
            run.quiescent()
        if task.baton:
            leave()
    except BaseException:    # nothing is called here that needs more of the stack
        if task.baton and task.parked:
            run.running += 1
        elif task.baton:
            _woken.remove(task)    # it goes on here, and has the guard
        elif not task.parked:
            task.gate.acquire(False)
        elif run is not None:
            run.timed -= 1
        task.parked = False
        raise
    if task.baton:
        task.gate.acquire()
        _owner = get_ident()    # and the collector is off, if it is to be
        return True
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


def without_guard(wait: Callable[..., Any], *how: Any) -> None:
    """Call *wait* while the guard, which the caller has, is given up; raise what it raises.

    Raises:
        LockTaken: the caller is in the middle of another section of its own thread.
    """
    global _owner, _section, _special
    refuse_to_wait()
    section, me = _section, get_ident()
    if _automatic and me != _main and not _later:
        # In one call, made before: a collection in here would do things as a task that waits.
        gate, free = (_woken[0].gate.release, ()) if _woken else (_release, (_plain_enable,))
        steps = chain(map(_call, (*free, gate)), starmap(wait, (how,)), map(_call, _take))
        if _woken:
            del _woken[0]
        try:
            _owner = 0; _exhaust(steps); _owner = me    # noqa: E702
        except BaseException:    # of the wait
            _exhaust(map(_call, _take)); _owner = me    # noqa: E702
            raise
        finally:
            _special = True
            _settle()
        return
    try:
        leave()   # a handler may raise in there
        wait(*how)
    finally:
        if _owner != get_ident():
            enter()
        if get_ident() == _main:
            _section = section


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
    run = task.run
    if run is not None and run.in_turns:
        run.note = None    # who runs is told of his next request, and may have to wait
    if task.baton:
        run.running += 1
        _woken.append(task)
    else:
        if run is not None:
            run.timed -= 1    # from now on it is one that goes on by itself
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
