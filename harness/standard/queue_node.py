"""A queue as one thing that threads wait for: its operations, which of them can be done, who waits.

Each operation is done at once, under the guard of the account, or waits until it can be done; what
it did may let others go on. Whoever waits is woken and looks again: as in the standard class,
another may have been faster. That it waits is seen by nobody, so a request that waits is the same
step of a schedule as one that does not.

A queue may stop to be one thing (see `Queue`): then those who wait for it are told so, and ask
again.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any

from ..locks.node import Node, ask, ended_wait, grant, refused, wait
from ..locks.outsiders import listeners, wait_outside
from ..locks.parking import afterwards, guarded
from ..locks.task import Task, WAIT, present, this_thread
from .plain import limit

GET, PUT, JOIN = "get", "put", "join"
# What became of a request.
DONE, REFUSED, SHUT, APART = "done", "refused", "shut down", "not one node any more"


class Ask:
    """A request of one thread, under way.

    Attributes:
        verb: what it asks for.
        item: what it puts, or got.
        answer: what became of it.
        within: it was made in the middle of another one of its thread, on the same queue: it would
            wait for itself.
    """

    __slots__ = ("queue", "verb", "item", "answer", "within")

    def __init__(self, queue: Any, verb: str, item: Any = None) -> None:
        self.queue, self.verb, self.item = queue, verb, item
        self.answer, self.within = REFUSED, False


class QueueNode(Node):
    """What threads wait for that use one queue: that of a `SimpleQueue`.

    Attributes:
        made_as: the class of the queue, by which it is called.
        is_shut: there is nothing to be got any more, or no room ever.
    """

    __slots__ = ("made_as", "_asks", "_waiters")
    _has_own_init = True     # the class of the queue may have
    holds_itself = False     # a request in the middle of another one waits for that
    made_as: type
    _asks: dict[Task, Ask]
    _waiters: deque[Task]

    def __new__(cls, *args: Any) -> QueueNode:
        node = super().__new__(cls)
        node._asks, node._waiters = {}, deque()
        return node

    # -- the queue ----------------------------------------------------------------------------

    def can(self, queue: Any, verb: str) -> bool:
        """Say whether this can be done now. Called with the guard held, as those below."""
        return verb is PUT or len(queue._items) > 0

    def never(self, queue: Any, verb: str) -> bool:
        """Say whether it can be done neither now nor ever."""
        return False

    def do(self, queue: Any, request: Ask) -> None:
        if request.verb is PUT:
            queue._items.append(request.item)
        else:
            request.item = queue._items.popleft()

    # -- what the run asks --------------------------------------------------------------------

    def asked(self, task: Task) -> Ask | None:
        """Return what *task* asks for."""
        return self._asks.get(task)

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether what *task* asks for can be done, or refused for good."""
        request = self._asks.get(task)
        return request is None or not request.within and self._is_ready(request)

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return nobody, as it is not known who puts or gets; itself, if it waits for itself."""
        request = self._asks.get(task)
        return [task] if request is not None and request.within else []

    def _is_ready(self, request: Ask) -> bool:
        queue, verb = request.queue, request.verb
        return queue._one is not self or self.can(queue, verb) or self.never(queue, verb)

    # -- operations ---------------------------------------------------------------------------

    def operate(self, request: Ask, blocking: bool, timeout: float | None) -> str:
        """Do what is asked for, as soon as it can be done; return what became of it.

        Args:
            timeout: seconds; None waits for ever.
        """
        task = this_thread.task
        run, asks = task.run, self._asks
        outer = asks.get(task)
        asks[task] = request
        granted = False
        try:
            if run is None:
                granted = wait_outside(task, self, WAIT, timeout is not None or not blocking,
                                       self._go, task, request, blocking, timeout) \
                    if listeners else self._go(task, request, blocking, timeout)
            else:
                request.within = outer is not None and self.holds_itself
                granted = ask(task, self, WAIT, not blocking, timeout is not None) \
                    and self._go(task, request, blocking, timeout)
        finally:
            if outer is not None:
                asks[task] = outer
            else:
                asks.pop(task, None)
        if granted:
            for hook in run.on_acquired if run is not None else ():
                hook(task, self, WAIT)
        elif run is not None:
            refused(task, self, WAIT)
        else:
            ended_wait(task)
        return request.answer

    def _go(self, task: Task, request: Ask, blocking: bool, timeout: float | None) -> bool:
        end = None if timeout is None else monotonic() + timeout
        waited = False
        with guarded as interrupts:
            while not self._try(request, bool(interrupts)):
                if not blocking:
                    return False
                left = -1.0
                if end is not None:
                    left = max(end - monotonic(), 0.0)
                    limit(left)    # it may be too long
                self._waiters.append(task)
                try:
                    woken = wait(task, self, WAIT, left, waited)
                finally:
                    if task in self._waiters:
                        self._waiters.remove(task)
                if not woken:
                    self._wake(request.queue)    # it may have been told so in vain
                    return False
                waited = True
        return True

    def _try(self, request: Ask, interrupts: bool) -> bool:
        """Do it, if that can be done now, or find that it never will be. Called with the guard."""
        queue, verb = request.queue, request.verb
        if queue._one is not self:
            request.answer = APART
        elif self.never(queue, verb):
            request.answer = SHUT
        elif request.within or not self.can(queue, verb):
            return False
        else:
            request.answer = DONE
            self.do(queue, request)
        if interrupts:
            afterwards(lambda: self.wake(queue))
        else:
            self._wake(queue)
        return True

    def _wake(self, queue: Any) -> None:
        """Wake who can go on: of each operation the one that waits longest, or all if it is done to
        all alike. Called with the guard held.
        """
        woken: set[str] = set()
        for task in list(present(self._waiters)):
            request = self._asks[task]
            if request.verb not in woken and self._is_ready(request):
                self._waiters.remove(task)
                grant(task)
                if queue._one is self and request.verb is not JOIN \
                        and not self.never(queue, request.verb):
                    woken.add(request.verb)

    def wake(self, queue: Any) -> None:
        """Wake who can go on, since *queue* has changed."""
        with guarded as interrupts:
            if interrupts:
                afterwards(lambda: self.wake(queue))
            else:
                self._wake(queue)

    def look(self) -> None:
        """Tell the run that the calling thread looks at the queue."""
        self._tell_look()

