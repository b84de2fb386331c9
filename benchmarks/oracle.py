"""Access to the second opinion on programs, which belongs to the tests: tests/harness, in the
checkout. An installed package has neither.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from harness import ScenarioError
from harness.checker.program import Program
from harness.locks.policies import POLICIES

TESTS = Path(__file__).resolve().parent.parent / "tests" / "harness"
SCHEDULES = 2000    # that a random program may have at most


def module(name: str) -> Any:
    """Return a module of the tests.

    Raises:
        ScenarioError: the tests, or what they need, are not here.
    """
    try:
        with _on_the_path(str(TESTS)):
            return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        raise ScenarioError(f"this needs the tests of the project in {TESTS.parent.name}/"
                            f"{TESTS.name}, and what they need: {exc}") from None


@contextmanager
def _on_the_path(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def random_programs(seed: int | None = None) -> Iterator[list[Program]]:
    """Return random programs without end, the same each time, each under every policy if it has a
    semaphore: two to four threads, sections of mutexes and semaphores in both modes, trylocks.

    In turns of two kinds: with more locks, and with fewer that more threads want.
    """
    return _drawn(module("brute"), module("crowded"), 1 if seed is None else seed)


def _drawn(brute: Any, crowded: Any, first: int) -> Iterator[list[Program]]:
    for seed in count(first):
        for made in (crowded.random_program(seed), brute.random_program(random.Random(seed))):
            under = POLICIES if "rwsem" in made.locks.values() else [made.policy]
            programs = [replace(made, policy=policy) for policy in under]
            if all(brute.count_schedules(each)[0] <= SCHEDULES for each in programs):
                yield programs
