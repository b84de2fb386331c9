"""What `python -O` leaves out: the `assert` statements of what is asked of a scenario.

The compiled code keeps no trace of them, so the source is read: of each check and invariant, and of
the functions of the user's own that it may call, as far as names lead to them. One whose source
cannot be read may have had an assertion, and is named too.
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import sysconfig
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any

from ..locks.callsite import is_verb, line_of, short_path
from .asking import code_of, described
from .scenario import Scenario

_MOST = 300    # functions looked at for one check
_NOT_THE_USERS = tuple(os.path.join(path, "") for path in
                       {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def cannot_fail(scenario: Scenario, optimized: bool = not __debug__) -> list[str]:
    """Return a sentence on each check and invariant from which Python took an assertion.

    Args:
        optimized: assertions are left out of code that is compiled now.
    """
    if not optimized:
        return []
    asked = {f"invariant {name!r}": function for name, function in scenario.invariants.items()}
    if scenario.check is not None:
        asked["the check at the end"] = scenario.check
    sentences = []
    for what, function in asked.items():
        found = next(filter(None, map(_left_out, _reached(function))), "")
        if found:
            sentences.append(f"Python runs with -O, which leaves out `assert`: {what} "
                             f"({described(function)}) {found}.")
    return sentences


def _left_out(code: CodeType) -> str:
    """Say what of *code* cannot fail, or "" if all that its source asserts is in it."""
    rewritten = any("@pytest_ar" in inner.co_names for inner in _all_code(code))
    if rewritten or code.co_name == "<lambda>":
        return ""    # pytest puts statements of its own in their place, and a lambda can hold none
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError):
        return f"cannot fail by an assertion, and the source of {code.co_name}, which would say " \
               f"whether it has one, cannot be read"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            line = line_of(code, -1) + node.lineno - 1
            return f"cannot fail by the assertion at {short_path(code.co_filename)}:{line}"
    return ""


def _reached(function: Any) -> Iterator[CodeType]:
    """Yield the code of *function*, and of the user's functions to which its names lead."""
    seen: set[CodeType] = set()
    todo = [function]
    while todo and len(seen) < _MOST:
        function = todo.pop()
        while isinstance(function, functools.partial):
            todo += [value for value in function.args if callable(value)]
            function = function.func
        function = inspect.unwrap(function) if callable(function) else function
        code = code_of(function)
        if code is None or code in seen or is_verb(code) \
                or code.co_filename.startswith(_NOT_THE_USERS):
            continue
        seen.add(code)
        yield code
        todo += _named(function, code)


def _named(function: Any, code: CodeType) -> Iterable[Callable[..., Any]]:
    """Return what the names in *code* may stand for, of functions, without running any code."""
    names = {name for inner in _all_code(code) for name in inner.co_names}
    owner = getattr(function, "__self__", None if isinstance(function, FunctionType) else function)
    plain = getattr(function, "__func__", function)
    if not isinstance(plain, FunctionType):
        plain = type(function).__call__
    owners = [owner, *map(plain.__globals__.get, names)]
    for cell in plain.__closure__ or ():
        with suppress(ValueError):    # nothing is in it yet
            owners.append(cell.cell_contents)
    for owner in owners:
        if owner is None:
            continue
        if isinstance(owner, FunctionType) or hasattr(type(owner), "__func__"):
            yield owner
        for name in names:
            attribute = inspect.getattr_static(owner, name, None)
            attribute = getattr(attribute, "__func__", attribute)    # of a static or class method
            if isinstance(attribute, FunctionType):
                yield attribute.__get__(owner)


def _all_code(code: CodeType) -> Iterator[CodeType]:
    """Yield *code* and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_code(constant)
