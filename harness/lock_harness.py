"""What a test gets from the fixture `lock_harness`: the tools of `harness`, which fail the test.

pytest-timeout ends a test, and with its thread method the whole process without a summary. So every
call here is kept within what is left until then (`limits`): our verdict comes first.

The plugin imports this file when a test uses the fixture, not before. It knows nothing of options
and markers: the fixture hands it what they come to.
"""

from __future__ import annotations

import functools
import json
import math
import os
import random
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest

from . import api, forcing, prediction, replaying, stress_loop
from .ambient import AmbientRun
from .report import proof
from .crew import GRACE
from .scenario import _takes_rng, name_of, reference_of
from .verdict import Finding, Outcome, Result, Verdict

_TOOLS: dict[str, Callable[..., Result]] = {
    "run": api.run, "force": forcing.force, "predict": prediction.predict,
    "stress": stress_loop.stress}   # `explore` would stand here, and be a method like the others
LONGEST = 10.0    # seconds that the lock order of one watched test is judged for, at most
_OF_A_CALL = ("timeout", "runs", "seed")                            # settings of every tool
_FAILS = Verdict.DEADLOCK, Verdict.PREDICTED
_HANGS = Verdict.DEADLOCK, Verdict.HANG, Verdict.PREDICTED


@dataclass(repr=False)
class LockHarness:
    """The tools of `harness` for one test.

    Each takes a scenario, the keyword arguments of the function of the same name in `harness`, and
    `expect`: a verdict or its word, or several of them. Each returns the result.

    Attributes:
        settings: timeout, runs, seed, baseline: what holds where a call does not say; predict:
            whether what is run, forced or stressed is predicted, too.
        token: what --replay asked for, or "".
        replay_option: how that option is called.
        alarm: when pytest-timeout ends the test, by time.monotonic(), and after how many seconds.
        interrupted: where a run stood when Ctrl-C ended it, or "".

    Raises:
        pytest.fail.Exception: the verdict is not expected; `not-reached` and `inconclusive` are no
            pass either.
        ScenarioError: the scenario or an argument makes no sense.
    """

    item: pytest.Item
    settings: Mapping[str, Any]
    token: str = ""
    replay_option: str = "--replay"
    alarm: tuple[float, float] = (math.inf, math.inf)
    interrupted: str = ""
    _predicted: list[Any] = field(default_factory=list)
    _results: list[Result] = field(default_factory=list)
    _notes: list[tuple[str, str]] = field(default_factory=list)

    def run(self, scenario: Callable[[], Any], *, expect: Any = "clean",
            **arguments: Any) -> Result:
        """Let the roles of *scenario* race."""
        __tracebackhide__ = True
        return self._judge(expect, "run", scenario, arguments)

    def force(self, scenario: Callable[[], Any], *, expect: Any = "clean",
              **arguments: Any) -> Result:
        """Make the roles of *scenario* meet where it says."""
        __tracebackhide__ = True
        return self._judge(expect, "force", scenario, arguments)

    def predict(self, scenario: Callable[[], Any], *, expect: Any = "clean",
                **arguments: Any) -> Result:
        """Name the deadlocks that the order of the locks allows, and make them happen."""
        __tracebackhide__ = True
        return self._judge(expect, "predict", scenario, arguments)

    def stress(self, scenario: Callable[..., Any], *, expect: Any = "clean",
               **arguments: Any) -> Result:
        """Race with random noise, in random worlds where the scenario offers them."""
        __tracebackhide__ = True
        return self._judge(expect, "stress", scenario, arguments)

    def __repr__(self) -> str:
        return f"<lock_harness of {self.item.nodeid}>"

    def sections(self) -> list[tuple[str, str]]:
        """Return what the report of a failing test adds to its message: titles and texts."""
        results = [(f"lock harness: {result.scenario}", str(result)) for result in self._results]
        return results + self._notes

    def _judge(self, expect: Any, tool: str, scenario: Any, arguments: dict[str, Any]) -> Result:
        """Fail the test unless the verdict is expected."""
        __tracebackhide__ = True
        expected = _verdicts(expect)
        result = self._play(tool, scenario, arguments)
        properties = self.item.user_properties
        properties.append(("harness_verdict", str(result.verdict)))
        if result.replay:
            properties.append(("harness_replay", result.replay))
        if result.again or result.verdict not in expected:
            # Only pytest is sure to find the modules of a test.
            result.again = self._command(result.replay)
        if result.verdict in expected:
            self._results.append(result)
            if not set(expected).intersection(_HANGS):
                self._predict_too(tool, scenario, arguments, result)
            return result
        properties.append(("harness_again", result.again))
        wanted = " or ".join(map(str, expected))
        pytest.fail(str(result) if wanted == "clean" else f"{result}\n\nExpected: {wanted}",
                    pytrace=False)

    def _predict_too(self, tool: str, scenario: Any, arguments: dict[str, Any],
                     result: Result) -> None:
        """Fail the test if the lock order of *scenario* allows a deadlock, where that is asked for."""
        __tracebackhide__ = True
        key = getattr(scenario, "reference", scenario)
        if not self.settings.get("predict") or self.token or key in self._predicted:
            return
        self._predicted.append(key)
        if tool == "predict":
            return
        if tool == "stress" and _takes_rng(scenario):
            scenario = _of_seed(scenario, f"{result.coverage['seed']}/0")
        asked = {name: arguments[name] for name in ("timeout", "detect") if name in arguments}
        predicted = self._play("predict", scenario, {"runs": None, **asked})
        if predicted.verdict in _FAILS:
            predicted.outcome.notes.append(f"The call itself, {tool}, came to {result.verdict}; this is "
                                           f"what --predict makes of its scenario.")
            fail_with(self.item, predicted, self._command("", "--predict "))
        if predicted.verdict is Verdict.INCONCLUSIVE:
            warn_of(self.item, predicted)

    def _play(self, tool: str, scenario: Any, arguments: dict[str, Any]) -> Result:
        """Run, force, stress or replay; keep what is known if that is interrupted."""
        __tracebackhide__ = True
        named = self._named(scenario)
        asked = self._with_settings(tool, arguments)
        left = self.alarm[0] - time.monotonic()
        timeout, seconds = limits(left, asked["timeout"], asked["seconds"])
        try:
            if self.token and self._is_recorded(scenario, named):
                return replaying.replay(self.token, named, timeout=timeout)
            result = _TOOLS[tool](named, **asked | {"timeout": timeout, "seconds": seconds})
        except api.Interrupted as exc:
            self.interrupted = str(exc.result)
            raise
        except BaseException as exc:   # pytest-timeout's signal raises in the middle of a run
            self._note_waits(getattr(exc, "outcome", None))
            raise
        hurried, cut = timeout != asked["timeout"], seconds != asked["seconds"]
        few = cut and result.seconds >= (seconds or 0) if tool == "predict" else \
            cut and result.coverage["runs"] < (asked.get("runs") or math.inf)
        if few and result.verdict is Verdict.CLEAN:
            _make_inconclusive(result)
        if few or (cut and result.verdict is Verdict.INCONCLUSIVE) \
                or (hurried and result.how == "timed out"):
            result.outcome.notes.append("Limited so as to end before pytest-timeout ends the test "
                                        f"after {self.alarm[1]:g} s")
        return result

    def _with_settings(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return *arguments*, with the settings for those not given."""
        settings = {name: self.settings[name] for name in _OF_A_CALL if name in self.settings}
        asked = {"timeout": api.TIMEOUT, "seconds": None} | settings | arguments
        if tool == "predict":
            asked.setdefault("baseline", self.settings.get("baseline"))
            asked.setdefault("runs", None)
        if tool != "stress":
            if "seed" not in arguments:
                asked.pop("seed", None)
            asked.setdefault("runs", 1)
        elif asked.get("runs") is None and asked["seconds"] is None:
            asked["runs"] = stress_loop.RUNS
        return asked

    def _named(self, scenario: Any) -> Any:
        """Return *scenario* with a reference for tokens: if it has none, one to this test."""
        if not callable(scenario) or reference_of(scenario) is not None:
            return scenario

        @functools.wraps(scenario)
        def named(*args: Any, **kwargs: Any) -> Any:
            return scenario(*args, **kwargs)

        qualname = getattr(scenario, "__qualname__", "")
        named.scenario_name = name_of(scenario) if qualname else "a scenario"    # type: ignore
        named.reference = f"{self.item.nodeid}::{qualname}", {}                  # type: ignore
        return named

    def _is_recorded(self, scenario: Any, named: Any) -> bool:
        """Say whether the token was recorded of *scenario*, as far as that can be known."""
        recorded, _, _ = replaying.decode(self.token)
        if named is not scenario and "::" not in recorded[0]:
            return True   # no name to compare, and the token names no other test
        return json.loads(json.dumps(reference_of(named))) == [*recorded]

    def _command(self, token: str, options: str = "") -> str:
        """Return the command that runs the test again, from where pytest was called."""
        command = command_of(self.item, options)
        return f"{command} {self.replay_option} {token}" if token else command

    def _note_waits(self, outcome: Outcome | None) -> None:
        if outcome is not None and outcome.gravest is not None:
            self._notes.append(("lock harness: who waited for whom when the test was ended",
                                "\n".join(proof(outcome.gravest))))


def watched(item: pytest.Item, body: Callable[[], Any], baseline: Mapping[str, str],
            alarm: float) -> None:
    """Call the body of a test that --predict watches; fail it for a deadlock that happened or could.

    Args:
        baseline: cycles that are known.
        alarm: when pytest-timeout ends the test, by time.monotonic().
    """
    __tracebackhide__ = True
    run = AmbientRun(item.nodeid)
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
    if predicted is not None and predicted.verdict in _FAILS:
        fail_with(item, predicted, again)
    if predicted is not None and predicted.verdict is Verdict.INCONCLUSIVE:
        warn_of(item, predicted)


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


def _of_seed(scenario: Callable[..., Any], seed: str) -> Callable[[], Any]:
    """Return *scenario* with the random world of *seed*."""
    @functools.wraps(scenario)
    def seeded() -> Any:
        return scenario(rng=random.Random(seed))
    return seeded


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


def _make_inconclusive(result: Result) -> None:
    """Turn *result*, which is clean, into `inconclusive`: less was run than asked for."""
    result.verdict, result.how = Verdict.INCONCLUSIVE, "timed out"
    result.outcome.findings.append(Finding(
        result.verdict, result.how, "less was run than asked for, and nothing found",
        events=len(result.outcome.events)))


def _verdicts(expect: Any) -> list[Verdict]:
    """Return the verdicts that *expect* names."""
    __tracebackhide__ = True
    several = isinstance(expect, Iterable) and not isinstance(expect, str)
    try:
        found = [Verdict(each) for each in (expect if several else [expect])]
    except ValueError as exc:
        raise pytest.UsageError(f"expect: {exc}; the verdicts are "
                                f"{', '.join(map(str, Verdict))}") from None
    if not found:
        raise pytest.UsageError("expect: no verdict is given")
    return found
