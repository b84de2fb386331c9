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
    "Mutex": "locks", "Completion": "locks", "RWSemaphore": "rwsem",
    "Scenario": "scenario", "ScenarioError": "errors", "LockMisuse": "errors",
    "Meet": "race", "At": "race", "Observer": "events", "Verdict": "verdict", "Result": "verdict",
    "run": "api", "force": "forcing", "predict": "prediction",
    "explore": "exploring", "step": "points",
    "LockClass": "lock_class", "stress": "stress_loop", "replay": "replaying", "vocabulary": "place",
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
