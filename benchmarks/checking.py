"""The long checks, too long for the tests: `python -m benchmarks --check [NAME...]`.

They are made of what the tests are made of (oracle.py), at a greater number. Each says what it
compared, and has a line for each thing that is not as it should be.
"""

from __future__ import annotations

import gc
import os
import random
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

from harness import Completion, Mutex, Verdict, explore
from harness.checker.search import search
from harness.runtime.workers import Workers
from harness.checker.program import Program
from harness.exploration.dpor import Reduced
from harness.exploration.strategies import DepthFirst

from . import (garbage, killing, laboratory, limits, mutating, oracle, permits, side_by_side,
               stdlib, stopping, words)
from .measure import scaled
from .worlds import dining, on_threads

PROGRAMS = 1000
SCENARIOS = 300
DEADLOCKS = 10_000
CALLS = 500              # each of one deadlock, shown, simplified and run again
KINDS = 6                # of those calls
STOPS = 100              # calls that are stopped
CROWDS = 5
SETTLED = 5              # memory counts from a fifth on: by then nothing is new
BYTES = 4                # a deadlock that memory may grow by; what is left of one takes 16 or more
AT_LEAST = 32 * 1024     # bytes that it may grow by in any case
FDS = "/proc/self/fd"
BOUND = 1.3              # schedules for each class


