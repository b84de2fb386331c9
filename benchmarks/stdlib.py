"""CPython's own tests of its locks and queues, with ours in place of theirs.

They are imported from the installed `test` package. Each is done twice: outside any run, and as the
one role of a run, where every thread that it starts is of the run too and every lock event is told.
Whoever adds a suite adds a function to `SUITES` that yields its cases.
"""

from __future__ import annotations

import importlib
import random
import unittest
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from harness import Verdict, queue, run

TIMEOUT = 30.0    # seconds in which nothing moves in a case
UNUSED = "no lock of harness was used"    # by a case that looks at arguments alone
QUEUES = ("QueueTest", "LifoQueueTest", "PriorityQueueTest", "FailingQueueTest",
          "BaseSimpleQueueTest")


def _installed(name: str) -> ModuleType | None:
    """Return a module of the `test` package; None where this Python came without it."""
    try:
        return importlib.import_module(f"test.{name}")
    except ImportError:
        return None


def _of_queue() -> Iterator[unittest.TestCase]:
    """Yield the cases of test.test_queue, over `harness.queue`."""
    tests = _installed("test_queue")
    for name in QUEUES if tests is not None else ():
        base = getattr(tests, name)
        kind = type(f"Our{name}", (base, unittest.TestCase), {
            "queue": queue, **({"setUp": _with_simple_queue} if "Simple" in name else {})})
        yield from unittest.defaultTestLoader.loadTestsFromTestCase(kind)    # type: ignore[misc]


def _with_simple_queue(case: Any) -> None:
    case.type2test = queue.SimpleQueue
    super(type(case), case).setUp()


SUITES: dict[str, Callable[[], Iterator[unittest.TestCase]]] = {"test_queue": _of_queue}


def _outside(case: unittest.TestCase) -> str:
    """Return what is wrong with *case* outside any run, or ""."""
    result = unittest.TestResult()
    case.run(result)
    return _words(result)


def _inside(case: unittest.TestCase) -> str:
    """Return what is wrong with *case* as a role, or ""."""
    result = unittest.TestResult()
    outcome = run(lambda: {"test": lambda: case.run(result)}, runs=1, timeout=TIMEOUT)
    text = outcome.finding.text if outcome.finding else ""
    if outcome.verdict is not Verdict.CLEAN and not text.startswith(UNUSED):
        return f"{outcome.verdict.value}: {text}"
    return _words(result)


def _words(result: unittest.TestResult) -> str:
    told = [text.strip().splitlines()[-1] for _, text in (*result.failures, *result.errors)]
    return " and ".join(told) or ("" if result.testsRun else "it was not run")


def compare(seed: int | None, cases: Callable[[int, int], Iterator[int]]
            ) -> tuple[str, list[str]]:
    """Return what was done, and a line for each case that does not pass.

    Args:
        seed: of the order; None: as they stand.
        cases: yields for each case that is to be done, given how many there are, and the least.
    """
    every = [(name, case) for name, suite in SUITES.items() for case in suite()]
    if not every:
        return "this Python has no package of tests", []
    if seed is not None:
        random.Random(seed).shuffle(every)
    differs: list[str] = []
    done: list[str] = []
    for _, (name, case) in zip(cases(len(every), 1), every):
        done.append(name)
        for where, tell in (("outside a run", _outside), ("in a run", _inside)):
            if wrong := tell(case):
                differs.append(f"{name}: {case.id().rpartition('.')[2]} of "
                               f"{type(case).__name__}, {where}: {wrong}")
    suites = ", ".join(f"{name} {sum(each == name for each, _ in every):,}" for name in SUITES)
    return f"{len(done):,} of {suites}, each outside a run and in one", differs
