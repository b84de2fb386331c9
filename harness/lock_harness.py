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
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from . import api, replaying, stress_loop
from .report import proof
from .crew import GRACE
from .scenario import name_of, reference_of
from .verdict import Finding, Outcome, Result, Verdict

_TOOLS: dict[str, Callable[..., Result]] = {
    "run": api.run, "force": api.force, "stress": stress_loop.stress}


@dataclass(repr=False)
class LockHarness:
    """The tools of `harness` for one test.

    Each takes a scenario, the keyword arguments of the function of the same name in `harness`, and
    `expect`: a verdict or its word, or several of them. Each returns the result.

    Attributes:
        settings: timeout, runs, seed: what holds where a call does not say.
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

    def _judge(self, expect: Any, *call: Any) -> Result:
        """Fail the test unless the verdict of *call* is expected."""
        __tracebackhide__ = True
        expected = _verdicts(expect)
        result = self._play(*call)
        properties = self.item.user_properties
        properties.append(("harness_verdict", str(result.verdict)))
        if result.replay:
            properties.append(("harness_replay", result.replay))
        if result.again or result.verdict not in expected:
            # Only pytest is sure to find the modules of a test.
            result.again = self._command(result.replay)
        if result.verdict in expected:
            self._results.append(result)
            return result
        properties.append(("harness_again", result.again))
        wanted = " or ".join(map(str, expected))
        pytest.fail(str(result) if wanted == "clean" else f"{result}\n\nExpected: {wanted}",
                    pytrace=False)

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
        few = cut and result.coverage["runs"] < (asked.get("runs") or math.inf)
        if few and result.verdict is Verdict.CLEAN:
            _make_inconclusive(result)
        if few or (cut and result.verdict is Verdict.INCONCLUSIVE) \
                or (hurried and result.how == "timed out"):
            result.outcome.notes.append("Limited so as to end before pytest-timeout ends the test "
                                        f"after {self.alarm[1]:g} s")
        return result

    def _with_settings(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return *arguments*, with the settings for those not given."""
        asked = {"timeout": api.TIMEOUT, "seconds": None} | dict(self.settings) | arguments
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

    def _command(self, token: str) -> str:
        """Return the command that runs the test again, from where pytest was called."""
        config = self.item.config
        path, colons, name = self.item.nodeid.partition("::")
        path = os.path.relpath(config.rootpath / path, config.invocation_params.dir)
        command = f"python -m pytest {shlex.quote(path + colons + name)}"
        return f"{command} {self.replay_option} {token}" if token else command

    def _note_waits(self, outcome: Outcome | None) -> None:
        if outcome is not None and outcome.gravest is not None:
            self._notes.append(("lock harness: who waited for whom when the test was ended",
                                "\n".join(proof(outcome.gravest))))


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
