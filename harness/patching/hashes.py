"""Threads that a world makes hash alike in every schedule: a set of them has the same order.

By address two runs of one schedule differ: a pool joins its workers in the order of a set.
"""

from __future__ import annotations

import threading
import zlib
from typing import Any

from ..locks.task import this_thread

_plain_init = threading.Thread.__init__
_KEY = "_harness_hash"


def _init(thread: Any, *args: Any, **more: Any) -> None:
    maker = this_thread.maker
    if maker.key is not None:    # of a world, or of a role of it
        number = maker.made["thread"] = maker.made.get("thread", 0) + 1
        vars(thread)[_KEY] = zlib.crc32(f"{maker.key}/{number}".encode())
    _plain_init(thread, *args, **more)


def _hash(thread: Any) -> int:
    found: int | None = vars(thread).get(_KEY)
    return object.__hash__(thread) if found is None else found


def begin() -> None:
    """Number the threads that worlds make from now on."""
    threading.Thread.__init__ = _init    # type: ignore
    threading.Thread.__hash__ = _hash    # type: ignore[method-assign,assignment]


def end() -> None:
    """Number no more. The hash stays: sets may have threads with numbers; others hash as ever."""
    if threading.Thread.__init__ is _init:
        threading.Thread.__init__ = _plain_init    # type: ignore[method-assign]
