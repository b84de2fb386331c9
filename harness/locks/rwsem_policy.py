"""Who blocks a request on a reader/writer lock: the one answer, for each policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .task import EXCLUSIVE, SHARED


def blocked_by(policy: str, writer: Any, readers: Iterable[Any], queue: Iterable[tuple[Any, str]],
               who: Any, mode: str) -> list[Any]:
    """Return who must act before *who* can have a semaphore in *mode*: the policy, in one place.

    A writer waits for every holder (its own read hold included: no upgrade); a reader for the
    writer that holds and, by policy, for writers that are queued: all (writer), those before it
    (fair), none (reader).

    Args:
        writer: who holds it for writing, or None.
        readers: who hold it for reading.
        queue: (who, mode) of those that wait, by arrival; *who* may be among them.
    """
    blockers = [writer] if writer is not None else []
    if mode == EXCLUSIVE:
        blockers += readers
    for waiter, wanted in queue:
        if waiter == who:
            if policy == "fair":
                break
        elif wanted == EXCLUSIVE and (policy == "fair" or policy == "writer" and mode == SHARED):
            blockers.append(waiter)
    return blockers
