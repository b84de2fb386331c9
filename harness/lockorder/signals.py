"""Locks that turn out to be signals: a thread released one that it did not have.

Until then such a lock was recorded as one that roles hold. What it has is an order no more: to take
it is to wait until somebody releases it, and a release lets one wait pass. So what was recorded is
said anew here, as of a completion that one wait could pass at the start, if it was free then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..checker.program import Op
from ..locks.counted import Counted
from ..locks.exclusive import Exclusive
from ..locks.task import WAIT
from .held_stacks import Held, NOTHING_HELD, Place

_AS_SIGNAL = {"lock": "wait", "take": "pass", "unlock": "complete"}


def passes_now(lock: Any) -> float:
    """Return how many waits would pass at *lock*, were it a signal if it is none of the others."""
    if isinstance(lock, Counted):
        return lock.passes
    return int(isinstance(lock, Exclusive) and lock.may_stay_held and not lock.is_held)


def op_as(op: Op, signals: Collection[str]) -> Op:
    """Return what *op* is if *signals* are no locks."""
    return op._replace(op=_AS_SIGNAL.get(op.op, op.op)) if op.target in signals else op


def place_as(place: Place, signals: Collection[str]) -> Place:
    """Return the same of a request."""
    return place._replace(mode=WAIT) if place.name in signals else place


def leg_as(leg: Any, signals: Collection[str]) -> Any:
    """Return the same of a `Leg`; None if it is none: nobody holds a signal."""
    if leg.held.name in signals and leg.held.mode != WAIT:
        return None
    among = leg.among
    if among is not None and any(held.name in signals for held in among[0]):
        last = this = NOTHING_HELD
        for held in reversed(list(among[0])):
            if held.name not in signals:
                last = Held(held.name, held.mode, last)
                this = last if held is among[1] else this
        among = last, this
    return leg._replace(wanted=place_as(leg.wanted, signals), among=among)
