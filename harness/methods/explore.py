"""explore: every interleaving of a scenario's lock operations, on real threads.

A strategy (strategies.py, dpor.py) says which schedule comes next, controlled_run.py runs it, and
here it is judged, counted and bounded. What fails is made as simple as it can be (follower.py),
run ten times more, and shown with a token that anyone can replay.

A bounded search that finds nothing is `inconclusive`. Exploring covers the order of lock operations
and of `harness.step`; what roles do to shared data between those is not seen.

The file is long because what each schedule, the fast engine and the confirmation come to is kept in
one place, and told in words there.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..checker.search import search
from ..exploration.controlled_run import ControlledRun
from ..exploration.dpor import Reduced
from ..exploration.extract_program import is_start, program_of
from ..exploration.follower import Failing, Failure, follow, obey, shrink, witness
from ..exploration.stable_ids import Names
from ..exploration.start_points import StartPoints
from ..exploration.strategies import (PCT, DepthFirst, PreemptionBounded, Random, Strategy,
                                      first_difference)
from ..exploration.token import Moves, encode
from ..locks.errors import ScenarioError
from ..report.result import Result
from ..runtime.scenario import Scenario, build, name_of, reference_of
from ..runtime.verdict import Finding, Outcome, Verdict, counted
from ..runtime.workers import Workers
from .outside import nothing_seen, used_beside
from .tally import TIMEOUT, Tally, check_arguments, progress_line, result_of, workers_of_a_call

SCHEDULES = 1000     # of a strategy that draws them, when neither schedules nor seconds are given
REPLAYS = 10         # how often a finding is run again before it is shown
STATES = 200_000     # that the fast engine goes through: about a second
CUT_SHORT = "a schedule could not be run to its end"
STRATEGIES = {
    "dpor": "depth first, one schedule of each class of equivalent ones",
    "dfs": "depth first, every schedule",
    "bounded": "depth first, every schedule with few preemptions",
    "random": "any move at each stop",
    "pct": "random priorities that change at a few steps",
}


def explore(scenario: Callable[[], Any], *, strategy: str = "dpor",
            max_schedules: int | None = None, seconds: float | None = None, seed: int | None = None,
            all: bool = False, timeout: float = TIMEOUT, check_determinism: bool = False,
            trust_locks: bool = False, engine: bool = True, preemptions: int = 2, depth: int = 3,
            progress: bool = False) -> Result:
    """Run *scenario* in one order of its lock operations after another, until one fails.

    Args:
        strategy: one of `STRATEGIES`.
        max_schedules, seconds: stop after so many; the default is to go on to the end, or after
            1000 schedules if they are drawn at random.
        seed: makes what is drawn repeatable; drawn and reported if None.
        all: go on after a finding, and count them by verdict.
        timeout: seconds without a step after which a role is taken to wait outside our locks.
        check_determinism: run each schedule twice; a role that does something else the second time
            is an error.
        trust_locks: the scenario's invariants look only at what locks (or `harness.step`) order:
            check them in one schedule of each class. Otherwise "dpor" goes through all schedules of
            a scenario that has invariants.
        engine: for "dpor" without *all*: first ask the fast engine about the operations of each
            role as recorded, and try the shortest way to a deadlock that it knows. What real
            threads say decides; `coverage` says what the engine said.
        preemptions: for "bounded": how often a role that could go on is made to wait.
        depth: for "pct": how many orderings a bug needs that is to be found.
        progress: keep a line on standard error up to date.

    Returns:
        Verdict clean only if nothing is left to try; `coverage` has "schedules" and "complete".

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` says what was covered.
    """
    check_arguments(max_schedules, seconds, timeout, "block")
    seed = random.randrange(2**32) if seed is None else seed
    make = partial(_strategy, strategy, seed, preemptions, depth)
    if make().bound and max_schedules is None and seconds is None:
        max_schedules = SCHEDULES
    loop = _Exploration(scenario, make, timeout, max_schedules, seconds, all, check_determinism,
                        trust_locks)
    if strategy in ("random", "pct"):
        loop.coverage["seed"] = seed
    with workers_of_a_call(loop.so_far) as workers, progress_line(progress, loop.text) as update:
        ask = engine and strategy == "dpor" and not all
        if not (ask and loop.ask_engine(workers)):
            loop.go(workers, update)
        loop.confirm(workers)
    return loop.result()


def _strategy(name: str, seed: int, preemptions: int, depth: int) -> Strategy:
    if preemptions < 0:
        raise ScenarioError(f"preemptions is {preemptions}, expected at least 0")
    if depth < 1:
        raise ScenarioError(f"depth is {depth}, expected at least 1")
    makers: dict[str, Callable[[], Strategy]] = {
        "dpor": Reduced, "dfs": DepthFirst, "bounded": lambda: PreemptionBounded(preemptions),
        "random": lambda: Random(seed), "pct": lambda: PCT(seed, depth)}
    if name not in makers:
        raise ScenarioError(f"unknown strategy {name!r}; one of {', '.join(STRATEGIES)}")
    return makers[name]()


class _Exploration:
    """The state of one call of explore; arguments as there."""

    def __init__(self, scenario: Callable[[], Any], make: Callable[[], Strategy], timeout: float,
                 most: int | None, seconds: float | None, all_: bool, check_determinism: bool,
                 trust_locks: bool) -> None:
        self.scenario, self.timeout = scenario, timeout
        self.strategy, self._make = make(), make
        self._most, self._seconds, self._all = most, seconds, all_
        self._check_determinism, self._trust_locks = check_determinism, trust_locks
        self.name, self.names = name_of(scenario), Names()
        self.tally = Tally(self.name, seconds)    # its time, and its counts of verdicts
        self.schedules = self.longest = 0    # how many were run to their end; steps
        self.stopped = ""    # why it ended before there was nothing left to try
        self.coverage: dict[str, Any] = {}
        self._failing: Failing | None = None
        self._kinds: set[Failure] = set()
        self._engine_said = ""
        self._watched = False    # by invariants, which the reduced search cannot do with
        self._world: Scenario | None = None    # the last one
        self._starts = StartPoints()
        self._first = Outcome([], [])    # of a schedule after which the search began again

    # -- the fast engine ----------------------------------------------------------------------

    def ask_engine(self, workers: Workers) -> bool:
        """Ask the fast engine; say whether real threads confirm a deadlock that it knows of."""
        run, outcome = follow(self, workers, (), strictly=False, kind=self._starts.kind)
        if outcome.gravest is not None and outcome.gravest.how == "timed out":
            self.coverage["engine"] = "not asked: a role waits outside our locks"
            self.schedules += 1
            self._take(run, outcome)
            self.stopped = CUT_SHORT
            return True
        if outcome.findings:
            return False    # the search begins with it
        self._starts.learn(run)
        program = run.scenario.program or program_of(run)
        if isinstance(program, str):
            self.coverage["engine"] = f"not asked: {program}"
            return False
        deadline = self.tally.deadline
        left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
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

    def go(self, workers: Workers, update: Callable[[], None]) -> None:
        """Run schedules until one fails, a bound is met or nothing is left; *update* after each."""
        late = False
        while not late:
            self._world = world = build(self.scenario, self.name)
            if world.invariants and not self._trust_locks and isinstance(self.strategy, Reduced):
                self.strategy = DepthFirst()    # an invariant may see the order of any two steps
                self._watched = True
            self.strategy.begin()
            run = self._starts.kind(world, self.strategy, self.names, self.timeout,
                                    self.tally.deadline, to_the_end=self._all)
            outcome = run.play(workers)
            self.tally.operated = self.tally.operated or outcome.operated
            if not run.late and (self._all or not outcome.findings) and self._starts.learn(run):
                self.strategy, self._first = self._make(), outcome    # begin anew: starts as steps
                continue
            if not run.late:
                more = outcome.verdict is not Verdict.INCONCLUSIVE and self.strategy.advance(run)
                update()
                if self._is_over(run, outcome) or not more:
                    return
                if self._most is not None and self.schedules >= self._most:
                    self.stopped = f"stopped after {counted(self.schedules, 'schedule')}"
                    return
            late = run.late or self.tally.late
        self.stopped = f"stopped after {self._seconds:g} s"

    def _is_over(self, run: ControlledRun, outcome: Outcome) -> bool:
        """Count a schedule; say whether it is the last."""
        if self.strategy.changed:
            self._differs(outcome, self.strategy.changed)
            return True
        if run.cut and not outcome.findings:
            return False
        if self.strategy.restarted:    # it goes through all of them once more
            self.schedules = 0
            self.tally.counts.clear()
            if self._all or not outcome.findings:
                return False
        self.schedules += 1
        self.longest = max(self.longest, len(run.steps))
        if outcome.findings:
            self._take(run, outcome)
        else:
            self.tally.counts["clean"] += 1
        if self._check_determinism and self._runs_otherwise(run, outcome):
            return True
        if outcome.verdict is Verdict.INCONCLUSIVE or outcome.stuck or run.cut:
            self.stopped = CUT_SHORT
            return True
        return bool(outcome.findings) and not self._all

    def _take(self, run: ControlledRun, outcome: Outcome) -> None:
        """Keep a failing schedule if it is the gravest so far."""
        failure, failing = Failure.of(run, outcome), self._failing
        self.tally.counts[str(failure.verdict)] += 1
        self._kinds.add(failure)
        if failing is None or failure.verdict.graveness > failing.failure.verdict.graveness:
            self._failing = Failing(failure, outcome, [step.label for step in run.steps],
                                     Moves.of(run))

    def _runs_otherwise(self, run: ControlledRun, outcome: Outcome) -> bool:
        """Run a schedule again; say whether a role did something else, which is an error."""
        if outcome.stuck:
            return False
        again, other = follow(self, run.workers, [step.label for step in run.steps])
        difference = first_difference(self.names, run.steps, again.steps)
        if not difference and Failure.of(run, outcome) != Failure.of(again, other):
            difference = f"it came to {outcome.verdict} the first time, to {other.verdict} the " \
                         f"second"
        if difference:
            self._differs(outcome, difference)
        return bool(difference)

    def _differs(self, outcome: Outcome, difference: str) -> None:
        self.stopped = "a role behaves differently under the same schedule"
        finding = Finding(Verdict.ERROR, "observed", f"{self.stopped}: {difference}")
        self.tally.counts[str(Verdict.ERROR)] += 1
        self._failing = Failing(
            Failure(Verdict.ERROR, difference),
            Outcome([finding], [], outcome.notes, outcome.stuck, seconds=outcome.seconds))

    # -- what was found -----------------------------------------------------------------------

    def confirm(self, workers: Workers) -> None:
        """Simplify the schedule that fails, run it again, and record it as it is shown."""
        failing, tally = self._failing, self.tally
        if failing is None or failing.labels is None or failing.outcome.stuck:
            return
        failure, gravest = failing.failure, failing.outcome.gravest
        # What timed out would be waited for each time, what has no end run to its bound.
        if gravest and gravest.how != "timed out" and failure.verdict is not Verdict.INCONCLUSIVE:
            failing.labels, simplest = shrink(self, workers, failing.labels, failure,
                                              tally.deadline)
            if not simplest:
                self.coverage["minimised"] = "not to the end: the time was up"
            same = replays = 0
            while replays < REPLAYS and (simplest or not replays):
                same += Failure.of(*follow(self, workers, failing.labels)) == failure
                replays += 1
                simplest = simplest and not tally.late
            self.coverage["replayed"] = f"{same} of {replays}"
        run, outcome = follow(self, workers, failing.labels, full=True)
        if Failure.of(run, outcome) == failure:
            failing.outcome, failing.moves = outcome, Moves.of(run)
        else:
            failing.outcome.notes.append("It did not come again under the same schedule: some role "
                                         "does not do the same every time.")

    def result(self, cut: Outcome | None = None) -> Result:
        """Return what was found so far; *cut* is what the schedule under way came to."""
        failing = self._failing
        outcome = failing.outcome if failing else self._first
        token = again = ""
        if failing is not None and failing.moves is not None and not outcome.stuck:
            reference = reference_of(self.scenario)
            token = encode(reference or ("", {}), "", failing.moves)
            again = f"python -m harness replay {token}" if reference is not None \
                else f"harness.replay({token!r}, scenario)"
        complete = not self.stopped and self.strategy.complete and (failing is None or self._all)
        if failing is None and not complete:
            why = "; ".join(filter(None, [self.stopped, self.strategy.bound]))
            outcome = cut if cut is not None and cut.findings else outcome
            outcome.findings.append(Finding(
                Verdict.INCONCLUSIVE, "observed",
                f"nothing found, but not every schedule was tried: {why}"))
        world = self._world
        if world is not None and world.program is None and not world.inner_locks:
            outcome.notes += used_beside(self._starts.outside) if self.tally.operated else ()
            if not (self.tally.operated or outcome.findings):
                outcome.findings.append(nothing_seen(self._starts.outside))
                complete = False
        hangs = outcome.verdict in (Verdict.DEADLOCK, Verdict.HANG)
        if self._engine_said and hangs != (self._engine_said in ("deadlock", "hang")) and (
                hangs or complete):
            outcome.notes.append(f"The fast engine says {self._engine_said} of the operations as "
                                 f"they were recorded once: the roles branch on data.")
        outcome.notes += self._starts.shared
        covered: dict[str, Any] = {
            "schedules": self.schedules, "complete": complete, "strategy": self.strategy.name}
        if self._watched:
            covered["watched"] = "by invariants, so no schedule was left out"
        if self._all and failing:
            covered["verdicts"] = dict(self.tally.counts)
            covered["distinct_reports"] = len(self._kinds)
        covered["longest"] = self.longest
        covered |= self.strategy.summary() | self.coverage
        return result_of(self.name, outcome, covered, self.tally.began, self._world, again=again,
                         replay=token)

    def so_far(self, cut: Outcome | None) -> Result:
        """Return the result at Ctrl-C."""
        self.stopped = "interrupted"
        return self.result(cut)

    def text(self) -> str:
        """Return the text of the line of progress."""
        elapsed, tried = time.perf_counter() - self.tally.began, self.strategy.fraction()
        words = [f"{self.schedules:,}{f' of {self._most:,}' if self._most else ''} schedules",
                 f"{self.schedules / elapsed:,.0f}/s", f"{self.longest} steps"]
        words += [f"about {self.schedules / tried:,.0f} in all"] if tried > 0 else []
        words += [f"{n:,} {word}" for word, n in self.tally.counts.items() if word != "clean"]
        return f"{self.name}: {', '.join(words)}"
