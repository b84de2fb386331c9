"""What a scenario calls functions in reports: its own callable, asked once for each function."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from ..locks.callsite import function_name, pass_signal, raised, user_traceback
from ..locks.exits import Refused
from ..locks.user_code import Quiet, text_of
from .verdict import Finding, Outcome, Verdict


class FunctionNames:
    """Code -> name, by *asked*; by the function's own name where that fails.

    Attributes:
        failed: what *asked* raised first.
    """

    def __init__(self, asked: Callable[[CodeType], Any]) -> None:
        self._asked, self._quiet = asked, Quiet()
        self._known: dict[CodeType, str] = {}
        self.failed: BaseException | None = None

    def __call__(self, code: CodeType) -> str:
        name = self._known.get(code)
        if name is None:
            try:
                with Refused():
                    name = text_of(self._quiet.call("function_name", self._asked, code) or "")
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
        for code in {id(code): code for event in outcome.log for code in event[4][::2]}.values():
            names(code)
    if names.failed is not None:
        outcome.findings.append(Finding(Verdict.ERROR, "observed", f"function_name of the scenario "
                                        f"{raised(names.failed)}",
                                        detail=user_traceback(names.failed)))
    return names
