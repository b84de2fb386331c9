"""Judging what the order of locks allows: each cycle gets a status, and a reason in a sentence.

`Judge` works from a record alone. What else can be done with a cycle that may happen is a
subclass's: `Session` (predict.py) makes it happen on real threads; after a test by itself nothing
can be run again (pytest_support/offline_predict.py).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..lockorder.finding import (FORCED, GUARDED, KNOWN, ONE_ROLE, STATUSES,
                                 UNCONFIRMED, Prediction, cycle_key, known, waits_of)
from ..lockorder.cycles import Candidate, Group, assignment, groups
from ..lockorder.feasibility import Budget, Judgement, by_class, judge
from ..lockorder.record import Cycle, Record
from ..lockorder.splat import paragraphs
from ..report.result import Result
from ..runtime.verdict import Finding, Outcome, Verdict
from .tally import OUTSIDE_USED, Tally, gravest_of

MOST_TRIED = 200         # cycles by instance that are judged for one finding


class Judge:
    """The state of one prediction: a record, and what is said of its cycles.

    Args:
        baseline: cycles that are known, each with its reason.

    Attributes:
        observed: the outcomes of runs in which no meeting was held.
        roles: of the scenario; others are threads they start.
        outside: roles waited for each other outside our locks.
        unread: groups that were not judged for lack of time.
        unsettled: what the engine says of a program and nothing else does.
        unlike: how the worlds of this process differ, in words.
        matched: the cycles of the baseline that were met.
    """

    def __init__(self, tally: Tally, baseline: Mapping[str, str],
                 record: Record | None = None) -> None:
        self.tally, self.baseline = tally, baseline
        self.record: Any = record      # a `Record`, once there is one
        self.budget = Budget(tally.deadline)
        self.predictions: list[Prediction] = []
        self.observed: list[Outcome] = []
        self.roles: set[str] = set()
        self.outside = False
        self.unread = 0
        self.unsettled = self.unlike = ""
        self.matched: set[str] = set()

    @property
    def knows_all(self) -> bool:
        """Whether all that the roles may do was gone through, not what was seen alone."""
        return False

    @property
    def late(self) -> bool:
        """Whether the time is up, or the bound on states is met."""
        return self.budget.spent or self.tally.late

    @property
    def cut_short(self) -> bool:
        """Whether some cycles were left out."""
        return bool(self.unread) or self.late or self.record is not None and self.record.too_many

    def conclude(self) -> None:
        """Judge every cycle, the shortest first."""
        for group in groups(self.record, lambda: self.late):
            reason = self.known_reason(cycle_key(group.classes))
            if reason is not None:
                self.predictions.append(known(group, reason))
            elif self.late:
                self.unread += 1
            else:
                self.predictions.append(self.settle(group))

    def known_reason(self, key: str) -> str | None:
        """Return why the cycle *key* is known, and take note that it was met; None if it is not."""
        reason = self.baseline.get(key)
        if reason is not None:
            self.matched.add(key)
        return reason

    def unmatched(self) -> list[str]:
        """Return the cycles of the baseline that were not met, if all that there are were seen."""
        return [key for key in self.baseline if key not in self.matched] \
            if not self.cut_short else []

    def gravest_first(self) -> None:
        """Put the findings into the order in which they are reported."""
        self.predictions.sort(key=lambda prediction: -prediction.verdict.graveness)

    def settle(self, group: Group) -> Prediction:
        """Return what becomes of one finding."""
        prediction = self.settle_by_instance(group) if group.candidates \
            else self.settle_by_class(group)
        roles = {leg.role for leg in prediction.legs}
        directed = roles - self.roles if self.outside else roles & self.record.pooled
        if prediction.status == ONE_ROLE and directed:
            prediction.status = UNCONFIRMED
            prediction.reason = f"in the clean runs {' and '.join(sorted(directed))} did both, " \
                                f"but it is told what to do outside our locks, and another " \
                                f"thread may be told so"
        return prediction

    def settle_by_instance(self, group: Group) -> Prediction:
        """Judge its cycles by instance until one comes true."""
        best: Prediction | None = None
        left = len(group.candidates)
        for candidate in group.candidates[:MOST_TRIED]:
            if self.late:
                break
            left -= 1
            prediction = self.try_one(group, candidate)
            if best is None or STATUSES.index(prediction.status) < STATUSES.index(
                    best.status):
                best = prediction
            if best.status == FORCED:
                break
        best = best or Prediction(group.classes, group.candidates[0].legs, GUARDED, "")
        best.count = len(group.candidates)
        if left and best.status == GUARDED:
            best.status = UNCONFIRMED
            best.reason = f"{left:,} of its cycles by instance were not judged"
        return best

    def settle_by_class(self, group: Group) -> Prediction:
        """Judge a cycle by class that no set of locks closes."""
        cycle = group.witness
        prediction = Prediction(group.classes, cycle, UNCONFIRMED, "")
        same = [{other.role for other in self.record.by_kind[leg.kind]} for leg in cycle]
        if len(cycle) > 1 and not assignment(same):
            prediction.status, prediction.reason = ONE_ROLE, _one_role(cycle)
        elif len(cycle) > 1 and (gate := by_class(self.record, cycle)):
            prediction.status, prediction.reason = GUARDED, f"every leg holds {gate}"
        elif len(cycle) == 1:
            leg, refused = cycle[0], self.record.refused.get(group.classes[0])
            why = f"the order of the class forbids it ({refused})" if refused \
                else "nothing says that it is legal"
            prediction.reason = f"{leg.held.name} and {leg.wanted.name} are of one class and " \
                                f"were taken in this order only; {why}"
        else:
            legs = "; ".join(f"{leg.role} {leg.held.name}, {leg.wanted.name}" for leg in cycle)
            prediction.reason = f"the roles met the classes in opposite orders, but not the same " \
                                f"locks: {legs}"
        return prediction

    def try_one(self, group: Group, candidate: Candidate) -> Prediction:
        """Judge one cycle by instance; what may happen is looked into."""
        prediction = Prediction(group.classes, candidate.legs, UNCONFIRMED, "", by_instance=True)
        judgement = self.judge(candidate)
        prediction.guard = judgement.guard
        if judgement.guard and judgement.doubt:
            prediction.reason = f"as far as was seen it cannot happen ({judgement.guard}), but " \
                                f"{judgement.doubt}"
        elif judgement.guard:
            prediction.status, prediction.reason = GUARDED, judgement.guard
        else:
            self.look_into(prediction, candidate, judgement)
        return prediction

    def judge(self, candidate: Candidate) -> Judgement:
        """Say whether a cycle by instance can happen."""
        return judge(self.relevant(candidate), candidate, self.budget)

    def relevant(self, candidate: Candidate) -> Record:
        """Return the part of the record that matters to *candidate*."""
        record: Record = self.record
        return record

    def look_into(self, prediction: Prediction, candidate: Candidate, judgement: Judgement) -> None:
        """Say what becomes of a cycle that nothing guards."""
        raise NotImplementedError

    # -- what it comes to -------------------------------------------------------------------------

    def result(self) -> Result:
        """Return everything that was found."""
        known_waits = {waits_of(prediction.outcome.gravest) for prediction in self.predictions
                       if prediction.status == KNOWN and prediction.outcome}
        outcomes = [_without(known_waits, outcome) for outcome in self.observed]
        cut = any(map(operator.is_not, outcomes, self.observed))
        outcomes += [prediction.outcome for prediction in self.predictions
                     if prediction.status == FORCED and prediction.outcome is not None]
        self.tally.kept = max(outcomes, key=lambda outcome: outcome.verdict.graveness, default=None)
        result = self.tally.result(coverage=self.coverage())
        doubt = f"{OUTSIDE_USED}: what it does is in no prediction" if self.tally.outside \
            else self.unlike and f"worlds differ: {self.unlike}"
        if doubt and result.verdict is Verdict.CLEAN:
            result.verdict = Verdict.INCONCLUSIVE
            result.outcome.findings.append(Finding(
                Verdict.INCONCLUSIVE, "observed", f"nothing found, but {doubt}"))
        cut_off = self.unread or self.unsettled or self.record is not None and self.record.too_many
        result.verdict = gravest_of(result, self.predictions,
                                    *([Verdict.INCONCLUSIVE] if cut_off else []))
        for prediction in self.predictions:
            prediction.proved = self.knows_all
        result.predictions, result.splat = self.predictions, paragraphs
        result.known = sorted(self.matched)
        if cut and not self.knows_all:
            result.outcome.notes.append("A run ended in a known deadlock: what its roles would "
                                        "have done after it was not seen.")
        if result.outcome.gravest is None and self.predictions:
            result.how = "predicted"
        return result

    def coverage(self) -> dict[str, Any]:
        """Return what was looked at."""
        record = self.record
        if record is None:
            return self.coverage_of_runs()
        covered: dict[str, Any] = {
            "locks": len(record.classes),
            "edges": len({(edge.held.name, edge.wanted.name) for edge in record.edges.values()}),
            "cycles": len(self.predictions) + self.unread}
        left_out = {
            "declared_classes_of_no_lock": ", ".join(
                sorted(record.declared.difference(map(str, record.classes.values())))),
            "exempt": "; ".join(f"{name} ({why})" for name, why in record.exempt.items()),
            "not_all_kept_of": ", ".join(sorted(record.cut)),
            "cycles_left_out": "some" if record.too_many else "",
            "excused": "; ".join(f"{n} x {why}" for why, n in record.excused.items()),
            "cycles_not_judged": self.unread}
        return covered | self.coverage_of_runs() | {
            key: value for key, value in left_out.items() if value}

    def coverage_of_runs(self) -> dict[str, Any]:
        """Return what the runs add to the coverage."""
        return {}


def _without(known_waits: set[frozenset[tuple[str, str]]], outcome: Outcome) -> Outcome:
    """Return *outcome* without the deadlocks in which those wait that are known to."""
    left = [finding for finding in outcome.findings
            if finding.verdict is not Verdict.DEADLOCK or waits_of(finding) not in known_waits]
    return outcome if len(left) == len(outcome.findings) else replace(outcome, findings=left)


def _one_role(cycle: Cycle) -> str:
    roles = [leg.role for leg in cycle]
    twice = next(role for role in roles if roles.count(role) > 1)
    return f"{roles.count(twice)} of its {len(cycle)} legs are {twice}'s, which never runs " \
           f"beside itself"
