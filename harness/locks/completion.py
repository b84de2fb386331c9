"""Completion: the kernel's completion, an event that knows who is to set it."""

from __future__ import annotations

from collections import deque
from typing import Any

from .node import Node, ask, ended_wait, grant, refused, wait
from .parking import enter, leave
from .task import Task, WAIT, current


class Completion(Node):
    """The kernel's completion: `wait` returns once `complete` was called for it.

    A wait may name the thread that is expected to end it; then it is an edge of the wait-for graph
    like any other. A wait that names nobody can only end as a hang.
    """

    __slots__ = ("_done", "_waiters", "_by")

    def __init__(self, name: str | None = None, lock_class: str | None = None) -> None:
        Node.__init__(self, name, lock_class)
        self._done: float = 0              # how many waits may pass; infinite after complete_all
        self._waiters: deque[Task] = deque()
        self._by: dict[Task, Any] = {}     # whom each waiting task expects to end its wait

    def complete(self) -> None:
        """Let one wait pass: the one that came first, else the next to come."""
        self._tell_release("complete")
        enter()
        if self._waiters:
            grant(self._waiters.popleft())
        else:
            self._done += 1
        leave()

    def complete_all(self) -> None:
        """Let every wait pass, from now on."""
        self._tell_release("set")
        enter()
        self.finish()
        leave()

    def finish(self) -> None:
        """Do what `complete_all` does. Called with the guard held."""
        self._done = float("inf")
        while self._waiters:
            grant(self._waiters.popleft())

    def reinit(self) -> None:
        """Make it as new: later waits wait again."""
        self._tell_release("clear")
        self._done = 0

    def _tell_release(self, how: str) -> None:
        task = current()
        task.tells = how
        if task.run is not None:
            for hook in task.run.on_release:
                hook(task, self, WAIT)

    @property
    def passes(self) -> float:
        """How many waits would pass at once; infinite after `complete_all`."""
        return self._done

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
        task = current()
        if task.run is None:
            return self._wait(task, timeout) or ended_wait(task)
        self._by[task] = by   # an observer may hold the task here, and be asked whom it waits for
        try:
            granted = ask(task, self, WAIT, timed=timeout is not None) and self._wait(task, timeout)
        finally:
            self._by.pop(task, None)
        if not granted:
            return refused(task, self, WAIT)
        for hook in task.run.on_acquired:
            hook(task, self, WAIT)
        return True

    def _wait(self, task: Task, timeout: float | None) -> bool:
        enter()
        if self._done > 0:
            self._done -= 1
            leave()
            return True
        self._waiters.append(task)
        granted = wait(task, self, WAIT, -1 if timeout is None else max(timeout, 0))
        if task in self._waiters:
            self._waiters.remove(task)
        leave()
        return granted

    def expects(self, task: Task) -> Any:
        """Return by whom *task*, which waits, said that it is ended; None if it named nobody."""
        return self._by.get(task)

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the task expected to complete it, if the wait named one that has not ended."""
        by = self._by.get(task)
        if callable(by):
            try:
                by = by()
            except Exception as exc:   # the guard is held: it must come out as a finding
                self._by[task] = by = None
                task.run.complain(f"{task.name} waits for {self}, and asking who is to end that "
                                  f"raised", exc)
        bringer = task.run.find(by) if by is not None else None
        return [bringer] if bringer is not None and not bringer.ended else []

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether a wait would pass at once."""
        return self._done > 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {'done' if self._done else 'not done'}>"
