"""explore: every interleaving of a scenario's lock operations, on real threads.

A strategy (strategies.py, dpor.py) says which schedule comes next, controlled_run.py runs it, and here
it is judged, counted and bounded. What fails is made as simple as it can be (follower.py), run ten
times more, and shown with a token that anyone can replay.

A bounded search that finds nothing is `inconclusive`. Exploring covers the order of lock operations
and of `harness.step`; what roles do to shared data between those is not seen.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from ..exploration.dpor import Reduced
from ..runtime.workers import Workers
from ..exploration.strategies import DepthFirst, PCT, PreemptionBounded, Random, Strategy
from ..locks.errors import ScenarioError
from ..report.result import Result
from ..runtime.process_state import settled
from .exploration import SCHEDULES, STRATEGIES, _Exploration
from .tally import TIMEOUT, Interrupted, Progress, check_arguments


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
            role as recorded, and try the shortest way to a deadlock that it knows. What real threads
            say decides; `coverage` says what the engine said.
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
    way = _strategy(strategy, seed, preemptions, depth)
    if way.bound and max_schedules is None and seconds is None:
        max_schedules = SCHEDULES
    loop = _Exploration(scenario, way, timeout, all, check_determinism, trust_locks)
    if strategy in ("random", "pct"):
        loop.coverage["seed"] = seed
    try:
        with Progress(progress) as line, settled(), Workers() as workers:
            ask = engine and strategy == "dpor" and not all
            loop.deadline = None if seconds is None else time.monotonic() + seconds
            if not (ask and loop.ask_engine(workers)):
                loop.go(workers, max_schedules, seconds, line)
            loop.confirm(workers)
    except KeyboardInterrupt as exc:
        loop.stopped = "interrupted"
        raise Interrupted(loop.result(getattr(exc, "outcome", None))) from None
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
