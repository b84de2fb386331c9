"""What lets a number of waits pass: the base of completions, and of all that counts permits."""

from __future__ import annotations

from collections import deque

from .node import Node, ask, ended_wait, grant, refused, wait
from .outsiders import listeners, saw, wait_outside
from .parking import afterwards, guarded
from .task import Task, WAIT, current, present
from .waitgraph import Likely, but_for


def tell(node: Node, how: str) -> None:
    """Tell that the calling thread is about to change who passes *node*, and how (`Task.tells`)."""
    task = current()
    task.tells = how
    if task.run is not None:
        for hook in task.run.on_release:
            hook(task, node, WAIT)
    elif listeners:
        saw(task, node)


class Counted(Node):
    """What a wait passes by taking one of what there is, and anybody adds to.

    Attributes:
        leaps: it is not known from the steps of a schedule how many waits would pass: one step
            adds several, or none.
    """

    __slots__ = ("_done", "_waiters")
    leaps = False
    ended_by_any = True    # who ends a wait is known from what is seen alone

    def __init__(self, name: str | None = None, lock_class: str | None = None) -> None:
        Node.__init__(self, name, lock_class)
        self._done: float = 0              # how many waits may pass; infinite if all
        self._waiters: deque[Task] = deque()

    @property
    def passes(self) -> float:
        """How many waits would pass at once; infinite if all."""
        return self._done

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether a wait would pass at once."""
        return self._done > 0

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return who was seen to add to it; anybody may."""
        return Likely(but_for(task, task.run.enders(self) if task.run is not None else ()))

    def finish(self) -> None:
        """Let every wait pass, from now on. Called with the guard held."""
        self._done = float("inf")
        while self._waiters:
            grant(self._waiters[0])
            del self._waiters[0]

    def given(self, task: Task) -> None:
        """Take note that a wait of *task* passes. Called with the guard held."""

    def not_given(self, task: Task) -> None:
        """Take note that it did not pass after all."""

    def _let_one_pass(self) -> None:
        with guarded as interrupts:
            if interrupts:
                afterwards(self._let_one_pass)
            elif present(self._waiters):
                self.given(self._waiters[0])
                grant(self._waiters[0])
                del self._waiters[0]
            else:
                self._done += 1

    def _let_all_pass(self) -> None:
        with guarded as interrupts:
            if interrupts:
                afterwards(self._let_all_pass)
            else:
                self.finish()

    def _pass(self, task: Task, timeout: float | None, blocking: bool = True) -> bool:
        """Wait, as *task*, the caller's; return False if the time was up.

        Args:
            timeout: seconds; None waits for ever, a negative number not at all.
            blocking: it waits at all.
        """
        if task.run is None:
            granted = wait_outside(task, self, WAIT, timeout is not None or not blocking,
                                   self._wait, task, blocking, timeout) \
                if listeners else self._wait(task, blocking, timeout)
            return granted or ended_wait(task)
        if not ask(task, self, WAIT, not blocking, timeout is not None) \
                or not self._wait(task, blocking, timeout):
            return refused(task, self, WAIT)
        try:
            for hook in task.run.on_acquired:
                hook(task, self, WAIT)
        except BaseException:    # to whoever hears of it the wait did not end
            self.not_given(task)
            self._let_one_pass()
            raise
        return True

    def _wait(self, task: Task, blocking: bool, timeout: float | None) -> bool:
        with guarded:
            if self._done > 0:
                self._done -= 1
                self.given(task)
                return True
            if not blocking:
                return False
            self._waiters.append(task)
            try:
                return wait(task, self, WAIT, -1 if timeout is None else max(timeout, 0))
            finally:
                if task in self._waiters:
                    self._waiters.remove(task)
