"""Who waits for whom, and whether that is a circle.

The edges are computed, never stored: each lock answers who blocks a request (`blockers`). A thread
in a timed wait will go on by itself, so no cycle through it is a deadlock. A cycle closes when a
thread begins to wait, never when one is granted a lock: looking from the thread that begins to wait
is enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .task import Task


class OneOf(Task):
    """Stands for several tasks, any one of which could end a wait. It waits for nobody: a cycle
    through one of them is no deadlock while another can go on.
    """

    __slots__ = ("members",)

    def __init__(self, members: Sequence[Task], run: Any) -> None:
        super().__init__(" or ".join(task.name for task in members), run)
        self.members = members


def blockers(task: Task) -> list[Task]:
    """Return whom *task* waits for; none if it does not wait, or not for ever."""
    if task.waits_on is None or task.timed:
        return []
    tasks: list[Task] = task.waits_on.blockers(task, task.mode)
    return tasks


def _blockers_among(waiting: Sequence[Task], task: Task) -> list[Task]:
    """Return whom *task* waits for, where none of *waiting* can go on: of several any one of which
    would be enough then each.
    """
    return [each for blocker in blockers(task)
            for each in (blocker.members if isinstance(blocker, OneOf)
                         and all(member in waiting for member in blocker.members) else [blocker])]


def find_cycle(start: Task, blockers: Callable[[Task], list[Task]] = blockers
               ) -> list[Task] | None:
    """Return a shortest cycle of waits through *start*, beginning with it, or None.

    Every edge must end before a wait can end (a writer needs each reader gone), so one way back is
    enough.

    Args:
        blockers: returns whom a task waits for.
    """
    came_from: dict[Task, Task] = {}
    todo = deque([start])
    while todo:
        task = todo.popleft()
        for blocker in blockers(task):
            if blocker is start:
                path = [task]
                while path[-1] is not start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if blocker not in came_from:
                came_from[blocker] = task
                todo.append(blocker)
    return None


def any_cycle(waiting: Sequence[Task]) -> list[Task] | None:
    """Return a cycle of waits through one of *waiting*, the last first, or None.

    None of *waiting* can go on, unless another of them does.
    """
    look = partial(find_cycle, blockers=partial(_blockers_among, waiting))
    return next(filter(None, map(look, reversed(waiting))), None)
