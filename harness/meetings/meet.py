"""Meetings as data: the points at which roles must meet, and the writers that must queue there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ..locks.arguments import expected, one_of, or_none, text
from ..locks.callsite import shown
from ..locks.errors import ScenarioError
from ..locks.node import Node
from ..locks.one_line import one_line
from ..locks.task import EXCLUSIVE, SHARED, WAIT, Task, current, step
from ..runtime.recorder import function
from ..runtime.run import Run
from ..runtime.scenario import Scenario


def matches(lock: Any, what: Any) -> bool:
    """Say whether *what* (a lock, a lock's name, a lock class) means *lock*."""
    if isinstance(what, Node):
        return lock is what
    return what in (lock.name, lock.lock_class, str(lock), f"{lock}#{lock.nth}")


_FUNCTION, _MODE = or_none(text), or_none(one_of((EXCLUSIVE, SHARED, WAIT)))


@dataclass(frozen=True)
class At:
    """A point where a role must meet the others: about to ask for a lock while it holds others.

    Args:
        role: name of the role (or of a thread that a role starts).
        lock: the lock, its name or its class.
        mode: ``exclusive``, ``shared`` or ``wait``; None for any.
        holding: what it must hold then, each a lock, a name or a class. What else it holds does not
            matter.
        function: name of the function that asks; None for any.
    """

    role: str
    lock: Any
    mode: str | None = None
    holding: Sequence[Any] = ()
    function: str | None = None

    def __post_init__(self) -> None:
        text("At: role", self.role)
        _FUNCTION("At: function", self.function)
        _MODE("At: mode", self.mode)
        several = not isinstance(self.holding, (str, Node))
        if several and not isinstance(self.holding, (list, tuple)):
            raise expected("At: holding", self.holding, "a lock, a name or a class, or several")
        for lock in (self.lock, *(self.holding if several else ())):
            if not isinstance(lock, (str, Node)):
                raise expected("At: lock", lock, "a lock, its name or its class")
        object.__setattr__(self, "holding", tuple(self.holding) if several else (self.holding,))

    def is_reached(self, task: Task, lock: Any, mode: str) -> bool:
        """Say whether *task*, about to ask for *lock*, is at this point."""
        if task.name != self.role or self.mode not in (None, mode) \
                or not matches(lock, self.lock) or self.function is not None \
                and self.function != function(task.chain).rpartition(".")[2]:
            return False
        for what in self.holding:
            for held, _, _ in task.held:
                if matches(held, what):
                    break
            else:
                return False
        return True

    def __repr__(self) -> str:
        return one_line(self, str(self))

    def __str__(self) -> str:
        holding = f" while holding {' and '.join(map(str, self.holding))}" if self.holding else ""
        function = f" in {self.function}()" if self.function else ""
        mode = f" ({self.mode})" if self.mode else ""
        return f"{self.role} about to take {self.lock}{mode}{holding}{function}"


class Meet:
    """Points at which roles must meet, in the order in which they go on.

    Each goes on once the one before has what it asked for or is queued for it.

    Args:
        writers: semaphores, by name, that a role of these holds then: when all are there, a thread
            more asks for each of them for writing, and is queued before the roles go on.
    """

    def __init__(self, *points: At, writers: Sequence[str] = ()) -> None:
        for point in points:
            if not isinstance(point, At):
                raise ScenarioError(f"Meet: a meeting is made of At(...) points, not of "
                                    f"{shown(point)}")
        if writers != () and (isinstance(writers, str) or not isinstance(writers, Sequence)
                              or not all(isinstance(name, str) for name in writers)):
            raise expected("Meet: writers", writers, "a list of names of semaphores")
        roles = [point.role for point in points]
        if len(points) + len(writers) < 2 or not points or len(set(roles)) != len(roles):
            raise ScenarioError("a meeting needs at least two points, each of another role")
        self.points = points
        self.point_of = {point.role: point for point in points}
        self.writers = tuple(writers)

    def __repr__(self) -> str:
        return one_line(self, str(self))

    def __str__(self) -> str:
        points = [*map(str, self.points), *(f"a writer of {name}, queued" for name in self.writers)]
        return f"Meet({'; '.join(points)})"


def writer_of(semaphore: str, roles: Collection[str]) -> str:
    """Return the name of the further thread, beside *roles*, that is to write *semaphore*."""
    name = f"writer of {semaphore}"
    while name in roles:
        name += "'"
    return name


@dataclass
class Writer:
    """What a further thread does: write the semaphore of that name, if a role holds it then."""

    name: str

    def down_write(self) -> None:
        step(f"writer of {self.name}")    # in a controlled run its turn comes here
        tasks = cast(Run, current().run).tasks
        semaphore = next((lock for task in tasks for lock, _, _ in task.held
                          if matches(lock, self.name)), None)
        if semaphore is not None:
            with semaphore.down_write():
                pass


def listed(meet: Meet | Iterable[Meet]) -> list[Meet]:
    """Return *meet*, a meeting or several, as a list."""
    meets = list(meet) if isinstance(meet, Iterable) else [meet]
    if not all(isinstance(meeting, Meet) for meeting in meets):
        raise expected("meet", meet, "a Meet or several")
    return meets


def with_writers(world: Scenario, meet: Meet | Iterable[Meet]) -> Scenario:
    """Return *world* with the further threads that *meet*, a meeting or several, asks for."""
    more = {writer_of(name, world.roles): Writer(name).down_write
            for meeting in listed(meet) for name in meeting.writers}
    if not more:
        return world
    widened = replace(world, roles={**world.roles, **more})
    widened.family = world.family
    return widened
