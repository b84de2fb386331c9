"""SimpleQueue: what `queue.SimpleQueue` is, as one node.

The interpreter's is written in C, and its `put` one call that nothing can interrupt: a finalizer, a
callback of a weak reference or a signal handler may call it wherever it comes.
"""

from __future__ import annotations

import types
from collections import deque
from queue import Empty
from typing import Any

from ..locks.node import Node
from .queue_node import DONE, GET, PUT, Ask, QueueNode


class SimpleQueue:
    """`queue.SimpleQueue`."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        one: Any = QueueNode.__new__(QueueNode)
        one.made_as = type(self)
        Node.__init__(one, None, None)    # called from here: it looks who made the queue
        self._one: QueueNode = one

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put *item*; never waits."""
        self._one.operate(Ask(self, PUT, item), True, None)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take out the first item, waiting for one up to *timeout* seconds if *block*.

        Raises:
            Empty: there was none.
            ValueError, TypeError, OverflowError: as the interpreter's.
        """
        if timeout is not None and block:
            if timeout < 0:
                raise ValueError("'timeout' must be a non-negative number")
            block, timeout = timeout > 0, timeout or None
        request = Ask(self, GET)
        if self._one.operate(request, bool(block), timeout if block else None) is not DONE:
            raise Empty
        return request.item

    def put_nowait(self, item: Any) -> None:
        """Do what `put` does."""
        self._one.operate(Ask(self, PUT, item), True, None)

    def get_nowait(self) -> Any:
        """Take out the first item, if there is one.

        Raises:
            Empty: there is none.
        """
        request = Ask(self, GET)
        if self._one.operate(request, False, None) is not DONE:
            raise Empty
        return request.item

    def empty(self) -> bool:
        """Say whether there is no item."""
        self._one.look()
        return not self._items

    def qsize(self) -> int:
        """Return how many items there are."""
        self._one.look()
        return len(self._items)

    __class_getitem__: Any = classmethod(types.GenericAlias)
