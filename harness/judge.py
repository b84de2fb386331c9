"""Whether a cycle of the lock order can happen: the engine's answer on what the roles did.

The operations of all roles, as recorded, are cut down to the locks of the cycle, the locks held
beside them and the waits, and the fast engine goes through every order of these. Leaving locks out
only allows more, so "cannot happen" is an answer; "can happen" is a schedule to try on real threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice, product

from .cycles import Candidate, Cycle, Path, Record
from .engine import Answer, Stuck, search
from .program import Op, Program
from .race import writer_of

MOST_STATES = 100_000     # of one search
MOST_PATHS = 8            # how many combinations of what the roles did are tried

_LOCKING = {"lock", "take", "down_read", "down_write", "take_read", "take_write"}
_UNLOCKING = {"unlock", "up_read", "up_write"}


@dataclass(frozen=True)
class Judgement:
    """What the engine says of one cycle.

    Attributes:
        stuck: the state in which it hangs; None if it does not.
        writers: the semaphores on which a thread more had to queue for that.
        guard: what makes it impossible, if it is.
        complete: whether every state was seen.
    """

    stuck: Stuck | None = None
    writers: tuple[str, ...] = ()
    guard: str = ""
    complete: bool = True


def judge(record: Record, candidate: Candidate) -> Judgement:
    """Say whether the roles of *record* can get into the cycle, with further writers or without."""
    locks = {leg.held.name for leg in candidate.legs} | {leg.wanted.name for leg in candidate.legs}
    gates = {gate for leg in candidate.legs for gate, _ in leg.gates}
    complete = True
    for paths in _paths(record, candidate.legs):
        for writers in _writers(candidate.read_read):
            answer = _search(record, paths, locks | gates, candidate.legs, writers)
            complete = complete and answer.complete
            if answer.deadlocks:
                return Judgement(answer.deadlocks[0], writers)
    if not complete:
        return Judgement(complete=False)
    return Judgement(guard=_guard(record, candidate, locks, gates))


def by_class(record: Record, cycle: Cycle) -> str:
    """Return what guards a cycle by class, were all its locks of one class the same lock; "" if
    nothing does.
    """
    for gate, mode in cycle[0].gates:
        others = [dict(leg.gates).get(gate) for leg in cycle[1:]]
        if all(others) and (mode, *others).count("shared") <= 1:
            return gate
    return ""


def _writers(read_read: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the sets of semaphores to queue a further writer at, the smallest first."""
    names = tuple(dict.fromkeys(read_read))
    for n in range(len(names) + 1):
        yield from combinations(names, n)


def _paths(record: Record, legs: Cycle) -> Iterator[dict[str, Path]]:
    """Yield combinations of what the roles did, those first in which each leg's role asks for its
    lock.
    """
    wanted = {leg.role: {leg.wanted.name, leg.held.name} for leg in legs}
    choices = []
    for role, paths in record.paths.items():
        names = wanted.get(role, set())
        choices.append([(role, path) for path in sorted(
            paths, key=lambda path: len(names - {op.target for op in path}))])
    for combination in islice(product(*choices), MOST_PATHS):
        yield dict(combination)


def _search(record: Record, paths: dict[str, Path], locks: set[str], legs: Cycle,
            writers: tuple[str, ...], waits: bool = True) -> Answer:
    program = _program(record, paths, locks, writers, waits)
    roles = {leg.role for leg in legs}
    answer = search(program, max_states=MOST_STATES, first=True)
    if answer.deadlocks and not roles <= set(answer.deadlocks[0].circle):
        answer = search(program, max_states=MOST_STATES)   # the nearest was another one's
        ours = tuple(stuck for stuck in answer.deadlocks if roles <= set(stuck.circle))
        answer = replace(answer, deadlocks=ours)
    return answer


def _program(record: Record, paths: dict[str, Path], locks: set[str], writers: tuple[str, ...],
             waits: bool) -> Program:
    """Return what the roles do with *locks*, and *writers*."""
    threads = {role: _project(path, locks, paths if waits else {}) for role, path in paths.items()}
    flags = {op.target for ops in threads.values() for op in ops if op.op == "set"}
    given = {op.target for ops in threads.values() for op in ops if op.op == "wait"} - flags
    for name in writers:
        threads[writer_of(name)] = (Op("down_write", name), Op("up_write", name))
    kinds = {name: kind for name, kind in record.kinds.items() if name in locks}
    return Program(kinds, {role: ops for role, ops in threads.items() if ops or waits},
                   frozenset(given), record.policy)


def _project(path: Path, locks: set[str], threads: Iterable[str]) -> Path:
    """Return the operations of *path* on *locks* and its waits; each section once."""
    threads = set(threads)
    kept = [op for op in path if op.target in locks and op.op in _LOCKING | _UNLOCKING
            or threads and op.op in ("set", "wait") or op.op == "join" and op.target in threads]
    sections: dict[tuple[Op, ...], None] = {}
    result: list[Op] = []
    section: list[Op] = []
    depth = 0
    for op in kept:
        section.append(op)
        depth += (op.op in _LOCKING) - (op.op in _UNLOCKING)
        if depth <= 0:
            whole = tuple(section)
            plain = all(op.op in _LOCKING | _UNLOCKING for op in whole)
            if not plain or whole not in sections:
                result += whole
            if plain:
                sections[whole] = None
            section, depth = [], 0
    return (*result, *section)


def _guard(record: Record, candidate: Candidate, locks: set[str], gates: set[str]) -> str:
    """Name what makes the cycle impossible: without it, it could happen."""
    legs = candidate.legs
    common = [gate for gate in sorted(gates) if _common(gate, legs)]
    paths = next(_paths(record, legs))
    for gate in common + sorted(gates - set(common)):
        if _possible(record, paths, locks | gates - {gate}, legs, candidate.read_read, True):
            return gate
    if _possible(record, paths, locks | gates, legs, candidate.read_read, False):
        return _order(record, paths, legs)
    if _possible(record, paths, locks, legs, candidate.read_read, True):
        return " and ".join(sorted(gates))
    return "the order in which the roles take and give up these locks"


def _common(gate: str, legs: Cycle) -> bool:
    return sum(gate in dict(leg.gates) for leg in legs) > 1


def _possible(record: Record, paths: dict[str, Path], locks: set[str], legs: Cycle,
              read_read: tuple[str, ...], waits: bool) -> bool:
    return bool(_search(record, paths, locks, legs, read_read, waits).deadlocks)


def _order(record: Record, paths: dict[str, Path], legs: Cycle) -> str:
    """Name the waits that keep the roles of *legs* apart."""
    roles = {leg.role for leg in legs}
    named = [f"{role} waits for {op.target}" for role, path in paths.items() if role in roles
             for op in path if op.op in ("wait", "join")]
    return "; ".join(dict.fromkeys(named)) or "the order of start and join"
