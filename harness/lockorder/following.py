"""Follow a schedule of the engine: roles pass their operations in a given order.

A meeting holds roles at the last request alone. Where they get in each other's way before that, each
operation must wait its turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..checker.answer import Step
from ..checker.program import Program
from ..exploration.extract_program import started
from ..locks.node import unique_name
from ..locks.operations import RECORDED
from ..locks.parking import Task, enter, leave, pause, unpark
from ..meetings.meet import writing
from ..meetings.one_by_one import OneByOne
from ..runtime.scenario import Scenario

Turn = tuple[str, int]    # a role and which of its operations


class Follower(OneByOne):
    """Let the roles pass the operations of *schedule* in its order; then everybody goes.

    A request that is queued first and granted later is one operation. An operation that tells no
    event does not wait for its turn.
    """

    def __init__(self, schedule: Iterable[Turn], order: Sequence[int]) -> None:
        super().__init__(order)
        self._schedule = list(dict.fromkeys(schedule))
        self._passed: set[Turn] = set()
        self._here: dict[Turn, Task] = {}

    def at(self, task: Task, lock: Any) -> Turn | None:
        """Return which operation *task* is at, told by an event on *lock*; None lets it pass."""
        raise NotImplementedError

    def gone_by(self, turn: Turn) -> bool:
        """Say whether its role did this operation without an event."""
        return False

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        super().lock_acquire(task, lock, mode)
        self._wait_for_turn(task, lock)

    def lock_release(self, task: Task, lock: Any, mode: str) -> None:
        self._wait_for_turn(task, lock)

    def _wait_for_turn(self, task: Task, lock: Any) -> None:
        turn = self.at(task, lock)
        if not self._schedule or turn is None or turn in self._passed:
            return
        enter()
        self._passed.add(turn)
        if self._schedule[0] == turn:
            del self._schedule[0]
        else:
            self._here[turn] = task
            pause(task)
        leave()

    def idle(self) -> bool:
        if super().idle():
            return True
        while self._schedule and self.gone_by(self._schedule[0]):
            del self._schedule[0]
        if self._schedule and (writer := self._writers.get(self._schedule[0][0])) is not None:
            unpark(self.start_writer(writing(self._run, writer)))
            return True
        if not self._here:
            return self.end_writers()
        if self._schedule and self._schedule[0] in self._here:
            unpark(self._here.pop(self._schedule.pop(0)))
        else:
            self._schedule = []
            unpark(self._here.pop(min(self._here, key=lambda turn: self._rank[self._here[turn]])))
        return True


class LockFollower(Follower):
    """Follow a schedule of what roles do with some locks: a trylock passes."""

    def __init__(self, program: Program, schedule: Iterable[Step], locks: Iterable[str],
                 order: Sequence[int]) -> None:
        starts = set(map(started, program.threads))
        turns: dict[tuple[str, int], Turn] = {}
        counts: Counter[str] = Counter()
        for step in schedule:
            op = program.threads[step.thread][step.op]
            if (step.thread, step.op) not in turns and op.op not in RECORDED \
                    and op.target not in starts:
                turns[step.thread, step.op] = step.thread, counts[step.thread]
                counts[step.thread] += 1
        super().__init__(turns.values(), order)
        self._locks = frozenset(locks)
        self._counts: Counter[str] = Counter()

    def at(self, task: Task, lock: Any) -> Turn | None:
        if task.trylock or unique_name(lock) not in self._locks:
            return None
        self._counts[task.name] += 1
        return task.name, self._counts[task.name] - 1


class ProgramFollower(Follower):
    """Follow a schedule of a scenario that is a program."""

    def __init__(self, made: Scenario, schedule: Iterable[Step]) -> None:
        super().__init__(((step.thread, step.op) for step in schedule), range(len(made.roles)))
        self._made = made
        self._ended: set[str] = set()

    def at(self, task: Task, lock: Any) -> Turn | None:
        return task.name, self._made.at(task.name)   # type: ignore[misc]

    def gone_by(self, turn: Turn) -> bool:
        role, index = turn
        return role in self._ended or self._made.at(role) > index   # type: ignore[misc]

    def role_end(self, task: Task) -> None:
        super().role_end(task)
        self._ended.add(task.name)
