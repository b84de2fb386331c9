"""The follower of a schedule: tokens, counterexamples and the engine's witnesses on real threads.

A schedule is a list of turns. Whoever's turn comes first in it, of those who can go on, goes. A
turn is taken when its role does the operation it is of; on the way there the role goes on whenever
it is the first that can. A request that cannot be granted waits, and its turn with it: it stands
before the later ones, so that it is granted as soon as it can be.

A failing schedule is followed again and again to make it as simple as it can be (`shrink`): it is
simple when the roles are switched seldom. Nothing here knows why a schedule was tried. The file is
long because there is no second one: tokens, witnesses and the minimiser all go by these rules.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, pairwise
from typing import Any, NamedTuple

from ..checker.answer import Step
from ..checker.program import Op, Program
from ..locks.one_line import printable
from ..locks.parking import guarded
from ..runtime.building import build
from ..runtime.scenario import Scenario
from ..runtime.verdict import Outcome, Verdict
from ..runtime.workers import Workers
from .controlled_run import ControlledRun
from .controlled_task import ControlledTask
from .scheduled_run import TimeUp
from .dependency import COMPLETE_ALL, LOOK, QUEUEING, START, STEPS
from .forked import Apart, World
from .stable_ids import Names
from .start_points import TracedRun
from .strategies import Strategy, ahead
from .token import Moves

# Another in each world; known only where events are recorded.
_LEFT_OUT = re.compile(r"\b0x[0-9a-f]+\b|\(taken at [^)]*\)")
NEXT = -1    # in place of the index of an operation: whatever the role does next


class Turn(NamedTuple):
    """A role, which of its operations, and whether by giving up a timed request, or by entering the
    queue of a semaphore and no more.
    """

    role: str
    operation: int = NEXT
    gives_up: bool = False
    queues: bool = False


def is_operation(task: ControlledTask) -> bool:
    """Say whether *task* stands at what a recorder tells of: a request or a release."""
    return task.ask not in (START, *STEPS, LOOK, COMPLETE_ALL)


class Follower(Strategy):
    """Follows a schedule, then lets everybody go on.

    Args:
        counted: says whether a task stands at one of its operations that are counted.
        operation: tells which operation a role, by name, stands at, if known without counting.
        polls: a wait with a limit is a look, and gives up at once if it cannot pass.
        strictly: stop following at the first turn that cannot come (`diverged` says which), but for
            a request that waits; else leave out what cannot come now.
    """

    name = "replay"

    def __init__(self, schedule: Sequence[Turn], *, strictly: bool = True,
                 counted: Callable[[ControlledTask], bool] = is_operation,
                 operation: Callable[[str], int] | None = None, polls: bool = False) -> None:
        self._left, self._length = deque(schedule), len(schedule)
        self._times = Counter(schedule)         # how often each turn stands in what is left
        self._strictly, self._counted, self._operation = strictly, counted, operation
        self._polls = polls
        self._done: Counter[str] = Counter()    # counted operations, by role
        self._waiting: set[Turn] = set()        # turns of requests that wait
        self.diverged = ""

    @property
    def repeats(self) -> bool:
        """Whether its schedule is under way, which says what is done."""
        return bool(self._left)

    @property
    def passed(self) -> int:
        """How many turns have come; that of a request that waits for good has come, too."""
        return self._length - len(self._left) + sum(turn in self._waiting for turn in self._left)

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        tasks = {task.key: task for task in run.tasks} | {task.name: task for task in run.tasks}
        if self._left and self._left[0].operation != NEXT:
            for ending in run.tasks:    # the end of a thread is no operation, and waits for nothing
                if ending.ask == COMPLETE_ALL and ending.label in moves:
                    return ending.label
        at = 0
        while at < len(self._left):
            turn = self._left[at]
            task = tasks.get(turn.role)
            ahead_by = 1 if task is None else self._ahead_by(task, turn)
            if ahead_by < 0:
                self._drop(at)    # it went by without a stop, or never comes
                if self._strictly and task is not None and task.ended \
                        and turn.operation >= self._done[turn.role]:
                    self._length -= 1
                    self._note(run, turn)
                continue
            at_request = ahead_by == 0 and turn.operation != NEXT
            label = -1 if task is None else self._label(task, turn, ahead_by, moves)
            if label >= 0 and task is not None:
                if ahead_by == 0 and not self._keeps(task, turn):
                    self._drop(at)
                return self._goes(task, label)
            if at_request and task is not None:
                self._waiting.add(turn)
                with guarded:
                    run.note_wait(task)
            elif self._strictly:
                self._note(run, turn)
                self._length = self.passed
                self._left.clear()
                break
            at += 1
        label = ahead(run, moves)[0]
        return self._goes(run.by_label[label & ~1], label)

    def came_to_wait(self, blocked: list[ControlledTask]) -> list[ControlledTask]:
        """Return *blocked* in the order of their turns: the schedule knows who asked first."""
        places = {turn: place for place, turn in enumerate(self._left)}
        turns = {task: Turn(task.name, self._done[task.name]) for task in blocked}
        self._waiting.update(turns.values())
        return sorted(super().came_to_wait(blocked),
                      key=lambda task: places.get(turns[task], len(places)))

    def _drop(self, at: int) -> None:
        self._times[self._left[at]] -= 1
        del self._left[at]

    def _keeps(self, task: ControlledTask, turn: Turn) -> bool:
        """Say whether *task* needs *turn* for more than the stop at which it stands.

        One that is only queued now, and has no other turn for the grant, does. So does one that
        knows which operation it is at, which may have several stops: its turn goes by with it.
        """
        if turn.operation == NEXT or turn.queues:
            return False
        several = task.kind in QUEUEING or self._operation is not None
        return several and self._times[turn] == 1    # there is no other

    def _ahead_by(self, task: ControlledTask, turn: Turn) -> int:
        """Return how far ahead of *task* the operation of *turn* is; negative if it has passed."""
        if turn.operation == NEXT:
            return 0
        if task.ended:
            return -1
        if self._operation is not None:
            return turn.operation - self._operation(task.name)
        ahead_by = turn.operation - self._done[task.name]
        return ahead_by or int(not self._counted(task))    # it may be on the way there still

    def _label(self, task: ControlledTask, turn: Turn, ahead_by: int, moves: list[int]) -> int:
        """Return by which move *task* comes to *turn*, or nearer; -1 if it cannot."""
        label = task.label + turn.gives_up
        if label in moves:
            return label
        # That a wait with a limit gave up is seen by the operation that came after it.
        return label + 1 if (ahead_by > 0 or self._polls) and label + 1 in moves else -1

    def _goes(self, task: ControlledTask, label: int) -> int:
        if task.kind not in QUEUEING and self._operation is None and self._counted(task):
            self._done[task.name] += 1
        return label

    def _note(self, run: ControlledRun, turn: Turn) -> None:
        """Keep the first turn that could not come."""
        if self.diverged:
            return
        role = printable(turn.role)    # which a stranger may have written
        if turn.operation == NEXT:
            why = f"step {len(run.steps) + 1} is {role}'s, which cannot go on there"
        else:
            why = f"operation {self.passed + 1} is {role}'s, which is not asking for anything"
        self.diverged = why


@dataclass(frozen=True)
class Failure:
    """What makes two failures the same: the verdict, and who waits for what, or the text."""

    verdict: Verdict
    what: Any

    @classmethod
    def of(cls, run: ControlledRun, outcome: Outcome) -> Failure:
        """Return the failure of one schedule; its verdict may be clean."""
        verdict = Verdict.HANG if run.round else outcome.verdict
        if verdict in (Verdict.DEADLOCK, Verdict.HANG):
            return cls(verdict, frozenset((task.label, task.lock_number, task.ask)
                                          for task in run.deadlocked or run.stuck))
        return cls(verdict, _LEFT_OUT.sub("", outcome.gravest.text) if outcome.gravest else "")


@dataclass
class Failing:
    """The first failing schedule of its verdict.

    Attributes:
        labels: who took its steps; None if it cannot be run again.
        moves: the same, for a token.
        round: it goes round.
    """

    failure: Failure
    outcome: Outcome
    labels: list[int] | None = None
    moves: Moves | None = None
    round: bool = False

    @property
    def graveness(self) -> int:
        """Larger is graver."""
        return self.failure.verdict.graveness


def witness(scenario: Scenario, program: Program, schedule: Iterable[Step],
            left_out: Callable[[Op], bool] = lambda op: False,
            counted: Callable[[ControlledTask], bool] = is_operation) -> Follower:
    """Return what puts an engine's witness on real threads: it follows *schedule* of *program*.

    Args:
        scenario: the world; if the program is its own, its roles say at which operation they are.
        left_out: says which operations of another program are no stops that are counted.
        counted: says which stops are.
    """
    if program is scenario.program:
        return Follower([Turn(step.thread, step.op, queues=step.kind == "queue")
                         for step in schedule], strictly=False, operation=scenario.at, polls=True)
    number = {thread: [sum(not left_out(op) for op in ops[:at]) for at in range(len(ops))]
              for thread, ops in program.threads.items()}
    return Follower([Turn(step.thread, number[step.thread][step.op], queues=step.kind == "queue")
                     for step in schedule if not left_out(program.threads[step.thread][step.op])],
                    strictly=False, counted=counted)


def follow(world: World, workers: Workers | Apart, labels: Sequence[int], full: bool = False,
           strictly: bool = True, traced: bool = False) -> tuple[Any, Outcome]:
    """Run the schedule of these labels in a fresh world; *full* records events, for a report.

    Returns:
        The run, or what was seen of it in another process, and what it came to.
    """
    make = following(world.names, labels, strictly)
    _, run, outcome = play(world, workers, make, full, traced)
    return run, outcome


def following(names: Names, labels: Sequence[int], strictly: bool = True,
              by: type[Follower] = Follower) -> Callable[[Scenario], Follower]:
    """Return what makes a follower, of the class *by*, of the schedule of these labels."""
    turns = [Turn(names.roles[label >> 1], NEXT, label & 1 == 1) for label in labels]
    return partial(_following, by, turns, strictly)


def _following(by: type[Follower], turns: list[Turn], strictly: bool, _: Scenario) -> Follower:
    return by(turns, strictly=strictly)


def play(world: World, workers: Workers | Apart, make: Callable[[Scenario], Any],
         full: bool = False, traced: bool = False) -> tuple[Any, Any, Outcome]:
    """Run one schedule in a fresh world, by the chooser that *make* returns for it; *traced* shows
    which starts are points.

    Returns:
        The chooser as it is after it, and as `follow`.

    Raises:
        TimeUp: the deadline of *world* was met before its end.
    """
    if isinstance(workers, Apart):
        chooser, run, outcome = workers.play(world, make, full=full, traced=traced,
                                             deadline=world.deadline)
    else:
        scenario = build(world.scenario, world.name)
        chooser, kind = make(scenario), TracedRun if traced else ControlledRun
        run = kind(scenario, chooser, world.names, world.timeout, world.deadline, full=full)
        outcome = run.play(workers)
    if run.late:
        raise TimeUp
    return chooser, run, outcome


# -- making a failing schedule simple --------------------------------------------------------------


def shrink(world: World, workers: Workers | Apart, labels: list[int],
           failure: Failure) -> tuple[list[int], bool]:
    """Take one switch after another out of a schedule as long as the same failure comes of it.

    Return what is left, and whether no single switch can be taken out any more: at the deadline of
    *world* the simplest so far is returned.
    """
    while True:
        for candidate in simpler(labels):
            if world.deadline is not None and time.monotonic() >= world.deadline:
                return labels, False
            try:
                run, outcome = follow(world, workers, candidate, strictly=False)
            except TimeUp:
                return labels, False
            taken = [step.label for step in run.steps]
            if switches(taken) < switches(labels) and Failure.of(run, outcome) == failure:
                labels = taken
                break
        else:
            return labels, True


def switches(labels: Sequence[int]) -> int:
    """Return how often one role follows another."""
    return sum(a >> 1 != b >> 1 for a, b in pairwise(labels))


def simpler(labels: Sequence[int]) -> Iterator[list[int]]:
    """Yield the schedules that come of *labels* when one switch is taken out: the role before it
    goes on to its next stretch first, the role after it comes before the other's stretch, or a
    stretch is left out (what then cannot go on is left out as well).
    """
    stretches = [list(stretch) for _, stretch in groupby(labels, lambda label: label >> 1)]
    for i, stretch in enumerate(stretches[:-1]):
        before, after = stretches[:i], stretches[i + 1:]
        again = next((j for j, other in enumerate(after) if other[0] >> 1 == stretch[0] >> 1), 0)
        orders = [[*before, after[0], stretch, *after[1:]], [*before, *after]]
        if again:
            orders.insert(0, [*before, stretch, after[again], *after[:again], *after[again + 1:]])
        for order in orders:
            yield [*chain(*order)]
