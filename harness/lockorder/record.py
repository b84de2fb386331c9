"""What one or more runs of a scenario recorded of the order of locks, put together.

A *leg* is one role that holds one lock and asks for another, or that must have a lock before it
ends a wait.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..checker.program import Op
from ..locks.operations import OPERATIONS, TAKING, names
from ..locks.task import WAIT
from .graph import Edge, LockOrder, Place

_ASKING = [op for op in TAKING if OPERATIONS[op].busy in ("waits", "queues")]
_ENDING = names(counterpart="wait")


class Leg(NamedTuple):
    """*role* has `held` and asks for `wanted`.

    With `brings`, `held` is a wait that the role is to end, which it does after it had `wanted`.
    """

    role: str
    held: Place
    wanted: Place
    gates: tuple[tuple[str, str], ...] = ()
    recursive: bool = False
    brings: bool = False


def leg_of(edge: Edge) -> Leg:
    """Return the leg of a role that held one lock and asked for another."""
    return Leg(edge.role, edge.held, edge.wanted, edge.gates, edge.recursive)


Cycle = tuple[Leg, ...]
Path = tuple[Op, ...]


class Record:
    """What several runs of one scenario recorded, put together."""

    def __init__(self, orders: Iterable[LockOrder]) -> None:
        self.orders = list(orders)
        self.edges: dict[object, Edge] = {}
        self.asked: dict[tuple[str, str, str], Place] = {}
        self.kinds: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.joins: dict[str, str] = {}
        self.exempt: dict[str, str] = {}
        self.novalidate: dict[str, str] = {}
        self.done: dict[str, float] = {}
        self.policies: dict[str, str] = {}
        self.pooled: set[str] = set()
        self.excused: Counter[str] = Counter()    # reason -> how often, in one run
        self.cut: set[str] = set()      # roles of which more was done than was kept
        self.paths: dict[str, list[Path]] = defaultdict(list)
        self.nestings: dict[object, Edge] = {}
        self.unchecked: list[Edge] = []
        self.refused: dict[str, str] = {}
        self.too_many = False    # cycles by instance: some were left out
        for order in self.orders:
            self._add(order)

    def _add(self, order: LockOrder) -> None:
        for name in ("classes", "kinds", "labels", "joins", "exempt", "novalidate", "done",
                     "policies", "pooled", "cut"):
            getattr(self, name).update(getattr(order, name))
        for key, edge in order.edges.items():
            self.edges.setdefault(key, edge)
        self.unchecked += order.unchecked
        for asked, place in order.asks.items():
            self.asked.setdefault(asked, place)
        for nested, nesting in order.nestings.items():
            self.nestings.setdefault(nested, nesting.edge)
            if nesting.refused:
                self.refused[self.base(nesting.edge.held.name)] = nesting.refused
        self.excused |= order.excused
        for role, path in order.operations.items():
            if path not in self.paths[role]:
                self.paths[role].append(path)

    def base(self, name: str) -> str:
        """Return the class of the lock *name*, without a subclass."""
        return self.classes[name]

    @property
    def roles(self) -> list[str]:
        """Every role that did anything with locks."""
        return list(self.paths)

    def legs(self) -> list[Leg]:
        """Return every leg there is."""
        legs = list(map(leg_of, self.edges.values()))
        waited = {edge.wanted.name: edge.wanted for edge in self.edges.values()
                  if edge.wanted.mode == WAIT}
        waited.update({place.name: place for place in self.asked.values() if place.mode == WAIT})
        for name, place in waited.items():
            legs += self._brought(name, place)
        return legs

    def _brought(self, name: str, wait: Place) -> Iterator[Leg]:
        """Yield what each role that can end the wait *name* must have before."""
        for role, paths in self.paths.items():
            before = {(op.op, op.target) for path in paths
                      for op in path[:self._before(role, path, name)]}
            for (asked_role, lock, mode), place in self.asked.items():
                if asked_role == role and lock != name and self._asks(before, lock, mode):
                    yield Leg(role, wait, place, brings=True)

    def _before(self, role: str, path: Path, name: str) -> int:
        """Return how many operations *role* does before it last ends the wait *name*; 0 if it does
        not.
        """
        if name in self.joins:
            return len(path) if self.joins[name] == role else 0
        return max((i for i, op in enumerate(path)
                    if op.target == name and op.op in _ENDING), default=0)

    def _asks(self, operations: set[tuple[str, str]], lock: str, mode: str) -> bool:
        """Say whether *operations* ask for *lock*."""
        if mode == WAIT:
            return not operations.isdisjoint({("wait", lock), ("join", self.joins.get(lock, lock))})
        return any((op, lock) in operations for op in _ASKING)
