"""Who waits for whom in a state of a lock program, and whether for ever."""

from __future__ import annotations

from collections import deque

from ..locks.task import EXCLUSIVE, SHARED, WAIT
from ..locks.rwsem_policy import blocked_by
from .answer import Waiting
from .program import LOCK_OPS, MUTEXES, Op, SEMAPHORES
from .states import Machine, TAKING, mode_of


class _Look:
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
        freed = True
        while freed:
            freed = [thread for thread, (blockers, enough) in waits.items()
                     if self._may_go_on(state, thread, blockers, enough, waits)]
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
        return self._op(state, thread).op not in TAKING

    def _may_go_on(self, state: int, thread: int, blockers: list[int], enough: str,
                   stuck: dict[int, object]) -> bool:
        moving = [other for other in blockers
                  if other not in stuck and not self.machine.ended(state, other)]
        if enough == "any" and moving or enough == "all" and len(moving) == len(blockers):
            return True
        begun = self.machine.fields("begun").get(thread)
        return (begun is not None and not begun.of(state)
                and any(other not in stuck for other in self._ahead(state, "sync", thread)))

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
                   and self._op(state, thread).op in TAKING
                   and self.machine.step(state, thread) is None for thread in self.threads)

    def waiting(self, state: int, thread: int, blockers: list[int]) -> Waiting:
        """Return what there is to say of one that waits."""
        names, op = self.machine.names, self._op(state, thread)
        kind = self.machine.program.locks.get(op.target) if op.op in LOCK_OPS else None
        mode = EXCLUSIVE if kind in MUTEXES else mode_of(op) if kind in SEMAPHORES else WAIT
        return Waiting(names[thread], self.machine.place(state, thread).op, op.target, mode,
                       tuple(names[blocker] for blocker in blockers), self._holds(state, thread))

    def _op(self, state: int, thread: int) -> Op:
        return self.machine.ops[thread][self.machine.place(state, thread).op]

    def _holds(self, state: int, thread: int) -> tuple[tuple[str, str], ...]:
        """Return what *thread* holds, by the order in which the program names it."""
        machine, held = self.machine, []
        for lock in machine.program.locks:
            if thread in self._holders(state, lock):
                held.append((lock, SHARED))
            if self._owner(state, lock) == thread:
                held.append((lock, EXCLUSIVE))
        return tuple(held)

    def _owner(self, state: int, lock: str) -> int | None:
        bits = self.machine.fields("owner").get(lock)
        return bits.of(state) - 1 if bits is not None and bits.of(state) else None

    def _holders(self, state: int, lock: str) -> list[int]:
        """Return who holds *lock* as a reader, or a reference to it."""
        fields = self.machine.fields("holds", lock)
        return sorted(thread for thread, bits in fields.items() if bits.of(state))

    def _blockers(self, state: int, thread: int) -> tuple[list[int], str]:
        """Return whom *thread* waits for, and whether it is enough that any of them acts."""
        op, machine = self._op(state, thread), self.machine
        if op.op in ("lock", "lock_unless"):
            owner = [self._owner(state, op.target)]
            if op.op == "lock":
                return owner, "all"
            return list(dict.fromkeys(owner + self._others(state, "set", op.flag, thread))), "any"
        if op.op in ("down_read", "down_write"):
            return list(dict.fromkeys(self._semaphore(state, thread, op))), "all"
        if op.op in ("wait", "wait_clear"):
            bringer = "set" if op.op == "wait" else "clear"
            return self._others(state, bringer, op.target, thread), "any"
        if op.op in ("join", "sync"):
            return [machine.names.index(op.target)], "all"
        return self._holders(state, op.target), "all"

    def _semaphore(self, state: int, thread: int, op: Op) -> list[int]:
        queue = self._queue(state, op.target, thread)
        return blocked_by(self.machine.program.policy_of(op.target), self._owner(state, op.target),
                          self._holders(state, op.target), queue, thread, mode_of(op))

    def _queue(self, state: int, lock: str, thread: int) -> list[tuple[int, str]]:
        """Return who is in the queue of *lock*, as far as it matters in order: those before
        *thread*, itself, those behind.
        """
        machine = self.machine
        entries = [(other, mode) for mode, bits in machine.fields("queue", lock).items()
                   for other in self.threads if bits.of(state) >> other & 1]
        bits = machine.fields("before", lock).get(thread)
        before = bits.of(state) if bits is not None else 0
        return sorted(entries, key=lambda entry: (not before >> entry[0] & 1, entry[0] != thread))

    def _others(self, state: int, name: str, target: str, thread: int) -> list[int]:
        """Return the other threads that may yet come to the operation *name* of *target*."""
        return [other for other in self._ahead(state, name, target) if other != thread]

    def _ahead(self, state: int, name: str, target: str | int) -> list[int]:
        if isinstance(target, int):
            target = self.machine.names[target]
        return [other for other in self.threads
                if any(op.op == name and op.target == target for op in
                       self.machine.ops[other][self.machine.place(state, other).op:])]
