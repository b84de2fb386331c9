"""replay: run again what a token recorded."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..exploration.follower import follow
from ..runtime.workers import Workers
from ..exploration.stable_ids import Names
from ..exploration.token import Moves, decode
from ..locks.errors import ScenarioError
from ..meetings.replayer import Replayer
from ..programs.loading import load
from ..report.result import Result
from ..runtime.process_state import settled
from ..runtime.free_run import FreeRun
from ..runtime.scenario import build, name_of
from ..runtime.verdict import Finding, Outcome, Verdict
from .tally import Interrupted, TIMEOUT, Tally, interrupted


def replay(token: str, scenario: Callable[..., Any] | None = None, *,
           timeout: float = TIMEOUT) -> Result:
    """Run again what *token* recorded.

    Args:
        scenario: the scenario, if it has no importable name.

    Raises:
        ScenarioError: the token or the scenario cannot be used.
    """
    (reference, arguments), seed, schedule = decode(token)
    if scenario is None and not reference:
        raise ScenarioError("this token names no scenario: call harness.replay(token, scenario)")
    if scenario is None:
        scenario = load(reference)
        if arguments:
            try:
                scenario = scenario(**arguments)
            except (TypeError, KeyError, ValueError) as exc:
                raise ScenarioError(f"{reference} cannot be built as this token asks: {exc}") from None
    if isinstance(schedule, Moves):
        from .replay import replay_moves
        return replay_moves(token, scenario, schedule, timeout)
    replayer = Replayer(schedule)
    tally = Tally(name_of(scenario))
    try:
        with settled(), Workers() as workers:
            made = build(scenario, tally.scenario, random.Random(seed))
            outcome = FreeRun(made, [replayer], "block", timeout).play(workers)
            tally.add(outcome, made)
    except KeyboardInterrupt as exc:
        raise interrupted(exc, tally) from None
    if not replayer.diverged and not outcome.findings and replayer.passed < len(schedule):
        replayer.diverged = f"every role ended after {replayer.passed} of {len(schedule)} operations"
    if replayer.diverged:
        note = f"the code has changed since this was recorded: {replayer.diverged}"
        if outcome.findings:
            outcome.notes.append(note)
        else:
            outcome.findings.append(Finding(Verdict.NOT_REACHED, "observed", note))
    result = tally.result(replay=token, coverage={"replayed_operations": replayer.passed})
    result.verdict = outcome.verdict
    return result


@dataclass
class _Replayed:
    """What a token is a schedule of."""

    scenario: Callable[..., Any]
    name: str
    names: Names
    timeout: float


def replay_moves(token: str, scenario: Callable[..., Any], moves: Moves, timeout: float) -> Result:
    """Run the schedule of an exploration again, as *token* has it; see `replay`."""
    began = time.perf_counter()
    world = _Replayed(scenario, name_of(scenario), Names(), timeout)
    labels = [2 * world.names.role(role) + gives_up for role, gives_up in moves.steps]
    try:
        with settled(), Workers() as workers:
            run, outcome = follow(world, workers, labels, full=True)
    except KeyboardInterrupt as exc:
        outcome = getattr(exc, "outcome", None) or Outcome([], [])
        raise Interrupted(Result(world.name, outcome.verdict, "observed", {"runs": 1}, outcome,
                                 time.perf_counter() - began, replay=token)) from None
    follower, scenario_ = run.chooser, run.scenario
    changed = follower.diverged
    if not changed and follower.passed < len(labels):
        changed = f"every role ended after {follower.passed} of {len(labels)} steps"
    if not changed and not outcome.findings:
        changed = "the schedule was followed, the roles went on, and nothing failed"
    elif not changed and Moves.of(run) != moves:
        changed = "the roles take their steps in the same order, but the steps are others"
    if changed:
        note = f"the code has changed since this was recorded: {changed}"
        if outcome.findings:
            outcome.notes.append(note)
        else:
            outcome.findings.append(Finding(Verdict.NOT_REACHED, "observed", note))
    how = outcome.gravest.how if outcome.gravest else "observed"
    return Result(world.name, outcome.verdict, how,
                  {"runs": 1, "replayed_operations": follower.passed}, outcome,
                  time.perf_counter() - began, replay=token, names=scenario_.function_name,
                  titles=scenario_.title)
