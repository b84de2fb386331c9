"""Prediction against the truth: all pairs of nested sections over three locks.

Two threads, each with one section: some locks taken in some order and given back in reverse. What
is true is what the engine finds in all states; what lockdep says comes from its rules. Pairs that
differ only in the names of the locks, or in which thread is which, are one: `distinct` gives one of
each with how many it stands for, so that all can be counted without trying all.

For the benchmarks: with this folder on the path, `check_all` compares every pair.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from lock_programs import HANGS, NEEDS_WRITER, SAFE, truth

from harness import Mutex, RWSemaphore
from harness.lockorder.lockdep import validate
from harness.methods.predict import predict
from harness.checker.program import Op, Program

Section = tuple[tuple[str, str], ...]     # (lock, mode): M mutex, R W semaphore
Pair = tuple[Section, Section]

LOCKS = "ABC"
MIXED = {"A": "M", "B": "RW", "C": "RW"}
TAKE = {"M": "lock", "R": "down_read", "W": "down_write"}
GIVE = {"M": "unlock", "R": "up_read", "W": "up_write"}
HARMLESS = {"guarded", "one-role"}
# By what is true: the status that one finding must have, and those that others may have.
STATUS = {HANGS: ("forced", HARMLESS | {"needs-writer"}), NEEDS_WRITER: ("needs-writer", HARMLESS),
          SAFE: (None, HARMLESS)}


def sections(modes: Any, depth: int = 3) -> Iterator[Section]:
    """Yield every section of up to *depth* locks.

    Args:
        modes: of every lock; or lock -> its modes.
    """
    of = modes if isinstance(modes, dict) else dict.fromkeys(LOCKS, modes)
    for n in range(1, depth + 1):
        for locks in itertools.permutations(LOCKS, n):
            for chosen in itertools.product(*(of[lock] for lock in locks)):
                yield tuple(zip(locks, chosen))


def pairs(modes: Any, depth: int = 3) -> list[Pair]:
    """Return every pair of sections."""
    return list(itertools.combinations_with_replacement(sections(modes, depth), 2))


def distinct(every: Iterable[Pair]) -> dict[Pair, int]:
    """Return one pair of each kind, with how many are of its kind. All locks must be alike."""
    return dict(Counter(map(_least, every)))


def _least(pair: Pair) -> Pair:
    renamed = []
    for names in itertools.permutations(LOCKS):
        new = dict(zip(LOCKS, names))
        one, two = (tuple((new[lock], mode) for lock, mode in section) for section in pair)
        renamed += [(one, two), (two, one)]
    return min(renamed)


def operations(section: Section) -> tuple[Op, ...]:
    """Return what a thread does."""
    return (*(Op(TAKE[mode], lock) for lock, mode in section),
            *(Op(GIVE[mode], lock) for lock, mode in reversed(section)))


def program_of(sections: Iterable[Section], policy: str = "writer") -> Program:
    """Return the program of one thread for each section."""
    return Program({}, {f"t{i}": operations(section) for i, section in enumerate(sections, 1)},
                   policy=policy)


def lockdep_splats(pair: Iterable[Section], read: str = "R") -> bool:
    """Say whether lockdep complains when one task does the sections one after the other.

    Args:
        read: of which kind its readers are: ``R``, or ``RR`` (recursive).
    """
    told = []
    for section in pair:
        told += [(read if mode == "R" else "W", lock) for lock, mode in section]
        told += [("U", lock) for lock, _ in reversed(section)]
    return validate(told, {lock: ("rwsem", lock) for lock in LOCKS}) is not None


def scenario_of(sections: Iterable[Section], policy: str = "writer") -> Any:
    """Return the scenario: the same on plain locks, without a program that says what they do."""
    def factory() -> dict[str, Any]:
        made: dict[str, Any] = {}
        for lock, mode in itertools.chain.from_iterable(sections):
            made[lock] = made.get(lock) or (
                Mutex(lock) if mode == "M" else RWSemaphore(lock, policy=policy))
        return {f"t{i}": _role(made, section) for i, section in enumerate(sections, 1)}

    return factory


def _role(locks: dict[str, Any], section: Section) -> Any:
    take = {"M": Mutex.acquire, "R": RWSemaphore.down_read, "W": RWSemaphore.down_write}
    give = {"M": Mutex.release, "R": RWSemaphore.up_read, "W": RWSemaphore.up_write}

    def role() -> None:
        for lock, mode in section:
            take[mode](locks[lock])
        for lock, mode in reversed(section):
            give[mode](locks[lock])

    return role


def difference(sections: Iterable[Section], policy: str = "writer") -> tuple[str, str]:
    """Return (truth, ""), or what prediction says instead."""
    sections = tuple(sections)
    expected = truth(program_of(sections, policy))
    result = predict(scenario_of(sections, policy))
    found = {each.status for each in result.predictions}
    wanted, allowed = STATUS[expected]
    right = found <= allowed | {wanted} and (wanted is None or wanted in found)
    verdict = {HANGS: "deadlock", NEEDS_WRITER: "predicted", SAFE: "clean"}[expected]
    if right and str(result.verdict) == verdict:
        return expected, ""
    return expected, f"{sections} ({policy}): truth {expected}, predicted {result.verdict} {found}"


def check(weighted: dict[Any, int], policy: str = "writer") -> tuple[Counter[str], list[str]]:
    """Compare each of *weighted*, programs with how many they stand for.

    Returns:
        How many are what in truth, and a line for each that prediction gets wrong.
    """
    counts: Counter[str] = Counter()
    wrong = []
    for sections, weight in weighted.items():
        expected, differs = difference(sections, policy)
        counts[expected] += weight
        if differs:
            wrong.append(differs)
    return counts, wrong


def sample(every: Iterable[Any], number: int, seed: int) -> dict[Any, int]:
    """Return *number* of *every*, the same each time, none counting for more than itself."""
    return dict.fromkeys(random.Random(seed).sample(list(every), number), 1)


def triples(number: int, seed: int) -> dict[Any, int]:
    """Return three threads, *number* on mutexes and as many on mixed locks: two or three locks
    each, so that cycles of two and of three are met.
    """
    deep = [section for section in sections("M") if len(section) > 1]
    mixed = [section for section in sections(MIXED, 2) if len(section) == 2]
    rng = random.Random(seed)
    return dict.fromkeys((tuple(rng.choice(of) for _ in range(3))
                          for of in (deep, mixed) for _ in range(number)), 1)


def check_all() -> list[str]:
    """Compare every pair there is, without leaving out those that differ in names only, and some
    beyond: mixed locks, three threads, other policies. Some 30 s.

    Returns:
        A line for each that is wrong.
    """
    wrong = []
    for modes, depth, hang, need in (("M", 3, 33, 0), ("RW", 2, 27, 21), ("RW", 3, 918, 522)):
        counts, lines = check(dict.fromkeys(pairs(modes, depth), 1))
        wrong += lines
        if (counts[HANGS], counts[NEEDS_WRITER]) != (hang, need):
            wrong.append(f"{modes} to depth {depth}: {dict(counts)}, expected {hang} that hang and "
                         f"{need} that need a writer")
    for beyond, policy in ((sample(pairs(MIXED), 200, 2), "writer"), (triples(50, 3), "writer"),
                           (sample(pairs("RW"), 200, 4), "fair"),
                           (sample(pairs("RW"), 200, 4), "reader")):
        wrong += check(beyond, policy)[1]
    return wrong
