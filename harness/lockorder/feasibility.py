"""Whether a cycle of the lock order can happen: two arguments that it cannot, else a schedule.

*Exclusion.* In a cycle that is closed each role holds, while it waits, all that it held when it
asked. If two of them hold one lock that lets but one of them in, they are not there at once. This
needs no more than what a lock is: it holds whatever the roles branch on, try, give up or wait for.
It is said of the requests that were seen: one made without that lock is another leg.

*Order.* The operations of all roles, as recorded, are cut down to the locks of the cycle, the locks
held beside them and the waits, and the fast engine goes through every order of these. Leaving locks
out, and roles that the cycle can be without, only allows more, and so does to let waits pass
whose end nobody was seen to bring; a section that a role repeats with no wait between leaves no
trace; completions count as real ones do. So if no order hangs, none can, *provided each role does
what it did*: `_Case.doubt` says where that is not known, and then the argument is none. "Can
happen" is a schedule to try on real threads.

That no state of a program, or no schedule of all, is the deadlock is a third argument: see
methods/exhaust.py. The file is long because an argument stands beside what it rests on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from typing import NamedTuple

from ..checker.answer import Answer, Stuck
from ..checker.program import Op, Program, SEMAPHORES
from ..checker.search import search
from ..exploration.extract_program import PASSING, program_from, started
from ..locks.operations import RELEASING, TAKING, TELLING
from ..locks.task import SHARED, WAIT
from ..meetings.meet import writer_of
from .cycles import Candidate
from .record import Cycle, Path, Record

MOST_STATES = 100_000     # of one search
MOST_STATES_IN_ALL = 2_000_000    # of one call of predict
MOST_PATHS = 32           # how many combinations of what the roles did are tried
_OF_LOCKS, _OF_WAITS, _AWAITING = TAKING | RELEASING, TELLING | PASSING, PASSING | {"join"}


class Judgement(NamedTuple):
    """What the engine says of one cycle; nothing, if not every state was seen.

    Attributes:
        stuck: the state in which it hangs; None if it does not.
        writers: the semaphores on which a thread more had to queue for that.
        guard: what makes it impossible, if it is.
        doubt: why that is not known of all that the roles may do, or "".
        program: what was searched.
    """

    stuck: Stuck | None = None
    writers: tuple[str, ...] = ()
    guard: str = ""
    doubt: str = ""
    program: Program | None = None


@dataclass
class Budget:
    """How many states may still be gone through, in all searches of one call."""

    deadline: float | None = None    # by time.monotonic()
    left: int = MOST_STATES_IN_ALL

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0 or self.deadline is not None and time.monotonic() >= self.deadline

    def search(self, program: Program, first: bool = False) -> Answer:
        """Search, within what is left."""
        seconds = None if self.deadline is None else max(self.deadline - time.monotonic(), 0.001)
        answer = search(program, max_states=min(MOST_STATES, max(self.left, 1)), seconds=seconds,
                        first=first)
        self.left -= answer.states
        return answer


def judge(record: Record, candidate: Candidate, budget: Budget) -> Judgement:
    """Say whether the roles of *record* can get into the cycle, with further writers or without."""
    case = _Case(record, candidate, budget)
    ways = case.ways()
    complete = not record.cut & case.roles and len(ways) <= MOST_PATHS
    for paths in ways[:MOST_PATHS]:
        for writers in case.writers():
            if budget.spent:
                return Judgement()
            program = case.program(paths, case.locks | case.gates, writers)
            answer = case.search(program)
            complete = complete and answer.complete
            if answer.deadlocks:
                return Judgement(answer.deadlocks[0], writers, program=program)
    if not complete:
        return Judgement()
    return Judgement(guard=case.guard(ways[0]), doubt=case.doubt(ways[0]))


def by_class(record: Record, cycle: Cycle) -> str:
    """Return what guards a cycle by class, were its locks of one class the same lock, or "".

    Any leg of the same classes may take the place of one of *cycle*: each must hold it.
    """
    same = [record.by_kind[leg.kind] for leg in cycle]
    for gate, _ in cycle[0].gates:
        modes = [{dict(leg.gates).get(gate) for leg in legs} for legs in same]
        if None not in set().union(*modes) and sum(SHARED in each for each in modes) <= 1:
            return gate
    return ""


def as_cycle(record: Record, legs: Cycle, stuck: Stuck) -> Stuck | None:
    """Return a stuck state if in it the roles of *legs* wait for each other, be it that others do
    so too, in a smaller circle; its circle is theirs then.
    """
    if {leg.role for leg in legs} <= set(stuck.circle):
        return stuck
    waits = {waiting.thread: waiting.wants for waiting in stuck.waits}
    if not all(leg.role in waits and waits[leg.role] in (
            leg.wanted.name, record.joins.get(leg.wanted.name)) for leg in legs):
        return None
    return replace(stuck, circle=tuple([leg.role for leg in legs]))


def with_threads(program: Program, writers: tuple[str, ...]) -> Program:
    """Return *program* with a further thread for each of *writers*, which writes once."""
    more = {writer_of(name, program.threads): (Op("down_write", name), Op("up_write", name))
            for name in writers if program.locks.get(name, "rwsem") in SEMAPHORES}
    return replace(program, threads={**program.threads, **more}) if more else program


class _Case:
    """One cycle, and what the roles of the record did.

    Attributes:
        roles: those of its legs.
        locks: those of the cycle.
        gates: locks held beside them.
    """

    def __init__(self, record: Record, candidate: Candidate, budget: Budget) -> None:
        self._record, self._budget = record, budget
        self._legs, self._read_read = candidate
        self._ops = {role: [op for path in paths for op in path]
                     for role, paths in record.paths.items()}
        # Completions of which not every wait passes once one does.
        self._permits = {op.target for ops in self._ops.values() for op in ops
                         if op.op == "complete"}
        self._permits |= {name for name, done in record.done.items() if done < float("inf")}
        self.roles = {leg.role for leg in self._legs}
        self.locks = {place.name for leg in self._legs for place in (leg.held, leg.wanted)}
        # What somebody holds while another works for him is a gate for that other, too.
        across_waits = {edge.held.name for edge in record.edges.values()
                        if edge.wanted.mode == WAIT and edge.held.mode != WAIT}
        self.gates = {gate for leg in self._legs for gate, _ in leg.gates} | across_waits
        self.gates -= self.locks

    def ways(self) -> list[dict[str, Path]]:
        """Return combinations of what the roles did, those first in which each leg's role asks for
        its lock; one more than the bound if there are more.
        """
        wanted = {leg.role: {leg.wanted.name, leg.held.name} for leg in self._legs}
        involved = self._involved()
        choices = [sorted(self._record.paths[role], key=lambda path: len(
            wanted.get(role, set()) - {op.target for op in path})) for role in involved]
        return [dict(zip(involved, way, strict=True))
                for way in islice(product(*choices), MOST_PATHS + 1)]

    def _involved(self) -> list[str]:
        """Return the roles without which the cycle cannot be: those of its legs, those that write
        where readers meet readers, whoever starts one of these or ends a wait of one, and whoever
        may use up a permit that one waits for.

        Others need not run at all for it.
        """
        writing = [role for role, ops in self._ops.items()
                   if any(op.op == "down_write" and op.target in self._read_read for op in ops)]
        involved = list(dict.fromkeys([*(leg.role for leg in self._legs), *writing]))
        for role in involved:   # which grows
            awaited = {op.target for op in self._ops[role] if op.op in _AWAITING}
            involved += [other for other, ops in self._ops.items() if other not in involved and (
                other in awaited or any(op.op in TELLING and op.target in awaited
                                        or op.op in PASSING and op.target in awaited & self._permits
                                        for op in ops))]
        return involved

    def doubt(self, paths: dict[str, Path]) -> str:
        """Say why it is not known that no order of what the roles may do hangs; "" if it is."""
        if self._excluded():
            return ""
        record = self._record
        differing = [role for role in paths if len(record.paths[role]) > 1]
        choosing = [role for role in paths if role in record.choosing]
        return "; ".join([
            *(f"{role} did not do the same in every run" for role in differing),
            *(f"{role} asks with a way out, and may go on otherwise" for role in choosing
              if role not in differing)])

    def _excluded(self) -> bool:
        """Say whether two roles of the cycle would hold what lets but one of them in."""
        return any(mode != SHARED or dict(other.gates)[gate] != SHARED
                   for leg, other in combinations(self._legs, 2)
                   for gate, mode in leg.gates if gate in dict(other.gates))

    def writers(self) -> Iterator[tuple[str, ...]]:
        """Yield the sets of semaphores to queue a further writer at, the smallest first.

        Where a reader waits for a reader, a writer must wait who is not of the cycle: a closed rule
        of such cycles. Where no role is one, a further writer is needed, and no smaller set need be
        tried.
        """
        written = {op.target for role, ops in self._ops.items() if role not in self.roles
                   for op in ops if op.op == "down_write"}
        names = tuple(dict.fromkeys(self._read_read))
        optional = [name for name in names if name in written]
        for n in range(len(optional) + 1):
            for more in combinations(optional, n):
                yield tuple([name for name in names if name in more or name not in written])

    def program(self, paths: dict[str, Path], locks: set[str], writers: tuple[str, ...],
                waits: bool = True) -> Program:
        """Return what the roles do with *locks*, and *writers*; who is left out may end waits."""
        record, threads = self._record, paths if waits else {}
        kinds = {name: kind for name, kind in record.kinds.items() if name in locks}
        return with_threads(program_from(
            {role: _cut_down(path, locks, threads) for role, path in paths.items()},
            record.done, record.policies, kinds, others=True), writers)

    def search(self, program: Program) -> Answer:
        """Return the answer on *program*, of its deadlocks those of all roles of the cycle."""
        answer = self._budget.search(program, first=True)
        if answer.deadlocks and not self.roles <= set(answer.deadlocks[0].circle):
            answer = self._budget.search(program)   # the nearest was another one's
            answer = replace(answer, deadlocks=tuple(filter(None, [
                as_cycle(self._record, self._legs, stuck) for stuck in answer.deadlocks])))
        return answer

    def guard(self, paths: dict[str, Path]) -> str:
        """Name what makes the cycle impossible: without it, it could happen."""
        def possible(locks: set[str], waits: bool = True) -> bool:
            return bool(self.search(self.program(paths, locks, self._read_read, waits)).deadlocks)

        def common(gate: str) -> bool:
            return sum(gate in dict(leg.gates) for leg in self._legs) > 1

        for gate in sorted(self.gates, key=lambda gate: (not common(gate), gate)):
            if self._budget.spent:
                return "what keeps the roles apart was not looked for: the time was up"
            if possible(self.locks | self.gates - {gate}):
                return gate
        if possible(self.locks | self.gates, waits=False):
            return _order(paths)
        if possible(self.locks):
            return " and ".join(sorted(self.gates))
        return "the order in which the roles take and give up these locks"


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
            if whole not in seen:
                result += whole
            if all(op.op in _OF_LOCKS for op in whole):
                seen.add(whole)
            else:
                seen.clear()
            section, depth = [], 0
    return (*result, *section)


def _order(paths: dict[str, Path]) -> str:
    """Name the waits that keep roles apart."""
    reasons = []
    starts = {started(role): role for role in paths}
    for role, path in paths.items():
        for op in path:
            if op.op == "join":
                reasons.append(f"{role} joins {op.target}")
            elif op.op == "set" and op.target in starts:
                reasons.append(f"{role} starts {starts[op.target]}")
            elif op.op == "wait" and op.target != started(role):
                reasons.append(f"{role} waits for {op.target}")
    return ", ".join(dict.fromkeys(reasons)) or "the order in which the roles wait for each other"
