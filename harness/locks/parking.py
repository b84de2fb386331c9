"""How tasks wait: in a parking lot, under one guard.

A task that cannot have a lock waits in one uninterrupted acquire of a raw lock of its own, so that
a detector can let it go without touching the lock it waits for. The account of who holds and who
waits is guarded by one lock for the process. The guard is a baton: `leave()` hands it straight to a
task that was woken, so that no third thread sees a lock between its release and the next grant.
This file knows nothing of locks.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from .task import Task

_guard = threading.Lock()
_woken: deque[Task] = deque()

_exposed = 0    # identifier of the thread that gets signals, while it is part of a run
# Not empty while that thread has the guard: filled in one call with the acquisition, since a signal
# handler may run, and raise, after any call.
_inside: deque[bool] = deque()
_BLOCKING = (True,)


def enter() -> None:
    """Take the guard of the account. Never wait for anything else while it is held."""
    if _exposed and threading.get_ident() == _exposed:
        if not _inside:   # else it was interrupted in there, and has the guard still
            _inside.extend(map(_guard.acquire, _BLOCKING))
    else:
        _guard.acquire()


def leave() -> None:
    """Give the guard up: to the task woken first, if one was, else to anyone."""
    gate = _guard
    if _woken:
        gate = _woken[0].gate
        del _woken[0]
    if _inside:
        del _inside[0]
    # A signal handler may run after any call, so the one call is last that gives up the guard.
    gate.release()


def expose(ident: int) -> int:
    """Say which thread gets signals and uses the guard in a run (0: none); return the one before.

    A handler that raises there may do so while the thread has the guard: `enter` finds that out. Of
    the thread itself, and never with the guard held.
    """
    global _exposed
    before, _exposed = _exposed, ident
    return before


def _begin_afresh() -> None:
    """Forget, in a forked process, what threads do that it does not have."""
    global _exposed
    _guard._at_fork_reinit()   # type: ignore[attr-defined]
    _woken.clear()
    _inside.clear()
    _exposed = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_afresh)


def recover() -> None:
    """Give the guard up if an interrupt kept the calling thread, the exposed one, from it."""
    if _inside:
        leave()


def park(task: Task, timeout: float = -1) -> bool:
    """Wait until *task*, the caller's, is woken. Called and returns with the guard held.

    Args:
        timeout: seconds; negative waits for ever.

    Returns:
        Whether it was woken; False means that the time was up.

    Raises:
        Whatever a signal handler raises in the main thread, with the guard held.
    """
    # Only an untimed wait of a thread that gets no signals can be handed the guard: any other may
    # leave its wait by itself at the moment the guard is on its way to it.
    task.parked = True
    task.baton = timeout < 0 and task.run is not None and not task.signals
    if task.baton:
        run = task.run
        run.running -= 1
        if run.running <= run.timed:
            run.quiescent()
        leave()
        task.gate.acquire()
        return True
    if task.run is not None:
        task.run.timed += 1
        if task.run.running <= task.run.timed:
            task.run.quiescent()
    if not task.signals:
        leave()
    try:
        if task.signals:
            leave()   # a handler may raise in there: `enter` finds out who has the guard
        task.gate.acquire(True, timeout)
    finally:
        enter()
        if task.run is not None:
            task.run.timed -= 1
        woken = not task.parked
        task.parked = False
        if woken:
            task.gate.acquire(False)   # woken after the time was up: take the wake-up back
    return woken


def unpark(task: Task) -> None:
    """Wake *task*, if it is parked, once the caller, who has the guard, leaves it."""
    if not task.parked:
        return
    task.parked = False
    if task.baton:
        task.run.running += 1
        _woken.append(task)
    else:
        task.gate.release()


def pause(task: Task) -> None:
    """Hold *task*, the caller's, until someone wakes it; it waits for no lock. Guard as `park`."""
    if task.run.unwinding:
        return   # who would wake it has been and gone
    task.paused = True
    park(task)
    task.paused = False
