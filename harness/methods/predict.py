"""predict: name each deadlock that the order of the locks allows, from clean runs; make it happen.

First the roles run one after the other, nothing is forced, and `LockOrder` records. Then each cycle
is judged (judging.py), its meeting is built and the roles are made to meet on real threads; what
clean runs do not show of a program is looked for in all its states. What a finding is worth is its
status (finding.py).

The file is long because these steps share what they have learned, and say what came of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..checker.search import search
from ..lockorder.cycles import Candidate, groups, unseen, validated
from ..lockorder.feasibility import Judgement, with_threads
from ..lockorder.finding import (FORCED, GUARDED, KNOWN, NEEDS_WRITER, Prediction,
                                 checked_baseline, observed, waits_of)
from ..lockorder.graph import LockOrder
from ..lockorder.record import Record
from ..lockorder.reproduce import as_deadlock, points_of
from ..meetings.meet import At, Meet, listed
from ..meetings.nowhere import Seen
from ..meetings.one_by_one import OneByOne, attempts, orders
from ..meetings.refusal import Refusal
from ..lockorder.splat import paragraphs
from ..report.result import Result
from ..runtime.scenario import Scenario
from ..runtime.solo_run import Unfinished
from ..runtime.verdict import Finding, Outcome, Verdict, counted
from ..runtime.workers import Workers
from .exhaust import MOST_STATES, Exhaustive
from .defaults import TIMEOUT
from .tally import Call, Tally, check_arguments, gravest_of, workers_of_a_call

MOST_RUNS = 6            # clean runs, each in another order of start
MOST_REFUSED = 5         # runs in which trylocks fail


def predict(scenario: Callable[[], Any], *, runs: int | None = None, seconds: float | None = None,
            timeout: float = TIMEOUT, detect: str = "block",
            baseline: Mapping[str, str] | str | os.PathLike[str] | None = None,
            lockdep: bool = False) -> Result:
    """Predict the deadlocks of *scenario* from clean runs, and force those that can happen.

    Args:
        runs: how many clean runs to learn from, each with another role first; default: one for each
            order of start, up to six.
        seconds: stop after this time; timeout, detect: of each run, as for `run`.
        baseline: cycle of classes -> why it is known, or a file of such lines (`read_baseline`); a
            finding of that cycle is listed and nothing more.
        lockdep: say of each finding what the kernel's own validator would have made of it.

    Returns:
        `Result` whose `predictions` are the findings. Its verdict is ``deadlock`` if one was
        forced, ``predicted`` if one can happen only with further writers, or could not be forced;
        ``clean`` if there is none but those that cannot happen.

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` is what was found so far.
    """
    check_arguments(lockdep=lockdep)
    call, known = Call(scenario, runs, seconds, timeout, detect), checked_baseline(baseline)
    session: Session | None = None

    def so_far(cut: Outcome | None) -> Result:
        result = call.so_far(cut)
        if session is not None:
            result.predictions, result.splat = session.predictions, paragraphs
            result.verdict = gravest_of(result, session.predictions)
        return result

    with workers_of_a_call(so_far, timeout, call.deadline) as workers:
        session = Session(call, call, workers, known)
        try:
            session.observe(runs)
            session.conclude()
            session.force_states()
            session.take_observed()
            session.hold_declared()
            if session.explore_further():
                session.take_observed()
            call.look_beside(workers)
        except Unfinished as exc:
            call.add_unfinished(exc.outcome)
            return so_far(None)
    result = session.result()
    result.unmatched = session.unmatched()
    if session.explored is not None:
        result.replay = session.explored.replay
    if lockdep:
        result.lockdep = session.kernel_says()
    return result


class Session(Exhaustive):
    """One call of predict, or of force without a declared meeting: a scenario, the record of its
    clean runs, and the runs in which cycles came true.

    Attributes:
        refusals: how many runs there were in which trylocks failed.
        declared: what came of the meeting the scenario declares.
        kept_order: of start, in the run that is kept.
    """

    def __init__(self, call: Call, tally: Tally, workers: Workers,
                 baseline: Mapping[str, str]) -> None:
        super().__init__(call, tally, workers, baseline)
        self.refusals = 0
        self.declared = ""
        self.kept_order: tuple[tuple[int, ...], str] = (), "first"

    # -- clean runs ---------------------------------------------------------------------------

    @property
    def runs(self) -> int:
        """How many runs there were."""
        return self.tally.runs + self.confirmer.runs

    def observe(self, runs: int | None, world: Scenario | None = None) -> None:
        """Let the roles run one after the other, in several orders, and record."""
        world = world or self.build()
        recorded: list[LockOrder] = []
        tried: set[str] = set()
        ways = [(order, "first") for order in orders(world)[:runs or MOST_RUNS]]
        for order, threads in ways:
            lock_order = LockOrder(recorded[:])
            outcome = self.play(world, [OneByOne(order, threads), lock_order])
            recorded.append(lock_order)
            tried.update(lock_order.tried)
            self.roles.update(world.roles)
            self.outside = self.outside or outcome.silent
            self.tally.add(outcome, world)
            if not (outcome.cut_off and self.observed):    # else it says nothing
                self.observed.append(outcome)
            if self.tally.kept is outcome:
                self.kept_order = order, threads
            if self.late or outcome.stuck:
                break
            # A wait for a thread that has ended, or has not begun, may not show: try other turns.
            if runs is None and threads == "first" and set(lock_order.operations) - {*world.roles}:
                ways += [(order, "last"), (order, "turns")]
            world = self.build()
        self._look_again(ways[0], recorded)
        self._refused(tried, recorded)
        self.record = Record(recorded)
        self.search_states()

    def _look_again(self, way: tuple[tuple[int, ...], str], recorded: list[LockOrder]) -> None:
        """Let the roles go the first *way* once more, and record it if they do something else: what
        outlives a world (a cache) then lets only the first one of a process do what it did.
        """
        if self.late or any(outcome.findings or outcome.stuck for outcome in self.observed):
            return
        again = LockOrder([])
        cut = self.play(self.build(), [OneByOne(*way), again]).cut_off
        before, after = recorded[0].operations, again.operations
        roles = [role for role in before | after if before.get(role) != after.get(role) and not cut]
        if roles:
            recorded.append(again)
            self.unlike = f"{' and '.join(roles)} did not do in a later world of this process " \
                          f"what {'it' if len(roles) == 1 else 'they'} did in the first"

    def _refused(self, tried: set[str], recorded: list[LockOrder]) -> None:
        """Add to what is recorded what the roles do when what they try, or want within a time
        limit, is refused: all of it, then each lock by itself.

        What else comes of such a run says nothing: it may have been refused what was free.
        """
        for locks in [tried, *({name} for name in sorted(tried))][:MOST_REFUSED if tried else 0]:
            if self.late:
                break
            world = self.build()
            recorded.append(LockOrder(recorded[:]))
            self.play(world, [OneByOne(range(len(world.roles))), recorded[-1], Refusal(locks)])
            self.refusals += 1

    # -- on real threads ----------------------------------------------------------------------

    def look_into(self, prediction: Prediction, candidate: Candidate, judgement: Judgement) -> None:
        """Force a cycle that nothing guards."""
        prediction.writers = judgement.writers
        if judgement.stuck is None:
            cut = self.record.cut & {leg.role for leg in candidate.legs}
            prediction.reason = f"not all that {' and '.join(sorted(cut))} did was kept" if cut \
                else "the search for a schedule met its bound"
            prediction.writers = candidate.read_read
        self._force(prediction, points_of(self.record, candidate, judgement), judgement)

    def _force(self, prediction: Prediction, points: list[At], judgement: Judgement) -> None:
        """Make the roles meet at *points*; say what came of it."""
        if len(points) + len(prediction.writers) > 1:
            prediction.meeting = Meet(*points, writers=prediction.writers)
        labels = self.record.labels
        lock_of = {point.role: point.lock for point in points}
        roles = [leg.role for leg in prediction.legs if leg.role in lock_of]    # the cycle's order
        waits = {role: labels.get(lock_of[role], lock_of[role].removesuffix("#1"))
                 for role in dict.fromkeys([*roles, *lock_of])}
        prediction.outcome = self.confirmer.meet(prediction.meeting, waits)
        prediction.met = prediction.outcome is not None
        if not prediction.met:
            prediction.outcome = self.confirmer.follow(self.record, prediction.meeting, judgement,
                                                       waits)
        if prediction.outcome is None:
            self._without_outcome(prediction)
        elif prediction.writers:
            prediction.status = NEEDS_WRITER
            prediction.reason = f"it happened with a writer queued for " \
                                f"{' and '.join(prediction.writers)}; without one, readers let " \
                                f"each other in"
        else:
            prediction.status, prediction.reason = FORCED, "it happened on real threads"

    def _without_outcome(self, prediction: Prediction) -> None:
        """Say why roles did not meet: what they do may depend on what the others did."""
        if prediction.reason:
            return
        program = self.build().program
        answer = None if program is None else search(
            with_threads(program, prediction.writers), max_states=MOST_STATES,
            seconds=self.tally.seconds_left)
        if answer is not None and answer.complete and self.meets(answer, prediction.legs) is None:
            prediction.status = GUARDED
            prediction.reason = f"what the roles do depends on each other: none of all " \
                                f"{answer.states:,} states of the program is this deadlock"
        else:
            prediction.reason = f"the roles could not be made to meet so: {prediction.meeting}"

    def take_observed(self) -> None:
        """Count deadlocks that no cycle tells of: nobody was seen to end a wait without an end; and
        cycles that happened though what was seen excluded them.
        """
        known_waits = self.forced_waits
        for outcome in self.observed:
            finding = outcome.gravest
            if finding is not None and finding.verdict is Verdict.HANG:
                self._take_hang(outcome)
            if finding is None or finding.verdict is not Verdict.DEADLOCK \
                    or waits_of(finding) in known_waits:
                continue
            known_waits.add(waits_of(finding))
            prediction = self._observed_prediction(finding, outcome)
            self.predictions = [other for other in self.predictions
                                if other.key != prediction.key] + [prediction]
        self.gravest_first()

    def _take_hang(self, outcome: Outcome) -> None:
        """Take a hang for the cycle in which each role waits so: the record knows for whom."""
        for prediction in self.predictions:
            waits = {leg.role: self.record.labels.get(leg.wanted.name, leg.wanted.name)
                     for leg in prediction.legs}
            happened = as_deadlock(outcome, waits) if prediction.by_instance else None
            if happened is not None and prediction.status != FORCED:
                prediction.status, prediction.reason = FORCED, "it happened on real threads"
                prediction.outcome = happened

    def _observed_prediction(self, finding: Finding, outcome: Outcome) -> Prediction:
        """Return the prediction that a deadlock came true that nobody had predicted."""
        prediction = observed(finding, outcome, self.record)
        if (reason := self.known_reason(prediction.key)) is not None:
            prediction.status, prediction.reason = KNOWN, reason
        return prediction

    def hold_declared(self) -> None:
        """Hold the meeting the scenario declares: what comes of it must have been predicted."""
        world = self.build()
        if not world.meet or self.late:
            return
        seen = Seen()
        for meetings, outcome in attempts(world, None, self.build, self.confirmer.play):
            finding = outcome.gravest
            seen.add(meetings, outcome)
            if self.late:
                break
        self.declared = "ends in no deadlock"
        if not meetings.all_reached and finding is None and not self.late and (
                missing := "; ".join(seen.check(listed(world.meet)))):
            self.declared = f"was not reached: in no order of start {missing}"
        if finding is not None and finding.verdict is Verdict.DEADLOCK:
            self.declared = "ends in a deadlock that was predicted"
            if self._observed_prediction(finding, outcome).status == KNOWN:
                self.declared = "ends in a known deadlock"
            elif waits_of(finding) not in self.forced_waits:
                self.declared = "ends in a deadlock that was NOT predicted"
                outcome.notes.append("The declared meeting ended in this deadlock, which the order "
                                     "of the locks did not predict.")
                self.observed.append(outcome)

    def first_that_happens(self) -> Prediction | None:
        """Judge until one was made to happen; if none was, return one that needs writers."""
        for group in groups(self.record, lambda: self.late):
            if self.late:
                return None
            self.predictions.append(self.settle(group))
            if self.predictions[-1].status == FORCED:
                return self.predictions[-1]
        self.force_states()
        self.take_observed()
        if self.predictions and self.record.choosing and self.explore_further():
            self.take_observed()    # what is refused, or runs out, only in the middle of something
        return next((prediction for prediction in self.predictions
                     if prediction.status in (FORCED, NEEDS_WRITER)), None)

    # -- in words -----------------------------------------------------------------------------

    def why_not(self) -> str:
        """Say what became of everything that was predicted, if nothing was forced."""
        if not self.predictions:
            return f"prediction found no cycle in the lock order of {self.tally.runs} clean runs"
        statuses = "; ".join(f"{prediction.key} is {prediction.status} ({prediction.reason})"
                             for prediction in self.predictions)
        return f"of what prediction found nothing could be forced: {statuses}"

    def kernel_says(self) -> list[str]:
        """Return what the kernel's validator would have said of the clean runs, and why."""
        report = validated(self.record)
        misuse = next((finding.headline for outcome in self.observed for finding in outcome.findings
                       if finding.headline), "")
        complaint = misuse
        if report is not None:
            cycle = " -> ".join(map(str, [*report.classes, report.classes[0]]))
            complaint = f"{report.headline}: {cycle}"
        lines = [f"{complaint}; then it turns itself off" if complaint else "nothing"]
        for prediction in self.predictions:
            reasons = unseen(self.record, prediction.classes)
            prediction.lockdep = "silent: " + "; ".join(reasons) if reasons else "reported" \
                if report is not None and set(report.classes) <= set(prediction.classes) else \
                "seen, but not reported: it turned itself off after the first"
        return lines + unseen(self.record, sorted(set(self.record.classes.values())))

    def coverage_of_runs(self) -> dict[str, Any]:
        covered: dict[str, Any] = {"confirming_runs": self.confirmer.runs}
        if self.states is not None:
            covered |= {"states": self.states.states,
                        "states_left_out": "" if self.states.complete else "some",
                        "engine": self.unsettled}
        if self.explored is not None:
            n = counted(self.explored.coverage["schedules"], "schedule")
            covered["explored"] = f"all {n}" if self.knows_all else \
                n if self.unlike else f"{n}, not all"
        covered |= {
            "runs_with_trylocks_refused": self.refusals,
            "outside_our_locks": "roles waited for each other there" if self.outside else "",
            "declared_meeting": self.declared,
            "worlds": f"differ: {self.unlike} (explore looks at both)" if self.unlike else ""}
        return {key: value for key, value in covered.items() if value}
