"""Meetings: hold roles at lock events until all are there, then let them go on in a given order.

A meeting is an observer; the program under test knows nothing of it. It looks at the locks held, not at the lock asked for alone:
a repaired program asks for the same lock with nothing in its hands. It opens unmet when a partner can no longer come (it
ended, or nobody can go on by himself while some wait at the meeting), never after some time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ScenarioError
from .events import Observer
from .locks import Node
from .task import EXCLUSIVE, SHARED, WAIT, Task, enter, leave, park, unpark



def matches(lock: Any, what: Any) -> bool:
    """Say whether *what* (a lock, a lock's name, a lock class) means *lock*."""
    return lock is what if isinstance(what, Node) else what in (lock.name, lock.lock_class, str(lock))


@dataclass(frozen=True)
class At:
    """A point where a role must meet the others: about to ask for a lock while it holds others.

    Args:
        role: name of the role (or of a thread that a role starts).
        lock: the lock, its name or its class.
        mode: ``exclusive``, ``shared`` or ``wait``; None for any.
        holding: what it must hold then, each a lock, a name or a class. What else it holds does not matter.
    """

    role: str
    lock: Any
    mode: str | None = None
    holding: Sequence[Any] = ()

    def __post_init__(self) -> None:
        if self.mode not in (None, EXCLUSIVE, SHARED, WAIT):
            raise ScenarioError(f"At({self.role!r}, ...): unknown mode {self.mode!r}")
        if isinstance(self.holding, (str, Node)):
            object.__setattr__(self, "holding", (self.holding,))

    def is_reached(self, task: Task, lock: Any, mode: str) -> bool:
        """Say whether *task*, about to ask for *lock*, is at this point."""
        return (task.name == self.role and self.mode in (None, mode) and matches(lock, self.lock)
                and all(any(matches(held, what) for held, _, _ in task.held)
                        for what in self.holding))

    def __str__(self) -> str:
        holding = "".join(f" while holding {what}" for what in self.holding[:1])
        holding += "".join(f" and {what}" for what in self.holding[1:])
        return f"{self.role} about to take {self.lock}{f' ({self.mode})' if self.mode else ''}{holding}"


class Meet:
    """Points at which roles must meet, in the order in which they go on.

    Each goes on once the one before has what it asked for or is queued for it.
    """

    def __init__(self, *points: At) -> None:
        roles = [point.role for point in points]
        if len(points) < 2 or len(set(roles)) != len(roles):
            raise ScenarioError("a meeting needs at least two points, each of another role")
        self.points = points

    def __repr__(self) -> str:
        return f"Meet({'; '.join(map(str, self.points))})"


class Meetings(Observer):
    """Hold the meetings of one run, one after another.

    Attributes:
        reached: how many of them were met.
        missed: why the first unmet one was given up, or "".
    """

    def __init__(self, meet: Meet | Iterable[Meet]) -> None:
        meets = [meet] if isinstance(meet, Meet) else list(meet)
        if not all(isinstance(one, Meet) for one in meets):
            raise ScenarioError(f"meet is {meet!r}, expected a Meet or several")
        self._meets = meets
        self.reached = 0
        self.missed = ""
        self._here: dict[At, Task] = {}      # who waits at the current meeting
        self._going: list[Task] = []         # those of a met one that have not gone on yet
        self._ahead: Task | None = None      # the one that goes on now

    def attach(self, run: Any) -> None:
        roles = {task.name for task in run.tasks}
        self._alive = roles
        self._run = run

    @property
    def all_reached(self) -> bool:
        """Whether every meeting was met."""
        return self.reached == len(self._meets)

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        if self.missed or self.all_reached or task.trylock:
            return
        for point in self._meets[self.reached].points:
            if point.is_reached(task, lock, mode):
                enter()
                self._arrive(point, task)
                leave()
                return

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        self._next_goes(task)

    def lock_acquired(self, task: Task, lock: Any, mode: str) -> None:
        if task is self._ahead:
            enter()
            self._next_goes(task)
            leave()

    def role_end(self, task: Task) -> None:
        self._next_goes(task)
        if not self.missed and not self.all_reached:
            awaited = [point for point in self._meets[self.reached].points
                       if point.role == task.name and point not in self._here]
            if awaited:
                self._give_up(f"{task.name} ended without being where it should meet the others: "
                              f"{awaited[0]}")

    def idle(self) -> bool:
        if not self._here:
            return False
        missing = [str(point) for point in self._meets[self.reached].points
                   if point not in self._here]
        self._give_up(f"nobody could go on, and the meeting still waited for: {'; '.join(missing)}")
        return True

    def _arrive(self, point: At, task: Task) -> None:
        self._here[point] = task
        points = self._meets[self.reached].points
        if len(self._here) == len(points):
            self._going = [self._here[each] for each in points]
            self._here = {}
            self.reached += 1
            self._ahead = self._going.pop(0)
            if self._ahead is task:
                return
            unpark(self._ahead)
        task.paused = True
        park(task)
        task.paused = False

    def _next_goes(self, task: Task) -> None:
        if task is self._ahead:
            self._ahead = self._going.pop(0) if self._going else None
            if self._ahead is not None:
                unpark(self._ahead)

    def _give_up(self, why: str) -> None:
        self.missed = why
        for task in self._here.values():
            unpark(task)
        self._here = {}


class NestedRequests(Observer):
    """The meeting for a scenario that declares none: hold each role at one request made with a lock held.

    The roles start one by one, in *order*: each is held at its first request, and goes on when nobody else can. Then it is held
    at its `which[i]`-th request made with a lock in hand. When all that can queue up is queued, those held go on, in *order*.
    So every run with the same arguments is the same run.
    """

    def __init__(self, which: Sequence[int], order: Sequence[int]) -> None:
        self._which = which
        self._rank = {role: rank for rank, role in enumerate(order)}
        self.counts = [0] * len(which)       # how many such requests each role made

    def attach(self, run: Any) -> None:
        self._index = {task: i for i, task in enumerate(run.tasks)}
        self._unstarted: list[Task] = []
        self._nested: list[Task] = []
        self._seen: set[Task] = set()
        self._ahead: Task | None = None

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        i = self._index.get(task)
        if i is None:
            return
        if task not in self._seen:
            self._seen.add(task)
            self._hold(task, self._unstarted)
        if task.held and not task.trylock:
            self.counts[i] += 1
            if self.counts[i] == self._which[i] + 1:
                self._hold(task, self._nested)

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        self._next_goes(task)

    def lock_acquired(self, task: Task, lock: Any, mode: str) -> None:
        if task is self._ahead:
            enter()
            self._next_goes(task)
            leave()

    def role_end(self, task: Task) -> None:
        self._next_goes(task)

    def idle(self) -> bool:
        if self._unstarted:
            unpark(self._first_of(self._unstarted))
        elif self._nested:
            self._ahead = self._first_of(self._nested)
            unpark(self._ahead)
        else:
            return False
        return True

    def _hold(self, task: Task, where: list[Task]) -> None:
        enter()
        where.append(task)
        task.paused = True
        park(task)
        task.paused = False
        leave()

    def _first_of(self, tasks: list[Task]) -> Task:
        first = min(tasks, key=lambda task: self._rank[self._index[task]])
        tasks.remove(first)
        return first

    def _next_goes(self, task: Task) -> None:
        if task is self._ahead:
            self._ahead = self._first_of(self._nested) if self._nested else None
            if self._ahead is not None:
                unpark(self._ahead)
