"""What a scenario calls functions in reports: its own callable, asked once for each function."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from ..locks.calls import calls_of
from ..locks.callsite import function_name, pass_signal, raised, user_traceback
from ..locks.exits import Refused
from ..locks.in_time import InTime, NotBack
from ..locks.named_by_user import text_of
from .verdict import Finding, Outcome, Verdict


class FunctionNames:
    """Code -> name, by *asked*; by the function's own name where that fails.

    Attributes:
        failed: what *asked* raised first.
    """

    def __init__(self, asked: Callable[[CodeType], Any]) -> None:
        self._asked, self._in_time = asked, InTime("function_name")
        self._known: dict[CodeType, str] = {}
        self.failed: BaseException | None = None

    def __call__(self, code: CodeType) -> str:
        name = self._known.get(code)
        if name is None:
            try:
                with Refused():
                    name = text_of(self._in_time.call(self._asked, code) or "")
            except BaseException as exc:
                pass_signal(exc)
                self.failed = self.failed or exc
                name = function_name(code)
            self._known[code] = name
        return name


def names_of(asked: Callable[[CodeType], Any] | None, outcome: Outcome) -> FunctionNames | None:
    """Return what calls functions as *asked* does; that it fails for one in *outcome* is an error.

    So no report is made before all its names are known.
    """
    if asked is None:
        return None
    names = FunctionNames(asked)
    with Refused():
        codes = {id(code): code for event in outcome.log for code, _ in calls_of(event[4])}
        for code in codes.values():
            names(code)
    if names.failed is not None:
        failed = names.failed
        late = type(failed) is NotBack    # no `isinstance`, which may ask it
        outcome.findings.append(Finding(
            Verdict.ERROR, "timed out" if late else "observed",
            f"function_name of the scenario {failed if late else raised(failed)}",
            detail="" if late else user_traceback(failed)))
    return names
