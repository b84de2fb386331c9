"""Making a predicted deadlock happen on real threads: where the roles must meet, and that they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..exploration.dependency import ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE
from ..exploration.follower import Follower, is_operation, witness
from ..locks.node import unique_name
from ..locks.task import SHARED, WAIT
from ..exploration.extract_program import is_start, real_name
from ..locks.operations import RECORDED
from ..meetings.meet import At, Meet, with_writers, writer_of
from ..meetings.one_by_one import Meetings, OneByOne, orders
from ..runtime.scenario import Scenario
from ..runtime.verdict import Outcome, Verdict
from .cycles import Candidate
from .feasibility import Judgement
from .finding import waits_of

TRYLOCKS = (ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE)
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

    def __init__(self, build: Callable[[], Scenario], play: Callable[[Scenario, list[Any]], Outcome],
                 obey: Callable[[Scenario, Follower], Outcome], late: Callable[[], bool]) -> None:
        self._build, self._play, self._obey, self._late = build, play, obey, late
        self.runs = 0

    def play(self, made: Scenario, observers: list[Any]) -> Outcome:
        """Run a world, and count it."""
        self.runs += 1
        return self._play(made, observers)

    def obey(self, made: Scenario, follower: Follower) -> Outcome:
        """Run a world under control, and count it."""
        self.runs += 1
        return self._obey(made, follower)

    def meet(self, meeting: Meet | None, waits: dict[str, str]) -> Outcome | None:
        """Hold *meeting* in several orders of start; return the run that ended in a deadlock.

        A role that waits for itself needs nobody to meet.
        """
        made = self._build()
        for order in orders(made):
            if meeting is None:
                outcome = self.play(made, [OneByOne(order)])
            else:
                outcome = self.play(with_writers(made, meeting), [Meetings(meeting, order)])
            if (found := _as_deadlock(outcome, waits)) is not None:
                return found
            if self._late() or outcome.stuck:
                break
            made = self._build()
        return None

    def follow(self, record: Record, meeting: Meet | None, judgement: Judgement,
               waits: dict[str, str]) -> Outcome | None:
        """Let the roles follow the engine's schedule; return the run if it ended in a deadlock."""
        program, stuck = judgement.program, judgement.stuck
        if program is None or stuck is None:
            return None
        made = self._build()
        if meeting is not None:
            made = with_writers(made, meeting)
        locks = {op.target for ops in program.threads.values() for op in ops}
        locks |= {name for name, thread in record.joins.items() if thread in program.threads}
        follower = witness(
            made, program, stuck.schedule, lambda op: op.op in RECORDED or is_start(op),
            lambda task: (is_operation(task) and task.ask not in TRYLOCKS
                          and unique_name(task.lock) in locks))
        return _as_deadlock(self.obey(made, follower), waits)


def _as_deadlock(outcome: Outcome, waits: dict[str, str]) -> Outcome | None:
    """Return *outcome* if it is a deadlock in which each of these roles waits for its lock, one for the
    next.

    A hang is one too: there somebody waits who did not say who is to end it, but the record does.
    """
    found = outcome.gravest
    if found is None:
        return None
    if found.verdict is Verdict.DEADLOCK:
        return outcome if waits.items() <= dict(waits_of(found)).items() else None
    states = {state.role: state for state in found.roles if state.wants}
    if found.verdict is not Verdict.HANG or any(
            role not in states or states[role].wants != lock for role, lock in waits.items()):
        return None
    following = [*list(waits)[1:], next(iter(waits))]
    cycle = tuple([replace(states[role], waits_for=states[role].waits_for or (after,))
                   for role, after in zip(waits, following)])
    text = f"{len(cycle)} threads wait for each other"
    known = replace(found, verdict=Verdict.DEADLOCK, text=text, cycle=cycle, detail="", roles=tuple(
        [next((each for each in cycle if each.role == state.role), state) for state in found.roles]))
    return replace(outcome, findings=[known if each is found else each for each in outcome.findings])


def points_of(record: Record, candidate: Candidate, judgement: Judgement) -> list[At]:
    """Return where the roles of a cycle meet, in the order in which they go on."""
    points = _points_of_legs(candidate) if judgement.stuck is None else _points_of(record, judgement)
    return [replace(point, lock=_exactly(point.lock, record),
                    holding=tuple([_exactly(lock, record) for lock in point.holding]))
            for point in _by_urgency(points, record)]


def _exactly(lock: str, record: Record) -> str:
    """Return what means *lock* alone, where others share its name."""
    return f"{lock}#1" if f"{lock}#2" in record.labels else lock


def _points_of_legs(candidate: Candidate) -> list[At]:
    """Return where the roles of a cycle meet, if no schedule is known."""
    return [At(leg.role, leg.wanted.name, leg.wanted.mode,
               holding=() if leg.brings else leg.held.name) for leg in candidate.legs]


def _points_of(record: Record, judgement: Judgement) -> list[At]:
    """Return where the roles of the engine's circle wait."""
    stuck = judgement.stuck
    assert stuck is not None
    writers = {writer_of(name, record.paths) for name in judgement.writers}
    waiting = {each.thread: each for each in stuck.waits}
    ends = {thread: name for name, thread in record.joins.items()}
    points = []
    for role in stuck.circle:
        if role not in writers:
            wait = waiting[role]
            wants = real_name(wait.wants)
            if wait.mode == WAIT:
                wants = ends.get(wants, wants)
            points.append(At(role, wants, wait.mode, holding=tuple(name for name, _ in wait.holds)))
    return points


def _by_urgency(points: list[At], record: Record) -> list[At]:
    """Order *points* as roles must queue: writers before the readers they keep out, mutexes last."""
    def urgency(point: At) -> tuple[int, str]:
        if record.kinds.get(point.lock) == "rwsem":
            return int(point.mode == SHARED), point.role
        return (2 if point.mode == WAIT else 3), point.role
    return sorted(points, key=urgency)
