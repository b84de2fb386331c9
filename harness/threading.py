"""`from harness import threading`: the standard module, with locks that the harness sees.

Every name of `threading` is here, private ones too. The locks are ours: `Lock`, `RLock`,
`Condition`, `Semaphore`, `BoundedSemaphore`, `Event`, `Barrier`, and the event of a `Timer`; all
else is the standard library's own object, and is set there when it is set here
(`threading.excepthook = ...`).
"""

from __future__ import annotations

import sys as _sys
import threading as _standard
import types as _types
from typing import Any

from .standard.barrier import Barrier
from .standard.condition import Condition
from .standard.event import Event
from .standard.lock import Lock
from .standard.rlock import RLock
from .standard.semaphore import BoundedSemaphore, Semaphore
from .standard.timer import Timer

OURS = {"Lock": Lock, "RLock": RLock, "Condition": Condition, "Semaphore": Semaphore,
         "BoundedSemaphore": BoundedSemaphore, "Event": Event, "Barrier": Barrier}
__all__ = list(_standard.__all__)


class _Face(_types.ModuleType):
    """This module: what is not its own is looked up, set and deleted in the standard one."""

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(_standard, name)
        except AttributeError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _own:
            super().__setattr__(name, value)
        else:
            if name in vars(_standard):
                _before.setdefault(name, vars(_standard)[name])
            setattr(_standard, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _own:
            super().__delattr__(name)
        elif name in _before:    # who put something in its place takes it away again
            setattr(_standard, name, _before.pop(name))
        else:
            delattr(_standard, name)

    def __dir__(self) -> list[str]:
        return sorted({*vars(_standard), *OURS, Timer.__name__})


_before: dict[str, Any] = {}    # what was in the standard module where something was set here
_own = frozenset({*globals(), "__path__", "_own"})
_sys.modules[__name__].__class__ = _Face
