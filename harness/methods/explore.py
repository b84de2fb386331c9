"""explore: every interleaving of a scenario's lock operations, on real threads.

A strategy (strategies.py, dpor.py) says which schedule comes next, controlled_run.py runs it, and
here it is judged, counted and bounded. What fails is made as simple as it can be, run ten times
more (confirming.py), and shown with a token that anyone can replay. The fast engine is asked first
(engine_first.py); worlds.py sees to it that each schedule has a world like the others'.

A bounded search that finds nothing is `inconclusive`. Exploring covers the order of lock operations
and of `harness.step`; what roles do to shared data between those is not seen.

The file is long because what each schedule comes to is kept in one place, and told in words there.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from ..exploration.dpor import Reduced
from ..exploration.follower import Failing, Failure, follow
from ..exploration.forked import Apart
from ..exploration.scheduled_run import TimeUp
from ..exploration.strategies import DepthFirst, Strategy, first_difference
from ..exploration.token import encode
from ..exploration.ways import check_strategy, way_of
from ..report.result import Result
from ..runtime.process_state import no_call_inside
from ..runtime.building import build
from ..runtime.scenario import name_of, reference_of
from ..runtime.verdict import Finding, Outcome, Verdict, counted
from ..runtime.workers import Workers
from .ctrl_c import told_at_ctrl_c
from .confirming import Confirming
from .engine_first import CUT_SHORT
from .replay import again as replay_again
from .outside import nothing_seen, unseen_of_patch, used_beside
from .defaults import TIMEOUT
from .tally import OUTSIDE_USED, Tally, check_arguments, progress_line, result_of
from .worlds import ONCE

SCHEDULES = 1000     # of a strategy that draws them, when neither schedules nor seconds are given


def explore(scenario: Callable[[], Any], *, strategy: str = "dpor",
            max_schedules: int | None = None, seconds: float | None = None, seed: int | None = None,
            all: bool = False, timeout: float = TIMEOUT, check_determinism: bool = False,
            trust_locks: bool = False, engine: bool = True, preemptions: int | None = None,
            depth: int | None = None, progress: bool = False, fresh: bool = False) -> Result:
    """Run *scenario* in one order of its lock operations after another, until one fails.

    Args:
        strategy: one of `exploration.ways.STRATEGIES`.
        max_schedules, seconds: stop after so many; the default is to go on to the end, or after
            1000 schedules if they are drawn at random.
        seed: makes what is drawn repeatable; drawn and reported if None. Where nothing is drawn
            any seed will do.
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
        preemptions: for "bounded": how often a role that could go on is made to wait (default 2).
        depth: for "pct": how many orderings a bug needs that is to be found (default 3).
        progress: keep a line on standard error up to date.
        fresh: run each schedule in a process of its own, in which no world came before. Without it
            that is done where worlds are seen to differ, beside the ordinary way.

    Returns:
        Verdict clean only if nothing is left to try; `coverage` has "schedules" and "complete".

    Raises:
        ScenarioError: the scenario or an argument makes no sense, or is of another strategy.
        Interrupted: Ctrl-C; its `result` says what was covered.
    """
    check_arguments(scenario=scenario, strategy=strategy, max_schedules=max_schedules,
                    seconds=seconds, seed=seed, all=all, timeout=timeout, engine=engine,
                    check_determinism=check_determinism, trust_locks=trust_locks, depth=depth,
                    preemptions=preemptions, progress=progress, fresh=fresh)
    check_strategy(strategy, preemptions=preemptions, depth=depth, trust_locks=trust_locks or None)
    seed = random.randrange(2**32) if seed is None else seed
    way = way_of(strategy, seed, preemptions, depth)
    if way().bound and max_schedules is None and seconds is None:
        max_schedules = SCHEDULES
    loop = _Exploration(scenario, way, timeout, max_schedules, seconds, all, check_determinism,
                        trust_locks)
    if strategy in ("random", "pct"):
        loop.drawn["seed"] = seed
    ask = engine and strategy == "dpor" and not all
    # Forked when all is patched, or each process would do it again.
    with told_at_ctrl_c(loop.so_far), no_call_inside(), \
            Workers(timeout, loop.tally.deadline) as workers, Apart(scenario) as apart, \
            progress_line(progress, loop.text) as update:
        loop.explore(lambda: loop.search(ask, update), workers, apart, fresh)
    return loop.result()


class _Exploration(Confirming):
    """The state of one call of explore; arguments as there."""

    def __init__(self, scenario: Callable[[], Any], new_strategy: Callable[[], Strategy],
                 timeout: float, most: int | None, seconds: float | None, all_: bool,
                 check_determinism: bool, trust_locks: bool) -> None:
        self.scenario, self.new_strategy, self.timeout = scenario, new_strategy, timeout
        self._most, self._seconds, self._all = most, seconds, all_
        self._check_determinism, self._trust_locks = check_determinism, trust_locks
        self.name = name_of(scenario)
        self.tally = Tally(self.name, seconds)    # its time, and its counts of verdicts
        self.deadline = self.tally.deadline
        self.drawn: dict[str, int] = {}    # what makes the schedules that were drawn repeatable
        self.failing: Failing | None = None
        self.set_aside: tuple[Any, Outcome] | None = None
        self.world = None
        self.start_again()

    # -- running ------------------------------------------------------------------------------

    def search(self, ask: bool, update: Callable[[], None]) -> None:
        """Look for a schedule that fails, if *ask* by the engine first; make it simple."""
        try:
            if not (ask and self.ask_engine()):
                self.go(update)
        except TimeUp:
            self.out_of_time()
        if self.failing is None and self.set_aside:
            self.take(*self.set_aside)    # it did not come again: only the first world has it
        self.judge_again()
        self.confirm()

    def out_of_time(self) -> None:
        self.stopped = f"stopped after {self._seconds:g} s"

    def go(self, update: Callable[[], None]) -> None:
        """Run schedules until one fails, a bound is met or nothing is left; *update* after each."""
        late = False
        while not late:
            run, outcome = self._next()
            if run.round:
                self.went_round(run, outcome)
            self.tally.operated = self.tally.operated or outcome.operated
            if not run.late and not run.cut and (self._all or not outcome.findings) and (
                    self.learn(run) or self.learn_of_threads(run)):
                self.set_it_aside(run, outcome)
                self.strategy = self.new_strategy()    # begin anew: starts are steps
                self.schedules = 0
                self.tally.counts.clear()
                continue
            if self.strategy.hopeless:
                self.reduce_no_more(self.strategy.hopeless)
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
        self.out_of_time()

    def _next(self) -> tuple[Any, Outcome]:
        """Run the next schedule."""
        world = self.fresh_world()
        if world.invariants and not self._trust_locks and isinstance(self.strategy, Reduced):
            self.strategy = DepthFirst()    # an invariant may see the order of any two steps
            self.watched = True
        self.strategy.begin()
        self.strategy, run, outcome = self.play_next(world, self.strategy, self.traces)
        return run, outcome

    def _is_over(self, run: Any, outcome: Outcome) -> bool:
        """Count a schedule; say whether it is the last."""
        self.tally.outside = outcome.outside | self.tally.outside
        if self.strategy.changed:
            self.differ(run.steps, outcome, self.strategy.changed)
            return True
        if self.strategy.restarted:    # it goes through all of them once more
            self.set_it_aside(run, outcome)
            self.schedules = 0
            self.tally.counts.clear()
            if self._all or not outcome.findings:
                return False
        if run.cut and not outcome.findings:
            self.schedules += run.round and self.strategy.drawn    # else it might have no end
            return False
        self.schedules += 1
        self.names.learn_enders(run.steps)
        self.longest = max(self.longest, len(run.steps))
        if outcome.findings:
            self.take(run, outcome)
        else:
            self.tally.counts["clean"] += 1
        if self._check_determinism and self._runs_otherwise(run, outcome):
            return True
        if not outcome.findings and self.look_twice(run.steps, outcome):
            return True
        if outcome.verdict is Verdict.INCONCLUSIVE or outcome.stuck or run.cut:
            self.stopped = CUT_SHORT
            return True
        return self.failing is not None and not self._all and not self.may_learn()

    def _runs_otherwise(self, run: Any, outcome: Outcome) -> bool:
        """Run a schedule again; say whether a role did something else, which is an error."""
        if outcome.stuck:
            return False
        again, other = follow(self, self.where, [step.label for step in run.steps])
        difference = first_difference(self.names, run.steps, again.steps)
        if not difference and Failure.of(run, outcome) != Failure.of(again, other):
            difference = f"it came to {outcome.verdict} the first time, to {other.verdict} the " \
                         f"second"
        if difference:
            self.differ(run.steps, outcome, difference)
        return bool(difference)

    # -- what was found -----------------------------------------------------------------------

    def result(self, cut: Outcome | None = None) -> Result:
        """Return what was found so far; *cut* is what the schedule under way came to."""
        failing = self.failing
        outcome = failing.outcome if failing else Outcome([], [])
        token = again = ""
        if failing is not None and failing.moves is not None and not outcome.stuck:
            reference = reference_of(self.scenario)
            token = encode(reference or ("", {}), "", failing.moves)
            again = replay_again(token, reference[0]) if token and reference is not None \
                else token and f"harness.replay({token!r}, scenario)"
        self.stopped = self.stopped or OUTSIDE_USED if self.tally.outside else self.stopped
        outcome.outside = outcome.outside | self.tally.outside
        complete = self.schedules > 0 and self.strategy.complete and (
            failing is None or self._all) and not (self.stopped or self.unseen or self.unsettled)
        world, ours = self.world, self.tally.operated
        if world is not None and (world.program is not None or world.inner_locks):
            ours = True
        elif ours:
            outcome.notes += used_beside(self.starts.outside)
        if failing is None and not ours and self.schedules and cut is None:
            outcome.findings.append(nothing_seen(self.starts.outside))
            complete = False
        elif failing is None and complete and (unseen := unseen_of_patch(self.starts.outside)):
            outcome.findings.append(unseen)
            complete = False
        elif failing is None and not complete:
            why = "; ".join(filter(None, [self.stopped, self.strategy.bound]))
            why = why and f"not every schedule was tried: {why}"
            outcome = cut if cut is not None and cut.findings else outcome
            but = "; ".join(filter(None, [why, self.unsettled, self.unseen]))
            outcome.findings.append(Finding(Verdict.INCONCLUSIVE, "observed",
                                            f"nothing found, but {but}"))
        outcome.notes += self.starts.shared
        if self.difference and not any(self.difference in found.text for found in outcome.findings):
            outcome.notes.append(f"Worlds differ: {self.difference}.")
        elif failing is None and complete and self.schedules == 1:
            outcome.notes.append(ONCE)
        hangs = outcome.verdict in (Verdict.DEADLOCK, Verdict.HANG)
        if self.engine_said and hangs != (self.engine_said in ("deadlock", "hang")) and (
                hangs or complete):
            outcome.notes.append(f"The fast engine says {self.engine_said} of the operations as "
                                 f"they were recorded once: the roles branch on data.")
        covered: dict[str, Any] = {
            "schedules": self.schedules, "complete": complete, "strategy": self.strategy.name}
        if self.watched:
            covered["watched"] = "by invariants, so no schedule was left out"
        if self._all and failing:
            covered["verdicts"] = dict(self.tally.counts)
            covered["distinct_reports"] = len(self.kinds)
        covered["longest"] = self.longest
        if self.rounds:
            covered["rounds"] = self.rounds
        covered |= self.strategy.summary() | self.drawn | self.coverage
        if failing is not None and failing.moves is not None and self.world is not None \
                and self.world.function_name and isinstance(self.where, Apart):
            self.world = build(self.scenario, self.name)    # its world was another process's
        return result_of(self.name, outcome, covered, self.tally.began, self.world, again=again,
                         replay=token)

    def so_far(self, cut: Outcome | None) -> Result:
        """Return the result at Ctrl-C."""
        self.stopped = "interrupted"
        return self.result(cut)

    def text(self) -> str:
        """Return the text of the line of progress."""
        elapsed = time.perf_counter() - self.tally.began
        tried = self.strategy.fraction()
        words = [f"{self.schedules:,}{f' of {self._most:,}' if self._most else ''} schedules",
                 f"{self.schedules / elapsed:,.0f}/s", f"{self.longest} steps"]
        words += [f"about {self.schedules / tried:,.0f} in all"] if tried > 0 else []
        words += [f"{n:,} {word}" for word, n in self.tally.counts.items() if word != "clean"]
        return f"{self.name}: {', '.join(words)}"
