"""Meetings: hold roles at lock events until all are there, then let them go on in a given order.

A meeting is an observer; the program under test knows nothing of it. It looks at the locks held,
not at the lock asked for alone: a repaired program asks for the same lock with nothing in its
hands. It opens unmet when a partner can no longer come (it ended, or nobody can go on by himself
while some wait at the meeting). Time opens it in one case alone: before a standstill of the whole
run is judged, lest a role that waits outside our locks for one held here be blamed for it. The file
is long because a meeting is one way of going one by one, and the two decide together who goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, permutations, product
from typing import Any

from ..locks.parking import guarded, pause, unpark
from ..locks.task import Task
from ..runtime.observer import Observer
from ..runtime.scenario import Scenario
from ..runtime.verdict import Outcome
from .meet import Meet, Writer, listed, with_writers

MOST_LIMITS = 1000     # that run out while some wait at a meeting, and the others do not come
MANY = 10_000          # that one makes while no other could, before this is looked at
TURN = 200             # requests after which others go first: two seconds of one who polls


class OneByOne(Observer):
    """Let one role run at a time, so that every run with the same arguments is the same run.

    The roles start in *order*, each when nobody who went before can go on. Where several could go
    on (a thread was started, a lock was handed over), *threads* says who does: ``first``, the
    youngest thread, then the roles in order; ``last``, the roles in order, then threads; ``turns``,
    whoever has not gone on for longest, at each request. After each `TURN` requests the one who
    makes it is the last of all: he may wait for others without asking for what makes him wait. If a
    role waits outside our locks for one that is held back, everybody goes.
    """

    orders = spares = rations = True

    def __init__(self, order: Sequence[int], threads: str = "first") -> None:
        self._order = order
        self._threads = threads

    def attach(self, run: Any) -> None:
        self._run = run
        places = {i: place for place, i in enumerate(self._order)}
        self._rank = {task: places.get(i, len(run.tasks)) for i, task in enumerate(run.tasks)}
        self._free = False
        self._unstarted: list[Task] = []
        self._ready: list[Task] = []     # those that could go on, but for another that runs
        self._requests = 0               # since a turn was ended
        self._turn_ended = False         # and who has not started yet goes first
        self._early = False              # limits run out before others go on
        self._spared: tuple[Task, int] | None = None    # who was let do how much untold

    def hold_back(self, tasks: list[Task]) -> list[Task]:
        _, *self._unstarted = sorted(tasks, key=self._rank.__getitem__)
        self._run.on_pause = (*self._run.on_pause, self._pass)
        return self._unstarted[:]

    def role_start(self, task: Task) -> None:
        if task not in self._rank:
            self._rank[task] = -task.serial if self._threads == "first" else task.serial
            self._wait_turn(task)

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        self._count()
        if self._requests < TURN or not self._end_turn(task):
            self._wait_turn(task)
        self._spare(task)

    def _count(self) -> None:
        """Take in a request, and those before it that were not told."""
        self._requests += 1
        if self._spared is not None:
            task, untold = self._spared
            self._requests += task.untold - untold
            task.enough, self._spared = 0, None

    def _spare(self, task: Task) -> None:
        """Let *task* go on untold, if no other could go on, until its turn may end."""
        run = self._run
        if run.noting is not None and not self._ready and run.running - run.timed == 1:
            more = TURN - 1 - self._requests if self._unstarted else MANY
            task.enough, self._spared = task.untold + more, (task, task.untold)
            run.note = run.noting

    def idle(self) -> bool:
        if self._early and any(task.timed and task.waits_on is not None
                               for task in self._run.tasks):
            return False    # a limit runs out; after `TURN` requests others go all the same
        if self._ready and not (self._unstarted and self._turn_ended):
            first = min(self._ready, key=self._rank.__getitem__)
            self._ready.remove(first)
            if self._threads == "turns":
                self._rank[first] = max(self._rank.values()) + 1
            unpark(first)
        elif self._unstarted:
            self._turn_ended = False
            unpark(self._unstarted.pop(0))
        else:
            return False
        return True

    def standstill(self) -> None:
        self._free = True
        for task in [*self._ready, *self._unstarted]:
            unpark(task)
        self._ready, self._unstarted = [], []

    def _wait_turn(self, task: Task) -> None:
        run = self._run
        if self._ready or run.running - run.timed > 1:
            self._pause(task)

    def _pass(self, task: Task) -> None:
        """See *task* pass a point where it asks for nothing."""
        self._count()
        if self._requests >= TURN:
            self._end_turn(task)

    def _end_turn(self, task: Task) -> bool:
        """Let others go first, if there are any, and *task* last; say whether they did."""
        if not self._ready and not self._unstarted:
            return False
        self._requests, self._turn_ended = 0, True
        self._rank[task] = max(self._rank.values()) + 1
        self._pause(task)
        return True

    def _pause(self, task: Task) -> None:
        if not self._free:
            with guarded:
                self._ready.append(task)
                pause(task)


class Meetings(OneByOne):
    """Hold the meetings of one run, one after another.

    Attributes:
        reached: how many of them were met.
        missed: why the first unmet one was given up, or "".
        limited: some waited with a time limit.

    Args:
        early: limits run out before others go on.
    """

    def __init__(self, meet: Meet | Iterable[Meet], order: Sequence[int],
                 early: bool = False) -> None:
        super().__init__(order)
        self._limits_first = early
        self.limited = False
        self._meets = listed(meet)
        self.reached = 0
        self.missed = ""
        self._current = self._meets[0].point_of if self._meets else {}    # its points, by role
        self._here: dict[str, Task] = {}     # who waits at the current meeting, by role
        self._limits = MOST_LIMITS           # that may run out while some wait at a meeting
        self._going: list[Task] = []         # of the last one: who goes on now, and who has not yet

    @property
    def roles(self) -> list[str]:
        """The roles of the run."""
        return list(self._run.scenario.roles)

    @property
    def threads(self) -> set[str]:
        """The names of the threads that they started."""
        return {task.name for task in self._run.tasks} - set(self.roles)

    @property
    def all_reached(self) -> bool:
        """Whether every meeting was met."""
        return self.reached == len(self._meets)

    def attach(self, run: Any) -> None:
        super().attach(run)
        self._early = self._limits_first
        bodies = [(getattr(run.scenario.roles.get(task.name), "__self__", None), task)
                  for task in run.tasks]
        self._writers = {body.name: task for body, task in bodies if isinstance(body, Writer)}

    def hold_back(self, tasks: list[Task]) -> list[Task]:
        writers = self._writers.values()
        return [*super().hold_back([task for task in tasks if task not in writers]), *writers]

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        super().lock_acquire(task, lock, mode)
        point = self._current.get(task.name)
        if point is not None and not task.trylock and point.is_reached(task, lock, mode):
            with guarded:
                self._arrive(point.role, task)

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        self.limited = self.limited or task.timed
        if self._going:
            self._next_goes(task)

    def lock_acquired(self, task: Task, lock: Any, mode: str) -> None:
        if self._going:
            with guarded:
                self._next_goes(task)

    def role_end(self, task: Task) -> None:
        if self._going:
            self._next_goes(task)
        point = self._current.get(task.name)
        if point is not None:
            self._give_up(f"{task.name} ended without being where it should meet the others: "
                          f"{point}")

    def idle(self) -> bool:
        if super().idle():
            return True
        if not self._here:    # further threads were not needed
            writers, self._writers = self._writers, {}
            for task in writers.values():
                unpark(task)
            return bool(writers)
        if self._limits and any(task.name not in self._here and task.timed
                                and task.waits_on is not None for task in self._run.tasks):
            self._limits -= 1
            return False   # its time will be up: it may yet come
        missing = "; ".join(str(point) for role, point in self._current.items()
                            if role not in self._here)
        self._give_up(f"nobody could go on, and the meeting still waited for: {missing}")
        return True

    def _arrive(self, role: str, task: Task) -> None:
        """Let *task* wait for the others; when all are there, the first goes on."""
        self._here[role] = task
        if len(self._here) == len(self._current):
            meet, here, self._here = self._meets[self.reached], self._here, {}
            self._going = [*map(self._writers.pop, meet.writers),
                           *(here[point.role] for point in meet.points)]
            self.reached += 1
            self._current = {} if self.all_reached else self._meets[self.reached].point_of
            unpark(self._going[0])
            if task is self._going[0]:
                return
        pause(task)

    def _next_goes(self, task: Task) -> None:
        """Let the next go on if *task*, which goes on now, has what it asked for or is queued."""
        if self._going and task is self._going[0]:
            del self._going[0]
            if self._going:
                unpark(self._going[0])

    def _give_up(self, why: str) -> None:
        self.missed, self._current = why, {}
        for task in self._here.values():
            unpark(task)
        self._here = {}


MOST_ORDERS = 24    # in how many orders of start a meeting is tried


def orders(scenario: Scenario) -> list[tuple[int, ...]]:
    """Return the orders in which the roles are started, the roles' own first."""
    return list(islice(permutations(range(len(scenario.roles))), MOST_ORDERS))


def attempts(world: Scenario, meeting: Meet | None, build: Callable[[], Scenario],
             play: Callable[[Scenario, list[Observer]], Outcome]
             ) -> Iterator[tuple[Meetings, Outcome]]:
    """Hold *meeting*, else those that the scenario declares, in one order of start after another;
    yield each run, until something was found or they were met.

    Where some waited with a time limit there is a second round: limits run out before others go on.

    Args:
        build: makes a fresh world; *world* is the first.
        play: runs a world with these observers.
    """
    limited = False
    for early, order in product((False, True), orders(world)):
        if early and not limited:
            break
        meet = meeting or world.meet    # a declared one may name the locks of its world
        meetings = Meetings(meet, order, early)
        outcome = play(with_writers(world, meet), [meetings])
        yield meetings, outcome
        limited = limited or meetings.limited
        if outcome.findings or meetings.all_reached:    # who could not be ended is one
            break
        world = build()
