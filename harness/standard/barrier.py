"""Barrier: the standard library's, over a condition of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .condition import Condition
from .lock import Lock


class Barrier(threading.Barrier):
    """`threading.Barrier`."""

    def __init__(self, parties: int, action: Callable[[], Any] | None = None,
                 timeout: float | None = None) -> None:
        super().__init__(parties, action, timeout)
        self._cond: Any = Condition(Lock())
