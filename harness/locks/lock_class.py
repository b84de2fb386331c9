"""What is said of a class of locks: the annotations of prediction, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import ScenarioError


class LockClass(str):
    """What all locks of one kind share, and what prediction is to know of it.

    A plain string will do where there is nothing to say.

    Args:
        name: as in lockdep, say ``&dev->mutex``.
        order: called with two locks of the class, one held and one asked for; returns whether that
            order is legal (lockdep's comparison function). Without it two locks of one class must
            not nest.
        exempt: why no finding is wanted for it; empty if it is checked.
        novalidate: why the kernel's own validator does not see it (`--lockdep` alone heeds that).
        why: the reason for *order*.
    """

    __slots__ = ("order", "exempt", "novalidate", "why")
    order: Callable[[Any, Any], bool] | None
    exempt: str
    novalidate: str
    why: str

    def __new__(cls, name: str, order: Callable[[Any, Any], bool] | None = None, exempt: str = "",
                novalidate: str = "", why: str = "") -> LockClass:
        if order is not None and not why:
            raise ScenarioError(f"lock class {name}: an order needs a reason (why=...)")
        lock_class = super().__new__(cls, name)
        lock_class.order, lock_class.why = order, why
        lock_class.exempt, lock_class.novalidate = exempt, novalidate
        return lock_class
