"""run: let the roles of a scenario race, once or many times, on real threads.

A call takes a scenario (a callable that builds a fresh world and returns its roles) and returns a
`Result`. Workers are reused from run to run inside one call and have ended when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..report.result import Result
from ..runtime.guest import invited
from ..runtime.observer import Observer
from ..runtime.verdict import Outcome
from ..runtime.workers import Workers
from .tally import TIMEOUT, Call, repeat


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
    call = Call(scenario, runs, seconds, timeout, detect)

    def once(workers: Workers) -> Outcome:
        world = call.build()
        return call.add(call.play(workers, world, invited(observers)), world)

    return repeat(call, runs, once)
