"""Cycles in the lock order of one or more runs: what could hang, before anyone asks whether it can.

The legs of a record make cycles: by instance (these locks, these roles) and by class, as lockdep
sees it. Cycles of the same classes are one finding.

Nothing here knows how threads are run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import NamedTuple

from ..locks.calls import calls_of
from ..locks.node import ImpliedClass
from ..locks.task import SHARED, WAIT
from . import lockdep
from .graph import Leg
from .record import Cycle, Record

MOST_CYCLES = 2_000    # by instance, of one record


class Candidate(NamedTuple):
    """A cycle by instance; at `read_read` readers wait for readers, but only if writers queue."""

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


def groups(record: Record, late: Callable[[], bool] = lambda: False) -> list[Group]:
    """Return the findings of *record*: all cycles, grouped by class, in the order of the record.

    Args:
        late: says that the time is up; then some are left out, and the record says so.
    """
    legs, cut = record.legs, False

    def stop() -> bool:
        nonlocal cut
        cut = cut or late()
        return cut

    by_classes: dict[tuple[str, ...], Group] = {}
    candidates = list(islice(_candidates(legs, len(record.paths), stop), MOST_CYCLES + 1))
    record.too_many = len(candidates) > MOST_CYCLES
    for candidate in candidates[:MOST_CYCLES]:
        key = reduced([record.classes[leg.held.name] for leg in candidate.legs])
        by_classes.setdefault(key, Group(key)).candidates.append(candidate)
    for leg in record.nestings.values():
        key = (record.classes[leg.held.name],)
        group = by_classes.setdefault(key, Group(key))
        group.witness = group.witness or (leg,)
    for cycle in _by_class(legs, stop):
        key = reduced([record.classes[leg.held.name] for leg in cycle])
        if len(key) == 1 and not isinstance(key[0], ImpliedClass):   # through subclasses of one
            key = reduced([leg.held.lock_class for leg in cycle])
        # Little is said by a role that waits, with a lock in hand, for what it set going.
        little = any(leg.brings for leg in cycle) and len({leg.role for leg in cycle}) < len(cycle)
        if key not in by_classes and not little:
            by_classes[key] = Group(key, witness=cycle)
    record.too_many = record.too_many or cut
    for group in by_classes.values():
        group.candidates.sort(key=lambda candidate: (
            len(candidate.read_read), _common_gates(candidate.legs), len(candidate.legs)))
    return list(by_classes.values())


def _common_gates(cycle: Cycle) -> int:
    """Return how many locks beside the cycle more than one leg holds."""
    held = Counter(gate for leg in cycle for gate, _ in leg.gates)
    return sum(n > 1 for n in held.values())


def _candidates(legs: Sequence[Leg], roles: int, late: Callable[[], bool]) -> Iterator[Candidate]:
    """Yield the cycles by instance in which each leg is of another role, until it is *late*."""
    out: dict[str, list[Leg]] = defaultdict(list)
    for leg in legs:
        out[leg.held.name].append(leg)
    rank = {name: i for i, name in enumerate(out)}
    seen = set()
    for start in legs:
        for cycle in _through([start], out, rank, roles, late):
            key = frozenset((leg.role, leg.held.name, leg.held.mode, leg.wanted.name,
                             leg.wanted.mode, leg.brings, leg.gates) for leg in cycle)
            read_read = _junctions(cycle)
            if key not in seen and read_read is not None:
                yield Candidate(cycle, read_read)
            seen.add(key)


def _through(path: list[Leg], out: dict[str, list[Leg]], rank: dict[str, int],
             roles: int, late: Callable[[], bool]) -> Iterator[Cycle]:
    """Yield the cycles that go on from *path* over locks that come after its first one."""
    first, last = path[0].held.name, path[-1].wanted.name
    if last == first:
        yield tuple(path)
    elif len(path) < roles and not late() and rank.get(last, -1) > rank[first]:
        taken, on_the_way = {leg.role for leg in path}, {leg.held.name for leg in path}
        for leg in out[last]:
            if leg.role not in taken and leg.held.name not in on_the_way:
                yield from _through([*path, leg], out, rank, roles, late)


def _junctions(cycle: Cycle) -> tuple[str, ...] | None:
    """Return the semaphores where readers meet readers; None if no queued writer blocks these."""
    semaphores = []
    for leg, after in pairwise((*cycle, cycle[0])):
        if leg.wanted.mode == SHARED and after.held.mode == SHARED:
            if leg.recursive:
                return None
            semaphores.append(leg.wanted.name)
    return tuple(semaphores)


# -- by class -------------------------------------------------------------------------------------


def _by_class(legs: Sequence[Leg], late: Callable[[], bool]) -> Iterator[Cycle]:
    """Yield a shortest strong cycle by class through each edge of the class graph, until it is
    *late*.
    """
    graph = lockdep.ClassGraph()
    example: dict[lockdep.Edge, list[Leg]] = defaultdict(list)
    for leg in legs:
        if leg.held.lock_class != leg.wanted.lock_class:
            edge = _class_edge(leg)
            graph.add(edge)
            example[edge].append(leg)
    for edge in example:
        if late():
            return
        path = graph.strong_path(edge)
        if path is not None:
            yield _of_most_roles([example[step] for step in (edge, *path)])


def _class_edge(leg: Leg) -> lockdep.Edge:
    """Return what *leg* is to one who knows classes only."""
    return lockdep.Edge(leg.held.lock_class, leg.wanted.lock_class, leg.held.mode == SHARED,
                        leg.recursive)


def _of_most_roles(choices: list[list[Leg]]) -> Cycle:
    """Return one leg of each of *choices*, of as many roles as that can easily be."""
    cycle: list[Leg] = []
    for legs in choices:
        taken = {leg.role for leg in cycle}
        cycle.append(next((leg for leg in legs if leg.role not in taken), legs[0]))
    return tuple(cycle)


def reduced(classes: list[str]) -> tuple[str, ...]:
    """Return a cycle of classes with repetitions merged, beginning with the least."""
    merged = [name for i, name in enumerate(classes) if name != classes[i - 1]] or classes[:1]
    first = merged.index(min(merged))
    return (*merged[first:], *merged[:first])


def assignment(choices: Sequence[Iterable[str]], taken: frozenset[str] = frozenset()) -> bool:
    """Say whether each of *choices* can be given another role."""
    return not choices or any(assignment(choices[1:], taken | {role})
                              for role in choices[0] if role not in taken)


# -- what the kernel would say --------------------------------------------------------------------

_TRACKED_WAITS = ("(work_completion)", "(wq_completion)")


def unseen(record: Record, classes: Iterable[str]) -> list[str]:
    """Return a line for each of *classes* that the kernel's validator does not see: why."""
    lines = [f"{name}: {record.novalidate[name]}" for name in classes if name in record.novalidate]
    waits = {record.classes[place.name] for place in record.asks.values() if place.mode == WAIT}
    return lines + [f"{name}: it tracks no waits for threads, flags or completions"
                    for name in classes if name in waits and not name.startswith(_TRACKED_WAITS)]


def validated(record: Record) -> lockdep.Report | None:
    """Return the first thing the kernel's validator would report; then it turns itself off."""
    validator = lockdep.Validator()
    nestings = {_request(leg): leg
                for leg in record.nestings.values()}
    for leg in [*record.legs, *record.unchecked]:     # the kernel knows no exemption
        classes = record.classes[leg.held.name], record.classes[leg.wanted.name]
        if unseen(record, classes):
            continue
        # Of what is held when a lock is asked for, its own class is looked at before any circle.
        nesting = nestings.get(_request(leg))
        if nesting is None and leg.held.lock_class == leg.wanted.lock_class \
                and leg not in record.unchecked:
            continue    # something said that this is legal
        report = validator.judge(_class_edge(nesting or leg))
        if report is not None:    # of recursion it prints the class, whatever the subclass
            return report if len(report.classes) > 1 else report._replace(classes=classes[1:])
    return None


def _request(leg: Leg) -> tuple[object, ...]:
    """Return what tells the request of *leg* from others."""
    return leg.role, leg.wanted.name, *calls_of(leg.wanted.chain)
