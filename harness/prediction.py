"""predict: name every deadlock that the order of the locks allows, from clean runs, and make it happen.

First the roles run one after the other, nothing is forced, and `LockOrder` records. Then each cycle is
judged (judge.py), its meeting is built and the roles are made to meet on real threads. What a finding
is worth is its status, one of five words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .api import TIMEOUT, Tally, check_arguments, interrupted, orders
from .cycles import Candidate, Cycle, Group, Leg, Record, assignment, groups
from .engine import search
from .judge import Judgement, by_class, judge
from .order import LockOrder
from .race import At, Meet, Meetings, OneByOne, with_writers, writer_of
from .runner import Crew, Run
from .scenario import Scenario, build, name_of
from .settings import settled
from .task import SHARED, WAIT
from .verdict import Finding, Outcome, Result, Verdict

MOST_RUNS = 6            # clean runs, each in another order of start
MOST_TRIED = 12          # cycles by instance that are judged for one finding

FORCED, NEEDS_WRITER, GUARDED, ONE_ROLE, UNCONFIRMED, KNOWN = (
    "forced", "needs-writer", "guarded", "one-role", "unconfirmed", "known")
_GRAVE = (FORCED, NEEDS_WRITER, UNCONFIRMED, GUARDED, ONE_ROLE)
VERDICT = {FORCED: Verdict.DEADLOCK, NEEDS_WRITER: Verdict.PREDICTED, UNCONFIRMED: Verdict.PREDICTED}


@dataclass
class Prediction:
    """One finding: all cycles of the same classes.

    Attributes:
        headline: the kernel's words for it.
        classes: the cycle, each class asked for while the one before is held.
        legs: the cycle by instance that stands for it, with roles and places.
        status: ``forced`` (it happened on real threads), ``needs-writer`` (it happened once further
            writers were queued), ``guarded``, ``one-role`` (it cannot happen, and why),
            ``unconfirmed`` (it could not be made to happen), ``known`` (in the baseline).
        reason: why, in a sentence.
        count: how many cycles by instance it stands for.
        meeting: the points at which the roles met, if they did.
        outcome: the run in which it happened.
        lockdep: what the kernel's own validator would have made of it.
    """

    headline: str
    classes: tuple[str, ...]
    legs: Cycle
    status: str
    reason: str
    count: int = 1
    meeting: Meet | None = None
    writers: tuple[str, ...] = ()
    outcome: Outcome | None = None
    lockdep: str = ""

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        return VERDICT.get(self.status, Verdict.CLEAN)

    @property
    def key(self) -> str:
        """The cycle of classes in one line, as in a baseline file."""
        return " -> ".join([*self.classes, self.classes[0]])

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON output."""
        return {"verdict": str(self.verdict), "how": "predicted", "status": self.status,
                "reason": self.reason, "headline": self.headline, "cycle": self.key,
                "count": self.count, "writers": list(self.writers), "lockdep": self.lockdep,
                "text": f"{self.headline}: {self.key} ({self.status}: {self.reason})",
                "legs": [{"role": leg.role, "holds": leg.held.name, "held_mode": leg.held.mode,
                          "wants": leg.wanted.name, "mode": leg.wanted.mode} for leg in self.legs]}


def predict(scenario: Callable[[], Any], *, runs: int | None = None, seconds: float | None = None,
            timeout: float = TIMEOUT, detect: str = "block",
            baseline: Mapping[str, str] | None = None) -> Result:
    """Predict the deadlocks of *scenario* from clean runs, and force those that can happen.

    Args:
        runs: how many clean runs to learn from, each with another role first; default: one for each
            order of start, up to six.
        seconds: stop after this time.
        timeout, detect: of each run, as for `run`.
        baseline: cycle of classes -> why it is known; such a finding is listed and nothing more.

    Returns:
        `Result` whose `predictions` are the findings. Its verdict is ``deadlock`` if one was forced,
        ``predicted`` if one can happen only with further writers, or could not be forced; ``clean``
        if there is none but those that cannot happen.

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` is what was found so far.
    """
    check_arguments(1 if runs is None else runs, seconds, timeout, detect)
    session = _Session(scenario, timeout, detect, seconds, baseline or {})
    try:
        with settled(), Crew() as session.crew:
            session.observe(runs)
            session.conclude()
    except KeyboardInterrupt as exc:
        raise interrupted(exc, session.tally) from None
    return session.result()


