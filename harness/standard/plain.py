"""What the interpreter itself has of locks and threads, whoever replaces it in `threading`; and
what our classes have in common with its own.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident

__all__ = ["allocate_lock", "get_ident", "kind_of", "limit"]


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


def kind_of(thing: object) -> str:
    """Return what the standard classes call the class of *thing* where they show it."""
    kind = type(thing)
    ours = kind.__module__.startswith(f"{__package__}.")
    return f"{'threading' if ours else kind.__module__}.{kind.__qualname__}"
