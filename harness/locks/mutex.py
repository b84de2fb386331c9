"""Mutex: a lock that its owner alone may release, the kernel's."""

from __future__ import annotations

import sys
import threading
from typing import Any

from . import exclusive
from .calls import Callers, Chain, capture
from .callsite import is_verb
from .errors import HeldLockFreed, RecursiveAcquire
from .exclusive import Exclusive
from .node import Guard, nested_request
from .task import EXCLUSIVE, NOT_NESTED, Task, this_thread

get_ident, _getframe = threading.get_ident, sys._getframe


def _calls_of(frame: Any) -> Chain:
    """Return the calls that led to *frame*, of who uses a lock."""
    known = frame.f_trace
    return (known.code, frame.f_lasti, known.chain) if known.__class__ is Callers \
        else capture(frame, 0)


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
            run = task.run
            if run is not None:
                if run.note is not None and blocking and timeout == -1 \
                        and task.nested is NOT_NESTED and self._take_noted(task, run.note):
                    return True
                return self._acquire_in_run(task, blocking, timeout)
        if self._owner == get_ident() and blocking and timeout == -1:
            raise RecursiveAcquire(f"{self} is not recursive and this thread holds it already")
        return self._acquire_outside(blocking, timeout)

    def release(self) -> None:
        """Give the lock up.

        Raises:
            RuntimeError: it is not the caller's to release.
        """
        owner = self._owner
        if owner == get_ident():
            self._owner = None
            self._lock.release()
            if exclusive._active:
                self._released_outside()
        elif owner.__class__ is not Task or not self._release_noted(owner):
            self._release()

    def _take_noted(self, task: Task, note: Any) -> bool:
        """Take it in the short way of `__enter__`, if that will do; say whether it was taken."""
        position, stack = task.seen, None
        if task.untold >= task.enough:
            return False
        if position is not None:
            stack = position.stack.above.get(self)
            if stack is None or not stack.asked:
                return False
        if not self._lock.acquire(False):
            return False
        try:
            self._owner = task
            chain = _calls_of(_getframe(2))
            task.held.append((self, EXCLUSIVE, chain))
            note((task, self, chain))
            task.untold += 1
            if stack is not None:
                stack.append(stack.acquire)
                position.stack = stack
        except BaseException:
            self._take_back(task)
            raise
        return True

    def _release_noted(self, owner: Task) -> bool:
        """Release it in the short way of `__exit__`, if that will do; say whether it was."""
        run, held, position = owner.run, owner.held, owner.seen
        note = run.note if run is not None else None
        if note is None or owner is not this_thread.task or self._waiters:
            return False
        hold = held[-1]
        if hold[0] is not self or position is not None and position.stack.lock is not self:
            return False
        frame = _getframe(2)
        code = frame.f_code
        if code.co_name == "__exit__" and is_verb(code):    # see `Recorder.lock_release`
            note((owner, hold))
        else:
            note((owner, "lock_release", self, EXCLUSIVE, _calls_of(frame)))
        if position is not None:
            stack = position.stack
            stack.append(stack.release)
            position.stack = parent = stack.parent
            if parent.end is not None:
                parent.end()
        del held[-1]
        self._owner = None
        self._lock.release()
        if self._waiters:
            self._hand_over()
        return True

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
