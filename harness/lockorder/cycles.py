"""Cycles in the lock order of one or more runs: what could hang, before anyone asks whether it can.

A *leg* is one role that holds one lock and asks for another, or that must have a lock before it ends
a wait. Legs make cycles: by instance (these locks, these roles) and by class, as lockdep sees it.
Cycles of the same classes are one finding.

Nothing here knows how threads are run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from . import lockdep
from ..checker.program import Op
from ..locks.task import SHARED, WAIT
from .graph import Edge, LockOrder, Place

MOST_CYCLES = 2_000    # by instance, of one record


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


Cycle = tuple[Leg, ...]
Path = tuple[Op, ...]


class Candidate(NamedTuple):
    """A cycle by instance, and the semaphores on it that readers hold and readers want: there only a
    queued writer makes one wait for the other.
    """

    legs: Cycle
    read_read: tuple[str, ...]


@dataclass
class Group:
    """All cycles of the same classes.

    Attributes:
        classes: in order, each asked for while the one before is held; the last leads to the first.
        candidates: the cycles by instance, each leg of another role.
        witness: a cycle by class, where there is none by instance: its legs do not share instances.
    """

    classes: tuple[str, ...]
    candidates: list[Candidate] = field(default_factory=list)
    witness: Cycle = ()

    @property
    def headline(self) -> str:
        """What the kernel calls it."""
        return lockdep.RECURSIVE if len(self.classes) == 1 else lockdep.CIRCULAR


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
        for key, edge in order.edges.items():
            self.edges.setdefault(key, edge)
        self.unchecked += order.unchecked
        for asked, place in order.asks.items():
            self.asked.setdefault(asked, place)
        for nested, nesting in order.nestings.items():
            self.nestings.setdefault(nested, nesting.edge)
            if nesting.refused:
                self.refused[self.base(nesting.edge.held.name, order)] = nesting.refused
        self.kinds.update(order.kinds)
        self.classes.update(order.classes)
        self.labels.update(order.labels)
        self.joins.update(order.joins)
        self.exempt.update(order.exempt)
        self.novalidate.update(order.novalidate)
        self.done.update(order.done)
        self.pooled |= order.pooled
        self.policies.update(order.policies)
        self.cut.update(order.cut)
        self.excused |= order.excused
        for role, path in order.operations.items():
            if path not in self.paths[role]:
                self.paths[role].append(path)

    def base(self, name: str, order: LockOrder | None = None) -> str:
        """Return the class of the lock *name*, without a subclass."""
        return (order or self).classes[name]

    @property
    def roles(self) -> list[str]:
        """Every role that did anything with locks."""
        return list(self.paths)

    def legs(self) -> list[Leg]:
        """Return every leg there is."""
        legs = [Leg(edge.role, edge.held, edge.wanted, edge.gates, edge.recursive)
                for edge in self.edges.values()]
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
                    if op.target == name and op.op in ("set", "complete")), default=0)

    def _asks(self, operations: set[tuple[str, str]], lock: str, mode: str) -> bool:
        """Say whether *operations* ask for *lock*."""
        if mode == WAIT:
            return ("wait", lock) in operations or ("join", self.joins.get(lock, lock)) in operations
        return any((op, lock) in operations for op in ("lock", "down_read", "down_write"))


# -- by instance ----------------------------------------------------------------------------------


def groups(record: Record) -> list[Group]:
    """Return the findings of *record*: all cycles, grouped by class, in the order of the record."""
    legs = record.legs()
    found: dict[tuple[str, ...], Group] = {}
    candidates = list(islice(_candidates(legs, len(record.roles)), MOST_CYCLES + 1))
    record.too_many = len(candidates) > MOST_CYCLES
    for candidate in candidates[:MOST_CYCLES]:
        key = reduced([record.base(leg.held.name) for leg in candidate.legs])
        found.setdefault(key, Group(key)).candidates.append(candidate)
    for edge in record.nestings.values():
        key = (record.base(edge.held.name),)
        group = found.setdefault(key, Group(key))
        if not group.witness:
            group.witness = (Leg(edge.role, edge.held, edge.wanted, edge.gates, edge.recursive),)
    for cycle in _by_class(legs):
        key = reduced([record.base(leg.held.name) for leg in cycle])
        if len(key) == 1:   # it goes through subclasses of one class
            key = reduced([leg.held.lock_class for leg in cycle])
        if key not in found and not _says_little(cycle):
            found[key] = Group(key, witness=cycle)
    for group in found.values():
        group.candidates.sort(key=lambda each: (len(each.read_read), _common_gates(each.legs),
                                                len(each.legs)))
    return list(found.values())


def _common_gates(cycle: Cycle) -> int:
    """Return how many locks beside the cycle more than one leg holds."""
    held = Counter(gate for leg in cycle for gate, _ in leg.gates)
    return sum(n > 1 for n in held.values())


def _candidates(legs: Sequence[Leg], roles: int) -> Iterator[Candidate]:
    """Yield the cycles by instance in which each leg is of another role."""
    out: dict[str, list[Leg]] = defaultdict(list)
    for leg in legs:
        out[leg.held.name].append(leg)
    rank = {name: i for i, name in enumerate(out)}
    seen = set()
    for start in legs:
        for cycle in _through(start, [start], out, rank, roles):
            key = frozenset((leg.role, leg.held.name, leg.held.mode, leg.wanted.name, leg.wanted.mode,
                             leg.brings, leg.gates) for leg in cycle)
            if key in seen:
                continue
            seen.add(key)
            read_read = _junctions(cycle)
            if read_read is not None:
                yield Candidate(cycle, read_read)


def _through(start: Leg, path: list[Leg], out: dict[str, list[Leg]], rank: dict[str, int],
             roles: int) -> Iterator[Cycle]:
    """Yield the cycles that go on from *path* over locks that come after its first one."""
    last = path[-1].wanted.name
    if last == start.held.name:
        yield tuple(path)
        return
    if len(path) == roles or rank.get(last, -1) <= rank[start.held.name]:
        return
    taken, on_the_way = {leg.role for leg in path}, {leg.held.name for leg in path}
    for leg in out[last]:
        if leg.role not in taken and leg.held.name not in on_the_way:
            yield from _through(start, [*path, leg], out, rank, roles)


def _junctions(cycle: Cycle) -> tuple[str, ...] | None:
    """Return the semaphores where readers meet readers; None if such readers do not block each other
    whatever is queued.
    """
    found = []
    for leg, after in zip(cycle, (*cycle[1:], cycle[0])):
        if leg.wanted.mode == SHARED and after.held.mode == SHARED:
            if leg.recursive:
                return None
            found.append(leg.wanted.name)
    return tuple(found)


# -- by class -------------------------------------------------------------------------------------


def _by_class(legs: Sequence[Leg]) -> Iterator[Cycle]:
    """Yield a shortest strong cycle by class through each edge of the class graph."""
    graph = lockdep.ClassGraph()
    example: dict[lockdep.Edge, list[Leg]] = defaultdict(list)
    for leg in legs:
        if leg.held.lock_class != leg.wanted.lock_class:
            edge = lockdep.Edge(leg.held.lock_class, leg.wanted.lock_class,
                                leg.held.mode == SHARED, leg.recursive)
            graph.add(edge)
            example[edge].append(leg)
    for edge in example:
        path = graph.strong_path(edge)
        if path is not None:
            yield _of_most_roles([example[each] for each in (edge, *path)])


def _says_little(cycle: Cycle) -> bool:
    """Say whether *cycle* is only that a role waits, with a lock in hand, for what it set going."""
    roles = [leg.role for leg in cycle]
    return any(leg.brings for leg in cycle) and len(set(roles)) < len(roles)


def _of_most_roles(choices: list[list[Leg]]) -> Cycle:
    """Return one leg of each of *choices*, of as many roles as that can easily be."""
    cycle: list[Leg] = []
    taken: set[str] = set()
    for legs in choices:
        leg = next((leg for leg in legs if leg.role not in taken), legs[0])
        taken.add(leg.role)
        cycle.append(leg)
    return tuple(cycle)


def reduced(classes: list[str]) -> tuple[str, ...]:
    """Return a cycle of classes with repetitions merged, beginning with the least."""
    merged = [each for i, each in enumerate(classes) if each != classes[i - 1]] or classes[:1]
    first = merged.index(min(merged))
    turned = [*merged[first:], *merged[:first]]
    return tuple(turned)


def assignment(choices: Sequence[Iterable[str]], taken: frozenset[str] = frozenset()) -> bool:
    """Say whether each of *choices* can be given another role."""
    if not choices:
        return True
    return any(assignment(choices[1:], taken | {role}) for role in choices[0] if role not in taken)


# -- what the kernel would say --------------------------------------------------------------------

_TRACKED_WAITS = ("(work_completion)", "(wq_completion)")


def unseen(record: Record, classes: Iterable[str]) -> list[str]:
    """Return why the kernel's validator does not see locks of *classes*, a line for each it does not
    see.
    """
    lines = [f"{each}: {record.novalidate[each]}" for each in classes if each in record.novalidate]
    waits = {record.base(place.name) for place in record.asked.values() if place.mode == WAIT}
    return lines + [f"{each}: it tracks no waits for threads, flags or completions"
                    for each in classes if each in waits and not each.startswith(_TRACKED_WAITS)]


def validated(record: Record) -> lockdep.Report | None:
    """Return the one report the kernel's validator would have printed for *record*, if any: the
    first; then it turns itself off.
    """
    graph = lockdep.ClassGraph()
    nested = {(edge.role, edge.wanted.name, edge.wanted.chain) for edge in record.nestings.values()}
    unchecked = [Leg(edge.role, edge.held, edge.wanted, edge.gates, edge.recursive)
                 for edge in record.unchecked]      # by us; the kernel knows no such exemption
    for leg in [*record.legs(), *unchecked]:
        classes = record.base(leg.held.name), record.base(leg.wanted.name)
        if unseen(record, classes):
            continue
        if (leg.role, leg.wanted.name, leg.wanted.chain) in nested:   # looked for before any circle
            return lockdep.Report(lockdep.RECURSIVE, classes[1:])
        if leg.held.lock_class == leg.wanted.lock_class:
            if leg in unchecked:
                return lockdep.Report(lockdep.RECURSIVE, classes[1:])
            continue
        edge = lockdep.Edge(leg.held.lock_class, leg.wanted.lock_class, leg.held.mode == SHARED,
                            leg.recursive)
        path = graph.strong_path(edge)
        if path is not None:
            return lockdep.Report(lockdep.CIRCULAR, (edge.source, *(each.source for each in path)))
        graph.add(edge)
    return None
