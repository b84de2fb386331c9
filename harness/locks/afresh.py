"""What a forked process must not have of the one it was forked from.

A fork copies the memory of all threads, and one thread. What the others were doing stays half done
in the child for ever: a lock that one of them had will never be given up there. So each lock and
each list of threads at work that a module of `harness` keeps is made anew in the child, by a
function that its own module registers here; the child of a role is outside any run.

The locks of users are no part of this: one that is held at the fork stays held in the child, as
with `threading`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from . import raw

_locks: list[Any] = []
_forking = 0    # identifier of a thread that forks a process of ours


def module_lock(lock: Any = None) -> Any:
    """Return *lock*, by default a new one, for a module to keep: it is free in a forked process."""
    lock = lock or raw.Lock()
    _locks.append(lock)
    return lock


def is_registered(lock: Any) -> bool:
    """Say whether `module_lock` made *lock*."""
    return any(lock is known for known in _locks)


def in_child(function: Callable[[], Any]) -> Callable[[], Any]:
    """Have *function* called in each forked process, in the order in which they are registered."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


def fork() -> int:
    """Fork a process of ours, which goes on with the call that is under way in this thread.

    Raises:
        OSError: as `os.fork`.
    """
    global _forking
    _forking = threading.get_ident()
    try:
        return os.fork()
    finally:
        _forking = 0


def is_ours() -> bool:
    """Say, in a forked process, whether `fork` forked it; else somebody else's code did."""
    return _forking == threading.get_ident()


@in_child
def _free_locks() -> None:
    for lock in _locks:
        lock._at_fork_reinit()
