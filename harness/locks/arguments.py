"""Arguments of public functions, checked at the door: one line names the argument, what it was, and
what was expected.
"""

from __future__ import annotations

import inspect
import numbers
import threading
from collections.abc import Callable, Iterable
from typing import Any

from .callsite import shown
from .errors import ScenarioError

MOST = 10**9             # runs, schedules, what is counted
MOST_SEED = 2**128
_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
Rule = Callable[[str, Any], None]


def expected(name: str, value: Any, what: str) -> ScenarioError:
    """Return the refusal of *value*, the argument *name*."""
    return ScenarioError(f"{name} is {shown(value)}, expected {what}")


def whole(least: int = 1, most: int = MOST) -> Rule:
    """Rule: a whole number in a range."""
    def check(name: str, value: Any) -> None:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) \
                or int(value) < least:
            raise expected(name, value, f"a whole number of at least {least}" if least >= 0
                           else "a whole number")
        if int(value) > most:
            raise expected(name, value, f"at most {most:,}")
    return check


def seconds(name: str, value: Any) -> None:
    """Rule: a time above 0 that a thread can wait for; `threading` takes no fractions."""
    number: Any = value
    if not isinstance(value, (numbers.Integral, float)) or isinstance(value, bool) or \
            not 0 < number < threading.TIMEOUT_MAX:
        raise expected(name, value, "a number of seconds above 0")


def limit(name: str, value: Any) -> None:
    """Rule: a time that a thread may wait at most; a negative one is none at all."""
    number: Any = value
    if not isinstance(value, (numbers.Integral, float)) or not number <= threading.TIMEOUT_MAX:
        raise expected(name, value, f"a number of seconds, at most {threading.TIMEOUT_MAX:g}")


def text(name: str, value: Any) -> None:
    """Rule: a string."""
    if not isinstance(value, str):
        raise expected(name, value, "a string")


def flag(name: str, value: Any) -> None:
    """Rule: True or False."""
    if not isinstance(value, bool):
        raise expected(name, value, "True or False")


def function(name: str, value: Any) -> None:
    """Rule: what can be called."""
    if not callable(value):
        raise expected(name, value, "a callable")


def plain(name: str, value: Any) -> None:
    """Rule: what one calls for what it returns, no generator and no coroutine."""
    function(name, value)
    code = getattr(value, "__code__", None)
    if code is not None and getattr(code, "co_flags", 0) & _LAZY:
        raise expected(name, value, "a plain function: to call a generator or a coroutine does "
                                    "nothing")


def one_of(words: Iterable[str]) -> Rule:
    """Rule: one of some words."""
    known = list(words)

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in known:
            raise expected(name, value, f"one of {', '.join(known)}")
    return check


def or_none(rule: Rule) -> Rule:
    """Rule: None, or what another one says."""
    def check(name: str, value: Any) -> None:
        if value is not None:
            rule(name, value)
    return check
