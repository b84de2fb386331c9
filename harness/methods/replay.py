"""replay: run again what a token recorded, on real threads, one role at a time.

A token of `stress` keeps the order of lock operations, one of `explore` every step. Both are
schedules for one follower (exploration/follower.py).
"""

from __future__ import annotations

import itertools
import random
import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from ..exploration.controlled_run import ControlledRun
from ..exploration.follower import NEXT, Follower, Turn
from ..exploration.rounds import is_hang
from ..exploration.stable_ids import Names
from ..exploration.token import Moves, Schedule, decode
from ..patching.patched import current_patch
from ..programs.named import may_be_named, scenario_named
from ..report.result import Result
from ..runtime.building import build, has_built
from ..runtime.enders import Enders
from ..runtime.scenario import Scenario, name_of
from ..runtime.solo_run import Unfinished
from ..runtime.verdict import Finding, Outcome, Verdict
from .defaults import TIMEOUT
from .tally import UNFINISHED, check_arguments, result_of, workers_of_a_call

NOT_BEGUN = Finding(Verdict.INCONCLUSIVE, "observed", "interrupted before it began")


def replay(token: str, scenario: Callable[..., Any] | None = None, *,
           timeout: float = TIMEOUT) -> Result:
    """Run again what *token* recorded.

    Args:
        scenario: the scenario, whatever the token names. Without it that is called: a token of a
            stranger's may name functions of files in the current directory, nothing else.

    Raises:
        ScenarioError: the token or the scenario cannot be used.
        Interrupted: Ctrl-C; its `result` says where the run stood.
    """
    check_arguments(timeout=timeout, **({} if scenario is None else {"scenario": scenario}))
    reference, seed, schedule = decode(token)
    if scenario is None:
        scenario = scenario_named(*reference)
    explored = isinstance(schedule, Moves)
    name, began, is_first = name_of(scenario), time.perf_counter(), not has_built(scenario)
    with workers_of_a_call(lambda cut: result_of(name, cut or Outcome([NOT_BEGUN], []), {"runs": 1},
                                                 began, replay=token), timeout) as workers:
        try:
            world = build(scenario, name, None if explored else random.Random(seed))
            follower = _follower(schedule, world)
            names = Names()
            names.start_at({point: {} for point in getattr(schedule, "points", ())})
            names.enders = Enders(getattr(schedule, "ends", ()))
            run = ControlledRun(world, follower, names, timeout, full=True, numbered=not explored,
                                together=not explored)
            outcome = run.play(workers)
        except Unfinished as exc:
            exc.outcome.notes.append(UNFINISHED)
            return result_of(name, exc.outcome, {"runs": 0}, began, replay=token)
    changed = _changed(schedule, run, follower, outcome)
    if run.round and explored and not changed:    # the same that was found to be one
        is_hang(outcome)
    if changed:
        note = f"the code has changed since this was recorded: {changed}"
        if explored and not is_first:
            note += ", or it does something else in a process in which a world of its module was " \
                    "built before"
        if outcome.findings:
            outcome.notes.append(note)
        else:
            outcome.findings.append(Finding(Verdict.NOT_REACHED, "observed", note))
    return result_of(name, outcome, {"runs": 1, "replayed_operations": follower.passed}, began,
                     world, replay=token)


def again(token: str, reference: str) -> str:
    """Return the command that replays *token*, which names *reference*."""
    words = f" {shlex.quote(reference)}" if reference and not may_be_named(reference) else ""
    patch = " --patch" if current_patch() is not None else ""
    return f"python -m harness replay {token}{words}{patch}"


def _follower(schedule: Schedule | Moves, world: Scenario) -> Follower:
    if isinstance(schedule, Moves):
        return Follower([Turn(role, NEXT, gives_up) for role, gives_up in schedule.steps])
    numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)    # by role
    return Follower([Turn(role, next(numbers[role])) for role in schedule],
                    polls=world.program is not None)


def _changed(schedule: Schedule | Moves, run: ControlledRun, follower: Follower,
             outcome: Outcome) -> str:
    """Say how the run differs from the one that was recorded, or "" if that cannot be seen."""
    if follower.diverged:
        return follower.diverged
    explored = isinstance(schedule, Moves)
    total = len(schedule.steps) if isinstance(schedule, Moves) else len(schedule)
    if follower.passed < total:
        what = "it came to this" if outcome.findings and not explored else "every role ended"
        return f"{what} after {follower.passed} of {total} {'steps' if explored else 'operations'}"
    if explored and not outcome.findings:
        return "the schedule was followed, the roles went on, and nothing failed"
    # What goes round may have been ended earlier: that was known by then.
    if explored and not run.round and Moves.of(run) != schedule:
        return "the roles take their steps in the same order, but the steps are others"
    return ""
