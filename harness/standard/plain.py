"""What the interpreter itself has of locks and threads, whoever replaces it in `threading`."""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from threading import TIMEOUT_MAX

__all__ = ["TIMEOUT_MAX", "allocate_lock", "get_ident", "limit"]


def limit(timeout: float | None) -> float | None:
    """Return *timeout*, seconds, in which something is waited for, None for ever; at least 0.

    Raises:
        TypeError, OverflowError: as `threading.Lock.acquire`.
    """
    if timeout is None:
        return None
    timeout = max(timeout, 0)
    allocate_lock().acquire(True, timeout)
    return timeout
