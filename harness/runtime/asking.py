"""Asking a scenario's check or invariant whether the world is right, and what its answer means.

One that returns None or True says yes, one that raises AssertionError or returns False says no.
Whatever else it returns is no answer, and a mistake of its author: a count, or a coroutine that
nobody ran, is not to be taken for a yes.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import reprlib
from collections.abc import Callable, Mapping
from types import AsyncGeneratorType, CodeType, CoroutineType, GeneratorType
from typing import Any

from ..locks.callsite import (first_line, function_name, is_a, place_of, raised, shown,
                              user_traceback)
from ..locks.errors import ScenarioError
from ..locks.task import Task, Unwind
from ..locks.user_code import Quiet
from .observer import Observer
from .verdict import Verdict

_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_SHORT = 60    # characters of source that a report quotes


class SaidNo(AssertionError):
    """A check or an invariant returned False."""


class NoAnswer(TypeError):
    """A check or an invariant returned something that is neither yes nor no."""


def ask(function: Callable[[], Any]) -> None:
    """Return if *function* says that the world is right.

    Raises:
        SaidNo, NoAnswer: it says no, or neither; else what it raises itself.
    """
    answer = function()
    if answer is None or answer is True:
        return
    if answer is False:
        raise SaidNo(f"it returned False: {described(function)}")
    if inspect.iscoroutine(answer):
        answer.close()    # else Python complains later that nobody waited for it
    raise NoAnswer(f"it returned {_shown(answer)}, expected True or None, or False: "
                   f"{described(function)}")


def failure(exc: BaseException, broken: str) -> tuple[Verdict, str, str]:
    """Return what it comes to that `ask` raised *exc*: verdict, words, and a traceback.

    Args:
        broken: what became of what was asked if the answer is no, in a word.
    """
    if is_a(exc, SaidNo) or is_a(exc, NoAnswer):
        verdict = Verdict.VIOLATION if is_a(exc, SaidNo) else Verdict.ERROR
        return verdict, f"{broken if verdict is Verdict.VIOLATION else 'gave no answer'}: {exc}", ""
    detail = user_traceback(exc)
    if is_a(exc, AssertionError):
        said = first_line(exc).partition(": ")[2]
        return Verdict.VIOLATION, f"{broken}: {said or 'it raised AssertionError'}", detail
    return Verdict.ERROR, raised(exc), detail


class Invariants(Observer):
    """Ask each invariant of a scenario after each event, until one fails; that ends the run.

    Args:
        invariants: name -> callable, as `ask` takes them.
        to_the_end: one that fails is noted, and the run goes on.
    """

    def __init__(self, invariants: Mapping[str, Callable[[], Any]], to_the_end: bool) -> None:
        self._invariants, self._to_the_end = invariants, to_the_end
        self._failed = False
        self._quiet: dict[Task, Quiet] = {}

    def attach(self, run: Any) -> None:
        self._run = run

    def look(self, task: Task, lock: Any = None, mode: str = "") -> None:
        """Ask each of them."""
        if self._failed:
            return
        quiet = self._quiet.get(task)
        if quiet is None:
            quiet = self._quiet[task] = Quiet()
        for name, invariant in self._invariants.items():
            try:
                quiet.call(f"invariant {name!r}", ask, invariant)
            except BaseException as exc:
                self._failed = True
                verdict, text, detail = failure(exc, "is broken")
                self._run.violated(f"invariant {name!r} {text}", detail, self._to_the_end, verdict)
                if not self._to_the_end:
                    raise Unwind from None
                return

    lock_acquire = lock_acquired = lock_release = role_start = look


def refuse_lazy(function: Any, what: str) -> None:
    """Refuse what does nothing when it is called, or cannot be called.

    Raises:
        ScenarioError: *function*, called *what*, is a coroutine function or a generator, or no
            callable.
    """
    if not callable(function):
        raise ScenarioError(f"{what} is {shown(function)}, expected a callable")
    code = code_of(function)
    if code is not None and code.co_flags & _LAZY:
        raise ScenarioError(f"{what} is a generator or a coroutine: calling it does nothing")


def without_assertions(scenario: Any, optimized: bool = not __debug__) -> list[str]:
    """Return what is to be said of the check and the invariants where Python leaves out `assert`.

    Which of them asserts cannot be told: the compiled code keeps no trace of it, and where a call
    leads is not to be read off the source. So all are named but those that say of themselves, by an
    attribute `without_assert`, that they raise in another way.

    Args:
        optimized: it does.
    """
    asked = {f"invariant {name!r}": function for name, function in scenario.invariants.items()}
    if scenario.check is not None:
        asked["the check at the end"] = scenario.check
    asked = {what: function for what, function in asked.items()
             if not getattr(function, "without_assert", False)}
    if not optimized or not asked:
        return []
    names = "; ".join(f"{what} ({described(function)})" for what, function in asked.items())
    return [f"Python runs with -O, which leaves out `assert` (except where pytest rewrites it), so "
            f"none of these can fail by an assertion, its own or of what it calls: {names}."]


def code_of(function: Any) -> CodeType | None:
    """Return the code that a call of *function* runs; None if that is not Python's."""
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__code__") and callable(function):
        function = type(function).__call__
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def described(function: Any) -> str:
    """Return what a reader knows *function* by: its name and its place; a short lambda's source."""
    code = code_of(function)
    if code is None:
        return _shown(function)
    name, place = function_name(code), place_of(code, -1)
    if name != "<lambda>":
        return f"{name} at {place}"
    source = _source_of_lambda(code)
    return f"lambda at {place}{f': {source}' if source else ''}"


@functools.lru_cache(maxsize=100)
def _source_of_lambda(code: CodeType) -> str:
    """Return the expression of a lambda, or "" if it is long or cannot be read."""
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    # Where its value is computed: of several lambdas in a line, only one ends there.
    ends = {(end, column) for _, end, _, column in code.co_positions()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and (node.body.end_lineno,
                                             node.body.end_col_offset) in ends:
            text = ast.get_source_segment(source, node.body) or ""
            return text if len(text) <= _SHORT and "\n" not in text else ""
    return ""


def _shown(value: Any) -> str:
    """Return a short text for *value*, the same in every run, whatever its own would do."""
    try:
        text = "" if "0x" in repr(value) else reprlib.repr(value)    # no address: it differs
    except BaseException:
        text = ""
    return text.partition("\n")[0] or f"a {type(value).__name__}"


def _not_begun(left: Any) -> CodeType | None:
    """Return the code of a coroutine or generator that has not begun; None of anything else."""
    if isinstance(left, CoroutineType) and inspect.getcoroutinestate(left) == inspect.CORO_CREATED:
        left.close()    # else the interpreter complains of it, some time
        return left.cr_code
    if isinstance(left, GeneratorType) and inspect.getgeneratorstate(left) == inspect.GEN_CREATED:
        return left.gi_code
    begun = isinstance(left, AsyncGeneratorType) and (left.ag_running or left.ag_frame is None)
    return left.ag_code if isinstance(left, AsyncGeneratorType) and not begun else None


def words_of_work(left: Any) -> str:
    """Say of what a role returned that it is work which nobody has begun; "" if it is none."""
    code = _not_begun(left)
    if code is None:
        return ""
    kind = "an async generator" if isinstance(left, AsyncGeneratorType) \
        else f"a {type(left).__name__}"
    return f"{kind} that nobody ran: {function_name(code)}, {place_of(code, 0)}"
