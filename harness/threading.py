"""`from harness import threading`: the standard module, with locks that the harness sees.

Every name of `threading` is here. Locks are ours: `Lock`, `RLock`, `Condition`, `Semaphore`,
`BoundedSemaphore`, `Event`, `Barrier`; all else is the standard library's own object.
"""

from __future__ import annotations

import threading as _standard
from typing import Any

from .standard.barrier import Barrier
from .standard.condition import Condition
from .standard.event import Event
from .standard.lock import Lock
from .standard.rlock import RLock
from .standard.semaphore import BoundedSemaphore, Semaphore

_OURS = {"Lock": Lock, "RLock": RLock, "Condition": Condition, "Semaphore": Semaphore,
         "BoundedSemaphore": BoundedSemaphore, "Event": Event, "Barrier": Barrier}
__all__ = list(_standard.__all__)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(_standard, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*vars(_standard), *_OURS})
