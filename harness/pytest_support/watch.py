"""How a test fails with a report of ours, and how --predict watches the body of a test.

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

__tracebackhide__ = True    # of all that is here: what pytest shows is the test
NO_LOCK = "harness_no_lock"    # the property of a watched test that took no lock of ours
LONGEST = 10.0    # seconds that the lock order of one watched test is judged for, at most


def note(item: pytest.Item, result: Result) -> None:
    """Have the reports of pytest tell the verdict, also those in files."""
    item.user_properties.append(("harness_verdict", str(result.verdict)))
    if result.replay:
        item.user_properties.append(("harness_replay", result.replay))


def note_known(item: pytest.Item, predicted: Result) -> None:
    """Have the end of the session know which cycles of the baseline were met."""
    item.user_properties += [("harness_known", cycle) for cycle in predicted.known]


def fail_with(item: pytest.Item, result: Result, again: str, wanted: str = "clean") -> NoReturn:
    """Fail the test with the report of *result*, which *again* shows again."""
    result.again = again
    note(item, result)
    item.user_properties.append(("harness_again", again))
    pytest.fail(str(result) if wanted == "clean" else f"{result}\n\nExpected: {wanted}",
                pytrace=False)


def judge(item: pytest.Item, predicted: Result) -> None:
    """Fail the test for a deadlock; warn if prediction did not get to its end."""
    if predicted.verdict in (Verdict.DEADLOCK, Verdict.PREDICTED):
        fail_with(item, predicted, command_of(item, "--predict "))
    if predicted.verdict is Verdict.INCONCLUSIVE:
        item.warn(pytest.PytestWarning(f"--predict: {str(predicted).partition(chr(10))[0]}"))


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
    run = WatchedRun(item.nodeid)
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
        fail_with(item, run.observed(raised), command_of(item, "--predict "))
    if not run.saw_operation():
        item.user_properties.append((NO_LOCK, "yes"))
    now = time.monotonic()
    _, seconds = limits(alarm - now, LONGEST, LONGEST)
    predicted = run.predict(baseline, now + (seconds or 0))
    if predicted is not None:
        note_known(item, predicted)
        judge(item, predicted)


def limits(left: float, timeout: float, seconds: float | None) -> tuple[float, float | None]:
    """Return *timeout* and *seconds*, lowered so that a verdict comes within *left* seconds.

    A call may use half of what is left, or all but two of the runner's graces: one for a role that
    cannot be ended, one to spare. A silence is judged a quarter of the timeout late, more where the
    machine is busy, and must come to that before. What is infinite, or over (under a debugger),
    lowers nothing.
    """
    if not 0 < left < math.inf:
        return timeout, seconds
    whole = max(left / 2, left - 2 * GRACE)
    return min(timeout, left / 4), whole if seconds is None else min(seconds, whole)
