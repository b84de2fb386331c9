"""The fast engine: breadth-first search through all states of a program of lock operations.

A program (program.py) only goes forward, so it has finitely many states, and going through them all
answers whether any order of its operations hangs; the first way found to a state is a shortest one.
No thread is run and no lock is taken: what the engine says of a scenario holds as far as its
program says what the scenario does.

What a state is stands in states.py, which steps there are in steps.py; the search is the one loop
of `_Search.run`; what a stuck state means is worked out in stuck.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain, islice

from .answer import Answer, Misuse, Step, Stuck
from .program import Program
from .steps import Machine
from ..locks.waitgraph import NOBODY
from .stuck import Look

CHUNK = 4096    # how many states are gone through between two looks at the clock
FEW = 8         # threads: of more each state takes longer, and as many fewer are gone through


def search(program: Program, *, max_states: int = 1_000_000, seconds: float | None = None,
           first: bool = False, keep: bool = False) -> Answer:
    """Go through the states of *program*, nearest first.

    Args:
        max_states: give up when more have been found; of a program of more than `FEW` threads when
            the work was the same.
        seconds: give up when so much time has passed.
        first: stop at the nearest state in which threads wait for each other, even if others could
            still move. Without it all states are gone through.
        keep: a thread that ends keeps what it holds, and nobody gets it any more. Without it that
            is a misuse, and the lock is released, as real threads have it.
    """
    return _Search(Machine(program, keep), max_states, seconds, first).answer()


class _Search:
    """One search: which states there are, each reached from which."""

    def __init__(self, machine: Machine, max_states: int, seconds: float | None,
                 first: bool) -> None:
        self.machine, self.first = machine, first
        many = max(FEW, len(machine.names))    # each state has a bit or more of each, to look at
        self.max_states = max(1, max_states * FEW**2 // many**2)
        self.chunk = max(1, CHUNK * FEW**2 // many**2)
        self.began = time.perf_counter()
        self.deadline = None if seconds is None else self.began + seconds
        self.look = Look(machine)
        self.came_from: dict[int, int] = {machine.start: -1}
        self.final: list[int] = []      # nobody goes on from there
        self.misused: list[int] = []
        self.closed: int | None = None  # with `first`: the nearest in which a circle is closed
        self.done = 0
        self.complete = False

    def run(self) -> None:
        """Go through the states until there are no more, or a bound is met."""
        known = [self.machine.start]
        states = iter(known)      # `known` grows as it goes
        while self.closed is None and self.done < min(len(known), self.max_states):
            if self.deadline is not None and time.perf_counter() >= self.deadline:
                return
            chunk = min(self.chunk, self.max_states - self.done)
            self._go_through(islice(states, chunk), known)
            self.done = min(self.done + chunk, len(known))
        self.complete = self.closed is None and self.done == len(known)

    def _go_through(self, states: Iterable[int], known: list[int]) -> None:
        """Add to *known* what can be reached from *states* in one step. Written for speed."""
        limit, first, came_from = self.machine.limit, self.first, self.came_from
        threads = self.machine.tables
        for state in states:
            if state >= limit:
                self.misused.append(state)
                continue
            stays, waits = True, False
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
                            known.append(after)
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
        """Return whether a circle is closed in *state* that was not before."""
        # The state before this one had no circle, or the search would have stopped there. The step
        # from there changed what one thread holds and where it stands, or queues: who waits for
        # whom among the others is as before. So a new circle goes through that thread, which then
        # waits itself. (Where locks are all there is to wait for, who waits needs all those he
        # waits for, so that each circle is one that nobody outside it can open.)
        if self.machine.plain and self.came_from[state] >= 0:
            changed = state ^ self.came_from[state]
            for shift, mask, table in self.machine.tables:
                if changed >> shift & mask:
                    rules = table[state >> shift & mask]
                    if not rules or any(state & rule[0] == rule[1] for rule in rules):
                        return False
        return self.look.deadlock(state, self.look.stuck(state)) is not None

    def answer(self) -> Answer:
        """Search, and say what was found."""
        self.run()
        # A schedule ends where nobody goes on, or with a misuse.
        ends = dict.fromkeys(self.final + [state % self.machine.limit for state in self.misused])
        states = [self.closed] if self.closed is not None else ends
        stuck = [end for end in map(self._stuck, states) if end is not None]
        # The nearest misuse of an operation is the last to be put in, so the one that is kept.
        misuse = {(misuse.thread, misuse.op): misuse
                  for misuse in map(self._misuse, reversed(self.misused))}
        misuse |= self._kept()
        left = sum(self.look.off_path(state) for state in self.final)
        verdict = ("deadlock" if any(end.circle for end in stuck) else "hang" if stuck else
                   "violation" if misuse else "clean" if self.complete else "inconclusive")
        return Answer(verdict, self.done - len(self.misused), self.complete, tuple(stuck),
                      tuple(reversed(misuse.values())), left, time.perf_counter() - self.began)

    def _stuck(self, state: int) -> Stuck | None:
        stuck = self.look.stuck(state)
        if not stuck:
            return None
        names, found = self.machine.names, self.look.deadlock(state, stuck) or NOBODY
        return Stuck(tuple(self.look.waiting(state, thread, stuck[thread]) for thread in stuck),
                     tuple(names[thread] for thread in found.cycle),
                     tuple(names[thread] for thread in chain(*found)), self._schedule(state))

    def _misuse(self, state: int) -> Misuse:
        schedule = self._schedule(state)
        thread, _, index = schedule[-1]
        op = self.machine.program.threads[thread][index]
        return Misuse(thread, index, f"{thread}: {op}, which {thread} does not hold so", schedule)

    def _kept(self) -> dict[tuple[str, int], Misuse]:
        """Return the nearest way to each end of a thread that holds something still."""
        machine, kept = self.machine, {}
        threads = [thread for thread, leaves in enumerate(machine.leaves) if leaves]
        for state in self.came_from if threads else ():
            for thread in threads:
                name, at_end = machine.names[thread], len(machine.ops[thread])
                locks = machine.kept(state, thread) if state < machine.limit else []
                if locks and (name, at_end) not in kept:
                    kept[name, at_end] = Misuse(name, at_end, f"{name} ends holding "
                                                f"{' and '.join(locks)}", self._schedule(state))
        return kept

    def _schedule(self, state: int) -> tuple[Step, ...]:
        """Return the way by which *state* was found."""
        machine, steps = self.machine, []
        while (before := self.came_from[state]) >= 0:
            moves = ((i, machine.step(before, i)) for i in range(len(machine.names)))
            thread, kind = next((i, move[0]) for i, move in moves if move and move[1] == state)
            index = machine.place(before, thread).op
            if index < len(machine.ops[thread]):    # an end is no step of the program
                steps.append(Step(machine.names[thread], kind, index))
            state = before
        return tuple(reversed(steps))
