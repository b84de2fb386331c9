"""What one or more runs of a scenario recorded of the order of locks, put together."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property

from ..checker.program import Op
from ..locks.operations import OPERATIONS, TAKING, names
from ..locks.task import WAIT
from .graph import Leg, LockOrder, Recorded
from .held_stacks import Place
from .signals import leg_as, op_as, place_as

_ASKING = [op for op in TAKING if OPERATIONS[op].busy in ("waits", "queues")]
_ENDING = names(counterpart="wait")

Cycle = tuple[Leg, ...]
Path = tuple[Op, ...]


class Record(Recorded):
    """What several runs of one scenario recorded, put together.

    Attributes:
        paths: role -> what it did, each way once.
        excused: as in the run in which each reason was given most often.
        cut: roles of which more was done than was kept.
        too_many: of the cycles by instance some were left out.
    """

    def __init__(self, orders: Iterable[LockOrder]) -> None:
        super().__init__()
        self.cut: set[str] = set()
        self.paths: dict[str, list[Path]] = defaultdict(list)
        self.too_many = False
        seen: list[object] = []
        orders = list(orders)
        for order in orders:
            self.signals |= order.signals
        for order in orders:
            # A run that is the same but for which of its own locks is which says nothing new.
            shape = _shape(order) if order.loose and not order.cut else None
            if shape is None or shape not in seen:
                self._add(order)
                seen.append(shape)

    def _add(self, order: LockOrder) -> None:
        for name in ("classes", "kinds", "labels", "joins", "exempt", "novalidate", "done",
                     "policies", "pooled", "declared", "refused", "cut", "choosing",
                     "loose"):
            getattr(self, name).update(getattr(order, name))
        for name in ("edges", "nestings"):     # of each kind the first is kept
            kept = getattr(self, name)
            for key, first in getattr(order, name).items():
                leg = leg_as(first, self.signals) if self.signals else first
                if leg is not None:
                    kept.setdefault(key, leg)
        for (role, lock, mode), place in order.asks.items():
            place = place_as(place, self.signals)
            self.asks.setdefault((role, lock, place.mode if place.name in self.signals else mode),
                                 place)
        legs = (leg_as(leg, self.signals) for leg in order.unchecked)
        self.unchecked += [leg for leg in legs if leg is not None]
        for name in self.signals:
            self.kinds.pop(name, None)
        self.excused |= order.excused
        for role, path in order.operations.items():
            if self.signals:
                path = tuple([op_as(op, self.signals) for op in path])
            if path not in self.paths[role]:
                self.paths[role].append(path)

    def with_paths(self, paths: dict[str, list[Path]]) -> Record:
        """Return what is recorded, of other *paths*."""
        other = copy.copy(self)
        other.paths = defaultdict(list, paths)
        for name in ("legs", "by_kind", "_asked_by", "_ended_by"):
            vars(other).pop(name, None)
        return other

    @cached_property
    def by_kind(self) -> dict[tuple[str, bool, str, bool], list[Leg]]:
        """Every leg, by its kind."""
        kinds: dict[tuple[str, bool, str, bool], list[Leg]] = defaultdict(list)
        for leg in self.legs:
            kinds[leg.kind].append(leg)
        return kinds

    @cached_property
    def legs(self) -> list[Leg]:
        """Every leg: those that were seen, and of what must come before ends of waits."""
        wanted = [*(edge.wanted for edge in self.edges.values()), *self.asks.values()]
        waits = {place.name: place for place in wanted if place.mode == WAIT}
        return [*self.edges.values(),
                *(leg for name, wait in waits.items() for leg in self._brought(name, wait))]

    def _brought(self, name: str, wait: Place) -> Iterator[Leg]:
        """Yield what each role that can end the wait *name* must have before."""
        ends = self._ended_by[name] if name not in self.joins else \
            [self.joins[name]] if self.joins[name] in self.paths else []
        for role in ends:
            before = {(op.op, op.target) for path in self.paths[role]
                      for op in path[:self._before(path, name)]}
            for place in self._asked_by[role]:
                if place.name != name and self._asks(before, place.name, place.mode):
                    yield Leg(role, wait, place, brings=True)

    @cached_property
    def _ended_by(self) -> dict[str, list[str]]:
        """Wait -> the roles that were seen to end it."""
        ends: dict[str, dict[str, None]] = defaultdict(dict)
        for role, paths in self.paths.items():
            for path in paths:
                for op in path:
                    if op.op in _ENDING:
                        ends[op.target][role] = None
        return defaultdict(list, {name: list(roles) for name, roles in ends.items()})

    @cached_property
    def _asked_by(self) -> dict[str, list[Place]]:
        """Role -> what it asked for."""
        asked: dict[str, list[Place]] = defaultdict(list)
        for (role, _, _), place in self.asks.items():
            asked[role].append(place)
        return asked

    def _before(self, path: Path, name: str) -> int:
        """Return how much of *path* comes before the wait *name* is last ended."""
        if name in self.joins:
            return len(path)
        return max((i for i, op in enumerate(path)
                    if op.target == name and op.op in _ENDING), default=0)

    def _asks(self, operations: set[tuple[str, str]], lock: str, mode: str) -> bool:
        """Say whether *operations* ask for *lock*."""
        if mode == WAIT:
            return not operations.isdisjoint({("wait", lock), ("join", self.joins.get(lock, lock))})
        return any((op, lock) in operations for op in _ASKING)


def _shape(order: LockOrder) -> object:
    """Return what was done in a run, with numbers for the locks that are in no other."""
    numbers: dict[str, tuple[str, int]] = {}

    def target(name: str) -> object:
        if name not in order.loose:
            return name
        return numbers.setdefault(name, (order.classes[name], len(numbers)))

    return [(role, [(op.op, target(op.target)) for op in path])
            for role, path in sorted(order.operations.items())]
