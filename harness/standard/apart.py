"""What a queue does that is not one node: what the standard class does, by the hooks of the queue,
over a lock and conditions that may be anybody's.

`put` and `get` are written anew for one reason. The standard class reckons by a clock how long it
has left to wait, and waits again; where a limit runs out because a schedule says so, no time passes
and it would do so for ever. Here a limit that ran out is over.
"""

from __future__ import annotations

import queue as standard
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Full
from time import monotonic
from types import FunctionType
from typing import Any

from ..locks import raw
from ..locks.callsite import vocabulary
from ..locks.task import this_thread

ShutDown: Any = getattr(standard, "ShutDown", None)


def put(queue: Any, item: Any, block: bool = True, timeout: float | None = None) -> None:
    """Put *item*: see `queue.Queue.put`."""
    def is_shut() -> bool:
        return bool(getattr(queue, "is_shutdown", False))

    def has_room() -> bool:
        return not 0 < queue.maxsize <= queue._qsize()

    with _asking(queue, item), queue.not_full:
        if is_shut():
            raise ShutDown
        if not _wait(queue, queue.not_full, has_room, is_shut,
                     *((block, timeout) if queue.maxsize > 0 else (True, None))):
            raise Full
        queue._put(item)
        queue.unfinished_tasks += 1
        queue.not_empty.notify()


def get(queue: Any, block: bool = True, timeout: float | None = None) -> Any:
    """Take out an item: see `queue.Queue.get`."""
    def is_shut() -> bool:
        return getattr(queue, "is_shutdown", False) and not queue._qsize()

    def has_items() -> bool:
        return bool(queue._qsize())

    with _asking(queue), queue.not_empty:
        if is_shut():
            raise ShutDown
        if not _wait(queue, queue.not_empty, has_items, is_shut, block, timeout):
            raise Empty
        item = queue._get()
        queue.not_full.notify()
        return item


@contextmanager
def _asking(queue: Any, *what: Any) -> Iterator[None]:
    """Have it seen, for the time of one operation, what the calling thread is about, and how far it
    is: frames of ours tell nobody.
    """
    task, asking = this_thread.task, vars(queue).setdefault("_asking", {})
    before = asking.get(task)
    asking[task] = what
    try:
        yield
    finally:
        if before is None:
            del asking[task]
        else:
            asking[task] = before


def _wait(queue: Any, condition: Any, is_ready: Callable[[], bool], is_shut: Callable[[], bool],
          block: bool, timeout: float | None) -> bool:
    """Wait, with the lock of *queue* held, until it *is_ready*; return False if the time was up.

    Raises:
        ShutDown: it *is_shut*.
        ValueError: *timeout* is negative.
    """
    if not block:
        return is_ready()
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    end = None if timeout is None else monotonic() + timeout
    left, is_over = timeout, False
    while not is_ready():
        if is_over or left is not None and left <= 0:
            return False
        woken = condition.wait(left)
        is_over = left is not None and not woken
        queue._asking[this_thread.task] += is_over,
        if is_shut():
            raise ShutDown
        left = None if end is None else end - monotonic()
    return True


def _of_standard(method: str) -> Any:
    """Return a *method* of the standard class, for queues that are apart: a verb as ours are, which
    that of other queues is none.
    """
    of = getattr(raw.Queue, method, None)
    return None if of is None else vocabulary(FunctionType(
        of.__code__.replace(), of.__globals__, method, of.__defaults__))


join, task_done, qsize, empty, full, shutdown = map(_of_standard, (
    "join", "task_done", "qsize", "empty", "full", "shutdown"))
