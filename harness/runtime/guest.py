"""Observers that a user wrote: what one raises is an error of its own, with its place.

It is not left to the role in whose thread the hook runs, which may swallow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..locks.away import NotAsked
from ..locks.callsite import shown
from ..locks.errors import ScenarioError
from ..locks.parking import guarded
from ..locks.task import Expired, Task, Unwind, current
from ..locks.user_code import Quiet, call, told
from .observer import Observer
from .watcher import alone
from .verdict import Verdict

_OURS = f"{__name__.partition('.')[0]}."
# Hooks, and whether each is called with the guard held.
_HOOKS = {"lock_acquire": False, "lock_acquired": False, "lock_release": False,
          "role_start": False, "role_end": True, "lock_contended": True, "thread_start": True,
          "hold_back": True, "idle": True, "standstill": True}


def invited(observers: Callable[[], Iterable[Observer]]) -> list[Observer]:
    """Return what *observers* returns, each as an observer that may raise.

    Raises:
        Unfinished: it waits for ever.
        ScenarioError: it raises, or returns anything else.
    """
    found = call("observers", alone, "observers", lambda: list(observers()))
    for observer in found:
        if not isinstance(observer, Observer):
            raise ScenarioError(f"observers: {shown(observer)} is no harness.Observer")
    return [observer if type(observer).__module__.startswith(_OURS) else _guest_of(observer)
            for observer in found]


class Guest(Observer):
    """One that a user wrote: whatever its hook raises is an error, and ends the run."""

    def __init__(self, observer: Observer) -> None:
        self._guest = observer
        self._name = type(observer).__name__
        self._quiet: dict[Task, Quiet] = {}

    def attach(self, run: Any) -> None:
        self._run = run
        what = f"attach of observer {self._name}"
        call(what, alone, what, partial(self._guest.attach, run))

    def _call(self, hook: str, args: tuple[Any, ...]) -> Any:
        task, what = current(), f"{hook} of observer {self._name}"
        quiet = self._quiet.get(task)
        if quiet is None:
            quiet = self._quiet[task] = Quiet()
        try:
            return quiet.call(what, _call_hook, self._guest, hook, args)
        except (Unwind, Expired):
            raise
        except NotAsked:
            return None
        except BaseException as exc:
            run = self._run
            with guarded:    # some hooks have it already
                if not run.unwinding:
                    words, detail = told(exc)
                    run.stop(run.finding(Verdict.ERROR, "observed", f"{what} {words}", detail))
            if not _HOOKS[hook]:
                raise Unwind from None


def _call_hook(guest: Observer, hook: str, args: tuple[Any, ...]) -> Any:
    return getattr(guest, hook)(*args)    # which it may look up in its own way


def _guest_of(observer: Observer) -> Observer:
    """Return a guest that has the hooks which the class of *observer* overrides, and no other."""
    hooks = {hook: _hook(hook) for hook in _HOOKS
             if getattr(type(observer), hook) is not getattr(Observer, hook)}
    guest: Observer = type("Guest", (Guest,), hooks)(observer)
    return guest


def _hook(name: str) -> Callable[..., Any]:
    return lambda self, *args: self._call(name, args)
