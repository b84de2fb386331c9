"""What all calls that run a scenario share: sums and bounds.

The file is long because each call ends in one of few ways, and here it is said in which.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..exploration.ways import STRATEGIES
from ..locks.arguments import (MOST_SEED, Rule, flag, function, one_of, or_none, plain, seconds,
                               whole)
from ..locks.calls import Chain
from ..report.result import Result
from ..runtime.asking import without_assertions
from ..runtime.enders import Enders
from ..runtime.free_run import FreeRun
from ..runtime.function_names import names_of
from ..runtime.observer import Observer
from ..runtime.process_state import no_call_inside
from ..runtime.building import build
from ..runtime.scenario import Scenario, name_of
from ..runtime.solo_run import Unfinished
from ..runtime.verdict import Finding, Outcome, Verdict
from ..runtime.workers import Workers
from .ctrl_c import told_at_ctrl_c
from .defaults import DETECT
from .outside import in_reach, in_reach_beside, nothing_seen, unseen_of_patch, used_in

OUTSIDE_USED = "a thread outside the run used its locks"
UNFINISHED = "No role ran when this was found."
_LESS = 0.01    # of the bounds of a run, once one met them: the call cannot be clean any more
_GOOD = Verdict.CLEAN, Verdict.NOT_REACHED    # what says nothing if nothing was seen


class Tally:
    """Sums up the runs of one call, keeping the gravest outcome, the first of several.

    Args:
        scenario: its name.
        seconds: after which the call is to end.

    Attributes:
        deadline: when that is, by time.monotonic().
        tried: how many runs it took to get to those that count.
        kept: the outcome that is reported, of the world `world`.
    """

    def __init__(self, scenario: str, seconds: float | None = None) -> None:
        self.scenario = scenario
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.tried, self.operated = 0, False    # some run saw an operation of ours
        self.kept: Outcome | None = None
        self.world: Scenario | None = None
        self.unseen: Finding | None = None    # that none did, and what was used instead
        self.beside: list[str] = []           # what there is beside our locks, in words
        self.began = time.perf_counter()
        self._distinct: set[Any] = set()
        self.outside: dict[str, str] = {}    # see `Outcome`
        self.left: tuple[str, ...] = ()      # who is left of a run that was cut off

    @property
    def runs(self) -> int:
        """How many runs were counted."""
        return sum(self.counts.values())

    @property
    def seconds_left(self) -> float | None:
        """How many seconds there are left, hardly any if the time is up; None for no end."""
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.001)

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def add(self, outcome: Outcome, world: Scenario) -> Outcome:
        """Count one run, and return it. One that the end of the time cut off says nothing, unless
        there is no other: who is left of it is named, and that is all.
        """
        if outcome.cut_off and outcome.verdict is Verdict.INCONCLUSIVE and self.runs:
            self.left += outcome.stuck
            return outcome
        self.counts[str(outcome.verdict)] += 1
        self.tried += outcome.tried
        self.outside = outcome.outside | self.outside
        self.operated = self.operated or outcome.operated
        if outcome.gravest is not None:
            self._distinct.add(_fingerprint(outcome.gravest))
        if self.kept is None or outcome.verdict.graveness > self.kept.verdict.graveness:
            self.kept, self.world = outcome, world
        return outcome

    def add_unfinished(self, outcome: Outcome) -> None:
        """Keep what a run that did not begin came to, unless the end of the time was why."""
        if self.runs and self.late and outcome.verdict is Verdict.INCONCLUSIVE:
            return
        outcome.notes.append(UNFINISHED)
        if self.kept is None or outcome.verdict.graveness > self.kept.verdict.graveness:
            self.kept, self.world = outcome, None

    def result(self, coverage: dict[str, Any] | None = None, **more: Any) -> Result:
        """Return what the runs so far came to."""
        kept = self.kept or Outcome([], [])
        kept.outside = kept.outside | self.outside
        kept.stuck = tuple(dict.fromkeys(kept.stuck + self.left))
        if self.unseen is not None and kept.verdict in _GOOD:
            kept.findings[:] = [self.unseen]
        kept.notes += self.beside
        covered: dict[str, Any] = {"runs": self.runs}
        if self.runs > self.counts["clean"] and self.runs > 1:
            covered |= {"verdicts": dict(self.counts), "distinct_reports": len(self._distinct)}
        if self.tried > self.runs:
            covered["runs_to_get_there"] = self.tried
        result = result_of(self.scenario, kept, covered | (coverage or {}), self.began, self.world,
                           **more)
        if not self.runs and result.verdict is Verdict.CLEAN:
            result.verdict = Verdict.INCONCLUSIVE
        return result

    def so_far(self, cut: Outcome | None, **more: Any) -> Result:
        """Return the result at Ctrl-C: the runs so far, and where the one under way stood."""
        if cut is not None and (self.kept is None or not self.kept.findings):
            self.kept = cut
        return self.result(**more)


_TEACH = 20    # runs from which is learned who ends waits


class Call(Tally):
    """One call that lets the roles of a scenario run freely: its arguments, and its sums.

    Raises:
        ScenarioError: an argument makes no sense.
    """

    def __init__(self, factory: Callable[..., Any], runs: int | None, seconds: float | None,
                 timeout: float, detect: str) -> None:
        check_arguments(scenario=factory, runs=runs, seconds=seconds, timeout=timeout,
                        detect=detect)
        super().__init__(name_of(factory), seconds)
        self.factory, self.timeout, self.detect = factory, timeout, detect
        self.patience = 1.0
        self.enders, self._taught = Enders(), 0

    def build(self, rng: random.Random | None = None) -> Scenario:
        """Make a fresh world, a random one if the scenario offers that."""
        return build(self.factory, self.scenario, rng)

    def look_beside(self, workers: Workers) -> None:
        """Find out what the roles use beside our locks, once the runs have ended.

        Raises:
            Unfinished: a finalizer had to be ended between them.
        """
        workers.tell_of_finalizers()
        world = self.world
        if world is None or world.program is not None or world.inner_locks:
            return
        if self.operated:
            self.beside = in_reach_beside(world)
            self.unseen = unseen_of_patch(in_reach(world))
        elif self.kept is not None and self.kept.verdict in _GOOD and not self.kept.stuck:
            self.unseen = nothing_seen(used_in(self.build(), workers))

    def play(self, workers: Workers, world: Scenario, observers: Iterable[Observer]) -> Outcome:
        """Let the roles of *world* run."""
        run = FreeRun(world, observers, self.detect, self.timeout, self.deadline, self.patience,
                      self.enders)
        try:
            outcome = run.play(workers)
            if self._taught < _TEACH and not outcome.findings:
                self._taught += 1
                self.enders.learn(run.recorder.ends_of_waits())
            return outcome
        finally:
            if run.endless.met:
                self.patience = _LESS


def result_of(scenario: str, outcome: Outcome, coverage: dict[str, Any], began: float,
              world: Scenario | None = None, **more: Any) -> Result:
    """Return what a call comes to whose reported run is *outcome*, of *world*.

    Args:
        began: when the call did, by time.perf_counter().
    """
    outcome.notes += [note for note in outcome.outside.values() if note not in outcome.notes]
    names = names_of(world.function_name if world is not None else outcome.names, outcome)
    how = outcome.gravest.how if outcome.gravest else "observed"
    blind = without_assertions(world) if world is not None else []
    outcome.notes += [sentence for sentence in blind if sentence not in outcome.notes]
    return Result(scenario, outcome.verdict, how, coverage, outcome, time.perf_counter() - began,
                  names=names, titles=world and world.title, **more)


def gravest_of(result: Result, predictions: Iterable[Any], *more: Verdict) -> Verdict:
    """Return the gravest verdict of *result*, of *predictions*, and of *more*."""
    verdicts: list[Verdict] = [result.verdict, *(each.verdict for each in predictions), *more]
    return max(verdicts, key=lambda verdict: verdict.graveness)


def repeat(tally: Call, runs: int | None, once: Callable[[Workers], Outcome], *,
           at_least: int = 1, switch_interval: float | None = None,
           enough: Callable[[], bool] = lambda: False,
           more: Callable[[], dict[str, Any]] = dict) -> Result:
    """Run *once* after once, until there are *runs* or the time is up; return what it came to.

    Args:
        once: does one run and counts it.
        at_least: how many runs there are whatever the time.
        switch_interval: seconds between the interpreter's own thread switches meanwhile.
        enough: says after each run whether it shall be the last.
        more: returns what the result says beside the sums.
    """
    with workers_of_a_call(lambda cut: tally.so_far(cut, **more()), tally.timeout, tally.deadline,
                           switch_interval) as workers:
        try:
            while (runs is None or tally.runs < runs) and (tally.runs < at_least or not tally.late):
                outcome = once(workers)
                # Each further run would leave one more thread that cannot be ended, or stay too.
                if outcome.stuck or any(found.alone for found in outcome.findings) or enough():
                    break
            tally.look_beside(workers)
        except Unfinished as exc:
            tally.add_unfinished(exc.outcome)
    return tally.result(**more())


@contextmanager
def workers_of_a_call(so_far: Callable[[Outcome | None], Result], timeout: float,
                      deadline: float | None = None,
                      switch_interval: float | None = None) -> Iterator[Workers]:
    """Yield the workers of a call; see `told_at_ctrl_c` and `Workers`."""
    with told_at_ctrl_c(so_far), no_call_inside(), \
            Workers(timeout, deadline, switch_interval) as workers:
        yield workers


@contextmanager
def progress_line(shown: bool, text: Callable[[], str]) -> Iterator[Callable[[], None]]:
    """Yield what renews a line on standard error, if *shown*, at most ten times a second."""
    last = 0.0

    def show(line: str) -> None:
        with suppress(OSError):    # of a terminal that was closed
            print(line, end="", file=sys.stderr, flush=True)

    def update() -> None:
        nonlocal last
        now = time.perf_counter()
        if shown and now - last >= 0.1:
            last = now
            show(f"\r{text()} ")

    try:
        yield update
    finally:
        if shown:
            show("\n")


_RULES: dict[str, Rule] = {
    "scenario": plain, "observers": function, "timeout": seconds, "seconds": or_none(seconds),
    "detect": one_of(DETECT), "strategy": one_of(STRATEGIES),
    "runs": or_none(whole()), "max_schedules": or_none(whole()), "depth": or_none(whole()),
    "preemptions": or_none(whole(0)), "seed": or_none(whole(-MOST_SEED, MOST_SEED)),
    **dict.fromkeys(("lockdep", "all", "check_determinism", "trust_locks", "engine", "progress",
                     "fresh"), flag)}


def check_arguments(**given: Any) -> None:
    """Refuse what makes no sense, in one line that names the argument."""
    for name, value in given.items():
        _RULES[name](name, value)


def _fingerprint(finding: Finding) -> Any:
    """Return what makes two reports the same but for times."""
    return (finding.verdict, finding.text, tuple([
        (state.role, state.wants, state.mode, _calls(state.chain),
         tuple([(hold.lock, hold.mode, _calls(hold.chain)) for hold in state.holds]))
        for state in finding.cycle]))


def _calls(chain: Chain) -> tuple[Any, ...]:
    # A code object lives as long as its function and hashes slowly: its identity will do.
    calls: list[int] = []
    while chain:
        code, lasti, chain = chain
        calls += id(code), lasti
    return tuple(calls)
