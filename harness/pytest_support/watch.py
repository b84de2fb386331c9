"""How --predict fails a test: one whose body is watched, and one of whose scenarios something is
predicted.

What watches is in watched_run.py. The plugin imports this file when it is needed, not before.
"""

from __future__ import annotations

import math
import os
import pytest
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ..report.result import Result
from ..runtime.verdict import Verdict
from ..runtime.workers import GRACE
from .watched_run import WatchedRun

LONGEST = 10.0    # seconds that the lock order of one watched test is judged for, at most
FAILS = Verdict.DEADLOCK, Verdict.PREDICTED


def fail_with(item: pytest.Item, result: Result, again: str) -> NoReturn:
    """Fail the test with the report of *result*, which *again* shows again."""
    __tracebackhide__ = True
    result.again = again
    item.user_properties += [("harness_verdict", str(result.verdict)), ("harness_again", again)]
    pytest.fail(str(result), pytrace=False)


def warn_of(item: pytest.Item, result: Result) -> None:
    """Warn that prediction did not get to its end."""
    item.warn(pytest.PytestWarning(f"--predict: {str(result).partition(chr(10))[0]}"))


def command_of(item: pytest.Item, options: str = "") -> str:
    """Return the command that runs *item* again, from where pytest was called."""
    path, colons, name = item.nodeid.partition("::")
    path = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    return f"python -m pytest {options}{shlex.quote(path + colons + name)}"


def watched(item: pytest.Item, body: Callable[[], Any], baseline: Mapping[str, str],
            alarm: float) -> None:
    """Call the body of a test that --predict watches; fail it for a deadlock seen or feared.

    Args:
        baseline: cycles that are known.
        alarm: when pytest-timeout ends the test, by time.monotonic().
    """
    __tracebackhide__ = True
    run = WatchedRun(item.nodeid)
    again = command_of(item, "--predict ")
    raised = None
    try:
        run.watch(body)
    except BaseException as exc:
        if run.waits:
            item.add_report_section("call", "who waited for whom", run.waits)
        if not run.findings or isinstance(exc, (KeyboardInterrupt, pytest.exit.Exception)):
            raise
        raised = exc
    if run.findings:
        if hasattr(item, "_excinfo"):
            item._excinfo = None   # of unittest, which keeps what unwound the test
        fail_with(item, run.observed(raised), again)
    now = time.monotonic()
    _, seconds = limits(alarm - now, LONGEST, LONGEST)
    predicted = run.predict(baseline, now + (seconds or 0))
    if predicted is not None and predicted.verdict in FAILS:
        fail_with(item, predicted, again)
    if predicted is not None and predicted.verdict is Verdict.INCONCLUSIVE:
        warn_of(item, predicted)


def limits(left: float, timeout: float, seconds: float | None) -> tuple[float, float | None]:
    """Return *timeout* and *seconds*, lowered so that a verdict comes within *left* seconds.

    A call may use half of what is left, or all but two of the runner's graces: one for a role that
    cannot be ended, one to spare. A silence is judged up to a quarter of the timeout late, and must
    come to that before. What is infinite, or over (under a debugger), lowers nothing.
    """
    if not 0 < left < math.inf:
        return timeout, seconds
    whole = max(left / 2, left - 2 * GRACE)
    return min(timeout, left / 3), whole if seconds is None else min(seconds, whole)
