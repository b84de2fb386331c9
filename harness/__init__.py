"""Find, force and explain deadlocks of real threads on real locks.

    from harness import Mutex, RWSemaphore, Completion, run, force, predict, explore, stress

A scenario is a callable that builds a fresh world and returns its roles. `run` lets them race,
`force` makes them meet where it hurts, `stress` tries until something breaks; `str()` of what they
return is a report to paste into a mail.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Mutex": "locks.mutex", "Completion": "locks.completion", "RWSemaphore": "locks.rwsem",
    "Scenario": "runtime.scenario", "ScenarioError": "locks.errors", "LockMisuse": "locks.errors",
    "Meet": "meetings.meet", "At": "meetings.meet", "Observer": "runtime.observer",
    "Verdict": "runtime.verdict", "Result": "report.result",
    "run": "methods.run", "force": "methods.force", "predict": "methods.predict",
    "explore": "methods.explore", "stress": "methods.stress", "replay": "methods.replay",
    "step": "locks.task", "LockClass": "locks.node",
    "vocabulary": "locks.callsite",
}
__all__ = list(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy, so that the pytest plugin costs a project that does not use it nothing.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
