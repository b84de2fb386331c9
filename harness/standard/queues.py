"""Queue, LifoQueue, PriorityQueue: the standard classes, each as one node where that can be.

A queue is one thing as long as nothing of the user's runs in the middle of its operations and
nobody looks into them: its class overrides no hook, and neither its lock nor one of its conditions
was asked for or replaced. Else it is *apart*: the standard library's class, over our lock and our
conditions. It may come to that at any time. Whoever waits then asks again: that they waited was
seen by nobody.
"""

from __future__ import annotations

from queue import Empty, Full
from time import monotonic
from typing import Any

from ..locks import raw
from ..locks.node import Node
from . import apart
from .apart import ShutDown
from .queue_node import APART, DONE, GET, JOIN, PUT, REFUSED, SHUT, Ask, QueueNode
from .taken_apart import HOOKS, Part, is_plain, parts, take_apart, whole

_KNOWN: dict[Any, Any] = {tuple([getattr(kind, hook) for hook in HOOKS]): kind
                          for kind in (raw.Queue, raw.LifoQueue, raw.PriorityQueue)}
TASK_DONE, SHUTDOWN = "task_done", "shutdown"


class OfQueue(QueueNode):
    """What threads wait for that use one `Queue`.

    Attributes:
        order: the standard class whose order it has.
    """

    __slots__ = ("order",)
    order: Any
    holds_itself = True

    def can(self, queue: Any, verb: str) -> bool:
        if verb is GET:
            return len(queue.queue) > 0
        if verb is PUT:
            return not 0 < queue.maxsize <= len(queue.queue)
        return verb is not JOIN or not queue.unfinished_tasks

    def never(self, queue: Any, verb: str) -> bool:
        if not getattr(queue, "is_shutdown", False):
            return False
        return verb is PUT or verb is GET and not queue.queue

    def do(self, queue: Any, request: Ask) -> None:
        verb = request.verb
        if verb is GET:
            request.item = self.order._get(queue)
        elif verb is PUT:
            self.order._put(queue, request.item)
            queue.unfinished_tasks += 1
        elif verb is TASK_DONE and queue.unfinished_tasks <= 0:
            request.answer = REFUSED
        elif verb is TASK_DONE:
            queue.unfinished_tasks -= 1
        elif verb is SHUTDOWN:
            self._shut_down(queue, request)

    def _shut_down(self, queue: Any, request: Ask) -> None:
        immediate = request.item
        queue.is_shutdown = True
        if immediate:
            request.item = [self.order._get(queue) for _ in range(len(queue.queue))]
            queue.unfinished_tasks -= min(len(request.item), queue.unfinished_tasks)


def _check(queue: Any, one: OfQueue, verb: str, limit: float | None) -> None:
    """Raise what is raised of a *limit* that makes no sense."""
    if limit is not None and limit < 0 and not one.never(queue, verb):
        raise ValueError("'timeout' must be a non-negative number")


def _rest(timeout: float | None, began: float) -> float | None:
    """Return what is left of *timeout* seconds, which began then."""
    return timeout if timeout is None else max(timeout - (monotonic() - began), 0.0)


def _look(queue: Any) -> bool:
    """Tell the run that *queue* is looked at; False if it is apart."""
    one = whole(queue)
    if one is not None:
        one.look()
    return one is not None and queue._one is one    # still


class Queue(raw.Queue[Any]):
    """`queue.Queue`."""

    _one: OfQueue | None = None    # None: it is apart
    _before: OfQueue | None = None    # what it was before a role took it apart
    mutex: Any = Part()
    not_empty: Any = Part()
    not_full: Any = Part()
    all_tasks_done: Any = Part()

    def __init__(self, maxsize: int = 0) -> None:
        order = _KNOWN.get(tuple([getattr(type(self), hook) for hook in HOOKS]))
        if order is None:
            super().__init__(maxsize)
            vars(self).update(parts())
            return
        self.maxsize = maxsize
        self._init(maxsize)
        self.unfinished_tasks = 0
        if ShutDown is not None:
            self.is_shutdown = False
        one: Any = OfQueue.__new__(OfQueue)
        one.made_as, one.order = type(self), order
        Node.__init__(one, None, None)    # called from here: it looks who made the queue
        self._one = one

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put *item*: see `queue.Queue.put`.

        Raises:
            Full, ShutDown, ValueError: as it does.
        """
        one = whole(self)
        if one is not None and one.order is raw.PriorityQueue and not is_plain(item):
            take_apart(self)    # to compare it runs code of the user's
            one = None
        if one is None:
            apart.put(self, item, block, timeout)
            return
        limited = None if self.maxsize <= 0 or not block else timeout
        _check(self, one, PUT, limited)
        began = monotonic()
        answer = one.operate(Ask(self, PUT, item), block and limited != 0, limited)
        if answer is APART:
            apart.put(self, item, block, _rest(timeout, began))
        elif answer is SHUT:
            raise ShutDown
        elif answer is not DONE:
            raise Full

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take out an item: see `queue.Queue.get`.

        Raises:
            Empty, ShutDown, ValueError: as it does.
        """
        one = whole(self)
        if one is None:
            return apart.get(self, block, timeout)
        limited = timeout if block else None
        _check(self, one, GET, limited)
        began = monotonic()
        request = Ask(self, GET)
        answer = one.operate(request, block and limited != 0, limited)
        if answer is APART:
            return apart.get(self, block, _rest(timeout, began))
        if answer is SHUT:
            raise ShutDown
        if answer is not DONE:
            raise Empty
        return request.item

    def put_nowait(self, item: Any) -> None:
        """Put *item* if there is room; else raise `Full`."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """Take out an item if there is one; else raise `Empty`."""
        return self.get(block=False)

    def join(self) -> None:
        """Wait until all that was put is done: see `task_done`."""
        one = whole(self)
        if one is None or one.operate(Ask(self, JOIN), True, None) is APART:
            apart.join(self)

    def task_done(self) -> None:
        """Say that one of the items that were put is done.

        Raises:
            ValueError: all are.
        """
        one = whole(self)
        answer = APART if one is None else one.operate(Ask(self, TASK_DONE), True, None)
        if answer is APART:
            apart.task_done(self)
        elif answer is not DONE:
            raise ValueError("task_done() called too many times")

    def qsize(self) -> int:
        """Return how many items there are."""
        return len(self.queue) if _look(self) else apart.qsize(self)

    def empty(self) -> bool:
        """Say whether there is no item."""
        return not self.queue if _look(self) else apart.empty(self)

    def full(self) -> bool:
        """Say whether there is no room."""
        if _look(self):
            return 0 < self.maxsize <= len(self.queue)
        return bool(apart.full(self))


class LifoQueue(Queue, raw.LifoQueue[Any]):
    """`queue.LifoQueue`."""


class PriorityQueue(Queue, raw.PriorityQueue[Any]):
    """`queue.PriorityQueue`."""


def _shut(self: Any, immediate: bool = False) -> None:
    """Have all who put, and all who get from an empty queue, raise `ShutDown` from now on.

    Args:
        immediate: it is emptied, and who waits in `join` goes on.
    """
    one = whole(self)
    if one is None or one.operate(Ask(self, SHUTDOWN, bool(immediate)), True, None) is APART:
        apart.shutdown(self, immediate)


if ShutDown is not None:
    _shut.__name__, _shut.__qualname__ = "shutdown", "Queue.shutdown"
    Queue.shutdown = _shut    # type: ignore[attr-defined]
