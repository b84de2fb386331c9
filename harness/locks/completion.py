"""Completion: the kernel's completion, an event that knows who is to set it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from .arguments import limit
from .away import NotAsked
from .callsite import shown
from .counted import Counted, tell
from .node import Node
from .task import Task, Unwind, current
from .user_code import Quiet


class Completion(Counted):
    """The kernel's completion: `wait` returns once `complete` was called for it.

    A wait may name the thread that is expected to end it; then it is an edge of the wait-for graph
    like any other. A wait that names nobody can only end as a hang.
    """

    __slots__ = ("_by",)

    def __init__(self, name: str | None = None, lock_class: str | None = None) -> None:
        Node.__init__(self, name, lock_class)
        self._done = 0
        self._waiters = deque()
        self._by: dict[Task, Any] = {}     # whom each waiting task expects to end its wait

    def complete(self) -> None:
        """Let one wait pass: the one that came first, else the next to come."""
        tell(self, "complete")
        self._let_one_pass()

    def complete_all(self) -> None:
        """Let every wait pass, from now on."""
        tell(self, "set")
        self._let_all_pass()

    def reinit(self) -> None:
        """Make it as new: later waits wait again."""
        tell(self, "clear")
        self._done = 0

    def done(self) -> bool:
        """Say whether a wait would pass at once."""
        self._tell_look()
        return self._done > 0

    def wait(self, timeout: float | None = None, by: Any = None) -> bool:
        """Wait until completed.

        Args:
            timeout: seconds; None waits for ever, a negative number not at all.
            by: who is expected to complete it: a role's name, a `threading.Thread`, or a callable
                that returns one of them or None when asked (at detection; it must take no lock).

        Returns:
            False if the time was up.
        """
        if timeout is not None:
            limit("timeout", timeout)
        task = current()
        if task.run is None:
            return self._pass(task, timeout)
        self._by[task] = by   # an observer may hold the task here, and be asked whom it waits for
        try:
            return self._pass(task, timeout)
        finally:
            self._by.pop(task, None)

    def expects(self, task: Task) -> Any:
        """Return by whom *task*, which waits, said that it is ended; None if it named nobody."""
        return self._by.get(task)

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the task expected to complete it, if the wait named one that has not ended."""
        by = self._by.get(task)
        if by is not None and type(by) is not str:
            try:
                by = _quiet.call("`by` of a wait", _named, by)
            except Unwind:    # the watcher of this thread ends what it asked
                raise
            except NotAsked:
                return []
            except BaseException as exc:   # the guard is held: it must come out as a finding
                self._by[task] = by = None
                task.run.complain(f"{task.name} waits for {self}, and asking who is to end that",
                                  exc)
        if by is None:
            return super().blockers(task, mode)
        bringer = task.run.find(by)
        return [bringer] if bringer is not None and not bringer.ended else []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {'done' if self._done else 'not done'}>"


_quiet = Quiet()    # one for all: the guard is held


def _named(by: Any) -> Any:
    """Return whom *by* means, asked if it is to be asked; nothing that compares in its own way."""
    if callable(by):
        by = by()
    if isinstance(by, str):
        return str.__str__(by)
    if by is not None and not isinstance(by, (threading.Thread, Task)):
        raise TypeError(f"by is {shown(by)}, expected the name of a role or a thread")
    return by
