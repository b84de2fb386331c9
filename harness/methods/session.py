"""What one call of predict, or of force without a declared meeting, learns step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..checker.search import search
from ..lockorder import splat
from ..lockorder.baseline import cycle_key
from ..lockorder.cycles import Candidate, Group, assignment, groups, unseen, validated
from ..lockorder.feasibility import Budget, Judgement, by_class, judge, with_threads
from ..lockorder.finding import (FORCED, GUARDED, KNOWN, NEEDS_WRITER, ONE_ROLE, Prediction,
                                 UNCONFIRMED, known, observed, waits_of)
from ..lockorder.following import ProgramFollower
from ..lockorder.graph import LockOrder
from ..lockorder.record import Cycle, Leg, Record
from ..lockorder.reproduce import Confirmer, points_of
from ..locks.parking import SHARED
from ..meetings.meet import At, Meet, with_writers
from ..meetings.one_by_one import Meetings, OneByOne, Refusal, orders
from ..report.result import Result
from ..runtime.run import Run
from ..runtime.scenario import Scenario, build, name_of
from ..runtime.verdict import Finding, Outcome, Verdict
from .tally import Tally

MOST_RUNS = 6            # clean runs, each in another order of start
MOST_STATES = 500_000    # of a program
MOST_REFUSED = 5         # runs in which trylocks fail
MOST_TRIED = 200         # cycles by instance that are judged for one finding
_GRAVE = (FORCED, NEEDS_WRITER, UNCONFIRMED, GUARDED, ONE_ROLE)


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
    refusals: int = 0                 # runs in which trylocks failed
    roles: set[str] = field(default_factory=set)      # of the scenario; others are threads they start
    outside: bool = False             # roles waited for each other outside our locks
    states: Any = None                # the engine's answer, if the scenario is a program
    unread: int = 0                   # groups that were not judged for lack of time
    declared: str = ""                # what came of the meeting the scenario declares
    kept_order: tuple[tuple[int, ...], str] = (), "first"   # of start, in the run that is kept

    def __post_init__(self) -> None:
        self.tally = Tally(name_of(self.scenario))
        self.budget = Budget(self.deadline)
        self.confirmer = Confirmer(self.build, self.play, lambda: self.late)

    def build(self) -> Scenario:
        """Make a fresh world."""
        return build(self.scenario, self.tally.scenario)

    @property
    def late(self) -> bool:
        """Whether the time is up, or the bound on states is met."""
        return self.budget.left <= 0 or self.deadline is not None and time.monotonic() >= self.deadline

    # -- clean runs ---------------------------------------------------------------------------

    @property
    def runs(self) -> int:
        """How many runs there were."""
        return self.tally.runs + self.confirmer.runs

    def observe(self, runs: int | None, made: Scenario | None = None) -> None:
        """Let the roles run one after the other, in several orders, and record."""
        made = made or self.build()
        recorded: list[LockOrder] = []
        tried: set[str] = set()
        ways = [(order, "first") for order in orders(made)[:runs or MOST_RUNS]]
        for order, threads in ways:
            lock_order = LockOrder()
            outcome = self.play(made, [OneByOne(order, threads), lock_order])
            recorded.append(lock_order)
            tried.update(lock_order.tried)
            self.roles.update(made.roles)
            self.outside = self.outside or outcome.silent
            self.tally.add(outcome, made)
            self.observed.append(outcome)
            if self.tally.kept is outcome:
                self.kept_order = order, threads
            if self.late or outcome.stuck:
                break
            # A wait for a thread that has ended, or has not begun, may not show: try other turns.
            if runs is None and threads == "first" and set(lock_order.operations) - set(made.roles):
                ways += [(order, "last"), (order, "turns")]
            made = self.build()
        recorded += self.refused(tried)
        self.record = Record(recorded)

    def refused(self, tried: set[str]) -> list[LockOrder]:
        """Return what the roles do when what they try, or want within a time limit, is refused: all of
        it, then each lock by itself.

        What else comes of such a run says nothing: it may have been refused what was free.
        """
        recorded = []
        for locks in [tried, *({name} for name in sorted(tried))][:MOST_REFUSED if tried else 0]:
            if self.late:
                break
            made = self.build()
            recorded.append(LockOrder())
            self.play(made, [OneByOne(range(len(made.roles))), recorded[-1], Refusal(locks)])
        self.refusals = len(recorded)
        return recorded

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
            self.predictions.append(self.settle(group) if reason is None else known(group, reason))

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
        made = observed(found, outcome, self.record)
        if made.key in self.baseline:
            made.status, made.reason = KNOWN, self.baseline[made.key]
        return made

    def first_that_happens(self) -> Prediction | None:
        """Judge until one was made to happen; if none was, return one that needs writers."""
        for group in groups(self.record):
            if self.late:
                return None
            self.predictions.append(self.settle(group))
            if self.predictions[-1].status == FORCED:
                return self.predictions[-1]
        self.search_program()
        self.take_observed()
        return next((each for each in self.predictions if each.status in (FORCED, NEEDS_WRITER)), None)

    def why_not(self) -> str:
        """Say what became of everything that was predicted, if nothing was forced."""
        if not self.predictions:
            return f"prediction found no cycle in the lock order of {self.tally.runs} clean runs"
        told = "; ".join(f"{each.key} is {each.status} ({each.reason})" for each in self.predictions)
        return f"of what prediction found nothing could be forced: {told}"

    def settle(self, group: Group) -> Prediction:
        """Return what becomes of one finding."""
        found = self.settle_by_class(group) if not group.candidates else self.settle_by_instance(group)
        roles = {leg.role for leg in found.legs}
        told = roles - self.roles if self.outside else roles & self.record.pooled
        if found.status == ONE_ROLE and told:
            found.status = UNCONFIRMED
            found.reason = f"in the clean runs {' and '.join(sorted(told))} did both, but it is told what " \
                           f"to do outside our locks, and another thread may be told so"
        return found

    def settle_by_instance(self, group: Group) -> Prediction:
        """Judge its cycles by instance until one comes true."""
        best: Prediction | None = None
        left = len(group.candidates)
        for candidate in group.candidates[:MOST_TRIED]:
            if self.late:
                break
            left -= 1
            found = self.try_one(group, candidate)
            if best is None or _GRAVE.index(found.status) < _GRAVE.index(best.status):
                best = found
            if best.status == FORCED:
                break
        best = best or Prediction(group.headline, group.classes, group.candidates[0].legs, GUARDED, "")
        best.count = len(group.candidates)
        if left and best.status == GUARDED:
            best.status, best.reason = UNCONFIRMED, f"{left:,} of its cycles by instance were not judged"
        return best

    def settle_by_class(self, group: Group) -> Prediction:
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
        judgement = judge(self.record, candidate, self.budget)
        if judgement.guard:
            made.status, made.reason = GUARDED, judgement.guard
            return made
        if judgement.stuck is None:
            cut = self.record.cut & {leg.role for leg in candidate.legs}
            made.reason = f"not all that {' and '.join(sorted(cut))} did was kept" if cut else \
                "the search for a schedule met its bound"
            made.writers = candidate.read_read
        else:
            made.writers = judgement.writers
        self.force(made, points_of(self.record, candidate, judgement), judgement)
        return made

    # -- on real threads ----------------------------------------------------------------------

    def force(self, made: Prediction, points: list[At], judgement: Judgement) -> None:
        """Make the roles meet at *points*; say what came of it."""
        if len(points) + len(made.writers) > 1:
            made.meeting = Meet(*points, writers=made.writers)
        labels = self.record.labels
        lock_of = {point.role: point.lock for point in points}
        roles = [leg.role for leg in made.legs if leg.role in lock_of]   # in the order of the cycle
        waits = {role: labels.get(lock_of[role], lock_of[role].removesuffix("#1"))
                 for role in dict.fromkeys([*roles, *lock_of])}
        made.outcome = self.confirmer.meet(made.meeting, waits)
        made.met = made.outcome is not None
        if not made.met:
            made.outcome = self.confirmer.follow(self.record, made.meeting, judgement, waits)
        if made.outcome is None:
            self.without_outcome(made)
        elif made.writers:
            made.status = NEEDS_WRITER
            made.reason = f"it happened with a writer queued for {' and '.join(made.writers)}; without " \
                          f"one, readers let each other in"
        else:
            made.status, made.reason = FORCED, "it happened on real threads"

    def without_outcome(self, made: Prediction) -> None:
        """Say why roles did not meet: what they do may depend on what the others did."""
        if made.reason:
            return
        program = self.build().program
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
        made = self.build()
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
            outcome = self.confirmer.play(made, [ProgramFollower(made, stuck.schedule)])
            found = outcome.gravest
            if found is not None:
                told |= {waits, waits_of(found)}
                hangs = hangs or found.verdict is Verdict.HANG
                self.observed.append(outcome)
                self.tally.add(outcome, made)
            made = self.build()

    def hold_declared(self) -> None:
        """Hold the meeting the scenario declares: what comes of it must have been predicted."""
        made = self.build()
        if not made.meet or self.late:
            return
        for order in orders(made):
            meetings = Meetings(made.meet, order)
            outcome = self.confirmer.play(with_writers(made, made.meet), [meetings])
            if outcome.findings or meetings.all_reached or self.late or outcome.stuck:
                break
            made = self.build()
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
        misuse = next((found.headline for outcome in self.observed for found in outcome.findings
                       if found.headline), "")
        lines = ["nothing"]
        if report is not None:
            cycle = " -> ".join([*report.classes, report.classes[0]])
            lines = [f"{report.headline}: {cycle}; then it turns itself off"]
        elif misuse:
            lines = [f"{misuse}; then it turns itself off"]
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
        result.predictions, result.splat = self.predictions, splat
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
        if self.confirmer.runs:
            covered["confirming_runs"] = self.confirmer.runs
        if self.states is not None:
            covered["states"] = self.states.states
            if not self.states.complete:
                covered["states_left_out"] = "some"
        if self.refusals:
            covered["runs_with_trylocks_refused"] = self.refusals
        if self.outside:
            covered["outside_our_locks"] = "roles waited for each other there"
        if self.declared:
            covered["declared_meeting"] = self.declared
        if record is not None and record.exempt:
            covered["exempt"] = "; ".join(f"{each} ({why})" for each, why in record.exempt.items())
        if record is not None and record.cut:
            covered["not_all_kept_of"] = ", ".join(sorted(record.cut))
        if record is not None and record.too_many:
            covered["cycles_left_out"] = "some"
        if record is not None and record.excused:
            covered["excused"] = "; ".join(f"{n} x {why}" for why, n in record.excused.items())
        if self.unread:
            covered["cycles_not_judged"] = self.unread
        return covered


def _kind(leg: Leg) -> tuple[str, bool, str, bool]:
    """Return what makes a leg an edge of the graph of classes."""
    return leg.held.lock_class, leg.held.mode == SHARED, leg.wanted.lock_class, leg.recursive


def _one_role(cycle: Cycle) -> str:
    roles = [leg.role for leg in cycle]
    twice = next(role for role in roles if roles.count(role) > 1)
    return f"{roles.count(twice)} of its {len(cycle)} legs are {twice}'s, which never runs beside itself"
