"""run and force: a scenario, once or many times, on real threads.

Both take a scenario (a callable that builds a fresh world and returns its roles) and return a
`Result`. Workers are reused from run to run inside one call and have ended when it returns.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from .errors import ScenarioError
from .events import Observer
from .place import Chain
from .race import Meetings, NestedRequests
from .runner import Crew, Run
from .scenario import Scenario, build, name_of
from .settings import settled
from .verdict import Finding, Outcome, Result, Verdict

TIMEOUT = 5.0
ON_THE_WAY = "Found on the way: the roles had not met as the scenario asks."
DETECT = ("block", "timeout")
MOST_WAYS = 200     # how many ways to meet `force` tries on a scenario that declares no meeting
MOST_ORDERS = 24    # in how many orders of the roles it tries each


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a call; `result` says who waited for whom at that moment."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"interrupted during {result.scenario}")
        self.result = result


class Tally:
    """Sums up the runs of one call, keeping the gravest outcome, the first of several."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.counts: Counter[str] = Counter()
        self.tried = 0
        self.kept: Outcome | None = None
        self.scenario_kept: Scenario | None = None
        self.began = time.perf_counter()
        self._distinct: set[Any] = set()

    @property
    def runs(self) -> int:
        """How many runs were counted."""
        return sum(self.counts.values())

    def add(self, outcome: Outcome, scenario: Scenario) -> None:
        """Count one run."""
        self.counts[str(outcome.verdict)] += 1
        self.tried += outcome.tried
        if outcome.gravest is not None:
            self._distinct.add(_fingerprint(outcome.gravest))
        if self.kept is None or outcome.verdict.graveness > self.kept.verdict.graveness:
            self.kept = outcome
            self.scenario_kept = scenario

    def result(self, **more: Any) -> Result:
        """Return what the runs so far came to."""
        kept = self.kept or Outcome([], [])
        coverage: dict[str, Any] = {"runs": self.runs}
        found = {verdict: n for verdict, n in self.counts.items() if verdict != "clean"}
        if self.runs > 1 and found:
            coverage["verdicts"] = dict(self.counts)
            coverage["distinct_reports"] = len(self._distinct)
        if self.tried > self.runs:
            coverage["ways_to_meet_tried"] = self.tried
        coverage.update(more.pop("coverage", {}))
        verdict = kept.verdict if self.runs else Verdict.INCONCLUSIVE
        how = kept.gravest.how if kept.gravest else "observed"
        made = self.scenario_kept
        return Result(self.scenario, verdict, how, coverage, kept,
                      time.perf_counter() - self.began, names=made and made.function_name,
                      titles=made and made.title, **more)


def run(scenario: Callable[[], Any], *, runs: int = 1, seconds: float | None = None,
        timeout: float = TIMEOUT, detect: str = "block",
        observers: Callable[[], Iterable[Observer]] = tuple) -> Result:
    """Let the roles of *scenario* race, *runs* times.

    Args:
        seconds: stop after this time: the run under way is unwound as `inconclusive`, no other is
            begun.
        timeout: seconds in which no lock was taken or released, after which what there is is
            judged.
        detect: "block" looks for a cycle at the moment a thread begins to wait; "timeout" lets the
            threads hang and judges when nothing has moved for *timeout* seconds.
        observers: called before each run; returns the observers of that run.

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` holds the report so far.
    """
    def once(made: Scenario, crew: Crew) -> Outcome:
        return Run(made, list(observers()), detect, timeout, tally.deadline).play(crew)

    tally = _Deadline(name_of(scenario), seconds)
    return _repeat(scenario, tally, runs, timeout, detect, once)


def force(scenario: Callable[[], Any], *, runs: int = 1, seconds: float | None = None,
          timeout: float = TIMEOUT, detect: str = "block") -> Result:
    """Make the roles of *scenario* meet where it says, *runs* times; arguments as for `run`.

    If the meeting cannot be set up the verdict is `not-reached`, unless something was found. A
    scenario that declares no meeting is tried at every combination of requests that its roles make
    with a lock in hand, within a bound.
    """
    def once(made: Scenario, crew: Crew) -> Outcome:
        try_ = _try_meetings if made.meet else _try_nested
        return try_(scenario, made, crew, detect, timeout, tally)

    tally = _Deadline(name_of(scenario), seconds)
    return _repeat(scenario, tally, runs, timeout, detect, once)


class _Deadline(Tally):
    """A tally with an end."""

    def __init__(self, scenario: str, seconds: float | None) -> None:
        super().__init__(scenario)
        self.seconds = seconds
        self.deadline = None if seconds is None else time.monotonic() + seconds


