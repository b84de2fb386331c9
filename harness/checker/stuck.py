"""Who waits for whom in a state of a lock program, and whether for ever."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..locks.task import EXCLUSIVE, SHARED
from ..locks.operations import RECORDED, names
from ..locks.rwsem_policy import blocked_by
from ..locks.waitgraph import AnyOf, Deadlock, deadlock, flat, may_end
from .answer import Waiting
from .program import Op
from .steps import Machine

_SYNC = frozenset(["sync"])
_ENDS = {wait: names(counterpart=wait) for wait in names(of="flag", does="await")}


class Look:
    """Who waits for whom in a state, and whether for ever."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.threads = range(len(machine.names))

    def stuck(self, state: int) -> dict[int, list[Any]]:
        """Return the threads that can never go on, each with those it waits for.

        Of those that wait, take away, until nothing changes, who may yet be let go.
        """
        waits = {thread: self._blockers(state, thread, op)
                 for thread, op in self._stopped(state).items() if op.op not in RECORDED}
        nobody_moves = all(thread in waits or self.machine.ended(state, thread)
                           for thread in self.threads)
        standing = len(waits)
        while freed := [thread for thread, wait in waits.items() if may_end(
                wait, lambda other: other not in waits and not self.machine.ended(state, other))]:
            for thread in freed:
                del waits[thread]
        if nobody_moves and len(waits) < standing:
            raise AssertionError("nobody has a step, yet somebody is said to be able to go on: the "
                                 "rules and the account of who blocks whom disagree")
        return waits

    def deadlock(self, state: int, stuck: dict[int, list[Any]]) -> Deadlock | None:
        """Return the threads of *stuck* that wait for each other; None if there are none."""
        return deadlock(stuck, partial(self.machine.ended, state))

    def _stopped(self, state: int) -> dict[int, Op]:
        """Return the threads that cannot go on now, each with the operation it stands at."""
        machine = self.machine
        return {thread: machine.ops[thread][machine.place(state, thread).op]
                for thread in self.threads
                if not machine.ended(state, thread) and machine.step(state, thread) is None}

    def off_path(self, state: int) -> bool:
        """Return whether a thread stands at a recorded trylock that would fail."""
        return any(op.op in RECORDED for op in self._stopped(state).values())

    def waiting(self, state: int, thread: int, wait: list[Any]) -> Waiting:
        """Return what there is to say of one that waits."""
        names, index = self.machine.names, self.machine.place(state, thread).op
        op = self.machine.ops[thread][index]
        return Waiting(names[thread], index, op.target, op.operation.mode,
                       tuple(names[blocker] for blocker in dict.fromkeys(flat(wait))),
                       self._holds(state, thread))

    def _holds(self, state: int, thread: int) -> tuple[tuple[str, str], ...]:
        """Return what *thread* holds, by the order in which the program names it."""
        return tuple((lock, mode) for lock in self.machine.program.locks
                     for mode, holders in ((SHARED, self._holders(state, lock)),
                                           (EXCLUSIVE, [self._owner(state, lock)]))
                     if thread in holders)

    def _owner(self, state: int, lock: str) -> int | None:
        bits = self.machine.owner.get(lock)
        return bits.of(state) - 1 if bits is not None and bits.of(state) else None

    def _holders(self, state: int, lock: str) -> list[int]:
        """Return who holds *lock* as a reader, or a reference to it."""
        fields = self.machine.holds.get(lock, {})
        return sorted(thread for thread, bits in fields.items() if bits.of(state))

    def _blockers(self, state: int, thread: int, op: Op) -> list[Any]:
        """Return whom *thread* waits for at *op*: see `AnyOf`."""
        wait, begun = self._enders(state, thread, op), self.machine.begun.get(thread)
        if begun is None or begun.of(state):
            return wait
        cancellers = self._who_comes_to(state, _SYNC, self.machine.names[thread], thread)
        either = wait if isinstance(wait, AnyOf) or len(wait) == 1 else [wait]
        return AnyOf([*either, *cancellers]) if cancellers else wait

    def _enders(self, state: int, thread: int, op: Op) -> list[Any]:
        """Return who can end the wait of *thread* at *op*, but for those who may cancel it."""
        of = op.operation.of
        if of == "mutex":
            owner = self.machine.owner[op.target].of(state) - 1
            if op.flag is None:
                return [owner]
            setters = self._others(state, _ENDS["wait"], op.flag, thread)
            return AnyOf(dict.fromkeys([owner, *setters]))
        if of == "rwsem":
            blockers = blocked_by(
                self.machine.program.policy_of(op.target), self._owner(state, op.target),
                self._holders(state, op.target), self._queue(state, op.target, thread), thread,
                op.operation.mode)
            return list(dict.fromkeys(blockers))
        if of == "flag":
            return AnyOf(self._who_comes_to(state, _ENDS[op.op], op.target, thread))
        if of == "thread":
            return [self.machine.names.index(op.target)]
        return self._holders(state, op.target)

    def _queue(self, state: int, lock: str, thread: int) -> list[tuple[int, str]]:
        """Return who is in the queue of *lock*: those before *thread*, itself, those behind."""
        entries = [(other, mode) for mode, bits in self.machine.queue[lock].items()
                   for other in self.threads if bits.of(state) >> other & 1]
        bits = self.machine.before.get(lock, {}).get(thread)
        before = bits.of(state) if bits is not None else 0
        return sorted(entries, key=lambda entry: (not before >> entry[0] & 1, entry[0] != thread))

    def _others(self, state: int, operations: frozenset[str], target: str,
                thread: int) -> list[int]:
        """Return the other threads that may yet come to one of *operations* on *target*."""
        return [other for other in self.threads
                if other != thread and self._comes_to(state, operations, target, other)]

    def _who_comes_to(self, state: int, operations: frozenset[str], target: str,
                      thread: int) -> list[int]:
        """Return the other threads that may; if there are none *thread*, which waits, if it may."""
        others = self._others(state, operations, target, thread)
        return others or [thread] * self._comes_to(state, operations, target, thread)

    def _comes_to(self, state: int, operations: frozenset[str], target: str, thread: int) -> bool:
        """Return whether *thread* may yet come to one of *operations* on *target*."""
        ops = self.machine.ops[thread][self.machine.place(state, thread).op:]
        return any(op.op in operations and op.target == target for op in ops)
