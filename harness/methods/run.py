"""run: let the roles of a scenario race, many times, on real threads.

A call takes a scenario (a callable that builds a fresh world and returns its roles) and returns a
`Result`. Workers are reused from run to run inside one call and have ended when it returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ..report.result import Result
from ..runtime.guest import invited
from ..runtime.observer import Observer
from ..runtime.verdict import Outcome
from ..runtime.workers import Workers
from .noise import MANNERS, Noise
from .defaults import TIMEOUT
from .tally import Call, check_arguments, repeat

# When neither runs nor seconds are given. Of five small broken programs (two locks taken crosswise,
# three philosophers, a nested read, a reader handed over, a lost wake-up) a run shows what is wrong
# 57, 37, 35, 72 and 30 of a hundred times. A hundred runs of one take a twentieth of a second.
RUNS = 100
ENOUGH = 5.0    # seconds after which no further one is begun then


def run(scenario: Callable[[], Any], *, runs: int | None = None, seconds: float | None = None,
        timeout: float = TIMEOUT, detect: str = "block",
        observers: Callable[[], Iterable[Observer]] = tuple) -> Result:
    """Let the roles of *scenario* race, *runs* times, or again and again for *seconds* seconds.

    They start together, and give way to each other before they ask for a lock, look at one or take
    a step, in each run in another manner. If neither *runs* nor *seconds* is given there are up to
    `RUNS` runs, until one finds something or `ENOUGH` seconds have passed.

    Args:
        runs, seconds: of both the first that is reached ends it. A run that the time cuts short
            counts, as `inconclusive`, only if there is no other.
        timeout: seconds in which no lock was taken or released, after which what there is is
            judged.
        detect: "block" looks for a cycle at the moment a thread begins to wait; "timeout" lets the
            threads hang and judges when nothing has moved for *timeout* seconds.
        observers: called before each run; returns the observers of that run.

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` holds the report so far.
    """
    return race(scenario, runs=runs, seconds=seconds, timeout=timeout, detect=detect,
                observers=observers, some=runs is None and seconds is None)


def race(scenario: Callable[[], Any], *, runs: int | None, seconds: float | None, timeout: float,
         detect: str = "block", observers: Callable[[], Iterable[Observer]] = tuple,
         some: bool = False) -> Result:
    """Do what `run` does.

    Args:
        some: make as many runs as if neither runs nor seconds were given; *seconds* is a limit.
    """
    check_arguments(observers=observers)
    call = Call(scenario, runs, seconds, timeout, detect)

    def once(workers: Workers) -> Outcome:
        world, number = call.build(), call.runs
        noise = Noise(f"run/{number}", MANNERS[number % len(MANNERS)])
        outcome = call.play(workers, world, [*invited(observers), noise])
        return call.add(outcome, world)

    def enough() -> bool:
        found = call.runs > call.counts["clean"]
        return some and (found or time.perf_counter() - call.began >= ENOUGH)

    return repeat(call, RUNS if some else runs, once, enough=enough)
