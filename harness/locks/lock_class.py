"""What is said of a class of locks: the annotations of prediction, each with its reason."""

from __future__ import annotations

from typing import Any

from .errors import ScenarioError


class LockClass(str):
    """What all locks of one kind share, with what prediction is to know of it; a plain string will do
    where there is nothing to say.

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

    def __new__(cls, name: str, order: Any = None, exempt: str = "", novalidate: str = "",
                why: str = "") -> LockClass:
        made = super().__new__(cls, name)
        if order is not None and not why:
            raise ScenarioError(f"lock class {name}: an order needs a reason (why=...)")
        made.order, made.exempt, made.novalidate, made.why = order, exempt, novalidate, why
        return made