@dataclass(frozen=True)
class Check:
    """What one check came to.

    Attributes:
        said: what was compared, with counts.
        differs: a line for each thing that is wrong.
    """

    what: str
    said: str
    differs: list[str]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.differs

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON output."""
        return {**asdict(self), "ok": self.ok}

    def __str__(self) -> str:
        first = f"{'ok' if self.ok else 'FAILED':7}{self.what}: {self.said} ({self.seconds:,.1f} s)"
        return "\n".join([first, *(f"       {line}" for line in self.differs)])


@dataclass(frozen=True)
class Amount:
    """How much a check is to do.

    Attributes:
        scale: 1 is what its constants say.
        seed: where what it draws begins; each check has one of its own.
        seconds: goes on, or stops, when this time is up; None: counts decide. Heeded by those that
            draw their cases.
    """

    scale: float = 1.0
    seed: int | None = None
    seconds: float | None = None

    def cases(self, full: int, least: int) -> Iterator[int]:
        """Yield 1, 2, ... for each case that is to be done; there are *full* of them at scale 1."""
        end = None if self.seconds is None else time.monotonic() + self.seconds
        number = scaled(full, self.scale, least)
        for i in count(1):
            if i > number if end is None else time.monotonic() >= end:
                return
            yield i


def checks(amount: Amount, names: Iterable[str] = ()) -> Iterator[Check]:
    """Yield what each check comes to, as it ends.

    Args:
        names: of those in `CHECKS` that are to be done; all if there are none.

    Raises:
        ScenarioError: the tests are not here.
    """
    for name in names or CHECKS:
        what, check = CHECKS[name]
        began = time.perf_counter()
        said, differs = check(amount)
        yield Check(what, said, differs, time.perf_counter() - began)


# -- reduced search, plain search, engine and oracle -----------------------------------------------


def _programs(amount: Amount) -> tuple[str, list[str]]:
    """Compare the searches on random programs, each under every policy.

    A quarter of them must deadlock, and in a tenth a trylock's failure must change what follows:
    else the comparison is worth little.
    """
    explored, crowded = oracle.module("explored"), oracle.module("crowded")
    differs: list[str] = []
    number = cases = schedules = classes = stuck = matters = 0
    with Workers() as workers:
        for number, made in zip(amount.cases(PROGRAMS, 2), oracle.random_programs(amount.seed)):
            for program in made:
                case = _searched(explored, crowded, program, workers)
                told = _difference(explored, case, workers)
                if told:
                    differs.append(f"program {number} ({program.policy}): {told}: {program}")
                cases += 1
                schedules += case.plain.tried
                classes += len(case.meaning[0])
                stuck += bool(case.plain.stuck)
                matters += crowded.a_trylock_matters(case)
    said = f"{number:,}, {cases:,} with the policies; {schedules:,} schedules, {classes:,} " \
           f"classes; {stuck:,} deadlock, in {matters:,} a trylock's failure matters"
    if number >= PROGRAMS and (stuck < cases / 4 or matters < cases / 10):
        differs.append("too few deadlock, or too few have a trylock whose failure matters")
    return said, differs


def _searched(explored: Any, crowded: Any, program: Program, workers: Workers) -> Any:
    """Return the program with what the plain search found, and what that means."""
    factory = crowded.world_of(program)
    plain = explored.Explored(factory, DepthFirst(), workers)
    return crowded.Case(program, factory, plain, explored.meaning(program, plain.orders))


def _difference(explored: Any, case: Any, workers: Workers) -> str:
    """Return what disagrees, or ""."""
    plain, expected = case.plain, oracle.module("brute").count_schedules(case.program)
    if plain.problems or (plain.tried, plain.stuck) != expected:
        return f"the plain search finds {plain.tried} schedules, {plain.stuck} stuck, " \
               f"{plain.problems}; the oracle {expected}"
    answer = search(case.program)
    places = {where for where, _, _ in case.meaning[1]}
    if not answer.complete or {each.places for each in answer.deadlocks} != places:
        return f"the engine says {answer}; the deadlocked states are {places}"
    if (answer.verdict == "clean") == bool(plain.stuck):
        return f"the engine says {answer.verdict}; the plain search found {plain.stuck} stuck"
    reduced = explored.Explored(case.factory, Reduced(), workers)
    return _of_reduced(explored, case, reduced)


def _of_reduced(explored: Any, case: Any, reduced: Any) -> str:
    try:
        found = explored.meaning(case.program, reduced.orders)
    except ValueError as exc:
        return f"the reduced search goes where the oracle does not: {exc}"
    for name, one, other in zip(("classes", "deadlocked states", "results of trylocks"),
                                found, case.meaning):
        if one != other:
            return f"the reduced search finds other {name}: {len(one)}, the plain search " \
                   f"{len(other)}"
    if reduced.problems or reduced.tried > BOUND * len(case.meaning[0]):
        return f"the reduced search begins {reduced.tried} schedules for {len(case.meaning[0])} " \
               f"classes, {reduced.problems}"
    return ""


# -- Python scenarios -----------------------------------------------------------------------------


def _scenarios(amount: Amount) -> tuple[str, list[str]]:
    """Compare the searches and prediction on random Python scenarios.

    A third of them must fail, a third must branch on data.
    """
    random_scenarios = oracle.module("random_scenarios")
    differs: list[str] = []
    done: list[Any] = []
    has: Counter[str] = Counter()
    seeds = count(1 if amount.seed is None else amount.seed)
    for _ in amount.cases(SCENARIOS, 3):
        case = next(case for seed in seeds if (case := random_scenarios.compare(seed)) is not None)
        differs += [f"scenario {case.seed}: {line}" for line in case.differs]
        has.update(case.has.keys())
        done.append(case)
    fail, branch = sum(case.fails for case in done), sum(case.branches for case in done)
    said = f"{len(done):,}; {fail:,} fail, {sum(case.stuck for case in done):,} of them stuck, " \
           f"{branch:,} branch on data; {sum(case.plain for case in done):,} schedules, " \
           f"{sum(case.reduced or 0 for case in done):,} of the reduced search; with " \
           + ", ".join(f"{kind} {n}" for kind, n in sorted(has.items()))
    if len(done) >= SCENARIOS and min(fail, branch) < len(done) / 3:
        differs.append("too few fail, or too few branch on data")
    return said, differs


def _starts(amount: Amount) -> tuple[str, list[str]]:
    """Compare what is shared before first operations with the same behind steps, which are points.

    In a third of them some order must matter.
    """
    random_scenarios = oracle.module("random_scenarios")
    differs: list[str] = []
    done: list[tuple[int, int, list[str]]] = []
    seeds = count(1 if amount.seed is None else amount.seed)
    for _ in amount.cases(SCENARIOS, 3):
        seed, case = next((seed, case) for seed in seeds
                          if (case := random_scenarios.compare_early(seed)) is not None)
        differs += [f"scenario {seed}: {line}" for line in case[2]]
        done.append(case)
    matters = sum(states > 1 for _, states, _ in done)
    said = f"{len(done):,}; {sum(schedules for schedules, _, _ in done):,} schedules; in " \
           f"{matters:,} the order decides how they end"
    if len(done) >= SCENARIOS and matters < len(done) / 3:
        differs.append("in too few the order matters")
    return said, differs


# -- prediction ------------------------------------------------------------------------------------


def _prediction(amount: Amount) -> tuple[str, list[str]]:
    """Compare what is predicted of two threads on three locks with what is true of them."""
    differential = oracle.module("differential")
    every = [differential.pairs(*space) for space in (("M", 3), ("RW", 2), ("RW", 3))]
    total = sum(map(len, every))
    if amount.scale >= 1:
        return f"all {total:,} pairs of nested sections", differential.check_all()
    number, said, differs = scaled(total, amount.scale, 6), [], []
    for pairs in every:
        some = random.Random(amount.seed or 1).sample(pairs, max(2, len(pairs) * number // total))
        counts, wrong = differential.check(dict.fromkeys(some, 1))
        said.append(f"{len(some):,} of {len(pairs):,}")
        differs += wrong
    return f"pairs of nested sections, samples: {', '.join(said)}", differs


def _words(amount: Amount) -> tuple[str, list[str]]:
    """Compare what the end of random programs is called."""
    return words.compared(amount.cases(words.PROGRAMS, 5), amount.seed)


def _permits(amount: Amount) -> tuple[str, list[str]]:
    return permits.compared(amount.cases(permits.WORLDS, 3), amount.seed)


def _limits(amount: Amount) -> tuple[str, list[str]]:
    return limits.compared(amount.cases(limits.SCENARIOS, 3), amount.seed)


def _laboratory(amount: Amount) -> tuple[str, list[str]]:
    return laboratory.compared(amount.cases(laboratory.CASES, 3), amount.seed)


def _finalizers(amount: Amount) -> tuple[str, list[str]]:
    return garbage.check(amount.cases(garbage.CALLS, 24), amount.seed)


def _tokens(amount: Amount) -> tuple[str, list[str]]:
    return mutating.tokens(amount.cases(mutating.TOKENS, 3), amount.seed)


def _files(amount: Amount) -> tuple[str, list[str]]:
    return mutating.files(amount.cases(mutating.FILES, 3), amount.seed)


def _kills(amount: Amount) -> tuple[str, list[str]]:
    return killing.check(random.Random(amount.seed or 0), amount.cases(killing.KILLS, 1))


# -- what is left behind ---------------------------------------------------------------------------


class _Left:
    """What there is of threads, descriptors and memory at the start, and what has been added."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._fds = self._open()
        self._memory: list[tuple[int, int]] = []

    def weigh(self, number: int) -> None:
        """Take note of the memory in use, after *number* deadlocks."""
        gc.collect()
        self._memory.append((number, tracemalloc.get_traced_memory()[0]))

    def differs(self) -> tuple[str, list[str]]:
        """Return how memory grew from the first weighing to the last, and what is wrong."""
        (first, before), *_, (last, after) = self._memory
        grown, more = after - before, last - first
        wrong = [f"thread {thread.name} is left" for thread in threading.enumerate()
                 if thread not in self._threads]
        if self._open() != self._fds:
            wrong.append(f"{self._open()} descriptors are open, {self._fds} were")
        if grown > max(AT_LEAST, BYTES * more):
            wrong.append(f"memory grew by {grown:,} bytes")
        return f"{last:,}; memory {grown:+,} bytes over the last {more:,}", wrong

    def _open(self) -> int | None:
        return len(os.listdir(FDS)) if os.path.exists(FDS) else None


