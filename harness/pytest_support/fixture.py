"""What a test gets from the fixture `lock_harness`: the tools of `harness`, which fail the test.

pytest-timeout ends a test, and with its thread method the whole process without a summary. So every
call here is kept within what is left until then (`limits`): our verdict comes first.

The plugin imports this file when a test uses the fixture, not before. It knows nothing of options
and markers: the fixture hands it what they come to.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import pytest
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..exploration.token import decode
from ..locks.errors import ScenarioError, unknown_name
from ..methods.explore import explore
from ..methods.force import force
from ..methods.predict import predict
from ..methods.replay import replay
from ..methods.run import race, run
from ..methods.stress import RUNS, stress
from ..methods.ctrl_c import Interrupted
from ..methods.defaults import TIMEOUT
from ..methods.tally import check_arguments
from ..report.proof import proof
from ..report.result import Result, matched_nothing
from ..runtime.scenario import name_of, reference_of, takes_rng
from ..runtime.verdict import Finding, Verdict
from .watch import command_of, fail_with, judge, limits, note, note_known

__tracebackhide__ = True    # of all that is here: what pytest shows is the test
_Factory = Callable[..., Any]
# The settings that a tool takes beside the timeout, and what holds where they are not set.
_TOOLS: dict[str, tuple[Callable[..., Result], dict[str, Any]]] = {
    "run": (race, {"runs": None}), "force": (force, {"runs": 1}),
    "predict": (predict, {"runs": None, "baseline": None}), "explore": (explore, {"seed": None}),
    "stress": (stress, {"runs": None, "seed": None})}
_OUTCOMES = pytest.fail.Exception, pytest.skip.Exception
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

    def run(self, scenario: _Factory, *, expect: Any = "clean", **arguments: Any) -> Result:
        """Let the roles of *scenario* race."""
        return self._judge(expect, "run", scenario, arguments)

    def force(self, scenario: _Factory, *, expect: Any = "clean", **arguments: Any) -> Result:
        """Make the roles of *scenario* meet where it says."""
        return self._judge(expect, "force", scenario, arguments)

    def predict(self, scenario: _Factory, *, expect: Any = "clean", **arguments: Any) -> Result:
        """Name the deadlocks that the order of the locks allows, and make them happen."""
        return self._judge(expect, "predict", scenario, arguments)

    def explore(self, scenario: _Factory, *, expect: Any = "clean", **arguments: Any) -> Result:
        """Run every order of the lock operations."""
        return self._judge(expect, "explore", scenario, arguments)

    def stress(self, scenario: _Factory, *, expect: Any = "clean", **arguments: Any) -> Result:
        """Race with random noise, in random worlds where the scenario offers them."""
        return self._judge(expect, "stress", scenario, arguments)

    def __repr__(self) -> str:
        return f"<lock_harness of {self.item.nodeid}>"

    def sections(self) -> list[tuple[str, str]]:
        """Return what the report of a failing test adds to its message: titles and texts."""
        results = [(f"lock harness: {result.scenario}", str(result)) for result in self._results]
        return results + self._notes

    def _judge(self, expect: Any, tool: str, scenario: Any, arguments: dict[str, Any]) -> Result:
        """Fail the test unless the verdict is expected."""
        expected = _verdicts(expect)
        result = self._play(tool, scenario, arguments)
        again = command_of(self.item)
        if result.replay:
            again += f" {self.replay_option} {result.replay}"
        if result.verdict not in expected:
            fail_with(self.item, result, again, " or ".join(map(str, expected)))
        note(self.item, result)
        if result.again:
            result.again = again   # only pytest is sure to find the modules of a test
        self._results.append(result)
        if not set(expected).intersection(_HANGS):
            self._predict_too(tool, scenario, arguments, result)
        return result

    def _predict_too(self, tool: str, scenario: Any, arguments: dict[str, Any],
                     result: Result) -> None:
        """Fail the test if the lock order of *scenario* allows a deadlock, where that is wanted."""
        key = getattr(scenario, "reference", scenario)
        if not self.settings.get("predict") or self.token or key in self._predicted:
            return
        self._predicted.append(key)
        if tool == "predict":
            return
        if tool == "stress" and takes_rng(scenario):
            scenario = _of_seed(scenario, f"{result.coverage['seed']}/0")
        asked = {name: value for name, value in arguments.items() if name in ("timeout", "detect")}
        predicted = self._play("predict", scenario, {"runs": None, **asked})
        predicted.outcome.notes.append(f"The call itself, {tool}, came to {result.verdict}; this "
                                       f"is what --predict makes of its scenario.")
        judge(self.item, predicted)

    def _play(self, tool: str, scenario: Any, arguments: dict[str, Any]) -> Result:
        """Run, force, stress or replay; keep what is known if that is interrupted."""
        named = self._named(scenario)
        asked = self._with_settings(tool, arguments)
        left = self.alarm[0] - time.monotonic()
        timeout, seconds = limits(left, asked["timeout"], asked["seconds"])
        try:
            if self.token and self._is_recorded(scenario, named):
                self.item.user_properties.append(("harness_replayed", "yes"))
                return replay(self.token, named, timeout=timeout)
            result = _TOOLS[tool][0](named, **{**asked, "timeout": timeout, "seconds": seconds})
        except ScenarioError as exc:
            cause = exc.__cause__
            if cause is not None and issubclass(type(cause), _OUTCOMES):
                raise cause from None    # the world asks to skip the test, say
            raise
        except Interrupted as exc:
            self.interrupted = str(exc.result)
            raise
        except BaseException as exc:   # pytest-timeout's signal raises in the middle of a run
            finding = getattr(getattr(exc, "outcome", None), "gravest", None)
            if finding is not None:
                self._notes.append(("lock harness: who waited for whom when the test was ended",
                                    "\n".join(proof(finding))))
            raise
        note_known(self.item, result)
        if "baseline" not in arguments:
            result.unmatched = []    # another test may match it: the end of the session says so
        for line in matched_nothing(result.unmatched):
            self.item.warn(pytest.PytestWarning(f"lock_harness: {line}"))
        hurried, cut = timeout != asked["timeout"], seconds != asked["seconds"]
        few = cut and tool != "explore" and (   # which says itself that it was cut short
            result.seconds >= (seconds or 0) if tool == "predict" or asked.get("some") else
            result.coverage["runs"] < (asked.get("runs") or math.inf))
        if few and result.verdict is Verdict.CLEAN:
            _make_inconclusive(result)
        if few or (cut and result.verdict is Verdict.INCONCLUSIVE) \
                or (hurried and result.how == "timed out"):
            result.outcome.notes.append("Limited so as to end before pytest-timeout ends the test "
                                        f"after {self.alarm[1]:g} s")
        return result

    def _with_settings(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return *arguments*, those that the tool has, with the settings for those not given."""
        asked = {"timeout": TIMEOUT, "seconds": None} | _TOOLS[tool][1]
        asked |= {name: value for name, value in self.settings.items() if name in asked} | arguments
        known = inspect.signature(run if tool == "run" else _TOOLS[tool][0]).parameters
        for name in arguments:
            if name not in known:
                raise unknown_name(f"lock_harness.{tool}: unknown argument", name, list(known))
        check_arguments(timeout=asked["timeout"], seconds=asked["seconds"])
        if tool == "stress" and asked["runs"] is None and asked["seconds"] is None:
            asked["runs"] = RUNS
        if tool == "run":
            asked["some"] = asked["runs"] is None and asked["seconds"] is None
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
        recorded, _, _ = decode(self.token)
        if named is not scenario and "::" not in recorded[0]:
            return True   # no name to compare, and the token names no other test
        return bool(json.loads(json.dumps(reference_of(named))) == [*recorded])


def _of_seed(scenario: _Factory, seed: str) -> Callable[[], Any]:
    """Return *scenario* with the random world of *seed*."""
    @functools.wraps(scenario)
    def seeded() -> Any:
        return scenario(rng=random.Random(seed))
    return seeded


def _make_inconclusive(result: Result) -> None:
    """Turn *result*, which is clean, into `inconclusive`: less was run than asked for."""
    result.verdict, result.how = Verdict.INCONCLUSIVE, "timed out"
    result.outcome.findings.append(Finding(
        result.verdict, result.how, "less was run than asked for, and nothing found",
        events=len(result.outcome.events)))


def _verdicts(expect: Any) -> list[Verdict]:
    """Return the verdicts that *expect* names."""
    several = isinstance(expect, Iterable) and not isinstance(expect, str)
    try:
        found = [Verdict(each) for each in (expect if several else [expect])]
    except ValueError as exc:
        raise pytest.UsageError(f"expect: {exc}") from None
    if not found:
        raise pytest.UsageError("expect: no verdict is given")
    return found
