"""The long check of finalizers: roles make cyclic garbage whose finalizers take, release and
complete, while collections come as they come. What each world has to come to is known from how it
is made.

A finalizer runs in whatever thread collects, in the middle of anything. Here it takes a lock for
reading that nobody ever takes for writing, tries one that roles hold, and completes what roles may
wait for: so it never changes what the roles come to.
"""

from __future__ import annotations

import gc
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from harness import Completion, Mutex, RWSemaphore, Verdict, explore, force, run, stress

_EACH = 10                         # runs of a call
CALLS = 12_000 // _EACH    # explorations end sooner
THRESHOLDS = 1, 20, None           # of the youngest generation; None: as it is
TIMEOUT = 30.0


def _world(rng: random.Random, deadlocks: bool, ran: list[int]) -> Callable[[], dict[str, Any]]:
    """Return a scenario of two roles that make garbage, and, if so, always wait for each other.

    Args:
        ran: counts finalizers.
    """
    pieces, rounds = rng.randrange(1, 12), rng.randrange(1, 3)

    def build() -> dict[str, Any]:
        first, second, tried = Mutex("first"), Mutex("second"), Mutex("tried")
        read, done = RWSemaphore("read"), Completion("done")
        has = {"alice": Completion("alice has it"), "bob": Completion("bob has it")}

        class Garbage:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                ran[0] += 1
                done.complete()
                with read.down_read():
                    if tried.acquire(False):
                        tried.release()

        def role(me: str, other: str, one: Mutex, two: Mutex) -> None:
            for _ in range(rounds):
                for _ in range(pieces):
                    Garbage()
                with read.down_read(), tried:
                    [[] for _ in range(pieces)]
                done.wait(timeout=0)
            if deadlocks:
                with one:
                    has[me].complete()
                    has[other].wait()
                    Garbage()
                    with two:
                        pass
            else:
                with first, second:
                    Garbage()

        return {"alice": lambda: role("alice", "bob", first, second),
                "bob": lambda: role("bob", "alice", second, first)}
    return build


# How each is called, for so many runs, and what a world comes to that does not deadlock.
_TOOLS: dict[str, tuple[Callable[[Any, int], Any], tuple[Verdict, ...]]] = {
    "run": (lambda world, runs: run(world, runs=runs, timeout=TIMEOUT), (Verdict.CLEAN,)),
    "stress": (lambda world, runs: stress(world, runs=runs, seed=1, timeout=TIMEOUT),
               (Verdict.CLEAN,)),
    "force": (lambda world, runs: force(world, runs=runs, timeout=TIMEOUT),
              (Verdict.NOT_REACHED, Verdict.CLEAN)),
    "explore": (lambda world, runs: explore(world, max_schedules=runs, engine=False,
                                            timeout=TIMEOUT),
                (Verdict.CLEAN, Verdict.INCONCLUSIVE)),    # stopped at so many
}


def check(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Make so many times `_EACH` runs; compare what each call comes to with what it must."""
    rng = random.Random(1 if seed is None else seed)
    counts: Counter[str] = Counter()
    ran, differs, runs = [0], [], 0
    before = gc.get_threshold()
    kinds = itertools.product((False, True), THRESHOLDS, _TOOLS)
    try:
        for number, (deadlocks, threshold, tool) in zip(cases, itertools.cycle(kinds)):
            call, clean = _TOOLS[tool]
            gc.set_threshold(*(before if threshold is None else (threshold, *before[1:])))
            result = call(_world(rng, deadlocks, ran), _EACH)
            counts[f"{tool} {result.verdict}"] += 1
            runs += result.coverage.get("runs") or result.coverage.get("schedules", 1)
            right = (Verdict.DEADLOCK,) if deadlocks else clean
            if result.verdict not in right:
                differs.append(f"call {number}, {tool} at threshold {threshold or 'default'}: "
                               f"{result.verdict}, expected {right[0]}: "
                               f"{result.finding and result.finding.text}")
            if not gc.isenabled():
                differs.append(f"call {number}, {tool}: the collector is left off")
    finally:
        gc.set_threshold(*before)
        gc.enable()
    said = f"{runs:,} runs, {ran[0]:,} finalizers; " + ", ".join(
        f"{n:,} {what}" for what, n in sorted(counts.items()))
    return said, differs
