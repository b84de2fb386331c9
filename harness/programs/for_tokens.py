"""The mark of a function that makes scenarios and may be named by a token, with arguments.

A token comes from a mail: see named.py. Of the laboratory it may name marked functions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

# Says what is wrong with a value that a token gives, in words that follow it, or "".
Rule = Callable[[Any], str]
_rules: dict[Any, Mapping[str, Rule]] = {}
_Marked = TypeVar("_Marked", bound=Callable[..., Any])


def from_token(**rules: Rule) -> Callable[[_Marked], _Marked]:
    """Mark the decorated function.

    Args:
        rules: the parameters that a token may give, each with a rule for the value, which is as
            JSON has it.
    """
    def mark(function: _Marked) -> _Marked:
        _rules[function] = rules
        return function
    return mark


def rules_of(function: Any) -> Mapping[str, Rule] | None:
    """Return what a token may give *function*, None if it is not marked."""
    return _rules.get(function)


def text(value: Any) -> str:
    """Rule: a string."""
    return "" if type(value) is str else "which is no text"


def texts(value: Any) -> str:
    """Rule: a list of strings."""
    return "" if type(value) is list and not any(map(text, value)) else "which is no list of texts"


def json_path(value: Any) -> str:
    """Rule: the path of a file of lock programs, which is read, whatever it is."""
    return text(value) or ("" if value.endswith(".json") else "which is no .json file")
