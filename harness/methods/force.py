"""force: make the roles of a scenario meet where it hurts, every time.

The points are those the scenario declares, else those that prediction finds. The roles start in one
order after the other until they meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..meetings.meet import Meet, with_writers
from ..meetings.one_by_one import Meetings, OneByOne, orders
from ..report.result import Result
from ..runtime.free_run import FreeRun
from ..runtime.scenario import Scenario, build, name_of
from ..runtime.verdict import Finding, Outcome, Verdict
from ..runtime.workers import Workers
from .tally import Deadline, TIMEOUT, repeat

ON_THE_WAY = "Found on the way: the roles had not met as the scenario asks."


def force(scenario: Callable[[], Any], *, runs: int = 1, seconds: float | None = None,
          timeout: float = TIMEOUT, detect: str = "block") -> Result:
    """Make the roles of *scenario* meet where it says, *runs* times; arguments as for `run`.

    A scenario that declares no meeting is predicted first, and the meeting built from what was
    found. If the roles cannot be made to meet the verdict is `not-reached`, unless something was
    found.
    """
    tally = Deadline(name_of(scenario), seconds)
    forcer = _Forcer(scenario, tally, timeout, detect)
    return repeat(scenario, tally, runs, timeout, detect, forcer.once)


class _Forcer:
    """One call of force."""

    def __init__(self, scenario: Callable[[], Any], tally: Deadline, timeout: float,
                 detect: str) -> None:
        self.scenario, self.tally, self.timeout, self.detect = scenario, tally, timeout, detect
        self.known: Callable[[Scenario, Workers], Outcome] | None = None   # how it was reached before

    def once(self, made: Scenario, workers: Workers) -> Outcome:
        """Do one run."""
        if made.meet:
            return self.hold(made, workers)
        return (self.known or self.predict)(made, workers)

    def play(self, made: Scenario, workers: Workers, observer: Any) -> Outcome:
        return FreeRun(made, [observer], self.detect, self.timeout, self.tally.deadline).play(workers)

    def hold(self, made: Scenario, workers: Workers, found: Meet | None = None) -> Outcome:
        """Hold the meeting that was *found*, else those that are declared; in another order of start
        if they are missed.
        """
        missed = ""
        for tried, order in enumerate(orders(made), 1):
            meet = found or made.meet    # a declared one may name the locks of its world
            meetings = Meetings(meet, order)
            outcome = self.play(with_writers(made, meet), workers, meetings)
            outcome.tried = tried
            if outcome.findings:
                if not meetings.all_reached:
                    outcome.notes.append(ON_THE_WAY)
                return outcome
            if meetings.all_reached:
                outcome.notes.append("the roles met as asked and nothing came of it")
                return outcome
            missed = missed or meetings.missed
            made = build(self.scenario, self.tally.scenario)
        return not_reached(outcome, f"the race could not be set up in {tried} orders of start; "
                                    f"in the first, {missed}")

    def predict(self, made: Scenario, workers: Workers) -> Outcome:
        """Find the meeting that the order of the locks allows, and hold it."""
        from .session import Session   # it needs this module

        session = Session(self.scenario, self.timeout, self.detect, self.tally.deadline, {}, workers)
        session.observe(None, made)
        outcome = session.tally.kept
        assert outcome is not None
        if outcome.findings:
            self.known = lambda made, workers: self.play(made, workers, OneByOne(*session.kept_order))
            return outcome
        found = session.first_that_happens()
        outcome.tried = session.runs
        if found is None or found.outcome is None:
            return not_reached(outcome, "no meeting is declared, and " + session.why_not())
        if found.met and found.meeting is not None:
            meeting, writers = found.meeting, found.writers
            self.known = lambda made, workers: _with_its_writers(self.hold(made, workers, meeting), writers)
        return replace(_with_its_writers(found.outcome, found.writers), tried=outcome.tried)


def _with_its_writers(outcome: Outcome, writers: tuple[str, ...]) -> Outcome:
    """Return *outcome* as what it says of the roles alone: a deadlock for which further writers were
    needed is predicted.
    """
    if not writers or outcome.verdict is not Verdict.DEADLOCK:
        return outcome
    text = f"a deadlock as soon as a writer is queued for {' and '.join(writers)}; without one, " \
           f"readers let each other in"
    return replace(outcome, findings=[
        replace(found, verdict=Verdict.PREDICTED, how="predicted", text=text)
        if found.verdict is Verdict.DEADLOCK else found for found in outcome.findings])


def not_reached(outcome: Outcome, text: str) -> Outcome:
    """Say of a run that nothing was set up in it."""
    outcome.findings.append(Finding(Verdict.NOT_REACHED, "observed", text,
                                    events=len(outcome.log)))
    return outcome