@dataclass
class _Session:
    """One call of predict."""

    scenario: Callable[[], Any]
    timeout: float
    detect: str
    seconds: float | None
    baseline: Mapping[str, str]
    crew: Any = None
    record: Any = None
    predictions: list[Prediction] = field(default_factory=list)
    confirming: int = 0
    unread: int = 0

    def __post_init__(self) -> None:
        self.tally = Tally(name_of(self.scenario))
        self.deadline = None if self.seconds is None else time.monotonic() + self.seconds

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    # -- clean runs ---------------------------------------------------------------------------

    def observe(self, runs: int | None) -> None:
        """Let the roles run one after the other, in several orders, and record."""
        made = build(self.scenario, self.tally.scenario)
        recorded = []
        for order in orders(made)[:runs or MOST_RUNS]:
            lock_order = LockOrder()
            outcome = self.play(made, [OneByOne(order), lock_order])
            recorded.append(lock_order)
            self.tally.add(outcome, made)
            if self.late or outcome.stuck:
                break
            made = build(self.scenario, self.tally.scenario)
        self.record = Record(recorded)

    def play(self, made: Scenario, observers: list[Any]) -> Outcome:
        return Run(made, observers, self.detect, self.timeout, self.deadline).play(self.crew)

    # -- what they allow ----------------------------------------------------------------------

    def conclude(self) -> None:
        """Judge every cycle, the shortest first."""
        for group in groups(self.record):
            if self.late:
                self.unread += 1
                continue
            prediction = self.settle(group)
            reason = self.baseline.get(prediction.key)
            if reason is not None:
                prediction.status, prediction.reason = KNOWN, reason
            self.predictions.append(prediction)
        self.predictions.sort(key=lambda each: -each.verdict.graveness)

    def settle(self, group: Group) -> Prediction:
        """Return what becomes of one finding."""
        if not group.candidates:
            return self.without_instance(group)
        best: Prediction | None = None
        for candidate in group.candidates[:MOST_TRIED]:
            found = self.try_one(group, candidate)
            if best is None or _GRAVE.index(found.status) < _GRAVE.index(best.status):
                best = found
            if best.status == FORCED:
                break
        assert best is not None
        best.count = len(group.candidates)
        return best

    def without_instance(self, group: Group) -> Prediction:
        """Judge a cycle by class that no set of locks closes."""
        cycle = group.witness
        made = Prediction(group.headline, group.classes, cycle, UNCONFIRMED, "")
        roles = [self.roles_of(leg) for leg in cycle]
        if len(cycle) > 1 and not assignment(roles):
            made.status, made.reason = ONE_ROLE, _one_role(cycle)
        elif len(cycle) > 1 and (gate := by_class(self.record, cycle)):
            made.status, made.reason = GUARDED, f"every leg holds {gate}"
        elif len(cycle) == 1:
            leg, refused = cycle[0], self.record.refused.get(group.classes[0])
            made.reason = f"{leg.held.name} and {leg.wanted.name} are of one class and were taken in " \
                          f"this order only; " + (f"the order of the class forbids it ({refused})"
                                                  if refused else "nothing says that it is legal")
        else:
            made.reason = "the roles met the classes in opposite orders, but not the same locks: " \
                          + "; ".join(f"{leg.role} {leg.held.name}, {leg.wanted.name}" for leg in cycle)
        return made

    def roles_of(self, leg: Leg) -> list[str]:
        """Return every role that has a leg of the same classes."""
        wanted = leg.held.lock_class, leg.wanted.lock_class
        return list(dict.fromkeys(
            other.role for other in self.record.legs()
            if (other.held.lock_class, other.wanted.lock_class) == wanted))

    def try_one(self, group: Group, candidate: Candidate) -> Prediction:
        """Judge one cycle by instance, and force it if it can happen."""
        made = Prediction(group.headline, group.classes, candidate.legs, UNCONFIRMED, "")
        judgement = judge(self.record, candidate)
        if judgement.guard:
            made.status, made.reason = GUARDED, judgement.guard
            return made
        if judgement.stuck is None:
            made.reason = "the search for a schedule met its bound"
            points, made.writers = _points_of_legs(candidate), candidate.read_read
        else:
            points, made.writers = _points_of(self.record, judgement), judgement.writers
        self.force(made, _by_urgency(points, self.record))
        return made

    # -- on real threads ----------------------------------------------------------------------

    def force(self, made: Prediction, points: list[At]) -> None:
        """Make the roles meet at *points*; say what came of it."""
        if len(points) + len(made.writers) > 1:
            made.meeting = Meet(*points, writers=made.writers)
        made.outcome = self.meet(made.meeting, {point.role for point in points})
        if made.outcome is None:
            self.without_outcome(made)
        elif made.writers:
            made.status = NEEDS_WRITER
            made.reason = f"it happened with a writer queued for {' and '.join(made.writers)}; without " \
                          f"one, readers let each other in"
        else:
            made.status, made.reason = FORCED, "it happened on real threads"

    def meet(self, meeting: Meet | None, roles: set[str]) -> Outcome | None:
        """Hold *meeting* in several orders of start; return the run that ended in a deadlock.

        A role that waits for itself needs nobody to meet.
        """
        made = build(self.scenario, self.tally.scenario)
        for order in orders(made):
            if meeting is None:
                outcome = self.play(made, [OneByOne(order)])
            else:
                outcome = self.play(with_writers(made, meeting), [Meetings(meeting, order)])
            self.confirming += 1
            if _is_deadlock_of(outcome, roles):
                return outcome
            if self.late or outcome.stuck:
                break
            made = build(self.scenario, self.tally.scenario)
        return None

    def without_outcome(self, made: Prediction) -> None:
        """Say why roles did not meet: what they do may depend on what the others did."""
        if made.reason:
            return
        program = build(self.scenario, self.tally.scenario).program
        answer = search(program) if program is not None else None
        roles = {leg.role for leg in made.legs}
        if answer is not None and answer.complete \
                and not any(roles <= set(stuck.circle) for stuck in answer.deadlocks):
            made.status = GUARDED
            made.reason = f"what the roles do depends on each other: none of all {answer.states:,} states " \
                          f"of the program is this deadlock"
        else:
            made.reason = f"the roles could not be made to meet so: {made.meeting}"

    def result(self) -> Result:
        """Return everything that was found."""
        forced = next((each for each in self.predictions if each.status == FORCED), None)
        tally = self.tally
        if forced is not None and forced.outcome is not None \
                and (tally.kept is None or forced.outcome.verdict.graveness
                     > tally.kept.verdict.graveness):
            tally.kept = forced.outcome
        result = tally.result(coverage=self.coverage())
        verdicts = [result.verdict, *(each.verdict for each in self.predictions)]
        if self.unread:
            verdicts.append(Verdict.INCONCLUSIVE)
        result.verdict = max(verdicts, key=lambda each: each.graveness)
        result.predictions = self.predictions
        if result.outcome.gravest is None and self.predictions:
            result.how = "predicted"
        return result

    def coverage(self) -> dict[str, Any]:
        """Return what was looked at."""
        record = self.record
        covered: dict[str, Any] = {}
        if record is not None:
            covered["locks"] = len(record.classes)
            covered["edges"] = len({(edge.held.name, edge.wanted.name)
                                    for edge in record.edges.values()})
            covered["cycles"] = len(self.predictions) + self.unread
        if self.confirming:
            covered["confirming_runs"] = self.confirming
        if self.unread:
            covered["cycles_not_judged"] = self.unread
        return covered


