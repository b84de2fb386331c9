"""force: make the roles of a scenario meet where it hurts, every time.

The points are those the scenario declares, else those that prediction finds. The roles start in one
order after the other until they meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..locks.arguments import expected
from ..meetings.meet import Meet, listed
from ..meetings.nowhere import Seen
from ..meetings.one_by_one import OneByOne, attempts
from ..report.result import Result
from ..runtime.scenario import Scenario
from ..runtime.verdict import Finding, Outcome, Verdict
from ..runtime.workers import Workers
from .predict import Session
from .defaults import TIMEOUT
from .tally import Call, Tally, repeat

ON_THE_WAY = "Found on the way: the roles had not met as the scenario asks."


def force(scenario: Callable[[], Any], *, runs: int = 1, seconds: float | None = None,
          timeout: float = TIMEOUT, detect: str = "block") -> Result:
    """Make the roles of *scenario* meet where it says, *runs* times; arguments as for `run`.

    A scenario that declares no meeting is predicted first, and the meeting built from what was
    found. If the roles cannot be made to meet the verdict is `not-reached`, unless something was
    found.
    """
    if runs is None:    # without an end
        raise expected("runs", runs, "a whole number of at least 1")
    call = Call(scenario, runs, seconds, timeout, detect)
    return repeat(call, runs, _Forcer(call).once)


@dataclass
class _Forcer:
    """One call of force; `known`: how a deadlock that nobody declared was reached before."""

    call: Call
    known: Callable[[Workers, Scenario], Outcome] | None = None

    def once(self, workers: Workers) -> Outcome:
        """Do one run."""
        world = self.call.build()
        way = self.hold if world.meet else self.known or self.predict
        return self.call.add(way(workers, world), world)

    def hold(self, workers: Workers, world: Scenario, meeting: Meet | None = None) -> Outcome:
        """Hold *meeting*, else what is declared; in another order of start if that is missed."""
        missed, seen = "", Seen()
        for tried, (meetings, outcome) in enumerate(
                attempts(world, meeting, self.call.build, partial(self.call.play, workers)), 1):
            outcome.tried = tried
            missed = missed or meetings.missed
            if not meetings.all_reached:
                seen.add(meetings, outcome)
        if not meetings.all_reached and not outcome.findings:
            outcome.notes += [f"Of what the meeting names, in no order of start {what}."
                              for what in seen.check(listed(meeting or world.meet))]
            return _not_reached(outcome, f"the race could not be set up in {tried} orders of "
                                         f"start; in the first, {missed}")
        if not meetings.all_reached and not outcome.cut_off:
            outcome.notes.append(ON_THE_WAY)
        elif not outcome.findings:
            outcome.notes.append("the roles met as asked and nothing came of it")
        return outcome

    def predict(self, workers: Workers, world: Scenario) -> Outcome:
        """Find the meeting that the order of the locks allows, and hold it."""
        tally = Tally(self.call.scenario)
        tally.deadline = self.call.deadline
        session = Session(self.call, tally, workers, {})
        session.observe(None, world)
        outcome = tally.kept
        assert outcome is not None
        if outcome.findings:
            self.known = lambda workers, world: self.call.play(
                workers, world, [OneByOne(*session.kept_order)])
            return outcome
        prediction = session.first_that_happens()
        outcome.tried = session.runs
        if prediction is None and session.cut_short:
            return _nothing(outcome, Verdict.INCONCLUSIVE,
                            "no meeting is declared, and the time was up before one was found")
        if prediction is None or prediction.outcome is None:
            return _not_reached(outcome, "no meeting is declared, and " + session.why_not())
        meeting, writers = prediction.meeting, prediction.writers
        if prediction.met and meeting is not None:
            self.known = lambda workers, world: _with_its_writers(
                self.hold(workers, world, meeting), writers)
        return replace(_with_its_writers(prediction.outcome, writers), tried=outcome.tried)


def _with_its_writers(outcome: Outcome, writers: tuple[str, ...]) -> Outcome:
    """Return what *outcome* says of the roles alone: one that needed writers is predicted."""
    if not writers or outcome.verdict is not Verdict.DEADLOCK:
        return outcome
    text = f"a deadlock as soon as a writer is queued for {' and '.join(writers)}; without one, " \
           f"readers let each other in"
    return replace(outcome, findings=[
        replace(finding, verdict=Verdict.PREDICTED, how="predicted", text=text)
        if finding.verdict is Verdict.DEADLOCK else finding for finding in outcome.findings])


def _not_reached(outcome: Outcome, text: str) -> Outcome:
    """Say of a run that nothing was set up in it."""
    return _nothing(outcome, Verdict.NOT_REACHED, text)


def _nothing(outcome: Outcome, verdict: Verdict, text: str) -> Outcome:
    outcome.findings.append(Finding(verdict, "observed", text, events=len(outcome.log)))
    return outcome
