"""How a queue stops to be one node, and when it must: it becomes the standard library's class, over
our lock and our conditions.

It may come to that at any time. Whoever waits then asks again: that they waited was seen by nobody.
"""

from __future__ import annotations

from collections import deque
from types import FunctionType
from typing import Any

from ..locks import raw
from ..locks.counted import tell
from ..locks.parking import guarded
from ..locks.task import this_thread
from .condition import Condition
from .lock import Lock

HOOKS = "_init", "_qsize", "_put", "_get"
_HOOK_NAMES = frozenset(HOOKS)
_BOXES: dict[Any, type] = {raw.Queue: deque, raw.LifoQueue: list, raw.PriorityQueue: list}
_COMPARISONS = "__lt__", "__gt__", "__eq__"
_CONTAINERS = dict, set, frozenset, deque


class Part:
    """The lock of a queue, or one of its conditions: made when it is asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, queue: Any, owner: type | None = None) -> Any:
        if queue is None:
            raise AttributeError(f"type object {owner.__name__!r} has no attribute "
                                 f"{self._name!r}" if owner else self._name)
        take_apart(queue)
        try:
            return vars(queue)[self._name]
        except KeyError:
            raise AttributeError(f"{type(queue).__name__!r} object has no attribute "
                                 f"{self._name!r}") from None

    def __set__(self, queue: Any, value: Any) -> None:
        take_apart(queue)
        vars(queue)[self._name] = value

    def __delete__(self, queue: Any) -> None:
        take_apart(queue)
        del vars(queue)[self._name]


def take_apart(queue: Any) -> None:
    """Make *queue* the standard class over our locks.

    If a role did so, whoever uses it later looks whether it was done: else that would come to
    another lock, and no schedule would say why.
    """
    node = queue._one
    if node is None:
        if queue._before is not None:
            queue._before.look()
        return
    tell(node, "set")
    made = parts()
    with guarded:
        if queue._one is None:    # another thread was faster
            return
        vars(queue).update(made)
        queue._one, queue._before = None, node if this_thread.task.run is not None else None
    node.wake(queue)


def parts() -> dict[str, Any]:
    """Return a new lock for a queue, and its conditions, by the names of the attributes."""
    mutex = Lock()
    not_empty = Condition(mutex)
    not_full = Condition(mutex)
    all_tasks_done = Condition(mutex)
    return {"mutex": mutex, "not_empty": not_empty, "not_full": not_full,
            "all_tasks_done": all_tasks_done}


def whole(queue: Any) -> Any:
    """Return what *queue* is as one node; None if it is apart."""
    one: Any = queue._one
    if one is not None:
        inside = vars(queue)
        if type(inside.get("queue")) is _BOXES[one.order] and _HOOK_NAMES.isdisjoint(inside):
            return one
    take_apart(queue)
    return None


def is_plain(item: Any) -> bool:
    """Say whether no code of Python's runs when *item* is compared with another such."""
    kind = type(item)
    if any([isinstance(getattr(kind, name), FunctionType) for name in _COMPARISONS]):
        return False
    base = tuple if issubclass(kind, tuple) else list
    if issubclass(kind, base):
        return all(map(is_plain, base.__iter__(item)))
    return not issubclass(kind, _CONTAINERS)
