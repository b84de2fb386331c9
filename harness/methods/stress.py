"""stress: race again and again, with random noise at lock events and, where the scenario offers it,
in random worlds.

A passing stress run proves nothing; its report says how much was tried. The first failure is kept
with a token that shows it again.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

from ..exploration.token import token_of
from ..locks.task import Task
from ..report.result import Result
from ..runtime.observer import Observer
from ..runtime.process_state import settled
from ..runtime.free_run import FreeRun
from ..runtime.scenario import build, name_of
from ..runtime.verdict import Outcome, Verdict
from ..runtime.workers import Workers
from .tally import TIMEOUT, Tally, check_arguments, interrupted

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
    check_arguments(1 if runs is None else runs, seconds, timeout, detect)
    if runs is None and seconds is None:
        runs = RUNS
    loop = _Loop(scenario, random.randrange(2**32) if seed is None else seed, timeout, detect)
    end = None if seconds is None else time.monotonic() + seconds
    try:
        with settled(SWITCH_INTERVAL), Workers() as workers:
            while runs is None or loop.tally.runs < runs:
                if end is not None and time.monotonic() >= end:
                    break
                outcome = loop.once(workers, end)
                if progress:
                    loop.show(runs)
                if outcome.stuck:
                    break
    except KeyboardInterrupt as exc:
        raise interrupted(exc, loop.tally, **loop.summary()) from None
    finally:
        if progress:
            print(file=sys.stderr)
    return loop.tally.result(**loop.summary())


class _Loop:
    """The state of one stress loop: its seed, its sums, its first failure."""

    def __init__(self, scenario: Callable[..., Any], seed: int, timeout: float, detect: str) -> None:
        self._scenario, self._seed, self._timeout, self._detect = scenario, seed, timeout, detect
        self.tally = Tally(name_of(scenario))
        self._first: tuple[str, Outcome] | None = None
        self._shown = 0.0

    def once(self, workers: Workers, end: float | None) -> Outcome:
        """Do one run."""
        seed = f"{self._seed}/{self.tally.runs}"
        made = build(self._scenario, self.tally.scenario, random.Random(seed))
        outcome = FreeRun(made, [Noise(seed)], self._detect, self._timeout, end).play(workers)
        cut = outcome.verdict is Verdict.INCONCLUSIVE
        if cut and self.tally.runs:
            return outcome   # the time was up in the middle of a run: it counts for nothing
        self.tally.add(outcome, made)
        if self.tally.kept is outcome and outcome.findings:
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

    def show(self, runs: int | None) -> None:
        """Write the progress line, at most ten times a second."""
        now = time.perf_counter()
        if now - self._shown < 0.1:
            return
        self._shown = now
        done, elapsed = self.tally.runs, now - self.tally.began
        found = ", ".join(f"{n} {verdict}" for verdict, n in self.tally.counts.items())
        of = f" of {runs:,}" if runs is not None else ""
        print(f"\r{self.tally.scenario}: {done:,}{of} runs, {done / elapsed:,.0f}/s, {found} ",
              end="", file=sys.stderr, flush=True)
