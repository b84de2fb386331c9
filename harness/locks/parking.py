"""Threads as the harness knows them, and how they wait.

A *task* is a thread with a serial number of ours (the interpreter recycles `get_ident()` values).
Inside a run a task is a role or a thread that a role started; every other thread is an outsider,
whose task has no run.

All waiting happens here, in a parking lot: a task that cannot have a lock waits in one
uninterrupted acquire of a raw lock of its own, so that a detector can let it go without touching
the lock it waits for. The account of who holds and who waits is guarded by one lock for the
process. The guard is a baton: `leave()` hands it straight to a task that was woken, so that no
third thread sees a lock between its release and the next grant.

This file knows nothing of locks, runs or detection. Do not add them here.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any

_guard = threading.Lock()
_woken: deque[Task] = deque()
_serials = itertools.count(1)

_exposed = 0    # identifier of the thread that gets signals, while it is part of a run
# Not empty while that thread has the guard: filled in one call with the acquisition, since a signal
# handler may run, and raise, after any call.
_inside: deque[bool] = deque()
_BLOCKING = (True,)

EXCLUSIVE, SHARED, WAIT = "exclusive", "shared", "wait"
NOT_NESTED = 0, ""


class Unwind(BaseException):
    """Raised in a role to end it after a verdict; no `except Exception` can swallow it."""


class Expired(BaseException):
    """Raised by an observer of `lock_acquire`: the time of a timed request is up."""


class Task:
    """One thread: what it holds, what it waits for.

    States: running (`waits_on` is None), parked at a lock (`waits_on` is that lock), parked by an
    observer (`paused`), ended. `held` lists (lock, mode, chain) in the order of acquisition.
    """

    __slots__ = ("serial", "name", "run", "thread", "held", "waits_on", "mode", "timed", "chain",
                 "paused", "ended", "request", "trylock", "tells", "nested", "interrupt", "acquiring",
                 "parked", "stack", "asked", "signals", "_gate", "_baton", "__weakref__")

    def __init__(self, name: str, run: Any = None, thread: threading.Thread | None = None) -> None:
        self.serial = next(_serials)
        self.name = name
        self.run = run
        self.thread = thread
        self.held: list[tuple[Any, str, Any]] = []
        self.waits_on: Any = None
        self.mode = ""
        self.timed = False
        self.chain: tuple[tuple[Any, int], ...] = ()
        self.paused = False
        self.ended = False
        self.request: Any = None     # the semaphore acquisition under way, if any
        self.trylock = False
        self.tells = ""              # how it ends waits: for one, "complete"; all, "set"; or "clear"
        self.nested: tuple[int, str] = NOT_NESTED   # subclass of the request under way, and why
        self.interrupt: BaseException | None = None   # raised once the package below is done
        self.acquiring = False       # in the package, where a refusal makes it roll back
        self.parked = False
        self.stack: Any = None       # what it holds and asked for last, for the lock order
        self.asked: Any = None
        self.signals = False         # of the thread that gets signals: one may end its wait
        self._gate = threading.Lock()     # what it waits in while parked
        self._gate.acquire()
        self._baton = False               # a wake-up hands it the guard

    def __repr__(self) -> str:
        return f"<Task {self.serial} {self.name}>"


class _Local(threading.local):
    """Gives each thread that never entered a run its outsider task.

    `created` counts the unnamed locks made at each place, so that a second fork made in a loop is
    called #2; `named` those that were given the same name, while a world is built or a role runs.
    Both start afresh with each world, so that every run uses the same names.
    """

    def __init__(self) -> None:
        # Not current_thread(): it would leave a dummy behind for a thread of `_thread`.
        thread = threading._active.get(threading.get_ident())   # type: ignore[attr-defined]
        self.created: dict[tuple[int, int], int] = {}
        self.named: dict[tuple[str, str | None], int] | None = None
        self.task = Task(thread.name if thread is not None else "a thread", None, thread)


_local = _Local()


def current() -> Task:
    """Return the task of the calling thread."""
    return _local.task


def become(task: Task) -> Task:
    """Make *task* the task of the calling thread; return the one before."""
    before = _local.task
    _local.task = task
    return before


def enter() -> None:
    """Take the guard of the account. Never wait for anything else while it is held."""
    if _exposed and threading.get_ident() == _exposed:
        if not _inside:   # else it was interrupted in there, and has the guard still
            _inside.extend(map(_guard.acquire, _BLOCKING))
    else:
        _guard.acquire()


def leave() -> None:
    """Give the guard up: to the task woken first, if one was, else to anyone."""
    # A signal handler may run after any call, so the last call is the one that gives up the guard.
    if _woken:
        gate = _woken[0]._gate
        del _woken[0]
        if _inside:
            del _inside[0]
        gate.release()
    else:
        if _inside:
            del _inside[0]
        _guard.release()


def expose(ident: int) -> int:
    """Say which thread gets signals and uses the guard in a run (0: none); return the one before.

    A handler that raises there may do so while the thread has the guard: `enter` finds that out. Of
    the thread itself, and never with the guard held.
    """
    global _exposed
    before, _exposed = _exposed, ident
    return before


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
    task._baton = timeout < 0 and task.run is not None and not task.signals
    if task._baton:
        run = task.run
        run.running -= 1
        if run.running <= run.timed:
            run.quiescent()
        leave()
        task._gate.acquire()
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
        task._gate.acquire(True, timeout)
    finally:
        enter()
        if task.run is not None:
            task.run.timed -= 1
        woken = not task.parked
        task.parked = False
        if woken:
            task._gate.acquire(False)   # woken after the time was up: take the wake-up back
    return woken


def unpark(task: Task) -> None:
    """Wake *task*, if it is parked, as soon as the caller leaves the guard. Called with the guard
    held.
    """
    if not task.parked:
        return
    task.parked = False
    if task._baton:
        task.run.running += 1
        _woken.append(task)
    else:
        task._gate.release()


def pause(task: Task) -> None:
    """Hold *task*, the caller's, until someone wakes it, without its waiting for a lock. Guard as
    for `park`.
    """
    if task.run.unwinding:
        return   # who would wake it has been and gone
    task.paused = True
    park(task)
    task.paused = False
