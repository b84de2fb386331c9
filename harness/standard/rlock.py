"""RLock: what `threading.RLock` makes. Whoever has it may take it again, which nobody sees."""

from __future__ import annotations

from typing import Any

from ..locks.callsite import nameless
from ..locks.exclusive import Exclusive
from ..locks.node import Node
from ..locks.task import NOBODY, this_thread
from .plain import allocate_lock, get_ident, kind_of
from .stands_in import StandsIn


class RLock(StandsIn, Exclusive):
    """`threading.RLock`: recursive; only the first acquire and the last release are operations."""

    __slots__ = ("_again",)
    may_stay_held = True

    def __init__(self) -> None:
        Node.__init__(self, None, None)
        self._lock = allocate_lock()
        self._owner: Any = None
        self._waiters: Any = NOBODY
        self._again = 0    # how often its owner has it more than once

    def _is_owned(self) -> bool:
        owner = self._owner
        return owner is not None and (owner == get_ident() or owner is this_thread.task)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, once more if the caller has it: see `threading.RLock.acquire`."""
        if self._is_owned():
            if timeout != -1:
                allocate_lock().acquire(blocking, timeout)    # the rules of its arguments
            self._again += 1
            return True
        return Exclusive.acquire(self, blocking, timeout)

    def __enter__(self) -> bool:
        if self._owner is not None and self._is_owned():
            self._again += 1
            return True
        return Exclusive.__enter__(self)

    def release(self) -> None:
        """Give it up, once.

        Raises:
            RuntimeError: the caller does not have it.
        """
        if not self._is_owned():
            self._refuse()
        elif self._again:
            self._again -= 1
        else:
            Exclusive.release(self)

    def __exit__(self, a: Any, b: Any, c: Any) -> None:
        if self._again or not self._is_owned():
            self.release()
        else:
            Exclusive.__exit__(self, a, b, c)

    def _refuse(self) -> None:
        run = this_thread.task.run
        if run is None or not run.unwinding:    # which ends whoever was to take it
            raise RuntimeError("cannot release un-acquired lock")

    def release_hold(self, mode: str) -> None:
        """Give it up, however often the caller has it."""
        self._again = 0
        Exclusive.release(self)

    # -- what `threading.Condition` asks of a lock ------------------------------------------

    def _release_save(self) -> int:
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        again, self._again = self._again, 0
        try:
            Exclusive.release(self)
        except BaseException:    # it was not released
            self._again = again
            raise
        return again

    @nameless
    def _acquire_restore(self, again: int) -> None:
        Exclusive.acquire(self)
        self._again = again

    def _recursion_count(self) -> int:
        return self._again + 1 if self._is_owned() else 0

    def _at_fork_reinit(self) -> None:
        Exclusive._at_fork_reinit(self)
        self._again = 0

    def __repr__(self) -> str:
        state, owner = ("locked", self._owner) if self.is_held else ("unlocked", None)
        thread = getattr(owner, "thread", None)
        ident = owner if isinstance(owner, int) else thread.ident if thread is not None else 0
        return f"<{state} {kind_of(self)} object " \
               f"owner={ident or 0} count={self._again + 1 if owner is not None else 0} " \
               f"at {id(self):#x}>"
