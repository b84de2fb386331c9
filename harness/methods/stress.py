"""stress: race again and again, with random noise at lock events and, where the scenario offers it,
in random worlds.

A passing stress run proves nothing; its report says how much was tried. The first failure is kept
with a token that shows it again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from ..exploration.token import token_of
from ..locks.task import Task
from ..report.result import Result
from ..runtime.observer import Observer
from ..runtime.free_run import FreeRun
from ..runtime.scenario import build, name_of
from ..runtime.verdict import Outcome, Verdict
from ..runtime.workers import Workers
from .tally import TIMEOUT, Progress, Tally, check_arguments, repeat

RUNS = 1000              # when neither runs nor seconds are given
YIELD, NAP = 0.3, 0.1    # how likely an operation lets others run, or sleeps
LONGEST_NAP = 200e-6     # seconds
SWITCH_INTERVAL = 1e-4   # seconds between the interpreter's own thread switches meanwhile


class Noise(Observer):
    """Delay roles at random before they ask for a lock. The same seed makes the same choices for
    each role.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._random: dict[Task, random.Random] = {}

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        rng = self._random.get(task)
        if rng is None:
            rng = self._random[task] = random.Random(f"{self._seed}/{task.name}")
        dice = rng.random()
        if dice < NAP:
            time.sleep(rng.random() * LONGEST_NAP)
        elif dice < NAP + YIELD:
            time.sleep(0)


def stress(scenario: Callable[..., Any], *, runs: int | None = None, seconds: float | None = None,
           seed: int | None = None, timeout: float = TIMEOUT, detect: str = "block",
           progress: bool = False) -> Result:
    """Race the roles of *scenario* with noise, for *runs* runs (default 1000) or *seconds* seconds.

    Args:
        seed: makes the choices repeatable; drawn and reported if None.
        progress: keep a line on standard error up to date.

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` is the summary so far.
    """
    check_arguments(runs, seconds, timeout, detect)
    if runs is None and seconds is None:
        runs = RUNS
    tally = Tally(name_of(scenario), seconds)
    loop = _Loop(scenario, random.randrange(2**32) if seed is None else seed, tally)

    def once(workers: Workers) -> Outcome:
        outcome = loop.once(workers, timeout, detect)
        line.show(lambda: loop.progress(runs))
        return outcome

    with Progress(progress) as line:
        return repeat(tally, runs, once, at_least=0, switch_interval=SWITCH_INTERVAL,
                      more=loop.summary)


class _Loop:
    """The state of one stress loop: its seed, its sums, its first failure."""

    def __init__(self, scenario: Callable[..., Any], seed: int, tally: Tally) -> None:
        self._scenario, self._seed, self._tally = scenario, seed, tally
        self._first: tuple[str, Outcome] | None = None

    def once(self, workers: Workers, timeout: float, detect: str) -> Outcome:
        """Do one run."""
        tally = self._tally
        seed = f"{self._seed}/{tally.runs}"
        world = build(self._scenario, tally.scenario, random.Random(seed))
        outcome = FreeRun(world, [Noise(seed)], detect, timeout, tally.deadline).play(workers)
        if outcome.verdict is Verdict.INCONCLUSIVE and tally.runs:
            return outcome   # the time was up in the middle of a run: it counts for nothing
        tally.add(outcome, world)
        if tally.kept is outcome and outcome.findings:
            self._first = seed, outcome
        return outcome

    def summary(self) -> dict[str, Any]:
        """Return what goes into the result beside the sums."""
        token = ""
        if self._first is not None:
            seed, outcome = self._first
            assert outcome.gravest is not None
            token = token_of(self._scenario, seed, outcome.events[:outcome.gravest.events])
        again = f"python -m harness replay {token}" if token else ""
        return {"coverage": {"seed": self._seed}, "replay": token, "again": again}

    def progress(self, runs: int | None) -> str:
        """Return the progress line."""
        tally = self._tally
        rate = tally.runs / (time.perf_counter() - tally.began)
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in tally.counts.items())
        of = f" of {runs:,}" if runs is not None else ""
        return f"{tally.scenario}: {tally.runs:,}{of} runs, {rate:,.0f}/s, {verdicts}"
