"""The states of a program of lock operations, as integers.

Each thread's place in its operations, each owner, each count of holds, each queue is a field of
bits in one integer; `Layout` says which. What may happen in a state is written down in steps.py.

Who blocks a request on a semaphore is `blocked_by`, which is asked here and not written down again:
see `blocking`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, TypeVar

from ..locks.task import EXCLUSIVE, SHARED
from ..locks.rwsem_policy import blocked_by
from .program import LOCK_OPS, MUTEXES, Op, Program, SEMAPHORES

_Key = TypeVar("_Key")


class Bits(NamedTuple):
    """A field of the integer that is a state; *mask* is in place."""

    shift: int
    mask: int

    def of(self, state: int) -> int:
        """Return its value in *state*."""
        return (state & self.mask) >> self.shift

    def at(self, value: int) -> int:
        """Return the bits that *value* has in it."""
        return value << self.shift


class Place(NamedTuple):
    """Where a thread stands: before the operation of that index, or in its queue."""

    op: int
    queued: bool


class Blocking(NamedTuple):
    """What blocks a request on a semaphore, besides one who writes.

    Attributes:
        readers: whether those who read do.
        new: in which modes one in the queue blocks a request that is not queued.
        anywhere: in which modes one in the queue blocks another there, wherever it stands.
        before: in which modes it does so only if it came before the other.
    """

    readers: bool
    new: tuple[str, ...]
    anywhere: tuple[str, ...]
    before: tuple[str, ...]


@cache
def blocking(policy: str, mode: str) -> Blocking:
    """Return what blocks a request in *mode*, as `blocked_by` has it."""
    def blocked(readers: tuple[int, ...], queue: tuple[tuple[int, str], ...]) -> bool:
        return bool(blocked_by(policy, None, readers, queue, 0, mode))

    modes, own = (EXCLUSIVE, SHARED), (0, mode)
    new = tuple(other for other in modes if blocked((), ((1, other),)))
    anywhere = tuple(other for other in modes if blocked((), (own, (1, other))))
    before = tuple(other for other in modes
                   if other not in anywhere and blocked((), ((1, other), own)))
    return Blocking(blocked((1,), ()), new, anywhere, before)


def _lay_out(ops: tuple[Op, ...], leaves: bool) -> list[Place]:
    """Return every place of a thread, its end last; the one before it is where it gives up what it
    holds still, if it *leaves* with anything.
    """
    places = [Place(index, queued) for index, op in enumerate(ops) for queued in (False, True)
              if not queued or op.operation.busy == "queues"]
    return [*places, *(Place(len(ops) + more, False) for more in range(1 + leaves))]


def _leaves(thread: str, program: Program) -> bool:
    """Return whether *thread* may come to its end, or be cancelled, while it holds something.

    Every way through its operations is followed, whatever lets it take that.
    """
    ops = program.threads[thread]
    cancelled = any(op[:2] == ("sync", thread) for others in program.threads.values()
                    for op in others)
    todo: list[tuple[int, tuple[tuple[str, str], ...]]] = [(0, ())]
    seen = set(todo)
    while todo:
        at, held = todo.pop()
        if held and (at == len(ops) or cancelled or ops[at].op == "kn_get"):
            return True
        for after in _ways(ops[at], at, held) if at < len(ops) else ():
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return False


def _ways(op: Op, at: int, held: tuple[tuple[str, str], ...]
          ) -> Iterator[tuple[int, tuple[tuple[str, str], ...]]]:
    """Yield where a thread may stand after *op*, and what it holds there."""
    operation, hold = op.operation, (op.target, op.operation.mode)
    if operation.does == "take":
        yield at + 1, tuple(sorted([*held, hold]))
    elif operation.does == "release":
        if hold in held:    # else it is misused, and the schedule ends
            first = held.index(hold)
            yield at + 1, held[:first] + held[first + 1:]
    else:
        yield at + 1, held
    if op.skip:
        yield at + 1 + op.skip, held


class Layout:
    """Which bits of a state say what, for one program.

    Args:
        keep: whoever ends keeps what it holds. Else it is released, as by a real thread that ends.

    Attributes:
        names: the threads. Everything else here knows them by index.
        ops: what each of them does.
        leaves: for each thread, whether it may come to its end while it holds something.
        places: for each thread, where it can stand, its end last.
        start: the first state.
        limit: what is not below it is no state: thread ``state // limit - 1`` has just misused a
            lock.
        where: thread -> its place, as an index of `places`.
        flag: flag -> whether it is set.
        count: flag that counts -> how many waits may pass while it is not set.
        begun: thread -> whether it has begun, if anybody begins or cancels it.
        owner: mutex or semaphore -> who has it, or writes, from 1 on; 0 if nobody.
        depth: mutex_re -> how often its owner has it.
        draining: references -> whether no more are given.
        holds: any other lock -> thread -> how often it reads, or has a reference.
        queue: semaphore -> mode -> who is in the queue, a bit for each thread.
        before: semaphore -> thread in its queue -> who is there and came before it, if the policy
            asks for that.
    """

    def __init__(self, program: Program, keep: bool = False) -> None:
        self.program = program
        self.names = list(program.threads)
        self.ops = list(program.threads.values())
        self.leaves = [not keep and _leaves(name, program) for name in self.names]
        self.places = [*map(_lay_out, self.ops, self.leaves)]
        self.where: dict[int, Bits] = {}
        self.flag: dict[str, Bits] = {}
        self.count: dict[str, Bits] = {}
        self.begun: dict[int, Bits] = {}
        self.owner: dict[str, Bits] = {}
        self.depth: dict[str, Bits] = {}
        self.draining: dict[str, Bits] = {}
        self.holds: dict[str, dict[int, Bits]] = {}
        self.queue: dict[str, dict[str, Bits]] = {}
        self.before: dict[str, dict[int, Bits]] = {}
        self._end = 0
        self._allot()
        self.limit = 1 << self._end
        self.start = sum(self.flag[flag].mask for flag in program.flags)
        self.start += sum(self.count[flag].at(n) for flag, n in program.passes.items())

    def place(self, state: int, thread: int) -> Place:
        """Return where *thread* stands."""
        return self.places[thread][self.where[thread].of(state)]

    def ended(self, state: int, thread: int) -> bool:
        """Return whether *thread* has ended."""
        return self.place(state, thread) == self.places[thread][-1]

    def end_of(self, thread: int) -> int:
        """Return the bits of a thread's place when it has ended."""
        return self.where[thread].at(len(self.places[thread]) - 1)

    def exit_of(self, thread: int) -> int:
        """Return the bits of a thread's place when it is about to end."""
        return self.where[thread].at(len(self.places[thread]) - 1 - self.leaves[thread])

    def kept(self, state: int, thread: int) -> list[str]:
        """Return what *thread*, if it is about to end, holds still."""
        if not self.leaves[thread] or state & self.where[thread].mask != self.exit_of(thread):
            return []
        return [lock for lock in self.program.locks
                if lock in self.owner and self.owner[lock].of(state) == thread + 1
                or thread in self.holds.get(lock, {}) and self.holds[lock][thread].of(state)]

    def thread(self, op: Op, own: int) -> int:
        """Return which thread *op*, an operation of the thread *own*, is about."""
        return own if op.target == "-" else self.names.index(op.target)

    def _allot(self) -> None:
        """Hand out the bits; the places come first."""
        for thread, places in enumerate(self.places):
            self._new(self.where, thread, len(places) - 1)
        for flag in sorted(self.program.flags):
            self._new(self.flag, flag)
        counts = Counter(self.program.passes)    # of 0, too
        counts.update(op.target for ops in self.ops for op in ops if op.op == "complete")
        for flag, most in counts.items():
            self._new(self.count, flag, most)
        for thread, ops in enumerate(self.ops):
            for op in ops:
                if op.op in LOCK_OPS:
                    self._allot_lock(op.target, self.program.locks[op.target], thread)
                if op.op in ("begin", "sync"):
                    self._new(self.begun, self.thread(op, thread))
                if op.flag is not None:
                    self._new(self.flag, op.flag)

    def _allot_lock(self, lock: str, kind: str, thread: int) -> None:
        """Hand out what *lock* needs, and what it needs for *thread*."""
        everyone = (1 << len(self.names)) - 1
        if kind in MUTEXES or kind in SEMAPHORES:
            self._new(self.owner, lock, len(self.names))
        if kind == "mutex_re":
            self._new(self.depth, lock, max(map(len, self.ops)))
        if kind in SEMAPHORES:
            modes = (EXCLUSIVE, SHARED)
            for mode in modes:
                self._new(self.queue.setdefault(lock, {}), mode, everyone)
            if any(blocking(self.program.policy_of(lock), mode).before for mode in modes):
                self._new(self.before.setdefault(lock, {}), thread, everyone)
        if kind == "kernfs":
            self._new(self.draining, lock)
        if kind not in MUTEXES:
            self._new(self.holds.setdefault(lock, {}), thread, len(self.ops[thread]))

    def _new(self, fields: dict[_Key, Bits], key: _Key, largest: int = 1) -> None:
        """Hand out the bits of one field, unless it has them."""
        if key not in fields:
            width = largest.bit_length()
            fields[key] = Bits(self._end, ((1 << width) - 1) << self._end)
            self._end += width
