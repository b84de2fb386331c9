"""Find, force and explain deadlocks of real threads on real locks.

    from harness import Mutex, RWSemaphore, Completion, run, force, predict, explore, stress

A scenario is a callable that builds a fresh world and returns its roles. `run` lets them race,
`force` makes them meet where it hurts, `stress` tries until something breaks; `str()` of what they
return is a report to paste into a mail.

Each name is imported when it is first asked for; type checkers read where from below. Nothing of
the standard library that a package of ours may be called after (`threading`, `queue`) is imported
here: the one would hide the other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .locks.callsite import vocabulary
    from .locks.completion import Completion
    from .locks.errors import LockMisuse, ScenarioError
    from .locks.node import LockClass
    from .locks.mutex import Mutex
    from .locks.rwsem import RWSemaphore
    from .locks.task import step
    from .meetings.meet import At, Meet
    from .methods.explore import explore
    from .methods.force import force
    from .methods.predict import predict
    from .methods.replay import replay
    from .methods.run import run
    from .methods.stress import stress
    from .patching.patched import patched
    from .report.result import Result
    from .runtime.observer import Observer
    from .runtime.scenario import Scenario
    from .runtime.verdict import Verdict

__all__ = [
    "At", "Completion", "LockClass", "LockMisuse", "Meet", "Mutex", "Observer", "RWSemaphore",
    "Result", "Scenario", "ScenarioError", "Verdict", "explore", "force", "patched", "predict",
    "replay", "run", "step", "stress", "vocabulary",
]
__version__ = "0.1.0"
_HOME = {
    "Mutex": "locks.mutex", "Completion": "locks.completion", "RWSemaphore": "locks.rwsem",
    "Scenario": "runtime.scenario", "ScenarioError": "locks.errors", "LockMisuse": "locks.errors",
    "Meet": "meetings.meet", "At": "meetings.meet", "Observer": "runtime.observer",
    "Verdict": "runtime.verdict", "Result": "report.result",
    "run": "methods.run", "force": "methods.force", "predict": "methods.predict",
    "explore": "methods.explore", "stress": "methods.stress", "replay": "methods.replay",
    "patched": "patching.patched", "step": "locks.task", "LockClass": "locks.node",
    "vocabulary": "locks.callsite",
}


if not TYPE_CHECKING:   # to which every name would exist
    def __getattr__(name: str) -> Any:
        # Lazy, so that whoever wants a lock does not import the explorer.
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
