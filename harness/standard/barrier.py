"""Barrier: the standard library's, over a condition of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..locks.callsite import carries
from .condition import Condition
from .lock import Lock
from .plain import kind_of

carries(threading.__file__)


class Barrier(threading.Barrier):
    """`threading.Barrier`."""

    def __init__(self, parties: int, action: Callable[[], Any] | None = None,
                 timeout: float | None = None) -> None:
        super().__init__(parties, action, timeout)
        self._cond: Any = Condition(Lock())

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{kind_of(self)} at {id(self):#x}: {state}>"
