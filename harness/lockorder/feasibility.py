"""Whether a cycle of the lock order can happen: the engine's answer on what the roles did.

The operations of all roles, as recorded, are cut down to the locks of the cycle, the locks held
beside them and the waits, and the fast engine goes through every order of these. Leaving locks out
only allows more, so "cannot happen" is an answer; "can happen" is a schedule to try on real
threads.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice, product

from ..checker.answer import Answer, Stuck
from ..checker.program import Op, Program, SEMAPHORES
from ..checker.search import search
from ..locks.task import SHARED, WAIT
from ..exploration.extract_program import program_from, real_name, started
from ..locks.operations import RELEASING, TAKING, TELLING
from ..meetings.meet import writer_of
from .cycles import Candidate
from .record import Cycle, Path, Record

MOST_STATES = 100_000     # of one search
MOST_STATES_IN_ALL = 2_000_000    # of one call of predict
MOST_PATHS = 32           # how many combinations of what the roles did are tried
_OF_LOCKS, _OF_WAITS = TAKING | RELEASING, TELLING | {"wait"}


@dataclass(frozen=True)
class Judgement:
    """What the engine says of one cycle.

    Attributes:
        stuck: the state in which it hangs; None if it does not.
        writers: the semaphores on which a thread more had to queue for that.
        guard: what makes it impossible, if it is.
        complete: whether every state was seen.
        program: what was searched.
    """

    stuck: Stuck | None = None
    writers: tuple[str, ...] = ()
    guard: str = ""
    complete: bool = True
    program: Program | None = None


class Budget:
    """How many states may still be gone through, in all searches of one call."""

    def __init__(self, deadline: float | None = None, states: int = MOST_STATES_IN_ALL) -> None:
        self.left = states
        self.deadline = deadline    # by time.monotonic()

    def search(self, program: Program, first: bool = False) -> Answer:
        """Search, within what is left."""
        seconds = None if self.deadline is None else max(self.deadline - time.monotonic(), 0.001)
        answer = search(program, max_states=min(MOST_STATES, max(self.left, 1)), seconds=seconds,
                        first=first)
        self.left -= answer.states
        return answer


def judge(record: Record, candidate: Candidate, budget: Budget) -> Judgement:
    """Say whether the roles of *record* can get into the cycle, with further writers or without."""
    locks = {leg.held.name for leg in candidate.legs} | {leg.wanted.name for leg in candidate.legs}
    gates = {gate for leg in candidate.legs for gate, _ in leg.gates} | _held_across_waits(record)
    gates -= locks
    complete = not record.cut & {leg.role for leg in candidate.legs}
    ways = _paths(record, candidate)
    complete = complete and len(ways) <= MOST_PATHS
    for paths in ways[:MOST_PATHS]:
        for writers in _writers(record, candidate):
            program = _program(record, paths, locks | gates, writers, True)
            answer = _search(program, candidate.legs, budget)
            complete = complete and answer.complete
            if answer.deadlocks:
                return Judgement(answer.deadlocks[0], writers, program=program)
    if not complete:
        return Judgement(complete=False)
    return Judgement(guard=_guard(record, candidate, locks, gates, budget))


def _held_across_waits(record: Record) -> set[str]:
    """Return the locks somebody holds while another works for him: a gate for that other, too."""
    return {edge.held.name for edge in record.edges.values()
            if edge.wanted.mode == WAIT and edge.held.mode != WAIT}


def by_class(record: Record, cycle: Cycle) -> str:
    """Return what guards a cycle by class, were all its locks of one class the same lock; "" if
    nothing does.
    """
    for gate, mode in cycle[0].gates:
        others = [dict(leg.gates).get(gate) for leg in cycle[1:]]
        if all(others) and (mode, *others).count(SHARED) <= 1:
            return gate
    return ""


def _writers(record: Record, candidate: Candidate) -> Iterator[tuple[str, ...]]:
    """Yield the sets of semaphores to queue a further writer at, the smallest first.

    Where a reader waits for a reader, a writer must wait who is not of the cycle: a closed rule of
    such cycles. Where no role is one, a further writer is needed, and no smaller set need be tried.
    """
    legs = {leg.role for leg in candidate.legs}
    written = {op.target for role, paths in record.paths.items() if role not in legs
               for path in paths for op in path if op.op == "down_write"}
    names = tuple(dict.fromkeys(candidate.read_read))
    needed = [name for name in names if name not in written]
    rest = [name for name in names if name in written]
    for n in range(len(rest) + 1):
        for more in combinations(rest, n):
            yield tuple([name for name in names if name in needed or name in more])


def _paths(record: Record, candidate: Candidate) -> list[dict[str, Path]]:
    """Return combinations of what the roles did, those first in which each leg's role asks for its
    lock; one more than the bound if there are more.
    """
    wanted = {leg.role: {leg.wanted.name, leg.held.name} for leg in candidate.legs}
    choices: list[list[tuple[str, Path]]] = []
    for role in _involved(record, candidate):
        names = wanted.get(role, set())
        choices.append([(role, path) for path in sorted(
            record.paths[role], key=lambda path: len(names - {op.target for op in path}))])
    return [dict(combination) for combination in islice(product(*choices), MOST_PATHS + 1)]


def _involved(record: Record, candidate: Candidate) -> list[str]:
    """Return the roles without which the cycle cannot be: those of its legs, those that write where
    readers meet readers, and whoever starts one of these or ends a wait of one.

    Others need not run at all for it.
    """
    involved = list(dict.fromkeys(leg.role for leg in candidate.legs))
    for role, paths in record.paths.items():
        if any(op.op == "down_write" and op.target in candidate.read_read
               for path in paths for op in path):
            involved.append(role)
    for role in involved:   # which grows
        awaited = {op.target for path in record.paths[role] for op in path
                   if op.op in ("wait", "join")}
        involved += [other for other, paths in record.paths.items() if other not in involved and (
            other in awaited or any(op.op in TELLING and op.target in awaited
                                    for path in paths for op in path))]
    return list(dict.fromkeys(involved))


def _search(program: Program, legs: Cycle, budget: Budget) -> Answer:
    roles = {leg.role for leg in legs}
    answer = budget.search(program, first=True)
    if answer.deadlocks and not roles <= set(answer.deadlocks[0].circle):
        answer = budget.search(program)   # the nearest was another one's
        ours = tuple(stuck for stuck in answer.deadlocks if roles <= set(stuck.circle))
        answer = replace(answer, deadlocks=ours)
    return answer


def _program(record: Record, paths: dict[str, Path], locks: set[str], writers: tuple[str, ...],
             waits: bool) -> Program:
    """Return what the roles do with *locks*, and *writers*; who is left out may end waits."""
    threads = paths if waits else {}
    kinds = {name: kind for name, kind in record.kinds.items() if name in locks}
    program = program_from({role: _cut_down(path, locks, threads) for role, path in paths.items()},
                           record.done, record.policies, kinds, others=True)
    return with_threads(program, writers)


def with_threads(program: Program, writers: tuple[str, ...]) -> Program:
    """Return *program* with a further thread for each of *writers*, which writes once."""
    more = {writer_of(name, program.threads): (Op("down_write", name), Op("up_write", name))
            for name in writers if program.locks.get(name, "rwsem") in SEMAPHORES}
    return replace(program, threads={**program.threads, **more}) if more else program


def _cut_down(path: Path, locks: set[str], threads: Collection[str]) -> Path:
    """Return the operations of *path* on *locks* and, with *threads*, its waits, ends of waits and
    joins of these; each section once.
    """
    kept = [op for op in path if op.target in locks and op.op in _OF_LOCKS
            or threads and op.op in _OF_WAITS or op.op == "join" and op.target in threads]
    seen: set[Path] = set()     # since the last wait: what comes after one is another time
    result: list[Op] = []
    section: list[Op] = []
    depth = 0
    for op in kept:
        section.append(op)
        depth += (op.op in TAKING) - (op.op in RELEASING)
        if depth <= 0:
            whole = tuple(section)
            plain = all(op.op in _OF_LOCKS for op in whole)
            if not plain:
                seen.clear()
            if whole not in seen:
                result += whole
            if plain:
                seen.add(whole)
            section, depth = [], 0
    return (*result, *section)


def _guard(record: Record, candidate: Candidate, locks: set[str], gates: set[str],
           budget: Budget) -> str:
    """Name what makes the cycle impossible: without it, it could happen."""
    legs = candidate.legs
    common = [gate for gate in sorted(gates) if _common(gate, legs)]
    paths = _paths(record, candidate)[0]
    for gate in common + sorted(gates - set(common)):
        if _possible(record, paths, locks | gates - {gate}, legs, candidate.read_read, budget):
            return gate
    if _possible(record, paths, locks | gates, legs, candidate.read_read, budget, waits=False):
        return _order(paths)
    if _possible(record, paths, locks, legs, candidate.read_read, budget):
        return " and ".join(sorted(gates))
    return "the order in which the roles take and give up these locks"


def _common(gate: str, legs: Cycle) -> bool:
    return sum(gate in dict(leg.gates) for leg in legs) > 1


def _possible(record: Record, paths: dict[str, Path], locks: set[str], legs: Cycle,
              read_read: tuple[str, ...], budget: Budget, waits: bool = True) -> bool:
    program = _program(record, paths, locks, read_read, waits)
    return bool(_search(program, legs, budget).deadlocks)


def _order(paths: dict[str, Path]) -> str:
    """Name the waits that keep roles apart."""
    named = []
    starts = {started(role): role for role in paths}
    for role, path in paths.items():
        for op in path:
            if op.op == "join":
                named.append(f"{role} joins {op.target}")
            elif op.op == "set" and op.target in starts:
                named.append(f"{role} starts {starts[op.target]}")
            elif op.op == "wait" and op.target != started(role):
                named.append(f"{role} waits for {real_name(op.target)}")
    return ", ".join(dict.fromkeys(named)) or "the order in which the roles wait for each other"
