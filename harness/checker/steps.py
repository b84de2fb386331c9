"""The steps of a program of lock operations, as rules on the bits of its states.

For each place a thread can be at, `Machine` writes down, once, a short list of rules: if these bits
have this value, change those. The first rule that fits is what the thread does there; if none fits,
it waits. So the order of the rules of a place matters: one with a condition stands before the one
that is for all other states.

Every operation is a step, a release too. A request on a semaphore that cannot be granted is queued
first, which is a step of its own, since it changes what others may do. So is the beginning of a
drain. A request for a taken mutex is no step: whoever asks when it is free may have it.

This file does not search and does not judge: see search.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..locks.operations import Does, Of
from ..locks.task import SHARED
from .program import LOCK_OPS, Op, Program
from .states import Layout, Place, blocking

# What a thread may do at a place, (mask, value, keep, add, copies): if ``state & mask == value``,
# the next state is ``(state & keep) + add``. The copies are for one who queues where the order
# matters, else empty: he takes down who is in the queue before him. Each is (from, mask, to): the
# bits *mask* at *from* are added at *to*. Plain tuples, for the search's inner loop.
Copies = tuple[tuple[int, int, int], ...]
Rule = tuple[int, int, int, int, Copies]
_PLAIN = ("", "waits", "queues", "skips")


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
    copies: Copies = ()


class Machine(Layout):
    """A program, made ready to be searched.

    Attributes:
        tables: for each thread, where its place is in a state (shift, mask), and for each place the
            rules of what it may do there.
        kinds: the same, which kind of step each rule is.
        plain: whether a thread can wait for nothing but mutexes and semaphores.
    """

    def __init__(self, program: Program, keep: bool = False) -> None:
        super().__init__(program, keep)
        self._index = [{place: i for i, place in enumerate(places)} for places in self.places]
        self.tables: list[tuple[int, int, list[tuple[Rule, ...]]]] = []
        self.kinds: list[list[tuple[str, ...]]] = []
        for thread, places in enumerate(self.places):
            cases = [list(self._cases(thread, place)) for place in places[:-1]] + [[]]
            self.kinds.append([tuple(case.kind for case in there) for there in cases])
            rules = [tuple(self._rule(thread, place, case) for case in there)
                     for place, there in zip(places, cases, strict=True)]
            bits = self.where[thread]
            self.tables.append((bits.shift, bits.mask >> bits.shift, rules))
        self.plain = all(op.operation.of in ("mutex", "rwsem") and op.operation.busy in _PLAIN
                         for ops in self.ops for op in ops)

    def step(self, state: int, thread: int) -> tuple[str, int] | None:
        """Return the kind of step *thread* can take and the state after it; None if it cannot."""
        index = self.where[thread].of(state)
        rules = zip(self.kinds[thread][index], self.tables[thread][2][index], strict=True)
        for kind, (bits, value, keep, add, copies) in rules:
            if state & bits == value:
                after = (state & keep) + add
                for source, queue, to in copies:
                    after += (state >> source & queue) << to
                return kind, after
        return None

    def _rule(self, thread: int, place: Place, case: _Case) -> Rule:
        to = Place(place.op + case.to, False) if isinstance(case.to, int) else case.to
        add = case.add
        if case.kind == "misuse":
            add += self.limit * (thread + 1)
        elif to is not None:
            add += self.where[thread].at(self._index[thread][to] - self._index[thread][place])
        return case.mask, case.value, ~case.clear, add, case.copies

    def _cases(self, thread: int, place: Place) -> Iterator[_Case]:
        """Give what *thread* may do at *place*, in the order in which it is tried."""
        if place.op == len(self.ops[thread]):
            return self._exit(thread, place)
        op = self.ops[thread][place.op]
        return _CASES[op.operation.of, op.operation.does](self, thread, place, op)

    def _exit(self, thread: int, place: Place) -> Iterator[_Case]:
        """Release what it holds still, one lock after the other; then it has ended."""
        for lock in dict.fromkeys(op.target for op in self.ops[thread] if op.op in LOCK_OPS):
            if (owner := self.owner.get(lock)) is not None:
                depth = self.depth[lock].mask if lock in self.depth else 0
                yield _Case("release", owner.mask, owner.at(thread + 1), owner.mask | depth,
                            to=place)
            if (holds := self.holds.get(lock, {}).get(thread)) is not None:
                for n in range(1, (holds.mask >> holds.shift) + 1):
                    yield _Case("release", holds.mask, holds.at(n), holds.mask, to=place)
        yield _Case("end")

    def _exclusive(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        owner = self.owner[op.target]
        mine = owner.at(thread + 1)
        once = self.depth[op.target].at(1) if op.target in self.depth else 0
        yield _Case("acquire", owner.mask, 0, add=mine + once)
        if once:
            yield _Case("acquire", owner.mask, mine, add=once)
        if op.operation.busy == "skips":
            yield _Case("busy", to=1 + op.skip)
        elif op.flag is not None:
            flag = self.flag[op.flag].mask
            yield _Case("busy", flag, flag, to=1 + op.skip)

    def _unlock(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        owner = self.owner[op.target]
        mine = owner.at(thread + 1)
        if op.target in self.depth:
            depth = self.depth[op.target]
            both = owner.mask | depth.mask
            # The last hold first: the rule after it fits too, and would leave the owner there.
            yield _Case("release", both, mine + depth.at(1), clear=both)
            yield _Case("release", owner.mask, mine, add=-depth.at(1))
        else:
            yield _Case("release", owner.mask, mine, clear=owner.mask)
        yield _Case("misuse")

    def _semaphore(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        lock, mode = op.target, op.operation.mode
        owner, holds, queues = self.owner[lock], self.holds[lock], self.queue[lock]
        blocked = blocking(self.program.policy_of(lock), mode)
        free = owner.mask + (sum(bits.mask for bits in holds.values()) if blocked.readers else 0)
        hold = holds[thread].at(1) if mode == SHARED else owner.at(thread + 1)
        if place.queued:
            free += self._others_queued(lock, blocked.anywhere, thread)
            free += self.before[lock][thread].mask if blocked.before else 0
            yield _Case("acquire", free, 0, self._leaving(thread, lock), hold)
            return
        yield _Case("acquire", free + self._others_queued(lock, blocked.new, thread), 0, add=hold)
        if op.operation.busy == "queues":
            # `copies` reads the state before this step, in which *thread* is in no queue: so it is
            # not among those before itself. They are added to a field that is 0, since `_leaving`
            # cleared it when the thread left the queue last, so that nothing is carried; and it
            # clears the thread's bit in the fields of the others, so that a field names none but
            # those who are still queued, and one who queues again is behind them.
            copies = tuple((queues[wanted].shift, (1 << len(self.names)) - 1,
                            self.before[lock][thread].shift) for wanted in blocked.before)
            yield _Case("queue", add=queues[mode].at(1 << thread), to=Place(place.op, True),
                        copies=copies)
        elif op.operation.busy == "skips":
            yield _Case("busy", to=1 + op.skip)

    def _others_queued(self, lock: str, modes: tuple[str, ...], thread: int) -> int:
        """Return the bits of those in the queue in *modes*, without *thread*."""
        fields = [self.queue[lock][mode] for mode in modes]
        return sum(bits.mask - bits.at(1 << thread) for bits in fields)

    def _leaving(self, thread: int, *locks: str) -> int:
        """Return every bit that says that *thread* is in a queue of *locks*."""
        leaving = 0
        for lock in locks:
            for bits in self.queue.get(lock, {}).values():
                leaving |= bits.at(1 << thread)
            for other, bits in self.before.get(lock, {}).items():
                leaving |= bits.mask if other == thread else bits.at(1 << thread)
        return leaving

    def _up(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        return (self._put if op.operation.mode == SHARED else self._unlock)(thread, place, op)

    def _get(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        if op.target in self.draining:
            draining = self.draining[op.target].mask
            yield _Case("refused", draining, draining, to=Place(len(self.ops[thread]), False))
        yield _Case("acquire", add=self.holds[op.target][thread].at(1))

    def _put(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        holds = self.holds[op.target][thread]
        yield _Case("misuse", holds.mask, 0)
        yield _Case("release", add=-holds.at(1))

    def _drain(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        draining = self.draining[op.target].mask if op.target in self.draining else 0
        held = sum(bits.mask for bits in self.holds[op.target].values())
        yield _Case("pass", held, 0, draining, draining)
        if draining and not place.queued:
            yield _Case("queue", clear=draining, add=draining, to=Place(place.op, True))

    def _tell(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        begins = op.op == "begin"
        bit = (self.begun[self.thread(op, thread)] if begins else self.flag[op.target]).mask
        count = None if begins else self.count.get(op.target)
        if op.op == "complete" and count is not None:
            yield _Case("tell", bit, bit)    # every wait passes already
            yield _Case("tell", add=count.at(1))
            return
        both = bit if count is None else bit + count.mask
        yield _Case("tell", clear=both, add=0 if op.op == "clear" else bit)

    def _wait(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        flag = self.flag[op.target].mask
        yield _Case("pass", flag, 0 if op.op == "wait_clear" else flag)
        if op.op != "wait_clear" and (count := self.count.get(op.target)) is not None:
            for n in range(1, (count.mask >> count.shift) + 1):
                yield _Case("pass", count.mask, count.at(n), add=-count.at(1))

    def _jump(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        flag = self.flag[op.target].mask
        yield _Case("jump", flag, flag if op.op == "jump_if" else 0, to=1 + op.skip)
        yield _Case("jump")

    def _join(self, thread: int, place: Place, op: Op) -> Iterator[_Case]:
        other = self.thread(op, thread)
        where = self.where[other].mask
        # Before the next: one that has ended is passed, whether it ever said that it began.
        yield _Case("pass", where, self.end_of(other))
        if op.op == "sync":
            gone = where | self._leaving(other, *self.program.locks)
            yield _Case("cancel", self.begun[other].mask, 0, gone, self.exit_of(other),
                        to=None if other == thread else 1)


_CASES: dict[tuple[Of, Does], Callable[[Machine, int, Place, Op], Iterator[_Case]]] = {
    ("mutex", "take"): Machine._exclusive, ("mutex", "release"): Machine._unlock,
    ("rwsem", "take"): Machine._semaphore, ("rwsem", "release"): Machine._up,
    ("kernfs", "take"): Machine._get, ("srcu", "take"): Machine._get,
    ("kernfs", "release"): Machine._put, ("srcu", "release"): Machine._put,
    ("kernfs", "await"): Machine._drain, ("srcu", "await"): Machine._drain,
    ("flag", "tell"): Machine._tell, ("flag", "await"): Machine._wait,
    ("flag", "look"): Machine._jump, ("thread", "tell"): Machine._tell,
    ("completion", "tell"): Machine._tell, ("completion", "await"): Machine._wait,
    ("thread", "await"): Machine._join,
}
