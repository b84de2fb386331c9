"""Semaphore and BoundedSemaphore: permits, and who took them."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..locks.counted import Counted, tell
from ..locks.node import Node
from ..locks.parking import afterwards, guarded
from ..locks.task import Task, current
from ..locks.waitgraph import Likely
from .plain import kind_of, limit
from .stands_in import StandsIn


class Semaphore(StandsIn, Counted):
    """`threading.Semaphore`: as many may pass as there are permits.

    Attributes:
        is_signal: a thread that had no permit gave one: who has them is not known any more.
    """

    __slots__ = ("_took", "_first", "is_signal", "leaps")

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        Node.__init__(self, None, None)
        self._done = self._first = value
        self._waiters = deque()
        self._took: list[Task] = []
        self.is_signal = self.leaps = False

    @property
    def _value(self) -> int:
        return int(self._done)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit, as `threading.Semaphore.acquire`."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        return self._pass(current(), limit(timeout), bool(blocking))

    __enter__ = acquire

    def release(self, n: int = 1) -> None:
        """Give *n* permits.

        Raises:
            ValueError: *n* is less than 1.
        """
        if n < 1:
            raise ValueError("n must be one or more")
        self._release(n)

    def __exit__(self, a: Any, b: Any, c: Any) -> None:
        self.release()

    def _release(self, n: int, most: float = float("inf")) -> None:
        task = current()
        task.times, self.leaps = n, self.leaps or n > 1
        try:
            tell(self, "complete")
        finally:
            task.times = 1
        self._give(task, n, most)

    def _give(self, task: Task, n: int, most: float) -> None:
        with guarded as interrupts:
            if self._done + n > most:
                self.leaps = True
                raise ValueError("Semaphore released too many times")
            if interrupts:
                afterwards(lambda: self._give(task, n, most))
                return
            for _ in range(n):
                self.not_given(task)
                self._let_one_pass()

    def given(self, task: Task) -> None:
        """Take note of who has the permit."""
        self._took.append(task)

    def not_given(self, task: Task) -> None:
        """Take note that *task* gives a permit."""
        took = self._took
        if task in took:
            del took[max(i for i, each in enumerate(took) if each is task)]
        elif not self.is_signal:
            self.is_signal = True
            took.clear()

    def is_with(self, task: Task) -> bool:
        """Say whether *task* has a permit, for all that is known."""
        return task in self._took

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return those who have the permits, any of whom may give one; if that is not known those
        who were seen to give some.
        """
        if self.is_signal or self._done > 0 or not 0 < self._first == len(self._took):
            return super().blockers(task, mode)
        return Likely(dict.fromkeys(self._took))

    def __repr__(self) -> str:
        return f"<{kind_of(self)} at {id(self):#x}: value={self._value}>"


class BoundedSemaphore(Semaphore):
    """`threading.BoundedSemaphore`: no more permits are given than there were."""

    __slots__ = ()

    @property
    def _initial_value(self) -> int:
        return self._first

    def release(self, n: int = 1) -> None:
        """Give *n* permits.

        Raises:
            ValueError: *n* is less than 1, or there would be more than at the start.
        """
        if n < 1:
            raise ValueError("n must be one or more")
        self._release(n, self._first)

    def __repr__(self) -> str:
        return f"<{kind_of(self)} at {id(self):#x}: value={self._value}/{self._first}>"
