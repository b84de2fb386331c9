"""Mutex: a lock that its owner alone may release, the kernel's."""

from __future__ import annotations

import threading

from . import exclusive
from .errors import HeldLockFreed, RecursiveAcquire
from .exclusive import Exclusive
from .node import Guard, nested_request
from .task import Task, this_thread

get_ident = threading.get_ident


class Mutex(Exclusive):
    """A `threading.Lock` with an owner: the kernel's mutex, or a drop-in for `Lock`.

    Not recursive: asking again without a time limit raises outside a run and is a deadlock of one
    inside. Nobody but its owner may release it.
    """

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float = -1, *, nested: int = 0,
                why: str = "") -> bool:
        """Take the lock, waiting up to *timeout* seconds (negative: for ever) if *blocking*.

        Args:
            nested: subclass of the request: says to prediction that it may nest inside a lock of
                the same class (lockdep's mutex_lock_nested).
            why: the reason, which *nested* needs.

        Returns:
            Whether it was taken.

        Raises:
            RecursiveAcquire: the caller holds it, and asks without a time limit, outside a run.
            ValueError, OverflowError: as `threading.Lock.acquire`.
        """
        if nested:
            return bool(nested_request(nested, why, self.acquire, blocking, timeout))
        if exclusive._active:
            task = this_thread.task
            if task.run is not None:
                return self._acquire_in_run(task, blocking, timeout)
        if self._owner == get_ident() and blocking and timeout == -1:
            raise RecursiveAcquire(f"{self} is not recursive and this thread holds it already")
        return self._acquire_outside(blocking, timeout)

    def nested(self, nested: int, why: str) -> Guard:
        """Return what takes the lock with a subclass in a ``with`` statement: see `acquire`."""
        return _Nested(self, nested, why)

    def destroy(self) -> None:
        """Tell that its memory is freed or initialised again.

        Raises:
            HeldLockFreed: somebody holds it.
        """
        if self._lock.locked():
            holder = self._owner.name if isinstance(self._owner, Task) else "a thread"
            raise HeldLockFreed(f"{self} is freed, but {holder} holds it")


class _Nested(Guard):
    """A request with a subclass: entering takes the lock."""

    __slots__ = ("_request",)

    def __init__(self, mutex: Mutex, nested: int, why: str) -> None:
        super().__init__(mutex.release)
        self._request = mutex, nested, why

    def __enter__(self) -> bool:
        mutex, nested, why = self._request
        return mutex.acquire(nested=nested, why=why)
