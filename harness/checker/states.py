"""The states of a program of lock operations as integers, its steps as rules on their bits.

Each thread's place in its operations, each owner, each count of holds, each queue is a field of
bits in one integer. For each place a thread can be at, `Machine` writes down, once, a short list of
rules: if these bits have this value, change those. The first rule that fits is what the thread does
there; if none fits, it waits.

Steps: every operation is one, a release too. A request on a semaphore that cannot be granted is
queued first, which is a step of its own, since it changes what others may do. So is the beginning
of a drain. A request for a taken mutex is no step: whoever asks when it is free may have it.

Who blocks a request on a semaphore is `rwsem.blocked_by`, which is asked here and not written down
again. This file does not search and does not judge: see search.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from ..locks.task import EXCLUSIVE, SHARED
from ..locks.rwsem_policy import blocked_by
from .program import LOCK_OPS, MUTEXES, Op, Program, SEMAPHORES

QUEUEING = frozenset(("down_read", "down_write", "kn_drain"))
PLAIN = frozenset(("lock", "unlock", "trylock", "down_read", "up_read", "down_write", "up_write",
                   "down_read_trylock", "down_write_trylock"))
TAKING = frozenset(("take", "take_read", "take_write"))


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


class Rule(NamedTuple):
    """What a thread may do at a place: if ``state & mask == value``, the next state is
    ``(state & keep) + add``.

    *copies* is for one who queues where the order matters, else empty: he takes down who is in the
    queue before him. Each is (from, mask, to): the bits *mask* at *from* are added at *to*.
    """

    mask: int
    value: int
    keep: int
    add: int
    copies: tuple[tuple[int, int, int], ...]


class _Case(NamedTuple):
    """A rule before it is written: what kind of step, if which bits have which value, which bits to
    clear and what to add, where the thread is afterwards.

    *to* is how many operations on; or a place; or None if the bits say that already.
    """

    kind: str
    mask: int = 0
    value: int = 0
    clear: int = 0
    add: int = 0
    to: int | Place | None = 1
    copies: tuple[tuple[int, int, int], ...] = ()


@cache
def blocking(policy: str, mode: str) -> tuple[bool, tuple[str, ...], tuple[str, ...],
                                              tuple[str, ...]]:
    """Return what blocks a request in *mode*, as `blocked_by` has it, besides one who writes.

    Whether readers do; in which modes one in the queue does: to a new request; to one in the queue
    itself, wherever the other stands; to one in the queue if the other came before it.
    """
    def blocked(readers: tuple[int, ...], queue: tuple[tuple[int, str], ...]) -> bool:
        return bool(blocked_by(policy, None, readers, queue, 0, mode))

    new, anywhere, before = [], [], []
    for wanted in (EXCLUSIVE, SHARED):
        other, own = (1, wanted), (0, mode)
        if blocked((), (other,)):
            new.append(wanted)
        if blocked((), (own, other)):
            anywhere.append(wanted)
        elif blocked((), (other, own)):
            before.append(wanted)
    return blocked((1,), ()), tuple(new), tuple(anywhere), tuple(before)


def mode_of(op: Op) -> str:
    """Return in which mode an operation on a semaphore wants it."""
    return SHARED if "read" in op.op else EXCLUSIVE


def _lay_out(ops: tuple[Op, ...]) -> list[Place]:
    """Return every place of a thread, its end last."""
    places = []
    for index, op in enumerate(ops):
        places.append(Place(index, False))
        if op.op in QUEUEING:
            places.append(Place(index, True))
    return [*places, Place(len(ops), False)]


class Machine:
    """A program, made ready to be searched.

    Attributes:
        names: the threads. Everything else here knows them by index.
        places: for each thread, where it can stand, its end last.
        start: the first state.
        limit: what is not below it is no state: thread ``state // limit - 1`` has just misused a
            lock.
        rules: for each thread and each of its places, what it may do there.
        kinds: the same, which kind of step each rule is.
        tables: for each thread, where its place is in a state (shift, mask), and its rules as plain
            tuples: for the search's inner loop.
        plain: whether a thread can wait for nothing but locks.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = list(program.threads)
        self.ops = list(program.threads.values())
        self.places = [_lay_out(ops) for ops in self.ops]
        self._index = [{place: i for i, place in enumerate(places)} for places in self.places]
        self._fields: dict[tuple[object, ...], Bits] = {}
        self._end = 0
        self._allot()
        self.limit = 1 << self._end
        self.start = sum(self.field("flag", flag).mask for flag in program.flags)
        self.rules: list[list[tuple[Rule, ...]]] = []
        self.kinds: list[list[tuple[str, ...]]] = []
        for thread, places in enumerate(self.places):
            written = [list(self._cases(thread, place)) for place in places[:-1]] + [[]]
            self.kinds.append([tuple(case.kind for case in cases) for cases in written])
            self.rules.append([tuple(self._rule(thread, place, case) for case in cases)
                               for place, cases in zip(places, written)])
        where = self.fields("place").values()
        self.tables = [(bits.shift, bits.mask >> bits.shift,
                        [tuple(map(tuple, rules)) for rules in table])
                       for bits, table in zip(where, self.rules)]
        self.plain = all(op.op in PLAIN for ops in self.ops for op in ops)

    def place(self, state: int, thread: int) -> Place:
        """Return where *thread* stands."""
        return self.places[thread][self.field("place", thread).of(state)]

    def ended(self, state: int, thread: int) -> bool:
        """Return whether *thread* has ended."""
        return self.place(state, thread) == self.places[thread][-1]

    def step(self, state: int, thread: int) -> tuple[str, int] | None:
        """Return what kind of step *thread* can take and the state after it; None if it waits or
        has ended.
        """
        index = self.field("place", thread).of(state)
        for kind, rule in zip(self.kinds[thread][index], self.rules[thread][index]):
            if state & rule.mask == rule.value:
                after = (state & rule.keep) + rule.add
                for source, mask, to in rule.copies:
                    after += (state >> source & mask) << to
                return kind, after
        return None

    # -- the fields -----------------------------------------------------------------------

    def field(self, *name: object) -> Bits:
        """Return the field of that name."""
        return self._fields[name]

    def fields(self, *prefix: object) -> dict[object, Bits]:
        """Return the fields whose names are *prefix* and one more, by that one."""
        return {name[-1]: bits for name, bits in self._fields.items() if name[:-1] == prefix}

    def _allot(self) -> None:
        """Hand out the bits; the places come first."""
        for thread, places in enumerate(self.places):
            self._new("place", thread, largest=len(places) - 1)
        for flag in sorted(self.program.flags):
            self._new("flag", flag)
        for thread, ops in enumerate(self.ops):
            for op in ops:
                if op.op in LOCK_OPS:
                    self._allot_lock(op.target, self.program.locks[op.target], thread)
                if op.op in ("begin", "sync"):
                    self._new("begun", self._thread(op, thread))
                if op.flag is not None:
                    self._new("flag", op.flag)

    def _allot_lock(self, lock: str, kind: str, thread: int) -> None:
        """Hand out what *lock* needs, and what it needs for *thread*."""
        everyone = (1 << len(self.names)) - 1
        if kind in MUTEXES or kind in SEMAPHORES:
            self._new("owner", lock, largest=len(self.names))
        if kind == "mutex_re":
            self._new("depth", lock, largest=max(map(len, self.ops)))
        if kind in SEMAPHORES:
            self._new("queue", lock, EXCLUSIVE, largest=everyone)
            self._new("queue", lock, SHARED, largest=everyone)
            if any(blocking(self.program.policy_of(lock), mode)[3] for mode in (EXCLUSIVE, SHARED)):
                self._new("before", lock, thread, largest=everyone)
        if kind == "kernfs":
            self._new("draining", lock)
        if kind not in MUTEXES:
            self._new("holds", lock, thread, largest=len(self.ops[thread]))

    def _new(self, *name: object, largest: int = 1) -> None:
        if name not in self._fields:
            width = largest.bit_length()
            self._fields[name] = Bits(self._end, ((1 << width) - 1) << self._end)
            self._end += width

    def _mask(self, *prefix: object) -> int:
        return sum(bits.mask for bits in self.fields(*prefix).values())

    def _thread(self, op: Op, own: int) -> int:
        return own if op.target == "-" else self.names.index(op.target)

    def _end_of(self, thread: int) -> int:
        """Return the bits of a thread's place when it has ended."""
        return self.field("place", thread).at(len(self.places[thread]) - 1)

    # -- the rules ------------------------------------------------------------------------

    def _rule(self, thread: int, place: Place, case: _Case) -> Rule:
        to = Place(place.op + case.to, False) if isinstance(case.to, int) else case.to
        add = case.add
        if case.kind == "misuse":
            add += self.limit * (thread + 1)
        elif to is not None:
            on = self._index[thread][to] - self._index[thread][place]
            add += on << self.field("place", thread).shift
        return Rule(case.mask, case.value, ~case.clear, add, case.copies)

    def _cases(self, thread: int, place: Place) -> Iterator[_Case]:
        """Give what *thread* may do at *place*, in the order in which it is tried."""
        op = self.ops[thread][place.op]
        return _CASES[op.op](self, thread, place, op)

    def _exclusive(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        owner = self.field("owner", op.target)
        mine, once = owner.at(thread + 1), 0
        if self.program.locks[op.target] == "mutex_re":
            once = self.field("depth", op.target).at(1)
        yield _Case("acquire", owner.mask, 0, add=mine + once)
        if once:
            yield _Case("acquire", owner.mask, mine, add=once)
        if op.op == "trylock":
            yield _Case("busy", to=1 + op.skip)
        elif op.op == "lock_unless":
            flag = self.field("flag", op.flag).mask
            yield _Case("busy", flag, flag, to=1 + op.skip)

    def _unlock(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        owner = self.field("owner", op.target)
        mine = owner.at(thread + 1)
        if self.program.locks[op.target] == "mutex_re":
            depth = self.field("depth", op.target)
            both = owner.mask | depth.mask
            yield _Case("release", both, mine + depth.at(1), clear=both)
            yield _Case("release", owner.mask, mine, add=-depth.at(1))
        else:
            yield _Case("release", owner.mask, mine, clear=owner.mask)
        yield _Case("misuse")

    def _semaphore(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        lock, mode = op.target, mode_of(op)
        readers, new, anywhere, before = blocking(self.program.policy_of(lock), mode)
        owner = self.field("owner", lock)
        free = owner.mask + (self._mask("holds", lock) if readers else 0)
        hold = self.field("holds", lock, thread).at(1) if mode == SHARED else owner.at(thread + 1)
        if place.queued:
            free += self._queued(lock, anywhere, thread)
            free += self.field("before", lock, thread).mask if before else 0
            yield _Case("acquire", free, 0, self._leaving(thread, lock), hold)
            return
        yield _Case("acquire", free + self._queued(lock, new, thread), 0, add=hold)
        if op.op in QUEUEING:
            copies = tuple((self.field("queue", lock, wanted).shift, (1 << len(self.names)) - 1,
                            self.field("before", lock, thread).shift) for wanted in before)
            yield _Case("queue", add=self.field("queue", lock, mode).at(1 << thread),
                        to=Place(place.op, True), copies=copies)
        elif op.op not in TAKING:
            yield _Case("busy", to=1 + op.skip)

    def _queued(self, lock: str, modes: tuple[str, ...], thread: int) -> int:
        """Return the bits of those in the queue in *modes*, without *thread*."""
        fields = [self.field("queue", lock, mode) for mode in modes]
        return sum(bits.mask - bits.at(1 << thread) for bits in fields)

    def _leaving(self, thread: int, *locks: str) -> int:
        """Return every bit that says that *thread* is in a queue of *locks*."""
        found = 0
        for lock in locks:
            for bits in self.fields("queue", lock).values():
                found |= bits.at(1 << thread)
            for other, bits in self.fields("before", lock).items():
                found |= bits.mask if other == thread else bits.at(1 << thread)
        return found

    def _up_write(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        owner = self.field("owner", op.target)
        yield _Case("release", owner.mask, owner.at(thread + 1), clear=owner.mask)
        yield _Case("misuse")

    def _get(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        if op.op == "kn_get":
            draining = self.field("draining", op.target).mask
            yield _Case("refused", draining, draining, to=self.places[thread][-1])
        yield _Case("acquire", add=self.field("holds", op.target, thread).at(1))

    def _put(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        holds = self.field("holds", op.target, thread)
        yield _Case("misuse", holds.mask, 0)
        yield _Case("release", add=-holds.at(1))

    def _drain(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        draining = self.field("draining", op.target).mask if op.op == "kn_drain" else 0
        yield _Case("pass", self._mask("holds", op.target), 0, draining, draining)
        if draining and not place.queued:
            yield _Case("queue", clear=draining, add=draining, to=Place(place.op, True))

    def _tell(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        if op.op == "begin":
            bit = self.field("begun", self._thread(op, thread)).mask
        else:
            bit = self.field("flag", op.target).mask
        yield _Case("tell", clear=bit, add=0 if op.op == "clear" else bit)

    def _wait(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        flag = self.field("flag", op.target).mask
        yield _Case("pass", flag, flag if op.op == "wait" else 0)

    def _jump(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        flag = self.field("flag", op.target).mask
        yield _Case("jump", flag, flag if op.op == "jump_if" else 0, to=1 + op.skip)
        yield _Case("jump")

    def _join(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        other = self._thread(op, thread)
        where = self.field("place", other).mask
        yield _Case("pass", where, self._end_of(other))
        if op.op == "sync":
            gone = where | self._leaving(other, *self.program.locks)
            yield _Case("cancel", self.field("begun", other).mask, 0, gone, self._end_of(other),
                        to=None if other == thread else 1)


_CASES: dict[str, Callable[[Machine, int, Place, Op], Iterator[_Case]]] = {
    **dict.fromkeys(("lock", "trylock", "lock_unless", "take"), Machine._exclusive),
    "unlock": Machine._unlock,
    **dict.fromkeys(("down_read", "down_write", "down_read_trylock", "down_write_trylock",
                     "take_read", "take_write"), Machine._semaphore),
    "up_write": Machine._up_write,
    **dict.fromkeys(("kn_get", "srcu_read"), Machine._get),
    **dict.fromkeys(("up_read", "kn_put", "srcu_unread"), Machine._put),
    **dict.fromkeys(("kn_drain", "srcu_sync"), Machine._drain),
    **dict.fromkeys(("set", "clear", "begin"), Machine._tell),
    **dict.fromkeys(("wait", "wait_clear"), Machine._wait),
    **dict.fromkeys(("jump_if", "jump_unless"), Machine._jump),
    **dict.fromkeys(("join", "sync"), Machine._join),
}
