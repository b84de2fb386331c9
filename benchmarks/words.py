"""The long check of words: engine, threads and prediction call the end of a program the same.

The programs and the comparison are of the tests (tests/harness/random_waits.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

from . import oracle

PROGRAMS = 1000


def compared(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Ask all three of one random program for each of *cases*.

    A fifth must be deadlocks and a fifth hangs: else the comparison is worth little.
    """
    random_waits = oracle.module("random_waits")
    words: Counter[str] = Counter()
    cut, differs = 0, []
    for number, _ in zip(count(1 if seed is None else seed), cases):
        answers = random_waits.answers(number)
        words[answers.engine] += 1
        cut += not answers.explored
        if answers.differs:
            differs.append(f"program {number}: {answers.differs}")
    done = words.total()
    said = f"{done:,}: {', '.join(f'{n:,} {word}' for word, n in sorted(words.items()))}; of " \
           f"{cut:,} not every schedule was tried"
    if done >= PROGRAMS and min(words["deadlock"], words["hang"]) < done / 5:
        differs.append("too few are deadlocks, or too few hangs")
    return said, differs
