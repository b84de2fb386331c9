"""What a lock tells: four events, named after the kernel's lock tracepoints, and two for roles.

Everything the harness can do is an `Observer` of these six. A hook that a class does not override
is never called and costs nothing. Waits for completions, work items and threads use the first three
events with mode ``wait``; who ends such waits (`Completion.complete`) tells it as a
``lock_release`` with that mode.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..locks.task import Task

HOOKS = ("lock_acquire", "lock_contended", "lock_acquired", "lock_release", "role_start", "role_end")


class Observer:
    """Sees what the roles of one run do; serves as documentation of the hooks.

    `mode` is ``exclusive``, ``shared`` or ``wait``. A hook runs in the thread of *task*. An
    exception in a hook is an error of that role.
    """

    def attach(self, run: Any) -> None:
        """Learn the run, before any role starts."""

    def hold_back(self, tasks: list[Task]) -> list[Task]:
        """Return which of the roles, all at the start barrier, do not start yet; `idle` must let
        them go.

        Called with the guard held.
        """
        return []

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        """See *task* about to ask for *lock* (`task.trylock`: only if free). It may be held up
        here.
        """

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        """See that *task* could not have *lock* and is now queued. The guard is held: be quick,
        take no lock.
        """

    def lock_acquired(self, task: Task, lock: Any, mode: str) -> None:
        """See that *task* has *lock* (mode ``wait``: that its wait is over)."""

    def lock_release(self, task: Task, lock: Any, mode: str) -> None:
        """See *task* about to release *lock* (mode ``wait``: to change who may pass it)."""

    def thread_start(self, task: Task, thread: Task) -> None:
        """See *task* about to start *thread*, which becomes part of the run. The guard is held."""

    def role_start(self, task: Task) -> None:
        """See the role of *task* start."""

    def role_end(self, task: Task) -> None:
        """See the role of *task* end, by return or exception. The guard is held."""

    def idle(self) -> bool:
        """See that no role of the run can go on by itself (but by a time limit); return whether
        this let one go on.

        Called with the guard held: take no lock, and complete nothing (`Completion.finish` is for
        here). True without letting anyone go keeps the run from being judged.
        """
        return False

    def standstill(self) -> None:
        """See that nothing has moved for a while, though some role runs outside our locks.

        It may wait for one that is held back; called with the guard held.
        """


@lru_cache
def _overrides(cls: Any, hook: str) -> bool:
    return getattr(cls, hook) is not getattr(Observer, hook)


def overridden(observers: list[Observer], hook: str) -> tuple[Any, ...]:
    """Return the bound *hook* of each observer whose class overrides it."""
    return tuple([getattr(observer, hook) for observer in observers
                  if _overrides(type(observer), hook)])   # type: ignore[arg-type]
