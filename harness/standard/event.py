"""Event: a flag that threads wait for."""

from __future__ import annotations

import warnings
from collections import deque

from ..locks.counted import Counted, tell
from ..locks.node import Node
from ..locks.task import current
from .condition import Condition
from .lock import Lock
from .plain import kind_of, limit
from .stands_in import StandsIn


class Event(StandsIn, Counted):
    """`threading.Event`."""

    __slots__ = ("_under",)

    def __init__(self) -> None:
        Node.__init__(self, None, None)
        self._done = 0
        self._waiters = deque()
        self._under: Condition | None = None

    @property
    def _flag(self) -> bool:
        return self._done > 0

    @property
    def _cond(self) -> Condition:
        """The condition of the standard class, for whoever looks into it: it is told of `set`."""
        if self._under is None:
            self._under = Condition(Lock())
        return self._under

    def is_set(self) -> bool:
        """Say whether it is set."""
        self._tell_look()
        return self._done > 0

    def isSet(self) -> bool:
        """Do what `is_set` does; deprecated, as in the standard class."""
        warnings.warn("isSet() is deprecated, use is_set() instead", DeprecationWarning,
                      stacklevel=2)
        return self.is_set()

    def set(self) -> None:
        """Set it: who waits goes on."""
        tell(self, "set")
        self._let_all_pass()
        if self._under is not None:
            with self._under:
                self._under.notify_all()

    def clear(self) -> None:
        """Clear it: later waits wait."""
        tell(self, "clear")
        self._done = 0

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; return False if the time was up."""
        return self._pass(current(), limit(timeout))

    def _at_fork_reinit(self) -> None:
        self._waiters.clear()
        if self._under is not None:
            self._under._at_fork_reinit()

    def __repr__(self) -> str:
        return f"<{kind_of(self)} at {id(self):#x}: {'set' if self._done else 'unset'}>"