def _repeat(scenario: Callable[[], Any], tally: _Deadline, runs: int, timeout: float, detect: str,
            once: Callable[[Scenario, Crew], Outcome]) -> Result:
    check_arguments(runs, tally.seconds, timeout, detect)
    try:
        with settled(), Crew() as crew:
            for _ in range(runs):
                made = build(scenario, tally.scenario)
                outcome = once(made, crew)
                tally.add(outcome, made)
                late = tally.deadline is not None and time.monotonic() >= tally.deadline
                if late or outcome.stuck:
                    break   # a thread that could not be ended would be joined by one more each time
    except KeyboardInterrupt as exc:
        raise interrupted(exc, tally) from None
    return tally.result()


def interrupted(exc: KeyboardInterrupt, tally: Tally, **more: Any) -> Interrupted:
    """Return what to raise for Ctrl-C: the runs so far, and where the one under way stood."""
    outcome = getattr(exc, "outcome", None)
    if outcome is not None and (tally.kept is None or not tally.kept.findings):
        tally.kept = outcome
    return Interrupted(tally.result(**more))


def orders(made: Scenario) -> list[tuple[int, ...]]:
    """Return the orders in which the roles are started, the roles' own first."""
    return list(itertools.islice(itertools.permutations(range(len(made.roles))), MOST_ORDERS))


def _try_meetings(scenario: Callable[[], Any], made: Scenario, crew: Crew, detect: str,
                  timeout: float, tally: _Deadline) -> Outcome:
    """Hold the meetings that the scenario declares; in another order of start if they are
    missed.
    """
    missed = ""
    for tried, order in enumerate(orders(made), 1):
        meetings = Meetings(made.meet, order)
        outcome = Run(made, [meetings], detect, timeout, tally.deadline).play(crew)
        outcome.tried = tried
        if outcome.findings:
            if not meetings.all_reached:
                outcome.notes.append(ON_THE_WAY)
            return outcome
        if meetings.all_reached:
            outcome.notes.append("the roles met as asked and nothing came of it")
            return outcome
        missed = missed or meetings.missed
        made = build(scenario, tally.scenario)
    return _not_reached(outcome, f"the race could not be set up in {tried} orders of start; "
                                 f"in the first, {missed}")


def _try_nested(scenario: Callable[[], Any], made: Scenario, crew: Crew, detect: str, timeout: float,
                tally: _Deadline) -> Outcome:
    """Try the meetings that the roles' nested requests offer, in every order of the roles, nearest
    first.
    """
    ways = orders(made)
    todo = [(0,) * len(made.roles)]
    seen = set(todo)
    tried = 0
    for which in todo:
        for order in ways[:MOST_WAYS - tried]:
            tried += 1
            nested = NestedRequests(which, order)
            outcome = Run(made, [nested], detect, timeout, tally.deadline).play(crew)
            outcome.tried = tried
            if outcome.findings:
                return outcome
            for i, count in enumerate(nested.counts):
                step = (*which[:i], which[i] + 1, *which[i + 1:])
                if step[i] < count and step not in seen:
                    seen.add(step)
                    todo.append(step)
            made = build(scenario, tally.scenario)
    return _not_reached(outcome, f"no meeting is declared, and none of {tried} ways to let the roles meet "
                                 f"at requests made with a lock held ended in a deadlock")


def _not_reached(outcome: Outcome, text: str) -> Outcome:
    outcome.findings.append(Finding(Verdict.NOT_REACHED, "observed", text,
                                    events=len(outcome.log)))
    return outcome


def check_arguments(runs: int, seconds: float | None, timeout: float, detect: str) -> None:
    """Refuse what makes no sense, in one line."""
    if seconds is not None and not seconds > 0:
        raise ScenarioError(f"seconds is {seconds}, expected a number above 0")
    if runs < 1:
        raise ScenarioError(f"runs is {runs}, expected at least 1")
    if not 0 < timeout < threading.TIMEOUT_MAX:
        raise ScenarioError(f"timeout is {timeout}, expected a number of seconds above 0")
    if detect not in DETECT:
        raise ScenarioError(f"detect is {detect!r}, expected one of {', '.join(DETECT)}")


def _fingerprint(found: Finding) -> Any:
    """Return what makes two reports the same but for times."""
    return (found.verdict, found.text, tuple([
        (state.role, state.wants, state.mode, _calls(state.chain),
         tuple([(hold.lock, hold.mode, _calls(hold.chain)) for hold in state.holds]))
        for state in found.cycle]))


def _calls(chain: Chain) -> tuple[Any, ...]:
    # A code object lives as long as its function and hashes slowly: its identity will do.
    return (*map(id, chain[::2]), *chain[1::2])
