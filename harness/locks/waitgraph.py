"""Who waits for whom, and whether that is a circle.

The edges are computed, never stored: each lock answers who blocks a request (`blockers`). A thread
in a timed wait will go on by itself, so no cycle through it is a deadlock. A cycle closes when a
thread begins to wait, never when one is granted a lock: looking from the thread that begins to wait
is enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .task import Task


def blockers(task: Task) -> list[Task]:
    """Return whom *task* waits for; none if it does not wait, or not for ever."""
    if task.waits_on is None or task.timed:
        return []
    tasks: list[Task] = task.waits_on.blockers(task, task.mode)
    return tasks


def find_cycle(start: Task) -> list[Task] | None:
    """Return a shortest cycle of waits through *start*, beginning with it, or None.

    Every edge must end before a wait can end (a writer needs each reader gone), so one way back is
    enough.
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
    """Return a cycle of waits through one of *waiting*, the last first, or None."""
    return next(filter(None, map(find_cycle, reversed(waiting))), None)
