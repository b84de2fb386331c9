"""predict: name every deadlock that the order of the locks allows, from clean runs, and make it happen.

First the roles run one after the other, nothing is forced, and `LockOrder` records. Then each cycle is
judged (judge.py), its meeting is built and the roles are made to meet on real threads. What a finding
is worth is its status, one of five words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .api import TIMEOUT, Tally, check_arguments, interrupted
from .cycles import (Candidate, Cycle, Group, Leg, Record, assignment, groups, reduced, unseen,
                     validated)
from .crew import Crew
from .engine import search
from .errors import ScenarioError
from .following import LockFollower, ProgramFollower
from .forcing import orders
from .lockdep import CIRCULAR, RECURSIVE
from .judge import Judgement, by_class, judge, real_name, with_threads
from .order import LockOrder, Place
from .race import At, Meet, Meetings, OneByOne, with_writers, writer_of
from .runner import Run
from .scenario import Scenario, build, name_of
from .settings import settled
from .task import SHARED, WAIT
from .verdict import Finding, Outcome, Result, Verdict

MOST_RUNS = 6            # clean runs, each in another order of start
MOST_STATES = 500_000    # of a program
MOST_TRIED = 200         # cycles by instance that are judged for one finding

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
        return cycle_key(self.classes)

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
            baseline: Mapping[str, str] | str | None = None, lockdep: bool = False) -> Result:
    """Predict the deadlocks of *scenario* from clean runs, and force those that can happen.

    Args:
        runs: how many clean runs to learn from, each with another role first; default: one for each
            order of start, up to six.
        seconds: stop after this time.
        timeout, detect: of each run, as for `run`.
        baseline: cycle of classes -> why it is known, or a file of such lines (see `read_baseline`);
            a finding of that cycle is listed and nothing more.
        lockdep: say of each finding what the kernel's own validator would have made of it.

    Returns:
        `Result` whose `predictions` are the findings. Its verdict is ``deadlock`` if one was forced,
        ``predicted`` if one can happen only with further writers, or could not be forced; ``clean``
        if there is none but those that cannot happen.

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` is what was found so far.
    """
    check_arguments(1 if runs is None else runs, seconds, timeout, detect)
    deadline = None if seconds is None else time.monotonic() + seconds
    known = read_baseline(baseline) if isinstance(baseline, str) else baseline or {}
    session = Session(scenario, timeout, detect, deadline, known)
    try:
        with settled(), Crew() as session.crew:
            session.observe(runs)
            session.conclude()
            session.search_program()
            session.take_observed()
            session.hold_declared()
    except KeyboardInterrupt as exc:
        so_far = interrupted(exc, session.tally)
        so_far.result.predictions = session.predictions
        raise so_far from None
    result = session.result()
    if lockdep:
        result.lockdep = session.kernel_says()
    return result


def read_baseline(path: str) -> dict[str, str]:
    """Read the known cycles of a file: ``CLASS -> CLASS -> CLASS  # reason``, one a line.

    Empty lines and lines that begin with # are left out.

    Raises:
        ScenarioError: the file cannot be read, or a line is not of that form.
    """
    known = {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ScenarioError(f"cannot read the baseline {path}: "
                            f"{getattr(exc, 'strerror', None) or exc}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cycle, hash_, reason = map(str.strip, line.partition(" # "))
        classes = [each.strip() for each in cycle.split(" -> ")]
        if not reason or len(classes) < 2 or classes[0] != classes[-1]:
            raise ScenarioError(f"{path}:{number}: expected 'CLASS -> CLASS -> CLASS  # reason', a cycle "
                                f"that ends where it begins, got {line.strip()!r}")
        known[cycle_key(classes[:-1])] = reason
    return known


def cycle_key(classes: Sequence[str]) -> str:
    """Return a cycle of classes in one line, beginning with the least."""
    turned = reduced(list(classes))
    return " -> ".join([*turned, turned[0]])


@dataclass
class Session:
    """What one call of predict learns, step by step."""

    scenario: Callable[[], Any]
    timeout: float
    detect: str
    deadline: float | None            # by time.monotonic()
    baseline: Mapping[str, str]
    crew: Any = None
    record: Any = None
    predictions: list[Prediction] = field(default_factory=list)
    observed: list[Outcome] = field(default_factory=list)   # runs in which no meeting was held
    states: Any = None                # the engine's answer, if the scenario is a program
    confirming: int = 0               # runs that were to make a prediction happen
    unread: int = 0                   # groups that were not judged for lack of time
    declared: str = ""                # what came of the meeting the scenario declares
    kept_order: tuple[tuple[int, ...], str] = (), "first"   # of start, in the run that is kept

    def __post_init__(self) -> None:
        self.tally = Tally(name_of(self.scenario))

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    # -- clean runs ---------------------------------------------------------------------------

    @property
    def runs(self) -> int:
        """How many runs there were."""
        return self.tally.runs + self.confirming

    def observe(self, runs: int | None, made: Scenario | None = None) -> None:
        """Let the roles run one after the other, in several orders, and record."""
        made = made or build(self.scenario, self.tally.scenario)
        recorded = []
        ways = [(order, "first") for order in orders(made)[:runs or MOST_RUNS]]
        for order, threads in ways:
            lock_order = LockOrder()
            outcome = self.play(made, [OneByOne(order, threads), lock_order])
            recorded.append(lock_order)
            self.tally.add(outcome, made)
            self.observed.append(outcome)
            if self.tally.kept is outcome:
                self.kept_order = order, threads
            if self.late or outcome.stuck:
                break
            # A wait for a thread that has ended, or has not begun, may not show: try other turns.
            if runs is None and threads == "first" and set(lock_order.operations) - set(made.roles):
                ways += [(order, "last"), (order, "turns")]
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
            reason = self.baseline.get(cycle_key(group.classes))
            self.predictions.append(self.settle(group) if reason is None else _known(group, reason))

    def take_observed(self) -> None:
        """Count the deadlocks that no cycle had told of: where a wait never ended, nobody was seen to
        end it.
        """
        told = {waits_of(each.outcome.gravest) for each in self.predictions if each.outcome}
        for outcome in self.observed:
            found = outcome.gravest
            if found is None or found.verdict is not Verdict.DEADLOCK or waits_of(found) in told:
                continue
            told.add(waits_of(found))
            made = self.observed_prediction(found, outcome)
            self.predictions = [each for each in self.predictions if each.key != made.key] + [made]
        self.predictions.sort(key=lambda each: -each.verdict.graveness)

    def observed_prediction(self, found: Finding, outcome: Outcome) -> Prediction:
        """Return the prediction that a deadlock came true that nobody had predicted."""
        legs = _legs_of(found, self.record)
        classes = reduced([self.record.base(leg.held.name) for leg in legs])
        headline = RECURSIVE if len(classes) == 1 else CIRCULAR
        made = Prediction(headline, classes, legs, FORCED, "it happened on real threads",
                          outcome=outcome)
        if made.key in self.baseline:
            made.status, made.reason = KNOWN, self.baseline[made.key]
        return made

    def first_forced(self) -> Prediction | None:
        """Judge until one was made to happen."""
        for group in groups(self.record):
            if self.late:
                return None
            prediction = self.settle(group)
            self.predictions.append(prediction)
            if prediction.status == FORCED:
                return prediction
        return None

    def why_not(self) -> str:
        """Say what became of everything that was predicted, if nothing was forced."""
        if not self.predictions:
            return f"prediction found no cycle in the lock order of {self.tally.runs} clean runs"
        told = "; ".join(f"{each.key} is {each.status} ({each.reason})" for each in self.predictions)
        return f"of what prediction found nothing could be forced: {told}"

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
        left = best.count - MOST_TRIED
        if left > 0 and best.status == GUARDED:
            best.status, best.reason = UNCONFIRMED, f"{left:,} of its cycles by instance were not judged"
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
        """Return every role that has a leg of the same classes and kind."""
        return list(dict.fromkeys(other.role for other in self.record.legs()
                                  if _kind(other) == _kind(leg)))

    def try_one(self, group: Group, candidate: Candidate) -> Prediction:
        """Judge one cycle by instance, and force it if it can happen."""
        made = Prediction(group.headline, group.classes, candidate.legs, UNCONFIRMED, "")
        judgement = judge(self.record, candidate)
        if judgement.guard:
            made.status, made.reason = GUARDED, judgement.guard
            return made
        if judgement.stuck is None:
            cut = self.record.cut & {leg.role for leg in candidate.legs}
            made.reason = f"not all that {' and '.join(sorted(cut))} did was kept" if cut else \
                "the search for a schedule met its bound"
            points, made.writers = _points_of_legs(candidate), candidate.read_read
        else:
            points, made.writers = _points_of(self.record, judgement), judgement.writers
        points = _by_urgency(points, self.record)
        self.force(made, points, judgement)
        if made.status == UNCONFIRMED and judgement.stuck is not None:
            # Locks beside the cycle may be in the way: look at all.
            judgement = judge(self.record, candidate, everything=True)
            if judgement.guard:
                made.status, made.reason = GUARDED, judgement.guard
            elif judgement.stuck is not None and judgement.writers == made.writers:
                self.force(made, points, judgement)
        return made

    # -- on real threads ----------------------------------------------------------------------

    def force(self, made: Prediction, points: list[At], judgement: Judgement) -> None:
        """Make the roles meet at *points*; say what came of it."""
        if len(points) + len(made.writers) > 1:
            made.meeting = Meet(*points, writers=made.writers)
        waits = {(point.role, point.lock) for point in points}
        made.outcome = self.meet(made.meeting, waits) or self.follow(made.meeting, judgement, waits)
        if made.outcome is None:
            self.without_outcome(made)
        elif made.writers:
            made.status = NEEDS_WRITER
            made.reason = f"it happened with a writer queued for {' and '.join(made.writers)}; without " \
                          f"one, readers let each other in"
        else:
            made.status, made.reason = FORCED, "it happened on real threads"

    def meet(self, meeting: Meet | None, waits: set[tuple[str, str]]) -> Outcome | None:
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
            if _is_deadlock_of(outcome, waits):
                return outcome
            if self.late or outcome.stuck:
                break
            made = build(self.scenario, self.tally.scenario)
        return None

    def follow(self, meeting: Meet | None, judgement: Judgement,
               waits: set[tuple[str, str]]) -> Outcome | None:
        """Let the roles follow the engine's schedule; return the run if it ended in a deadlock."""
        program, stuck = judgement.program, judgement.stuck
        if program is None or stuck is None:
            return None
        made = build(self.scenario, self.tally.scenario)
        if meeting is not None:
            made = with_writers(made, meeting)
        locks = {op.target for ops in program.threads.values() for op in ops}
        locks |= {name for name, thread in self.record.joins.items() if thread in program.threads}
        follower = LockFollower(program, stuck.schedule, locks, range(len(made.roles)))
        outcome = self.play(made, [follower])
        self.confirming += 1
        return outcome if _is_deadlock_of(outcome, waits) else None

    def without_outcome(self, made: Prediction) -> None:
        """Say why roles did not meet: what they do may depend on what the others did."""
        if made.reason:
            return
        program = build(self.scenario, self.tally.scenario).program
        answer = search(with_threads(program, made.writers)) if program is not None else None
        roles = {leg.role for leg in made.legs}
        if answer is not None and answer.complete \
                and not any(roles <= set(stuck.circle) for stuck in answer.deadlocks):
            made.status = GUARDED
            made.reason = f"what the roles do depends on each other: none of all {answer.states:,} states " \
                          f"of the program is this deadlock"
        else:
            made.reason = f"the roles could not be made to meet so: {made.meeting}"

    def search_program(self) -> None:
        """Where the scenario is a program, look at all its states for what clean runs do not show, and
        make that happen too.
        """
        made = build(self.scenario, self.tally.scenario)
        if made.program is None or self.late:
            return
        self.states = search(made.program, max_states=MOST_STATES)
        told = {waits_of(each.outcome.gravest) for each in self.predictions if each.outcome}
        hangs = any(outcome.verdict is Verdict.HANG for outcome in self.observed)
        for stuck in self.states.deadlocks:
            waits = frozenset((each.thread, each.wants) for each in stuck.waits
                              if each.thread in stuck.circle)
            if waits in told or not waits and hangs or self.late:
                continue
            outcome = self.play(made, [ProgramFollower(made, stuck.schedule)])
            self.confirming += 1
            found = outcome.gravest
            if found is not None:
                told |= {waits, waits_of(found)}
                hangs = hangs or found.verdict is Verdict.HANG
                self.observed.append(outcome)
                self.tally.add(outcome, made)
            made = build(self.scenario, self.tally.scenario)

    def hold_declared(self) -> None:
        """Hold the meeting the scenario declares: what comes of it must have been predicted."""
        made = build(self.scenario, self.tally.scenario)
        if not made.meet or self.late:
            return
        for order in orders(made):
            meetings = Meetings(made.meet, order)
            outcome = self.play(with_writers(made, made.meet), [meetings])
            self.confirming += 1
            if outcome.findings or meetings.all_reached or self.late or outcome.stuck:
                break
            made = build(self.scenario, self.tally.scenario)
        found = outcome.gravest
        self.declared = "ends in no deadlock"
        if found is not None and found.verdict is Verdict.DEADLOCK:
            predicted = {waits_of(each.outcome.gravest) for each in self.predictions
                         if each.outcome is not None}
            self.declared = "ends in a deadlock that was predicted"
            if self.observed_prediction(found, outcome).status == KNOWN:
                self.declared = "ends in a known deadlock"
            elif waits_of(found) not in predicted:
                self.declared = "ends in a deadlock that was NOT predicted"
                outcome.notes.append("The declared meeting ended in this deadlock, which the order of "
                                     "the locks did not predict.")
                self.observed.append(outcome)

    def kernel_says(self) -> list[str]:
        """Return what the kernel's validator would have said of the clean runs, and why."""
        report = validated(self.record)
        lines = [f"{report.headline}: {' -> '.join([*report.classes, report.classes[0]])}; then it "
                 f"turns itself off"] if report is not None else ["nothing"]
        for each in self.predictions:
            reasons = unseen(self.record, each.classes)
            each.lockdep = "silent: " + "; ".join(reasons) if reasons else "reported" \
                if report is not None and set(report.classes) <= set(each.classes) else \
                "seen, but not reported: it turned itself off after the first"
        return lines + unseen(self.record, sorted(set(self.record.classes.values())))

    def result(self) -> Result:
        """Return everything that was found."""
        known = {id(each.outcome) for each in self.predictions if each.status == KNOWN}
        outcomes = [outcome for outcome in self.observed if id(outcome) not in known]
        outcomes += [each.outcome for each in self.predictions
                     if each.status == FORCED and each.outcome is not None]
        tally = self.tally
        tally.kept = max(outcomes, key=lambda each: each.verdict.graveness, default=None)
        result = tally.result(coverage=self.coverage())
        verdicts = [result.verdict, *(each.verdict for each in self.predictions)]
        if self.unread or self.record is not None and self.record.too_many:
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
        if self.states is not None:
            covered["states"] = self.states.states
            if not self.states.complete:
                covered["states_left_out"] = "some"
        if self.declared:
            covered["declared_meeting"] = self.declared
        if record is not None and record.exempt:
            covered["exempt"] = "; ".join(f"{each} ({why})" for each, why in record.exempt.items())
        if record is not None and record.cut:
            covered["not_all_kept_of"] = ", ".join(sorted(record.cut))
        if record is not None and record.too_many:
            covered["cycles_left_out"] = "some"
        if self.unread:
            covered["cycles_not_judged"] = self.unread
        return covered


def waits_of(finding: Finding | None) -> frozenset[tuple[str, str]]:
    """Return who waits for what in the cycle of a deadlock."""
    return frozenset((state.role, state.wants) for state in finding.cycle) if finding else frozenset()


def _legs_of(finding: Finding, record: Record) -> Cycle:
    """Return the legs of an observed cycle: each role has, or is to end, what the one before wants."""
    legs = []
    for before, state in zip((finding.cycle[-1], *finding.cycle), finding.cycle):
        hold = next((hold for hold in state.holds if hold.lock == before.wants), None)
        held = Place(before.wants, _class_of(before.wants, record), hold.mode if hold else before.mode,
                     hold.chain if hold else ())
        wanted = Place(state.wants, _class_of(state.wants, record), state.mode, state.chain)
        legs.append(Leg(state.role, held, wanted, brings=hold is None))
    return tuple(legs)


def _class_of(name: str, record: Record) -> str:
    return record.classes.setdefault(name, name)


def _known(group: Group, reason: str) -> Prediction:
    legs = group.candidates[0].legs if group.candidates else group.witness
    return Prediction(group.headline, group.classes, legs, KNOWN, reason,
                      max(1, len(group.candidates)))


def _kind(leg: Leg) -> tuple[str, bool, str, bool]:
    """Return what makes a leg an edge of the graph of classes."""
    return leg.held.lock_class, leg.held.mode == SHARED, leg.wanted.lock_class, leg.recursive


def _one_role(cycle: Cycle) -> str:
    roles = [leg.role for leg in cycle]
    twice = next(role for role in roles if roles.count(role) > 1)
    return f"{roles.count(twice)} of its {len(cycle)} legs are {twice}'s, which never runs beside itself"


def _is_deadlock_of(outcome: Outcome, waits: set[tuple[str, str]]) -> bool:
    """Say whether *outcome* is a deadlock in which these roles wait for these locks."""
    found = outcome.gravest
    return found is not None and found.verdict is Verdict.DEADLOCK and waits <= waits_of(found)


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
