"""What `explore` does with a schedule that fails: it is kept, made as simple as it can be,
run again, and recorded as it is shown.
"""

from __future__ import annotations

import time
from typing import Any

from ..exploration.follower import Failing, Failure, follow, shrink
from ..exploration.rounds import is_hang
from ..exploration.scheduled_run import TimeUp
from ..exploration.token import Moves
from ..runtime.verdict import Finding, Outcome, Verdict
from .engine_first import CUT_SHORT
from .going_round import GoingRound
from .tally import UNFINISHED

LEARNS = 100    # schedules after a hang in which is looked for who would have ended a wait
REPLAYS = 10    # how often a finding is run again before it is shown
LAST = 0.5      # seconds that this may take when the time is up


class Confirming(GoingRound):
    """The part of an exploration that has found something."""

    failing: Failing | None

    def take(self, run: Any, outcome: Outcome) -> None:
        """Keep a failing schedule if it is the gravest so far."""
        failure, failing = Failure.of(run, outcome), self.failing
        self.tally.counts[str(failure.verdict)] += 1
        self.kinds.add(failure)
        if failing is None or failure.verdict.graveness > failing.graveness:
            self.failing = Failing(failure, outcome, [step.label for step in run.steps],
                                   Moves.of(run), run.round)

    def may_learn(self) -> bool:
        """Say whether the search goes on after a hang: another schedule may show who ends a wait,
        and then, perhaps, that those who hang wait for each other.
        """
        failing = self.failing
        if failing is None or failing.failure.verdict is not Verdict.HANG or failing.round:
            return False
        self.hung = self.hung or self.schedules
        return self.schedules < self.hung + LEARNS and not all(
            lock in self.names.enders for lock in self.unknown())

    def unknown(self) -> set[str]:
        """Return what those who hang wait for of which it was not known who ends it."""
        gravest = self.failing and self.failing.outcome.gravest
        return {state.wants for state in (gravest.roles if gravest else ()) if state.asks_who}

    def judge_again(self) -> None:
        """Run what hangs once more if it is known by now who would have ended a wait."""
        failing = self.failing
        if failing is None or failing.labels is None or \
                failing.failure.verdict is not Verdict.HANG or \
                not any(lock in self.names.enders for lock in self.unknown()):
            return
        run, outcome = follow(self, self.where, failing.labels)
        if outcome.verdict is Verdict.DEADLOCK:
            self.tally.counts[str(Verdict.HANG)] -= 1
            self.take(run, outcome)
            self.tally.counts += {}    # without what is none any more

    def differs(self, outcome: Outcome, difference: str) -> None:
        self.stopped = "a role behaves differently under the same schedule"
        if self.tally.outside:
            return
        finding = Finding(Verdict.ERROR, "observed", f"{self.stopped}: {difference}")
        self.tally.counts[str(Verdict.ERROR)] += 1
        self.failing = Failing(
            Failure(Verdict.ERROR, difference),
            Outcome([finding], [], outcome.notes, outcome.stuck, seconds=outcome.seconds))

    def lost(self, text: str, verdict: Verdict) -> None:
        """Take note that a process ended in the middle of its schedule, which is *verdict*."""
        self.stopped = CUT_SHORT
        self.tally.counts[str(verdict)] += 1
        self.failing = Failing(Failure(verdict, text),
                                Outcome([Finding(verdict, "observed", text)], []))

    def unfinished(self, outcome: Outcome) -> None:
        """Take note that a schedule could not begin, or its world not be checked."""
        self.stopped, verdict = str(outcome.gravest and outcome.gravest.text), outcome.verdict
        if verdict is not Verdict.INCONCLUSIVE and (
                self.failing is None or verdict.graveness > self.failing.graveness):
            outcome.notes.append(UNFINISHED)
            self.tally.counts[str(verdict)] += 1
            self.failing = Failing(Failure(verdict, self.stopped), outcome)

    def confirm(self) -> None:
        """Simplify the schedule that fails, run it again, and record it as it is shown."""
        failing, tally = self.failing, self.tally
        if failing is None or failing.labels is None or failing.outcome.stuck:
            return
        failure, gravest = failing.failure, failing.outcome.gravest
        same, replays, simplest = 0, 0, True
        # What timed out would be waited for each time, what has no end run to its bound.
        again = gravest and gravest.how != "timed out" and \
            failure.verdict is not Verdict.INCONCLUSIVE
        if again:
            labels, simplest = shrink(self, self.where, failing.labels, failure)
            if not failing.round or self.way_out(labels) is False:
                failing.labels = labels
            self.coverage |= {} if simplest else {"minimised": "not to the end: the time was up"}
        if self.deadline is not None:    # once more is worth a moment: else there is no picture
            self.deadline = max(self.deadline, time.monotonic() + LAST)
        try:
            while again and replays < REPLAYS and (simplest or not replays):
                same += Failure.of(*follow(self, self.where, failing.labels)) == failure
                replays += 1
                simplest = simplest and not tally.late
                self.coverage["replayed"] = f"{same} of {replays}"
            run, outcome = follow(self, self.where, failing.labels, full=True)
        except TimeUp:
            failing.outcome.notes.append("It was not run again, to be shown: the time was up.")
            return
        if Failure.of(run, outcome) == failure:
            if run.round:
                is_hang(outcome)
            failing.outcome, failing.moves = outcome, Moves.of(run)
        else:
            same = -1
            failing.outcome.notes.append("It did not come again under the same schedule: some role "
                                         "does not do the same every time.")
        if same < replays:
            self.differ(run.steps, outcome, f"it came to {failure.verdict} the first time, and "
                                            f"later to {outcome.verdict}")
