"""What a role asks a lock for, as a kind of step: by request, by trylock, by release."""

from __future__ import annotations

from typing import Any

from ..locks.counted import Counted
from ..locks.exclusive import Exclusive
from ..locks.rwsem import RWSemaphore
from ..locks.task import EXCLUSIVE
from .dependency import (ANY, ASK_ANY, ASK_LOCK, ASK_READ, ASK_TRY, ASK_TRY_READ, ASK_TRY_WAIT,
                         ASK_TRY_WRITE, ASK_WAIT, ASK_WRITE, COMPLETE, UNLOCK, UP_READ, UP_WRITE)

OF_MUTEX, _READ, _WRITE = ((ASK_LOCK, ASK_TRY, UNLOCK), (ASK_READ, ASK_TRY_READ, UP_READ),
                           (ASK_WRITE, ASK_TRY_WRITE, UP_WRITE))
_WAIT, _ANY = (ASK_WAIT, ASK_TRY_WAIT, COMPLETE), (ASK_ANY, ANY, ANY)


def asks(lock: Any, mode: str) -> tuple[int, int, int]:
    """Return what a request asks *lock* for, what a trylock, and what a release."""
    if isinstance(lock, Exclusive):
        return OF_MUTEX
    if isinstance(lock, RWSemaphore):
        return _WRITE if mode is EXCLUSIVE else _READ
    return _WAIT if isinstance(lock, Counted) else _ANY
