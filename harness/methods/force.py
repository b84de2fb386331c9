"""force: make the roles of a scenario meet where it hurts, every time.

The points are those the scenario declares, else those that prediction finds. The roles start in one
order after the other until they meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..meetings.meet import Meet
from ..meetings.one_by_one import OneByOne, attempts
from ..report.result import Result
from ..runtime.free_run import FreeRun
from ..runtime.observer import Observer
from ..runtime.scenario import Scenario, build, name_of
from ..runtime.verdict import Finding, Outcome, Verdict
from ..runtime.workers import Workers
from .session import Session
from .tally import TIMEOUT, Tally, check_arguments, repeat

ON_THE_WAY = "Found on the way: the roles had not met as the scenario asks."


def force(scenario: Callable[[], Any], *, runs: int = 1, seconds: float | None = None,
          timeout: float = TIMEOUT, detect: str = "block") -> Result:
    """Make the roles of *scenario* meet where it says, *runs* times; arguments as for `run`.

    A scenario that declares no meeting is predicted first, and the meeting built from what was
    found. If the roles cannot be made to meet the verdict is `not-reached`, unless something was
    found.
    """
    check_arguments(runs, seconds, timeout, detect)
    tally = Tally(name_of(scenario), seconds)
    forcer = _Forcer(scenario, tally, timeout, detect)
    return repeat(tally, runs, forcer.once)


class _Forcer:
    """One call of force."""

    def __init__(self, scenario: Callable[[], Any], tally: Tally, timeout: float,
                 detect: str) -> None:
        self._scenario, self._tally, self._timeout, self._detect = scenario, tally, timeout, detect
        self._known: Callable[[Scenario, Workers], Outcome] | None = None   # how it was reached before

    def once(self, workers: Workers) -> Outcome:
        """Do one run."""
        world = self._build()
        way = self._hold if world.meet else self._known or self._predict
        return self._tally.add(way(world, workers), world)

    def _build(self) -> Scenario:
        return build(self._scenario, self._tally.scenario)

    def _play(self, world: Scenario, workers: Workers, observers: list[Observer]) -> Outcome:
        return FreeRun(world, observers, self._detect, self._timeout, self._tally.deadline).play(
            workers)

    def _hold(self, world: Scenario, workers: Workers, meeting: Meet | None = None) -> Outcome:
        """Hold *meeting*, else those that are declared; in another order of start if they are
        missed.
        """
        missed, tried = "", 0
        for meetings, outcome in attempts(world, meeting, self._build,
                                          lambda *what: self._play(what[0], workers, what[1])):
            tried += 1
            outcome.tried = tried
            missed = missed or meetings.missed
        if outcome.findings:
            if not meetings.all_reached:
                outcome.notes.append(ON_THE_WAY)
            return outcome
        if meetings.all_reached:
            outcome.notes.append("the roles met as asked and nothing came of it")
            return outcome
        return _not_reached(outcome, f"the race could not be set up in {tried} orders of start; "
                                     f"in the first, {missed}")

    def _predict(self, world: Scenario, workers: Workers) -> Outcome:
        """Find the meeting that the order of the locks allows, and hold it."""
        tally = Tally(self._tally.scenario)
        tally.deadline = self._tally.deadline
        session = Session(self._scenario, tally, workers, self._timeout, self._detect, {})
        session.observe(None, world)
        outcome = tally.kept
        assert outcome is not None
        if outcome.findings:
            self._known = lambda world, workers: self._play(world, workers,
                                                            [OneByOne(*session.kept_order)])
            return outcome
        prediction = session.first_that_happens()
        outcome.tried = session.runs
        if prediction is None or prediction.outcome is None:
            return _not_reached(outcome, "no meeting is declared, and " + session.why_not())
        meeting, writers = prediction.meeting, prediction.writers
        if prediction.met and meeting is not None:
            self._known = lambda world, workers: _with_its_writers(
                self._hold(world, workers, meeting), writers)
        return replace(_with_its_writers(prediction.outcome, writers), tried=outcome.tried)


def _with_its_writers(outcome: Outcome, writers: tuple[str, ...]) -> Outcome:
    """Return *outcome* as what it says of the roles alone: a deadlock for which further writers were
    needed is predicted.
    """
    if not writers or outcome.verdict is not Verdict.DEADLOCK:
        return outcome
    text = f"a deadlock as soon as a writer is queued for {' and '.join(writers)}; without one, " \
           f"readers let each other in"
    return replace(outcome, findings=[
        replace(finding, verdict=Verdict.PREDICTED, how="predicted", text=text)
        if finding.verdict is Verdict.DEADLOCK else finding for finding in outcome.findings])


def _not_reached(outcome: Outcome, text: str) -> Outcome:
    """Say of a run that nothing was set up in it."""
    outcome.findings.append(Finding(Verdict.NOT_REACHED, "observed", text,
                                    events=len(outcome.log)))
    return outcome
