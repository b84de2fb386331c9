"""Condition: what `threading.Condition` makes, over a lock of ours or over any other.

A wait has three points: the lock is released, and whoever waits is in the queue; it is woken; it
asks for the lock again. Between the second and the third others may have had the lock: without
these points an `if` where a `while` is needed is never found.

Each thread that waits has a node of its own for that (`Wakeup`), so that the wake-ups of two
threads are different things. Who is in the queue is known to whoever has the lock.
The file is long by the points of a wait.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

from ..locks.callsite import nameless
from ..locks.counted import Counted, tell
from ..locks.node import Node
from ..locks.outsiders import listeners
from ..locks.task import Task, this_thread
from .lock import Lock
from .plain import allocate_lock, limit
from .rlock import RLock
from .stands_in import StandsIn


class Condition(StandsIn, Node):
    """`threading.Condition`.

    Args:
        lock: a lock; by default a new `RLock`, which is called as the condition is.
    """

    def __init__(self, lock: Any = None) -> None:
        Node.__init__(self, None, None)
        self._lock: Any = OwnLock(self) if lock is None else lock
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        for name in ("_release_save", "_acquire_restore", "_is_owned"):
            if hasattr(self._lock, name):
                setattr(self, name, getattr(self._lock, name))
        self._queue: deque[Any] = deque()
        self._wakeups: list[Wakeup] = []    # of tasks of a run

    @property
    def lock(self) -> Any:
        """What it is over."""
        return self._lock

    @property
    def _waiters(self) -> deque[Any]:
        return self._queue

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()
        self._queue.clear()

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *exc: Any) -> Any:
        return self._lock.__exit__(*exc)

    def __repr__(self) -> str:
        return f"<Condition({self._lock!r}, {len(self._queue)})>"

    def _release_save(self) -> Any:
        self._lock.release()

    @nameless
    def _acquire_restore(self, state: Any) -> None:
        self._lock.acquire()

    def _is_owned(self) -> bool:
        if isinstance(self._lock, Lock):
            return self._lock.is_held    # nobody need see that: it is the caller's
        if self._lock.acquire(False):
            self._lock.release()
            return False
        return True

    @nameless    # it is three operations, each with a name
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until woken, as `threading.Condition.wait`; return False if the time was up.

        Raises:
            RuntimeError: the caller does not have the lock.
        """
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        blocking = timeout is None or timeout > 0
        limited = limit(timeout) if blocking else None
        waiter = self._waiter()
        self._queue.append(waiter)
        state = self._release_save()
        woken, regains = False, this_thread.task.regains
        regains.append((self._lock, state))
        try:
            if isinstance(waiter, Wakeup):
                woken = waiter.wait(blocking, limited)
            else:
                woken = waiter.acquire(blocking, -1 if limited is None else limited)
            return woken
        finally:
            try:
                self._acquire_restore(state)
            finally:
                regains.pop()
            if not woken:
                self._leave(waiter)

    def _waiter(self) -> Any:
        """Return what the calling thread waits for."""
        task = this_thread.task
        if task.run is None and not listeners:
            waiter = allocate_lock()
            waiter.acquire()
            return waiter
        wakeups = self._wakeups
        for wakeup in wakeups:
            if wakeup.task is task:
                return wakeup
        wakeups[:] = [wakeup for wakeup in wakeups if not wakeup.task.ended]
        wakeups.append(Wakeup(self, task))
        return wakeups[-1]

    def _leave(self, waiter: Any) -> None:
        """Take *waiter*, whose time was up, out of the queue; it may have been woken since."""
        try:
            self._queue.remove(waiter)
        except ValueError:
            if isinstance(waiter, Wakeup):
                waiter.reinit()

    @nameless
    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until *predicate* is true; return what it returned last.

        Where an order is chosen no time passes but that of limits that run out.
        """
        run = this_thread.task.run
        stands_still = timeout is None or run is not None and run.scheduled
        end = None if stands_still or timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            goes_on = self.wait(timeout)
            result = predicate()
            if not goes_on:
                break
            if end is not None and (timeout := end - time.monotonic()) <= 0:
                break
        return result

    def notify(self, n: int = 1) -> None:
        """Wake *n* of those who wait, the first ones.

        Raises:
            RuntimeError: the caller does not have the lock.
        """
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        queue = self._queue
        while queue and n > 0:
            waiter = queue[0]
            try:
                waiter.release()
            except RuntimeError:    # as in the standard class: woken, and not taken out, before
                pass
            else:
                n -= 1
            with suppress(ValueError):
                queue.remove(waiter)

    def notify_all(self) -> None:
        """Wake all who wait."""
        self.notify(len(self._queue))

    def notifyAll(self) -> None:
        """Do what `notify_all` does; deprecated, as in the standard class."""
        warnings.warn("notifyAll() is deprecated, use notify_all() instead", DeprecationWarning,
                      stacklevel=2)
        self.notify_all()


class _OfCondition:
    """Is called as its `condition` is."""

    __slots__ = ()
    condition: Condition

    @property
    def name(self) -> str:
        """What the condition is called."""
        return self.condition.name

    @property
    def lock_class(self) -> str:
        """That of the condition."""
        return self.condition.lock_class


class Wakeup(_OfCondition, Counted):
    """What one thread, *task*, waits for in one condition."""

    __slots__ = ("condition", "task")
    in_programs = False    # who is woken depends on who waits

    def __init__(self, condition: Condition, task: Task) -> None:
        Node.__init__(self, None, None)
        self._done = 0
        self._waiters = deque()
        self.condition, self.task = condition, task

    def identity(self) -> Hashable:
        """Return what is equal for the same thread at the same condition."""
        return self.condition.identity(), getattr(self.task, "key", self.task.name)

    def wait(self, blocking: bool, timeout: float | None) -> bool:
        """Wait until `release`."""
        return self._pass(self.task, timeout, blocking)

    def release(self) -> None:
        """Wake the thread."""
        tell(self, "complete")
        self._let_one_pass()

    def reinit(self) -> None:
        """Forget that it was woken when its time was up."""
        tell(self, "clear")
        self._done = 0


class OwnLock(_OfCondition, RLock):
    """The lock of a condition that was given none; it is called as the condition is."""

    __slots__ = ("condition",)

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.condition = condition

    def identity(self) -> Hashable:
        """Return what is equal for the lock of the same condition."""
        return self.condition.identity(), "its lock"