def _one_role(cycle: Cycle) -> str:
    roles = [leg.role for leg in cycle]
    twice = next(role for role in roles if roles.count(role) > 1)
    return f"{roles.count(twice)} of its {len(cycle)} legs are {twice}'s, which never runs beside itself"


def _is_deadlock_of(outcome: Outcome, roles: set[str]) -> bool:
    found = outcome.gravest
    return found is not None and found.verdict is Verdict.DEADLOCK \
        and roles <= {state.role for state in found.cycle}


def _points_of_legs(candidate: Candidate) -> list[At]:
    """Return where the roles of a cycle meet, if no schedule is known."""
    return [At(leg.role, leg.wanted.name, leg.wanted.mode,
               holding=() if leg.brings else leg.held.name) for leg in candidate.legs]


def _points_of(record: Record, judgement: Judgement) -> list[At]:
    """Return where the roles of the engine's circle wait."""
    stuck = judgement.stuck
    assert stuck is not None
    writers = {writer_of(name) for name in judgement.writers}
    waiting = {each.thread: each for each in stuck.waits}
    ends = {thread: name for name, thread in record.joins.items()}
    points = []
    for role in stuck.circle:
        if role not in writers:
            wait = waiting[role]
            wants = ends.get(wait.wants, wait.wants) if wait.mode == WAIT else wait.wants
            points.append(At(role, wants, wait.mode, holding=tuple(name for name, _ in wait.holds)))
    return points


def _by_urgency(points: list[At], record: Record) -> list[At]:
    """Order *points* as roles must queue: writers before the readers they keep out, mutexes last."""
    def urgency(point: At) -> tuple[int, str]:
        if record.kinds.get(point.lock) == "rwsem":
            return int(point.mode == SHARED), point.role
        return (2 if point.mode == WAIT else 3), point.role
    return sorted(points, key=urgency)
