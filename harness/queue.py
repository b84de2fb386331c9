"""`from harness import queue`: the standard module, with queues that the harness sees.

Every name of `queue` is here. `Queue`, `LifoQueue`, `PriorityQueue` and `SimpleQueue` are ours; the
exceptions, and all else, are the standard library's own objects.
"""

from __future__ import annotations

import queue as _standard
from typing import Any

from .standard.queues import LifoQueue, PriorityQueue, Queue
from .standard.simple_queue import SimpleQueue

OURS = {"Queue": Queue, "LifoQueue": LifoQueue, "PriorityQueue": PriorityQueue,
         "SimpleQueue": SimpleQueue}
__all__ = list(_standard.__all__)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(_standard, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*vars(_standard), *OURS})
