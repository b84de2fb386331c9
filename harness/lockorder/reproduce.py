"""Making a predicted deadlock happen on real threads: where the roles meet, and that they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

from ..checker.answer import Stuck
from ..exploration.extract_program import TRYING, is_start
from ..exploration.follower import Follower, is_operation, witness
from ..locks.node import Node, unique_name
from ..locks.operations import RECORDED
from ..locks.task import SHARED, WAIT, Task
from ..meetings.meet import At, Meet, with_writers, writer_of
from ..meetings.one_by_one import Meetings, orders
from ..runtime.observer import Observer
from ..runtime.scenario import Scenario
from ..runtime.verdict import Outcome, Verdict
from .cycles import Candidate
from .feasibility import Judgement
from .finding import waits_of
from .record import Record


class Confirmer:
    """Holds meetings in worlds made for them.

    Args:
        build: makes a fresh world.
        play: runs a world with these observers.
        obey: runs a world as a follower of a schedule says.
        late: whether the time is up.

    Attributes:
        runs: how many there were.
    """

    def __init__(self, build: Callable[[], Scenario],
                 play: Callable[[Scenario, list[Observer]], Outcome],
                 obey: Callable[[Scenario, Follower], Outcome], late: Callable[[], bool]) -> None:
        self._build, self._play, self._obey, self._late = build, play, obey, late
        self.runs = 0

    def play(self, world: Scenario, observers: list[Observer]) -> Outcome:
        """Run a world, and count it."""
        self.runs += 1
        return self._play(world, [*observers, _AskedForName()])

    def obey(self, world: Scenario, follower: Follower) -> Outcome:
        """Run a world under control, and count it."""
        self.runs += 1
        return self._obey(world, follower)

    def meet(self, meeting: Meet | None, waits: dict[str, str]) -> Outcome | None:
        """Hold *meeting* in several orders of start; return the run that ended in a deadlock.

        A role that waits for itself needs nobody to meet. Time limits may run out before others go
        on: see `attempts`.
        """
        world, meets, limited = self._build(), meeting or (), False
        for early, order in product((False, True), orders(world)):
            if early and not limited:
                break
            meetings = Meetings(meets, order, early)
            outcome = self.play(with_writers(world, meets), [meetings])
            limited = limited or meetings.limited
            deadlock = as_deadlock(outcome, waits)
            if deadlock is not None or self._late() or outcome.stuck:
                return deadlock
            world = self._build()
        return None

    def follow(self, record: Record, meeting: Meet | None, judgement: Judgement,
               waits: dict[str, str]) -> Outcome | None:
        """Let the roles follow the engine's schedule; return the run if it ended in a deadlock."""
        program, stuck = judgement.program, judgement.stuck
        if program is None or stuck is None:
            return None
        world = with_writers(self._build(), meeting or ())
        locks = {op.target for ops in program.threads.values() for op in ops}
        locks |= {name for name, thread in record.joins.items() if thread in program.threads}
        labels = {record.labels[name] for name in record.loose & locks}
        follower = witness(
            world, program, stuck.schedule, lambda op: op.op in RECORDED or is_start(op),
            lambda task: (is_operation(task) and task.ask not in TRYING
                          and not task.timed
                          and (unique_name(task.lock) in locks or str(task.lock) in labels)))
        return as_deadlock(self.obey(world, follower), waits)


class _AskedForName(Observer):
    """See to it that each lock has its name when it is asked for first, as it had when the order
    of locks was recorded.
    """

    def lock_acquire(self, task: Task, lock: Node, mode: str) -> None:
        _ = lock.name


def as_deadlock(outcome: Outcome, waits: dict[str, str]) -> Outcome | None:
    """Return *outcome* if in it each of these roles waits for its lock, one for the next.

    A hang will do: there somebody waits who did not say who is to end it, but the record does.
    """
    finding = outcome.gravest
    if finding is None or finding.verdict not in (Verdict.DEADLOCK, Verdict.HANG):
        return None
    if finding.verdict is Verdict.DEADLOCK:
        return outcome if waits.items() <= dict(waits_of(finding)).items() else None
    states = {state.role: state for state in finding.roles if state.wants}
    if any(role not in states or states[role].wants != lock for role, lock in waits.items()):
        return None
    following = [*list(waits)[1:], next(iter(waits))]
    cycle = {role: replace(states[role], waits_for=states[role].waits_for or (after,))
             for role, after in zip(waits, following, strict=True)}
    deadlock = replace(finding, verdict=Verdict.DEADLOCK, detail="", cycle=tuple(cycle.values()),
                       text=f"{len(cycle)} threads wait for each other",
                       roles=tuple([cycle.get(state.role, state) for state in finding.roles]))
    return replace(outcome, findings=[deadlock if other is finding else other
                                      for other in outcome.findings])


def points_of(record: Record, candidate: Candidate, judgement: Judgement) -> list[At]:
    """Return where the roles of a cycle meet, in the order in which they must queue: writers before
    the readers they keep out, mutexes last.
    """
    def urgency(point: At) -> tuple[int, str]:
        if record.kinds.get(point.lock) == "rwsem":
            return int(point.mode == SHARED), point.role
        return (2 if point.mode == WAIT else 3), point.role

    def exactly(lock: str) -> str:    # what means it alone, where others share its name
        if lock in record.loose:    # in another run it may have another number
            return record.labels[lock]
        return f"{lock}#1" if f"{lock}#2" in record.labels else lock

    points = [At(leg.role, leg.wanted.name, leg.wanted.mode,
                 holding=() if leg.brings else leg.held.name) for leg in candidate.legs]
    if judgement.stuck is not None:
        points = _waiting_points(record, judgement.stuck, judgement.writers)
    return [replace(point, lock=exactly(point.lock), holding=tuple(map(exactly, point.holding)))
            for point in sorted(points, key=urgency)]


def _waiting_points(record: Record, stuck: Stuck, writers: tuple[str, ...]) -> list[At]:
    """Return where the roles of the engine's circle wait."""
    added = {writer_of(name, record.paths) for name in writers}
    waiting = {wait.thread: wait for wait in stuck.waits}
    ends = {thread: name for name, thread in record.joins.items()}
    points = []
    for wait in [waiting[role] for role in stuck.circle if role not in added]:
        wants = wait.wants
        if wait.mode == WAIT:
            wants = ends.get(wants, wants)
        points.append(At(wait.thread, wants, wait.mode,
                         holding=tuple([name for name, _ in wait.holds])))
    return points
