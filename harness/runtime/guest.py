"""Observers that a user wrote: what one raises is an error of its own, with its place.

It is not left to the role in whose thread the hook runs, which may swallow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..locks.callsite import raised, shown, user_traceback
from ..locks.errors import ScenarioError
from ..locks.parking import enter, leave
from ..locks.task import Expired, Task, Unwind, current
from ..locks.user_code import Quiet, call
from .observer import Observer
from .verdict import Verdict

# Hooks that are called with the guard held.
_GUARDED = ("hold_back", "lock_contended", "thread_start", "role_end", "idle", "standstill")
_OURS = f"{__name__.partition('.')[0]}."


def invited(observers: Callable[[], Iterable[Observer]]) -> list[Observer]:
    """Return what *observers* returns, each as an observer that may raise.

    Raises:
        ScenarioError: it raises, or returns anything else.
    """
    found = call("observers", lambda: list(observers()))
    for observer in found:
        if not isinstance(observer, Observer):
            raise ScenarioError(f"observers: {shown(observer)} is no harness.Observer")
    return [observer if type(observer).__module__.startswith(_OURS) else Guest(observer)
            for observer in found]


class Guest(Observer):
    """One that a user wrote: whatever its hook raises is an error, and ends the run."""

    def __init__(self, observer: Observer) -> None:
        self._guest = observer
        self._name = type(observer).__name__
        self._quiet: dict[Task, Quiet] = {}

    def attach(self, run: Any) -> None:
        self._run = run
        call(f"attach of observer {self._name}", self._guest.attach, run)

    def _bound(self, hook: str) -> Any:
        bound = self._guest._bound(hook)
        if bound is None:
            return None
        what, guarded = f"{hook} of observer {self._name}", hook in _GUARDED

        def called(*args: Any) -> Any:
            task = current()
            quiet = self._quiet.get(task)
            if quiet is None:
                quiet = self._quiet[task] = Quiet()
            try:
                return quiet.call(what, bound, *args)
            except (Unwind, Expired):
                raise
            except BaseException as exc:
                self._failed(what, exc, guarded)
                if not guarded:
                    raise Unwind from None

        return called

    def _failed(self, what: str, exc: BaseException, guarded: bool) -> None:
        run = self._run
        if not guarded:
            enter()
        if not run.unwinding:
            run.stop(run.finding(Verdict.ERROR, "observed", f"{what} {raised(exc)}",
                                 user_traceback(exc)))
        if not guarded:
            leave()
