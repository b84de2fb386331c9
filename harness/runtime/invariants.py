"""Invariants: what a scenario says must hold at every event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..locks.callsite import first_line, user_traceback
from ..locks.task import Task, Unwind
from .observer import Observer


class Invariants(Observer):
    """Call each invariant after each event, until one fails; that ends the run.

    Args:
        invariants: name -> callable; raises AssertionError if it is broken.
        to_the_end: one that fails is noted, and the run goes on.
    """

    def __init__(self, invariants: Mapping[str, Callable[[], Any]], to_the_end: bool = False) -> None:
        self._invariants, self._to_the_end = invariants, to_the_end
        self._failed = False

    def attach(self, run: Any) -> None:
        self._run = run

    def look(self, task: Task, lock: Any = None, mode: str = "") -> None:
        """Call each of them."""
        if self._failed:
            return
        for name, invariant in self._invariants.items():
            try:
                invariant()
            except Exception as exc:
                self._failed = True
                self._run.violated(f"invariant {name!r} {_said(exc)}", user_traceback(exc),
                                   goes_on=self._to_the_end)
                if not self._to_the_end:
                    raise Unwind from None
                return

    lock_acquire = lock_acquired = lock_release = role_start = look


def _said(exc: Exception) -> str:
    """Say how an invariant failed: it is broken, or could not be asked."""
    if isinstance(exc, AssertionError):
        return f"is broken: {assertion_text(exc)}"
    return f"raised {first_line(exc)}"


def assertion_text(exc: AssertionError) -> str:
    """Return the first line of what an assertion says."""
    return str(exc).partition("\n")[0] or "it raised AssertionError"
