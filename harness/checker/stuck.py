"""Who waits for whom in a state of a lock program, and whether for ever."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ..locks.task import EXCLUSIVE, SHARED
from ..locks.operations import OPERATIONS, RECORDED, names
from ..locks.rwsem_policy import blocked_by
from .answer import Waiting
from .program import Op
from .steps import Machine

_ENDS = {OPERATIONS[name].counterpart: name for name in names(of="flag", does="tell")}


class Look:
    """Who waits for whom in a state, and whether for ever."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.threads = range(len(machine.names))

    def stuck(self, state: int) -> dict[int, list[int]]:
        """Return the threads that can never go on, each with those it waits for.

        Of those that wait, take away, until nothing changes, who may yet be let go: who waits for
        any of several and one of them may act; who waits for all of several, none of which is stuck
        or has ended with the lock; who may yet be cancelled.
        """
        waits = {thread: self._blockers(state, thread) for thread in self.threads
                 if self._stands(state, thread)}
        nobody_moves = all(thread in waits or self.machine.ended(state, thread)
                           for thread in self.threads)
        standing = len(waits)
        while freed := [thread for thread, (blockers, enough) in waits.items()
                        if self._may_go_on(state, thread, blockers, enough, waits)]:
            for thread in freed:
                del waits[thread]
        if nobody_moves and len(waits) < standing:
            raise AssertionError("nobody has a step, yet somebody is said to be able to go on: the "
                                 "rules and the account of who blocks whom disagree")
        return {thread: blockers for thread, (blockers, _) in waits.items()}

    def _stands(self, state: int, thread: int) -> bool:
        """Return whether *thread* waits now."""
        machine = self.machine
        if machine.ended(state, thread) or machine.step(state, thread) is not None:
            return False
        return self._op(state, thread).op not in RECORDED

    def _may_go_on(self, state: int, thread: int, blockers: list[int], enough: str,
                   stuck: Mapping[int, object]) -> bool:
        moving = [other for other in blockers
                  if other not in stuck and not self.machine.ended(state, other)]
        if enough == "any" and moving or enough == "all" and len(moving) == len(blockers):
            return True
        begun = self.machine.begun.get(thread)
        return (begun is not None and not begun.of(state) and any(
            other not in stuck for other in self._ahead(state, "sync", self.machine.names[thread])))

    def circle(self, stuck: dict[int, list[int]]) -> list[int]:
        """Return a shortest circle of threads that wait for each other; [] if there is none."""
        best: list[int] = []
        for start in stuck:
            came_from: dict[int, int] = {}
            todo = deque([start])
            while todo and start not in came_from:
                thread = todo.popleft()
                for blocker in stuck[thread]:
                    if blocker in stuck and blocker not in came_from:
                        came_from[blocker] = thread
                        todo.append(blocker)
            if start in came_from:
                path = [came_from[start]]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                if not best or len(path) < len(best):
                    best = path[::-1]
        return best

    def off_path(self, state: int) -> bool:
        """Return whether a thread stands at a recorded trylock that would fail."""
        return any(not self.machine.ended(state, thread)
                   and self._op(state, thread).op in RECORDED
                   and self.machine.step(state, thread) is None for thread in self.threads)

    def waiting(self, state: int, thread: int, blockers: list[int]) -> Waiting:
        """Return what there is to say of one that waits."""
        who, op = self.machine.names, self._op(state, thread)
        return Waiting(who[thread], self.machine.place(state, thread).op, op.target,
                       op.operation.mode, tuple(who[blocker] for blocker in blockers),
                       self._holds(state, thread))

    def _op(self, state: int, thread: int) -> Op:
        return self.machine.ops[thread][self.machine.place(state, thread).op]

    def _holds(self, state: int, thread: int) -> tuple[tuple[str, str], ...]:
        """Return what *thread* holds, by the order in which the program names it."""
        held = []
        for lock in self.machine.program.locks:
            if thread in self._holders(state, lock):
                held.append((lock, SHARED))
            if self._owner(state, lock) == thread:
                held.append((lock, EXCLUSIVE))
        return tuple(held)

    def _owner(self, state: int, lock: str) -> int | None:
        bits = self.machine.owner.get(lock)
        return bits.of(state) - 1 if bits is not None and bits.of(state) else None

    def _holders(self, state: int, lock: str) -> list[int]:
        """Return who holds *lock* as a reader, or a reference to it."""
        fields = self.machine.holds.get(lock, {})
        return sorted(thread for thread, bits in fields.items() if bits.of(state))

    def _blockers(self, state: int, thread: int) -> tuple[list[int], str]:
        """Return whom *thread*, which waits, waits for, and whether it is enough that any of them
        acts.
        """
        op, of = self._op(state, thread), self._op(state, thread).operation.of
        if of == "mutex":
            owner = self.machine.owner[op.target].of(state) - 1
            if op.flag is None:
                return [owner], "all"
            return list(dict.fromkeys([owner, *self._others(state, "set", op.flag, thread)])), "any"
        if of == "rwsem":
            blockers = blocked_by(
                self.machine.program.policy_of(op.target), self._owner(state, op.target),
                self._holders(state, op.target), self._queue(state, op.target, thread), thread,
                op.operation.mode)
            return list(dict.fromkeys(blockers)), "all"
        if of == "flag":
            return self._others(state, _ENDS[op.op], op.target, thread), "any"
        if of == "thread":
            return [self.machine.names.index(op.target)], "all"
        return self._holders(state, op.target), "all"

    def _queue(self, state: int, lock: str, thread: int) -> list[tuple[int, str]]:
        """Return who is in the queue of *lock*, as far as it matters in order: those before
        *thread*, itself, those behind.
        """
        entries = [(other, mode) for mode, bits in self.machine.queue[lock].items()
                   for other in self.threads if bits.of(state) >> other & 1]
        bits = self.machine.before.get(lock, {}).get(thread)
        before = bits.of(state) if bits is not None else 0
        return sorted(entries, key=lambda entry: (not before >> entry[0] & 1, entry[0] != thread))

    def _others(self, state: int, name: str, target: str, thread: int) -> list[int]:
        """Return the other threads that may yet come to the operation *name* of *target*."""
        return [other for other in self._ahead(state, name, target) if other != thread]

    def _ahead(self, state: int, name: str, target: str) -> list[int]:
        return [other for other in self.threads
                if any(op.op == name and op.target == target for op in
                       self.machine.ops[other][self.machine.place(state, other).op:])]
