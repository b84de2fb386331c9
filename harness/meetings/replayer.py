"""The follower of a recorded schedule of lock operations, one role running at a time."""

from __future__ import annotations

from typing import Any

from ..locks.parking import enter, leave, pause, unpark
from ..locks.task import Task
from ..runtime.observer import Observer


class Replayer(Observer):
    """Let the roles pass their lock operations in a given order, one role running at a time.

    Attributes:
        diverged: what first could not be followed, or "".
        passed: how many operations were.
    """

    def __init__(self, schedule: list[str]) -> None:
        self._schedule = schedule
        self._next = 0
        self._here: dict[str, Task] = {}
        self._going: Task | None = None     # the one that passed last and has not stopped yet
        self.diverged = ""
        self.passed = 0

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        self._stop(task)

    lock_release = lock_acquire

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        self._stopped(task)

    def role_end(self, task: Task) -> None:
        self._stopped(task)

    def idle(self) -> bool:
        if not self._here:
            return False
        if self._next < len(self._schedule) and not self.diverged:
            self.diverged = f"operation {self._next + 1} is {self._schedule[self._next]}'s, " \
                            f"which is not asking for anything"
        self._next = len(self._schedule)
        self._let_go()
        return True

    def _stop(self, task: Task) -> None:
        enter()
        self._stopped(task)
        if self._next < len(self._schedule):
            self._here[task.name] = task
            self._let_go()
            if task.name in self._here:
                pause(task)
        leave()

    def _stopped(self, task: Task) -> None:
        if task is self._going:
            self._going = None
            self._let_go()

    def _let_go(self) -> None:
        if self._next >= len(self._schedule):
            for task in self._here.values():
                unpark(task)
            self._here = {}
        elif self._going is None and self._schedule[self._next] in self._here:
            self._going = self._here.pop(self._schedule[self._next])
            self._next += 1
            self.passed += 1
            unpark(self._going)
