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

from ..exploration.token import decode, token_of
from ..report.result import Result
from ..runtime.verdict import Outcome
from ..runtime.workers import Workers
from .noise import Noise
from .replay import again as replay_again
from .defaults import TIMEOUT
from .tally import Call, check_arguments, progress_line, repeat

RUNS = 1000              # when neither runs nor seconds are given
SWITCH_INTERVAL = 1e-4   # seconds between the interpreter's own thread switches meanwhile


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
    check_arguments(seed=seed, progress=progress)
    call = Call(scenario, runs, seconds, timeout, detect)
    if runs is None and seconds is None:
        runs = RUNS
    if seed is None:
        seed = random.randrange(2**32)
    kept_seed = ""    # of the run that is kept

    def once(workers: Workers) -> Outcome:
        nonlocal kept_seed
        run_seed = f"{seed}/{call.runs}"
        world = call.build(random.Random(run_seed))
        outcome = call.play(workers, world, [Noise(run_seed)])
        call.add(outcome, world)
        if call.kept is outcome:
            kept_seed = run_seed
        update()
        return outcome

    def summary() -> dict[str, Any]:
        token, finding = "", call.kept.gravest if call.kept else None
        if call.kept is not None and finding is not None:
            token = token_of(scenario, kept_seed, call.kept.events[:finding.events])
        return {"coverage": {"seed": seed}, "replay": token,
                "again": replay_again(token, decode(token)[0][0]) if token else ""}

    def progress_text() -> str:
        rate = call.runs / (time.perf_counter() - call.began)
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in call.counts.items())
        of = "" if runs is None else f" of {runs:,}"
        return f"{call.scenario}: {call.runs:,}{of} runs, {rate:,.0f}/s, {verdicts}"

    with progress_line(progress, progress_text) as update:
        return repeat(call, runs, once, at_least=0, switch_interval=SWITCH_INTERVAL, more=summary)
