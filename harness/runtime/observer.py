"""What a lock tells: four events, named after the kernel's lock tracepoints, and two for roles.

Everything the harness can do is an `Observer` of these six. A hook that a class does not override
is never called and costs nothing. Waits for completions, work items and threads use the first three
events with mode ``wait``; who ends such waits (`Completion.complete`) tells it as a
``lock_release`` with that mode.
"""

from __future__ import annotations

from typing import Any

from ..locks.task import Task


class Observer:
    """Sees what the roles of one run do; serves as documentation of the hooks.

    `mode` is ``exclusive``, ``shared`` or ``wait``. A hook runs in the thread of *task*. It must
    take no lock; whatever it raises is an `error`, and ends the run.
    """

    # Its hooks of locks need not be called for a plain operation, of which the run is to have a
    # note: up to `task.enough` of them, which one that `rations` sees to; and as `task.seen`
    # says what one does that `follows`. A subclass has to say so again.
    spares = rations = follows = False
    orders = False    # it decides who goes on: collections would come elsewhere in each run

    def attach(self, run: Any) -> None:
        """Learn the run, before any role starts."""

    def hold_back(self, tasks: list[Task]) -> list[Task]:
        """Return which roles, at the start barrier, only `idle` will let start. Guard held."""
        return []

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        """See *task* about to ask for *lock* (`task.trylock`: if free). It may be held up here."""

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        """See *task* queued, as it could not have *lock*. Guard held: be quick, take no lock."""

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
        """See that no role can go on by itself (but by a time limit); return whether one now can.

        Called with the guard held: take no lock, and complete nothing (`Completion.finish` is for
        here). True without letting anyone go keeps the run from being judged.
        """
        return False

    def standstill(self) -> None:
        """See nothing move: a role may wait, outside our locks, for one held back. Guard held."""


def spares_all(observers: list[Observer]) -> bool:
    """Say whether none of *observers* need be told of a plain operation on a lock."""
    rations = follows = 0
    for observer in observers:
        kind = type(observer)
        rations += observer.rations
        if kind.lock_acquire is not Observer.lock_acquire \
                or kind.lock_acquired is not Observer.lock_acquired \
                or kind.lock_release is not Observer.lock_release:
            follows += observer.follows
            if not vars(kind).get("spares"):
                return False
    return rations <= 1 and follows <= 1


HOOKS = ("lock_acquire", "lock_contended", "lock_acquired", "lock_release", "role_start",
         "thread_start", "role_end", "idle")


def hooks(observers: list[Observer]) -> list[tuple[Any, ...]]:
    """Return for each of `HOOKS` what is to be called: see `overridden`. It is asked of each run.
    """
    found: list[tuple[Any, ...]] = []
    for hook in HOOKS:
        plain, called = getattr(Observer, hook), []
        for observer in observers:
            if getattr(type(observer), hook) is not plain:
                called.append(getattr(observer, hook))
        found.append(tuple(called))
    return found


def overridden(observers: list[Observer], hook: str) -> tuple[Any, ...]:
    """Return the bound *hook* of each observer whose class overrides it."""
    return tuple([getattr(observer, hook) for observer in observers
                  if getattr(type(observer), hook) is not getattr(Observer, hook)])
