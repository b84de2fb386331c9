"""The loop of one exploration: schedules run, judged, counted and bounded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..checker.search import search
from ..exploration.controlled_run import ControlledRun
from ..exploration.dpor import Reduced
from ..exploration.extract_program import is_start, program_of
from ..exploration.follower import Failure, follow, obey, shrink, witness
from ..runtime.workers import Workers
from ..exploration.stable_ids import Names
from ..exploration.strategies import DepthFirst, Strategy, first_difference
from ..exploration.token import Moves, encode
from ..report.result import Result
from ..runtime.scenario import Scenario, build, name_of, reference_of
from .tally import Progress, result_of
from ..runtime.verdict import Finding, Outcome, Verdict, counted

SCHEDULES = 1000     # of a strategy that draws them, when neither schedules nor seconds are given
REPLAYS = 10         # how often a finding is run again before it is shown
STATES = 200_000     # that the fast engine goes through: about a second
STRATEGIES = {
    "dpor": "depth first, one schedule of each class of equivalent ones",
    "dfs": "depth first, every schedule",
    "bounded": "depth first, every schedule with few preemptions",
    "random": "any move at each stop",
    "pct": "random priorities that change at a few steps",
}


@dataclass
class _Found:
    """The first failing schedule of its verdict.

    Attributes:
        labels: who took its steps; None if it cannot be run again.
        moves: the same, for a token.
    """

    verdict: Verdict
    failure: Failure
    labels: list[int] | None
    outcome: Outcome
    moves: Moves | None = None


class _Exploration:
    """The state of one call of explore."""

    def __init__(self, scenario: Callable[[], Any], strategy: Strategy, timeout: float, all_: bool,
                 check_determinism: bool, trust_locks: bool) -> None:
        self.scenario, self.strategy, self.timeout = scenario, strategy, timeout
        self.name = name_of(scenario)
        self.names = Names()
        self.schedules = 0            # that were run to their end
        self.longest = 0              # steps
        self.counts: Counter[str] = Counter()
        self.stopped = ""             # why it ended before there was nothing left to try
        self.coverage: dict[str, Any] = {}
        self.found: _Found | None = None
        self._watched = False    # by invariants, which the reduced search cannot do with
        self.token = ""
        self.deadline: float | None = None    # by time.monotonic()
        self._all, self._check_determinism = all_, check_determinism
        self._trust_locks = trust_locks
        self._engine_said = ""
        self._kinds: set[Failure] = set()
        self._world: Scenario | None = None    # the last one
        self._began = time.perf_counter()

    # -- the fast engine ----------------------------------------------------------------------

    def ask_engine(self, workers: Workers) -> bool:
        """Ask the fast engine; say whether real threads confirm a deadlock that it knows of."""
        run, outcome = follow(self, workers, (), strictly=False)
        if outcome.gravest is not None and outcome.gravest.how == "timed out":
            self.coverage["engine"] = "not asked: a role waits outside our locks"
            self.schedules += 1
            self._take(run, outcome)
            self.stopped = "a schedule could not be run to its end"
            return True
        if outcome.findings:
            return False    # the search begins with it
        program = run.scenario.program or program_of(run)
        if isinstance(program, str):
            self.coverage["engine"] = f"not asked: {program}"
            return False
        left = None if self.deadline is None else max(self.deadline - time.monotonic(), 0.001)
        answer = search(program, max_states=STATES, seconds=left)
        every = "all " if answer.complete else ""
        self.coverage["engine"] = f"{answer.verdict} ({every}{counted(answer.states, 'state')})"
        self._engine_said = answer.verdict
        if not answer.deadlocks:
            return False
        nearest = answer.deadlocks[0]
        world = build(self.scenario, self.name)
        run, outcome = obey(self, world, workers,
                            witness(world, program, nearest.schedule, is_start))
        self.schedules += 1
        stuck = {task.key for task in run.deadlocked or run.stuck}
        if not stuck or stuck != set(nearest.circle or [wait.thread for wait in nearest.waits]):
            self.coverage["engine"] += ", which real threads did not confirm"
            return False
        self.coverage["engine"] += ", confirmed on real threads"
        self.longest = len(run.steps)
        self._take(run, outcome)
        self.stopped = "a deadlock was found"
        return True

    # -- running ------------------------------------------------------------------------------

    def go(self, workers: Workers, most: int | None, seconds: float | None,
           line: Progress) -> None:
        """Run schedules until one fails, a bound is met or nothing is left."""
        deadline = self.deadline
        while True:
            run, outcome = self._once(workers, deadline)
            if run.late:
                self.stopped = f"stopped after {seconds:g} s"
                return
            more = outcome.verdict is not Verdict.INCONCLUSIVE and self.strategy.advance(run)
            line.show(lambda: self._progress(most))
            if self._is_over(run, outcome) or not more:
                return
            if most is not None and self.schedules >= most:
                self.stopped = f"stopped after {counted(self.schedules, 'schedule')}"
                return
            if _is_over(deadline):
                self.stopped = f"stopped after {seconds:g} s"
                return

    def _once(self, workers: Workers, deadline: float | None) -> tuple[ControlledRun, Outcome]:
        made = build(self.scenario, self.name)
        self._world = made
        if made.invariants and not self._trust_locks and isinstance(self.strategy, Reduced):
            self.strategy = DepthFirst()    # an invariant may see the order of any two steps
            self._watched = True
        self.strategy.begin()
        run = ControlledRun(made, self.strategy, self.names, self.timeout, deadline,
                            to_the_end=self._all)
        return run, run.play(workers)

    def _is_over(self, run: ControlledRun, outcome: Outcome) -> bool:
        """Count a schedule; say whether it is the last."""
        if self.strategy.changed:
            self._differs(run, outcome, self.strategy.changed)
            return True
        if run.cut and not outcome.findings:
            return False
        if self.strategy.restarted:    # it goes through all of them once more
            self.schedules = 0
            self.counts.clear()
            if self._all or not outcome.findings:
                return False
        self.schedules += 1
        steps = len(run.steps)
        if steps > self.longest:
            self.longest = steps
        if outcome.findings:
            self._take(run, outcome)
        else:
            self.counts["clean"] += 1
        if self._check_determinism and self._runs_otherwise(run, outcome):
            return True
        if outcome.verdict is Verdict.INCONCLUSIVE or outcome.stuck or run.cut:
            self.stopped = "a schedule could not be run to its end"
            return True
        return bool(outcome.findings) and not self._all

    def _take(self, run: ControlledRun, outcome: Outcome) -> None:
        """Keep a failing schedule if it is the gravest so far."""
        verdict = outcome.verdict
        self.counts[str(verdict)] += 1
        failure = Failure.of(run, outcome)
        self._kinds.add(failure)
        if self.found is None or verdict.graveness > self.found.verdict.graveness:
            self.found = _Found(verdict, failure, [step.label for step in run.steps], outcome,
                                Moves.of(run))

    def _runs_otherwise(self, run: ControlledRun, outcome: Outcome) -> bool:
        """Run a schedule again; say whether a role did something else, which is an error."""
        if outcome.stuck:
            return False
        again, other = follow(self, run.workers, [step.label for step in run.steps])
        told = first_difference(self.names, run.steps, again.steps)
        if not told and Failure.of(run, outcome) != Failure.of(again, other):
            told = f"it came to {outcome.verdict} the first time, to {other.verdict} the second"
        if told:
            self._differs(run, outcome, told)
        return bool(told)

    def _differs(self, run: ControlledRun, outcome: Outcome, told: str) -> None:
        finding = Finding(Verdict.ERROR, "observed",
                          f"a role behaves differently under the same schedule: {told}")
        different = Outcome([finding], [], outcome.notes, outcome.stuck,
                            seconds=outcome.seconds)
        self.counts[str(Verdict.ERROR)] += 1
        self.stopped = "a role behaves differently under the same schedule"
        self.found = _Found(Verdict.ERROR, Failure(Verdict.ERROR, told), None, different)

    # -- what was found -----------------------------------------------------------------------

    def confirm(self, workers: Workers) -> None:
        """Simplify the schedule that was found, run it again, and record it as it is shown."""
        found = self.found
        if found is None or found.labels is None or found.outcome.stuck:
            return
        assert found.outcome.gravest is not None
        # What timed out would be waited for each time, what has no end run to its bound.
        if found.outcome.gravest.how != "timed out" and found.verdict is not Verdict.INCONCLUSIVE:
            found.labels, simplest = shrink(self, workers, found.labels, found.failure, self.deadline)
            if not simplest:
                self.coverage["minimised"] = "not to the end: the time was up"
            same = replays = 0
            while replays < REPLAYS and (simplest or not replays):
                run, outcome = follow(self, workers, found.labels)
                same += Failure.of(run, outcome) == found.failure
                replays += 1
                simplest = simplest and not _is_over(self.deadline)
            self.coverage["replayed"] = f"{same} of {replays}"
        run, outcome = follow(self, workers, found.labels, full=True)
        if Failure.of(run, outcome) == found.failure:
            found.outcome, found.moves = outcome, Moves.of(run)
        else:
            found.outcome.notes.append("It did not come again under the same schedule: some role does "
                                       "not do the same every time.")

    def result(self, cut: Outcome | None = None) -> Result:
        """Return what was found so far."""
        if self.found is not None and self.found.moves is not None and not self.found.outcome.stuck:
            self.token = encode(reference_of(self.scenario) or ("", {}), "", self.found.moves)
        found = self.found
        outcome = found.outcome if found else Outcome([], [])
        complete = not self.stopped and self.strategy.complete and (found is None or self._all)
        if found is None and not complete:
            why = self.stopped or self.strategy.bound
            if self.strategy.bound and self.stopped:
                why += f"; {self.strategy.bound}"
            outcome = cut if cut is not None and cut.findings else outcome
            outcome.findings.append(Finding(
                Verdict.INCONCLUSIVE, "observed",
                f"nothing found, but not every schedule was tried: {why}"))
        hangs = outcome.verdict in (Verdict.DEADLOCK, Verdict.HANG)
        if self._engine_said and hangs != (self._engine_said in ("deadlock", "hang")) and (
                hangs or complete):
            outcome.notes.append(f"The fast engine says {self._engine_said} of the operations as "
                                 f"they were recorded once: the roles branch on data.")
        covered: dict[str, Any] = {
            "schedules": self.schedules, "complete": complete,
            "strategy": self.strategy.name}
        if self._watched:
            covered["watched"] = "by invariants, so no schedule was left out"
        if self._all and found:
            covered["verdicts"] = dict(self.counts)
            covered["distinct_reports"] = len(self._kinds)
        covered["longest"] = self.longest
        covered |= self.strategy.summary() | self.coverage
        return result_of(self.name, outcome, covered, self._began, self._world,
                         again=self._again(), replay=self.token)

    def _again(self) -> str:
        if not self.token:
            return ""
        if reference_of(self.scenario) is None:
            return f"harness.replay({self.token!r}, scenario)"
        return f"python -m harness replay {self.token}"

    def _progress(self, most: int | None) -> str:
        """Return the progress line."""
        elapsed = time.perf_counter() - self._began
        tried = self.strategy.fraction()
        words = [f"{self.schedules:,}{f' of {most:,}' if most else ''} schedules",
                 f"{self.schedules / elapsed:,.0f}/s", f"{self.longest} steps"]
        if tried > 0:
            words.append(f"about {self.schedules / tried:,.0f} in all")
        words += [f"{n:,} {verdict}" for verdict, n in self.counts.items() if verdict != "clean"]
        return f"{self.name}: {', '.join(words)}"


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
