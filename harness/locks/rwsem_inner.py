"""The inner locks of `readerwriterlock`: raw locks in which a role waits in the parking lot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from . import raw
from .node import Node, grant, wait
from .parking import afterwards, guarded, without_guard
from .task import NOBODY, Task, this_thread


class InnerLock:
    """One of the package's inner locks: a raw lock in which a role waits in the parking lot."""

    __slots__ = ("_raw", "_try", "release", "_waiters")

    def __init__(self) -> None:
        self._raw = raw.Lock()
        self._try = self._raw.acquire
        self.release = self._raw.release
        self._waiters: Any = NOBODY

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; False says that the package must roll back."""
        return self._try(False) or (blocking and self._contended(timeout))

    def _contended(self, timeout: float) -> bool:
        if timeout == 0:
            return False
        task = this_thread.task
        request = task.request
        if request is None:
            return self._wait_outside(task, timeout)
        if not request.may_park:
            without_guard(self._raw.acquire)   # a thread outside the run is inside the package: a
            return True                        # moment, always
        if self._waiters is NOBODY:
            self._waiters = deque()
        self._waiters.append(task)
        try:
            # Queue first, look again after: a thread outside the run may have released in between.
            if self._try(False):
                return True
            again = request.queued
            if not again:
                request.queued = True
                request.queue.append((task, request.mode))
            if wait(task, request.semaphore, request.mode, timeout, again):
                return True
        except BaseException as exc:    # the package must not see it: it would never recover
            task.interrupt = exc
        finally:
            if task in self._waiters:
                self._waiters.remove(task)
        request.may_park = False
        return False

    def _wait_outside(self, task: Task, timeout: float) -> bool:
        """Wait in a thread that is in no run. An interrupt is raised when the package is done.

        The package heeds a refusal while it acquires, not while it rolls back or releases.
        """
        while True:
            try:
                return self._raw.acquire(True, timeout)
            except BaseException as exc:
                task.interrupt = exc
                if task.acquiring:
                    task.acquiring = False
                    return False

    def observed_release(self) -> None:
        """Release, and pass the lock to the first role that waits: from the first run on."""
        # Released before the look: who waits has queued before it tried the lock (`_contended`), so
        # it has the lock, or is seen here.
        self._raw.release()
        if self._waiters:
            self._pass_on()

    def _pass_on(self) -> None:
        within = this_thread.task.request is not None    # of a section that called the package
        with guarded as interrupts:
            if interrupts and not within:
                afterwards(self._pass_on)
            elif self._waiters and self._try(False):
                grant(self._waiters.popleft())


@dataclass(slots=True)
class Request:
    """One acquisition or release under way inside a run; *queue* is that of the semaphore."""

    semaphore: Node
    mode: str
    queue: list[tuple[Task, str]]
    may_park: bool
    queued: bool = False
