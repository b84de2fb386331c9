"""Who waits for whom, and whether for ever: the one rule of what a deadlock is.

A *deadlock* is a set of threads each of which waits for what only threads of the set could do. Of
those who must all act before its wait can end, one in the set is enough; of those any one of whom
could end it (`AnyOf`), all that have not ended must be. The greatest such set is the union of all.
A thread in a timed wait goes on by itself, and one that waits for what nobody is known to do may go
on for all we know: neither is in one. Where any thread may end a wait, and it is known who should
(`Likely`), that counts once nobody else can act.

The edges are computed, never stored: each lock answers who blocks a request (`blockers`). A set
closes when a thread begins to wait, or when one ends that others hoped for; never when one is
granted a lock: to look from a thread that begins to wait, and again when nobody goes on, is enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from .task import Task

Thread = TypeVar("Thread")


class AnyOf(list[Any]):
    """Those any one of whom could end a wait, in an answer to who blocks it. One of them may be a
    list of threads who must all act.
    """

    __slots__ = ()


class Likely(AnyOf):
    """Those who should end a wait, as far as is known; whoever else can act might do it as well."""

    __slots__ = ()


def but_for(waiter: Thread, others: Iterable[Thread]) -> list[Thread]:
    """Return each of *others* once; *waiter*, who waits for them, if there is nobody else."""
    threads = dict.fromkeys(others)
    return [thread for thread in threads if thread != waiter] or list(threads)


def flat(wait: Collection[Any]) -> Collection[Any]:
    """Return the threads of an answer to who blocks a wait."""
    for one in wait:
        if isinstance(one, list):
            return [thread for one in wait
                    for thread in (flat(one) if isinstance(one, list) else (one,))]
    return wait


def may_end(wait: Any, can_act: Callable[[Any], bool]) -> bool:
    """Say whether *wait*, whom one waits for, may end if of all threads those act who can."""
    if not isinstance(wait, list):
        return can_act(wait)
    return (any if isinstance(wait, AnyOf) else all)(may_end(one, can_act) for one in wait)


def _is_up_to(members: Collection[Any], wait: Any, ended: Callable[[Any], bool]) -> bool:
    """Say whether *wait* ends by what *members* do, if ever."""
    if not isinstance(wait, list):
        return wait in members
    if not isinstance(wait, AnyOf):
        for one in wait:
            if _is_up_to(members, one, ended) if isinstance(one, list) else one in members:
                return True
        return False
    rest = [one for one in wait if may_end(one, lambda thread: not ended(thread))]
    return bool(rest) and all(_is_up_to(members, one, ended) for one in rest)


def mutual(waits: Mapping[Thread, list[Any]], ended: Callable[[Thread], bool]) -> list[Thread]:
    """Return the greatest set of threads each of which waits for what only they could do.

    Args:
        waits: whom each that waits for ever waits for.
        ended: says whether a thread has ended: it does nothing any more.
    """
    members, before = dict.fromkeys(waits), -1
    while len(members) != before:
        before = len(members)
        for thread in reversed(list(members)):    # the end of a chain first
            if not _is_up_to(members, waits[thread], ended):
                del members[thread]
    return list(members)


class Deadlock(NamedTuple):
    """Threads that wait for each other.

    Attributes:
        cycle: some of them, each of which waits for the next, and the last for the first.
        others: who else must act before one of the cycle can go on, in no order.
        behind: who waits for these.
    """

    cycle: list[Any]
    others: list[Any]
    behind: list[Any]


NOBODY = Deadlock([], [], [])


def deadlock(waits: Mapping[Thread, list[Any]], ended: Callable[[Thread], bool]
             ) -> Deadlock | None:
    """Return the deadlock among those that wait for ever, with a cycle through the first of them
    that lies on one; None if there is none. See `mutual`.
    """
    members = mutual(waits, ended)
    inside = {thread: [other for other in flat(waits[thread]) if other in members]
              for thread in members}
    cycle = next(filter(None, (_way_back(inside, thread) for thread in members)), None)
    if cycle is None:
        return None    # there are no members: each would have another to wait for
    needed = list(cycle)
    for thread in needed:    # it grows
        if isinstance(waits[thread], AnyOf) or thread not in cycle:
            some = None if isinstance(waits[thread], AnyOf) else 1
            needed += [other for other in dict.fromkeys(inside[thread][:some])
                       if other not in needed]
    return Deadlock(cycle, needed[len(cycle):], [one for one in members if one not in needed])


def _way_back(waits: Mapping[Thread, list[Thread]], start: Thread) -> list[Thread] | None:
    """Return a shortest way from *start*, from one that waits to one it waits for, back to it."""
    came_from: dict[Thread, Thread] = {}
    todo = deque([start])
    while todo:
        thread = todo.popleft()
        for blocker in waits[thread]:
            if blocker == start:
                path = [thread]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if blocker not in came_from:
                came_from[blocker] = thread
                todo.append(blocker)
    return None


# -- of tasks -------------------------------------------------------------------------------------


def blockers(task: Task) -> list[Any]:
    """Return whom *task* waits for; none if it does not wait, or not for ever."""
    if task.waits_on is None or task.timed:
        return []
    waits: list[Any] = task.waits_on.blockers(task, task.mode)
    return waits


def _has_ended(task: Task) -> bool:
    return task.ended


def deadlock_from(start: Task) -> Deadlock | None:
    """Return the deadlock that *start*, which begins to wait, closes; None if it closes none."""
    return deadlock_among([start])


def deadlock_among(waiting: Iterable[Task], nobody_else: bool = False) -> Deadlock | None:
    """Return the deadlock of *waiting*, or of those for whom they wait, with a cycle through the
    last that lies on one.

    Args:
        nobody_else: there is nobody else who could act: who is `Likely` to end a wait is who will.
    """
    waits: dict[Task, list[Any]] = {}
    todo = list(waiting)[::-1]
    for task in todo:    # it grows
        if task not in waits and (wait := blockers(task)) and (
                nobody_else or not isinstance(wait, Likely)):
            waits[task] = wait
            todo += flat(wait)
    return deadlock(waits, _has_ended) if waits else None
