"""The fast engine: breadth-first search through all states of a program of lock operations.

A program (program.py) only goes forward, so it has finitely many states, and going through them all
answers whether any order of its operations hangs; the first way found to a state is a shortest one.
No thread is run and no lock is taken: what the engine says of a scenario holds as far as its
program says what the scenario does.

What a state is and which steps there are is written down in states.py; the search is the one loop
of `_Search.run`; what a stuck state means is worked out by `_Look`, with `rwsem.blocked_by`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from .program import LOCK_OPS, MUTEXES, SEMAPHORES, Op, Program
from .rwsem import blocked_by
from .states import TAKING, Machine, mode_of
from .task import EXCLUSIVE, SHARED, WAIT

CHUNK = 4096    # how many states are gone through between two looks at the clock


class Step(NamedTuple):
    """One step of a schedule.

    Attributes:
        kind: ``acquire``, ``queue``, ``release``; ``busy`` (a trylock that failed, or a lock no
            longer wanted); ``pass`` (a wait that ended); ``tell`` (a flag or a beginning made
            known); ``jump``; ``cancel`` (of the thread that was to be waited for); ``refused`` (a
            reference that is not given any more: the thread ends); ``misuse``.
        op: index of the operation in its thread.
    """

    thread: str
    kind: str
    op: int


class Waiting(NamedTuple):
    """A thread that can never go on.

    Attributes:
        op: index of the operation it stands at.
        wants: the lock, flag or thread it waits for.
        mode: ``exclusive``, ``shared`` or ``wait``.
        blockers: who would have to act first. One of them that has ended has kept its locks.
        holds: what it holds, with mode.
    """

    thread: str
    op: int
    wants: str
    mode: str
    blockers: tuple[str, ...]
    holds: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Stuck:
    """A state in which threads wait that can never go on.

    Attributes:
        waits: those threads.
        circle: threads of them that wait for each other, in order; () if it is no deadlock.
        schedule: a shortest way there.
    """

    waits: tuple[Waiting, ...]
    circle: tuple[str, ...]
    schedule: tuple[Step, ...]

    @property
    def places(self) -> frozenset[tuple[str, int]]:
        """Which thread waits at which operation."""
        return frozenset((waiting.thread, waiting.op) for waiting in self.waits)


@dataclass(frozen=True)
class Misuse:
    """A thread releases what it does not hold. There the schedule ends.

    Attributes:
        schedule: a shortest way there; its last step is the release.
    """

    thread: str
    op: int
    text: str
    schedule: tuple[Step, ...]


@dataclass(frozen=True)
class Answer:
    """What the search found.

    Attributes:
        verdict: ``deadlock`` (threads wait for each other), ``hang`` (threads wait for what will
            not come), ``violation`` (a lock is misused); if none of these, ``clean`` if all states
            were gone through and ``inconclusive`` if not.
        states: how many states were found.
        complete: whether those are all there are.
        deadlocks: one for each stuck state, nearest first; with `first` at most one.
        misuse: one for each operation that is misused in some order.
        left_path: how many states there are in which nobody goes on and some thread stands at a
            recorded trylock that would fail: what would follow is not in the program.
        seconds: how long it took.
    """

    verdict: str
    states: int
    complete: bool
    deadlocks: tuple[Stuck, ...]
    misuse: tuple[Misuse, ...]
    left_path: int
    seconds: float


def search(program: Program, *, max_states: int = 1_000_000, seconds: float | None = None,
           first: bool = False) -> Answer:
    """Go through the states of *program*, nearest first.

    Args:
        max_states: give up when more have been found.
        seconds: give up when so much time has passed.
        first: stop at the nearest state in which threads wait for each other, even if others could
            still move. Without it all states are gone through.
    """
    return _Search(Machine(program), max_states, seconds, first).answer()


class _Search:
    """One search: which states were found, each from which."""

    def __init__(self, machine: Machine, max_states: int, seconds: float | None,
                 first: bool) -> None:
        self.machine, self.max_states, self.first = machine, max_states, first
        self.began = time.perf_counter()
        self.deadline = None if seconds is None else self.began + seconds
        self.look = _Look(machine)
        self.came_from: dict[int, int] = {machine.start: -1}
        self.final: list[int] = []      # nobody goes on from there
        self.misused: list[int] = []
        self.closed: int | None = None  # with `first`: the nearest in which a circle is closed
        self.done = 0
        self.complete = False

    def run(self) -> None:
        """Go through the states until there are no more, or a bound is met."""
        found = [self.machine.start]
        states = iter(found)      # `found` grows as it goes
        while self.closed is None and self.done < min(len(found), self.max_states):
            if self.deadline is not None and time.perf_counter() >= self.deadline:
                return
            chunk = min(CHUNK, self.max_states - self.done)
            self._go_through(islice(states, chunk), found)
            self.done = min(self.done + chunk, len(found))
        self.complete = self.closed is None and self.done == len(found)

    def _go_through(self, states: Iterable[int], found: list[int]) -> None:
        """Add to *found* what can be reached from *states* in one step. Written for speed."""
        limit, first, came_from = self.machine.limit, self.first, self.came_from
        threads = self.machine.tables
        for state in states:
            if state >= limit:
                self.misused.append(state)
                continue
            stays = True
            waits = False
            for shift, mask, table in threads:
                rules = table[state >> shift & mask]
                for bits, value, keep, add, copies in rules:
                    if state & bits == value:
                        stays = False
                        after = (state & keep) + add
                        for source, queue, to in copies:
                            after += (state >> source & queue) << to
                        if after not in came_from:
                            came_from[after] = state
                            found.append(after)
                        break
                else:
                    if rules:
                        waits = True
            if stays:
                self.final.append(state)
            if waits and first and self._closes(state):
                self.closed = state
                return

    def _closes(self, state: int) -> bool:
        """Return whether a circle is closed in *state* that was not before.

        In a program of plain locks only the thread that came to wait can have closed it.
        """
        if self.machine.plain and self.came_from[state] >= 0:
            changed = state ^ self.came_from[state]
            for shift, mask, table in self.machine.tables:
                if changed >> shift & mask:
                    rules = table[state >> shift & mask]
                    if not rules or any(state & rule[0] == rule[1] for rule in rules):
                        return False
        return bool(self.look.circle(self.look.stuck(state)))

    def answer(self) -> Answer:
        """Search, and say what was found."""
        self.run()
        states = [self.closed] if self.closed is not None else self._ends()
        stuck = [found for found in map(self._stuck, states) if found is not None]
        misuse = {(found.thread, found.op): found
                  for found in map(self._misuse, reversed(self.misused))}
        left = sum(self.look.off_path(state) for state in self.final)
        verdict = ("deadlock" if any(found.circle for found in stuck) else "hang" if stuck else
                   "violation" if misuse else "clean" if self.complete else "inconclusive")
        return Answer(verdict, self.done - len(self.misused), self.complete, tuple(stuck),
                      tuple(reversed(misuse.values())), left, time.perf_counter() - self.began)

    def _ends(self) -> Iterable[int]:
        """Give the states in which a schedule ends, a misuse being an end too."""
        before_misuse = [state % self.machine.limit for state in self.misused]
        return dict.fromkeys(self.final + before_misuse)

    def _stuck(self, state: int) -> Stuck | None:
        stuck = self.look.stuck(state)
        if not stuck:
            return None
        names = self.machine.names
        return Stuck(tuple(self.look.waiting(state, thread, stuck[thread]) for thread in stuck),
                     tuple(names[thread] for thread in self.look.circle(stuck)),
                     self._schedule(state))

    def _misuse(self, state: int) -> Misuse:
        schedule = self._schedule(state)
        thread, _, index = schedule[-1]
        op = self.machine.program.threads[thread][index]
        text = f"{thread}: {op}, which {thread} does not hold so"
        return Misuse(thread, index, text, schedule)

    def _schedule(self, state: int) -> tuple[Step, ...]:
        """Return the way by which *state* was found."""
        machine, steps = self.machine, []
        while (before := self.came_from[state]) >= 0:
            mover = self._mover(before, state)
            kind, _ = machine.step(before, mover)
            steps.append(Step(machine.names[mover], kind, machine.place(before, mover).op))
            state = before
        return tuple(reversed(steps))

    def _mover(self, before: int, after: int) -> int:
        """Return which thread's step leads from one state to the next."""
        for thread in range(len(self.machine.names)):
            step = self.machine.step(before, thread)
            if step is not None and step[1] == after:
                return thread
        raise AssertionError("no thread's step leads there")


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
