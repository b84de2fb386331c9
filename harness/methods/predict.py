"""predict: name every deadlock that the order of the locks allows, from clean runs, and make it happen.

First the roles run one after the other, nothing is forced, and `LockOrder` records. Then each cycle is
judged (feasibility.py), its meeting is built and the roles are made to meet on real threads. What a finding
is worth is its status (finding.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..lockorder.finding import checked_baseline
from ..lockorder.splat import paragraphs
from ..report.result import Result
from ..runtime.process_state import settled
from ..runtime.scenario import name_of
from ..runtime.workers import Workers
from .session import Session
from .tally import TIMEOUT, Tally, check_arguments, interrupted


def predict(scenario: Callable[[], Any], *, runs: int | None = None, seconds: float | None = None,
            timeout: float = TIMEOUT, detect: str = "block",
            baseline: Mapping[str, str] | str | os.PathLike[str] | None = None, lockdep: bool = False) -> Result:
    """Predict the deadlocks of *scenario* from clean runs, and force those that can happen.

    Args:
        runs: how many clean runs to learn from, each with another role first; default: one for each
            order of start, up to six.
        seconds: stop after this time.
        timeout, detect: of each run, as for `run`.
        baseline: cycle of classes -> why it is known, or a file of such lines (see `read_baseline`);
            a finding of that cycle is listed and nothing more.
        lockdep: say of each finding what the kernel's own validator would have made of it.

    Returns:
        `Result` whose `predictions` are the findings. Its verdict is ``deadlock`` if one was forced,
        ``predicted`` if one can happen only with further writers, or could not be forced; ``clean``
        if there is none but those that cannot happen.

    Raises:
        ScenarioError: the scenario or an argument makes no sense.
        Interrupted: Ctrl-C; its `result` is what was found so far.
    """
    check_arguments(runs, seconds, timeout, detect)
    known = checked_baseline(baseline)
    tally = Tally(name_of(scenario), seconds)
    session: Session | None = None
    try:
        with settled(), Workers() as workers:
            session = Session(scenario, tally, workers, timeout, detect, known)
            session.observe(runs)
            session.conclude()
            session.search_program()
            session.take_observed()
            session.hold_declared()
    except KeyboardInterrupt as exc:
        so_far = interrupted(exc, tally)
        if session is not None:
            so_far.result.predictions, so_far.result.splat = session.predictions, paragraphs
        raise so_far from None
    result = session.result()
    if lockdep:
        result.lockdep = session.kernel_says()
    return result