def _in_one_call(amount: Amount) -> tuple[str, list[str]]:
    """Let one call explore a world of which every schedule ends in a deadlock."""
    number = scaled(DEADLOCKS, amount.scale, SETTLED)

    def work(left: _Left) -> int:
        made = 0

        def world() -> dict[str, Callable[[], None]]:
            nonlocal made
            made += 1
            if made in (number // SETTLED, number):
                left.weigh(made)
            return _always()

        result = explore(world, strategy="random", seed=1, all=True, max_schedules=number)
        found = result.coverage.get("verdicts", {})
        return found.get(str(Verdict.DEADLOCK), 0) if len(found) == 1 else 0

    return _watched(work, number)


def _in_calls(amount: Amount) -> tuple[str, list[str]]:
    """Let each deadlock be found, shown and run again by a call of its own: a dozen runs each."""
    number = scaled(CALLS, amount.scale, SETTLED)

    def meets(i: int) -> bool:
        result = explore(on_threads(dining(2 + i % 3)), engine=i % 2 == 0)
        return result.verdict is Verdict.DEADLOCK and bool(str(result))

    for i in range(KINDS):    # what the first call of a kind keeps is kept once
        meets(i)

    def work(left: _Left) -> int:
        found = 0
        for i in range(1, number + 1):
            found += meets(i)
            if i in (number // SETTLED, number):
                left.weigh(i)
        return found

    return _watched(work, number)


def _watched(work: Callable[[_Left], int], number: int) -> tuple[str, list[str]]:
    """Let *work* meet *number* deadlocks; say what it left."""
    tracemalloc.start()
    try:
        left = _Left()
        found = work(left)
        said, wrong = left.differs()
    finally:
        tracemalloc.stop()
    if found != number:
        wrong.append(f"{found:,} deadlocks were found, expected {number:,}")
    return said, wrong


def _always() -> dict[str, Callable[[], None]]:
    """Return two roles that take a lock each, wait for each other, and then want the other's."""
    locks = [Mutex("left"), Mutex("right")]
    holding = [Completion("left is held"), Completion("right is held")]

    def role(mine: int) -> Callable[[], None]:
        def crosses() -> None:
            with locks[mine]:
                holding[mine].complete()
                holding[1 - mine].wait()
                with locks[1 - mine]:
                    pass
        return crosses

    return {"left": role(0), "right": role(1)}


def _stops(amount: Amount) -> tuple[str, list[str]]:
    """Stop processes in the middle of calls, and let many calls share a processor."""
    half = replace(amount, seconds=amount.seconds and amount.seconds / 2)
    said, wrong = stopping.stops(half.cases(STOPS, 2), amount.seed)
    crowded, more = stopping.side_by_side(half.cases(CROWDS, 0))
    return f"{said}; {stopping.SIDE_BY_SIDE} at a time {crowded}", wrong + more


def _side_by_side(amount: Amount) -> tuple[str, list[str]]:
    """See what processes side by side come to."""
    return side_by_side.compare(amount.scale)


def _stdlib(amount: Amount) -> tuple[str, list[str]]:
    """Do CPython's own tests with our locks and queues, outside a run and in one."""
    return stdlib.compare(amount.seed, amount.cases)


CHECKS: dict[str, tuple[str, Callable[[Amount], tuple[str, list[str]]]]] = {
    "programs": ("random programs", _programs),
    "scenarios": ("random Python scenarios", _scenarios),
    "oracle": ("what engine, threads and prediction call an end", _words),
    "permits": ("prediction of random worlds with permits", _permits),
    "starts": ("what is shared before first operations", _starts),
    "limits": ("random scenarios whose limits run out again", _limits),
    "races": ("scenarios and fixes of the laboratory", _laboratory),
    "pairs": ("prediction against the truth", _prediction),
    "stdlib": ("CPython's own tests with our locks and queues", _stdlib),
    "stops": ("processes that are stopped, or get no processor", _stops),
    "tokens": ("mutated tokens", _tokens),
    "files": ("mutated files of lock programs", _files),
    "kills": ("commands that are killed while they work and write", _kills),
    "gc": ("finalizers that use locks", _finalizers),
    "side-by-side": ("explorations side by side", _side_by_side),
    "one-call": ("deadlocks in one call leave nothing", _in_one_call),
    "calls": ("deadlocks in calls of their own leave nothing", _in_calls),
}
