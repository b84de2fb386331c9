"""Meetings: hold roles at lock events until all are there, then let them go on in a given order.

A meeting is an observer; the program under test knows nothing of it. It looks at the locks held,
not at the lock asked for alone: a repaired program asks for the same lock with nothing in its
hands. It opens unmet when a partner can no longer come (it ended, or nobody can go on by himself
while some wait at the meeting). Time opens it in one case alone: before a standstill of the whole
run is judged, lest a role that waits outside our locks for one held here be blamed for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from ..locks.errors import ScenarioError
from ..locks.node import unique_name
from ..locks.parking import enter, leave, pause, unpark
from ..locks.task import Expired, Task
from ..runtime.observer import Observer
from ..runtime.scenario import Scenario
from ..runtime.verdict import Outcome
from .meet import At, Meet, semaphore_of, with_writers


class OneByOne(Observer):
    """Let one role run at a time, so that every run with the same arguments is the same run.

    The roles start in *order*, each when nobody who went before can go on. Where several could go
    on (a thread was started, a lock was handed over), *threads* says who does: ``first``, the
    youngest thread, then the roles in order; ``last``, the roles in order, then threads; ``turns``,
    whoever has not gone on for longest, at each request. If a role waits outside our locks for one
    that is held back, everybody goes.
    """

    def __init__(self, order: Sequence[int], threads: str = "first") -> None:
        self._order = order
        self._threads = threads

    def attach(self, run: Any) -> None:
        self._run = run
        self._rank = {task: self._order.index(i) if i in self._order else len(run.tasks)
                      for i, task in enumerate(run.tasks)}
        self._free = False
        self._unstarted: list[Task] = []
        self._ready: list[Task] = []         # those that could go on, but for another that runs
        self._going: list[Task] = []         # those of a meeting that have not gone on yet, in order
        self._ahead: Task | None = None      # the one that goes on now
        self._writers = {semaphore_of(run, task): task for task in run.tasks
                         if semaphore_of(run, task)}

    def hold_back(self, tasks: list[Task]) -> list[Task]:
        writers = self._writers.values()
        roles = [task for task in tasks if task not in writers]
        _, *self._unstarted = sorted(roles, key=self._rank.__getitem__)
        return [*self._unstarted, *writers]

    def role_start(self, task: Task) -> None:
        if task not in self._rank:
            self._rank[task] = -task.serial if self._threads == "first" else task.serial
            self._wait_turn(task)

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        self._wait_turn(task)

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
        if self._ready:
            first = min(self._ready, key=self._rank.__getitem__)
            self._ready.remove(first)
            if self._threads == "turns":
                self._rank[first] = max(self._rank.values()) + 1
            unpark(first)
        elif self._unstarted:
            unpark(self._unstarted.pop(0))
        else:
            return False
        return True

    def start_writer(self, semaphore: str) -> Task:
        """Return the further thread that writes *semaphore*, no longer held back."""
        task: Task = self._writers.pop(semaphore)
        return task

    def end_writers(self) -> bool:
        """Let further threads go that were not needed; say whether there were any."""
        for task in self._writers.values():
            unpark(task)
        gone, self._writers = bool(self._writers), {}
        return gone

    def standstill(self) -> None:
        self._free = True
        for task in [*self._ready, *self._unstarted]:
            unpark(task)
        self._ready, self._unstarted = [], []

    def _wait_turn(self, task: Task) -> None:
        run = self._run
        if not self._free and (self._ready or run.running - run.timed > 1):
            enter()
            self._ready.append(task)
            pause(task)
            leave()

    def _all_go(self, tasks: list[Task]) -> None:
        """Let *tasks* go on, each once the one before has what it asked for or is queued."""
        self._going = tasks[1:]
        self._ahead = tasks[0]
        unpark(self._ahead)

    def _next_goes(self, task: Task) -> None:
        if task is self._ahead:
            self._ahead = self._going.pop(0) if self._going else None
            if self._ahead is not None:
                unpark(self._ahead)


class Refusal(Observer):
    """Let every trylock of some locks fail, and the time of every request with a limit be up."""

    def __init__(self, locks: Collection[str]) -> None:
        self._locks = locks

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        if (task.trylock or task.timed) and unique_name(lock) in self._locks:
            raise Expired


class Meetings(OneByOne):
    """Hold the meetings of one run, one after another.

    Attributes:
        reached: how many of them were met.
        missed: why the first unmet one was given up, or "".
    """

    def __init__(self, meet: Meet | Iterable[Meet], order: Sequence[int]) -> None:
        super().__init__(order)
        meets = [meet] if isinstance(meet, Meet) else list(meet) if isinstance(meet, Iterable) else [meet]
        if not all(isinstance(one, Meet) for one in meets):
            raise ScenarioError(f"meet is {meet!r}, expected a Meet or several")
        self._meets = meets
        self.reached = 0
        self.missed = ""
        self._here: dict[str, Task] = {}     # who waits at the current meeting, by role

    @property
    def all_reached(self) -> bool:
        """Whether every meeting was met."""
        return self.reached == len(self._meets)

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        super().lock_acquire(task, lock, mode)
        if self.missed or self.all_reached or task.trylock:
            return
        for point in self._meets[self.reached].points:
            if point.is_reached(task, lock, mode):
                enter()
                self._arrive(point, task)
                leave()
                return

    def role_end(self, task: Task) -> None:
        super().role_end(task)
        if not self.missed and not self.all_reached:
            awaited = [point for point in self._meets[self.reached].points
                       if point.role == task.name and point.role not in self._here]
            if awaited:
                self._give_up(f"{task.name} ended without being where it should meet the others: "
                              f"{awaited[0]}")

    def idle(self) -> bool:
        if super().idle():
            return True
        if not self._here:
            return self.end_writers()
        if any(task.name not in self._here and task.timed and task.waits_on is not None
               for task in self._run.tasks):
            return False   # its time will be up: it may yet come
        missing = [str(point) for point in self._meets[self.reached].points
                   if point.role not in self._here]
        self._give_up(f"nobody could go on, and the meeting still waited for: {'; '.join(missing)}")
        return True

    def _arrive(self, point: At, task: Task) -> None:
        self._here[point.role] = task
        points = self._meets[self.reached].points
        if len(self._here) == len(points):
            here, self._here = self._here, {}
            self._all_go([*map(self.start_writer, self._meets[self.reached].writers),
                          *(here[each.role] for each in points)])
            self.reached += 1
            if self._ahead is task:
                return
        pause(task)

    def _give_up(self, why: str) -> None:
        self.missed = why
        for task in self._here.values():
            unpark(task)
        self._here = {}


MOST_ORDERS = 24    # in how many orders of start a meeting is tried


def orders(scenario: Scenario) -> list[tuple[int, ...]]:
    """Return the orders in which the roles are started, the roles' own first."""
    return list(itertools.islice(itertools.permutations(range(len(scenario.roles))), MOST_ORDERS))


def attempts(world: Scenario, meeting: Meet | None, build: Callable[[], Scenario],
             play: Callable[[Scenario, list[Observer]], Outcome]
             ) -> Iterator[tuple[Meetings, Outcome]]:
    """Hold *meeting*, else those that the scenario declares, in one order of start after another;
    yield each run, until something was found, they were met, or a role could not be ended.

    Args:
        build: makes a fresh world; *world* is the first.
        play: runs a world with these observers.
    """
    for order in orders(world):
        meet = meeting or world.meet    # a declared one may name the locks of its world
        meetings = Meetings(meet, order)
        outcome = play(with_writers(world, meet), [meetings])
        yield meetings, outcome
        if outcome.findings or meetings.all_reached or outcome.stuck:
            break
        world = build()
