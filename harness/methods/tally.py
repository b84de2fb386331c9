"""What all calls that run a scenario share: sums, bounds, and how Ctrl-C ends them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..locks.callsite import Chain
from ..locks.errors import ScenarioError
from ..report.result import Result
from ..runtime.process_state import settled
from ..runtime.scenario import Scenario, build
from ..runtime.verdict import Finding, Outcome, Verdict
from ..runtime.workers import Workers

TIMEOUT = 5.0
DETECT = ("block", "timeout")


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
            coverage["runs_to_get_there"] = self.tried
        coverage.update(more.pop("coverage", {}))
        verdict = kept.verdict if self.runs else Verdict.INCONCLUSIVE
        how = kept.gravest.how if kept.gravest else "observed"
        made = self.scenario_kept
        return Result(self.scenario, verdict, how, coverage, kept,
                      time.perf_counter() - self.began, names=made and made.function_name,
                      titles=made and made.title, **more)


class Deadline(Tally):
    """A tally with an end."""

    def __init__(self, scenario: str, seconds: float | None) -> None:
        super().__init__(scenario)
        self.seconds = seconds
        self.deadline = None if seconds is None else time.monotonic() + seconds


def repeat(scenario: Callable[[], Any], tally: Deadline, runs: int, timeout: float, detect: str,
            once: Callable[[Scenario, Workers], Outcome]) -> Result:
    check_arguments(runs, tally.seconds, timeout, detect)
    try:
        with settled(), Workers() as workers:
            for _ in range(runs):
                made = build(scenario, tally.scenario)
                outcome = once(made, workers)
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
