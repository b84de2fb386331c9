"""CPython's own tests of its locks and queues, with ours in place of theirs.

They are imported from the installed `test` package. Each is done twice: outside any run, and as the
one role of a run, where every thread that it starts is of the run too and every lock event is told.
Whoever adds a suite adds a function to `SUITES` that yields its cases.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import unittest
import unittest.mock
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from harness import Observer, Verdict, queue, run, threading

TIMEOUT = 30.0    # seconds in which nothing moves in a case
UNUSED = "no lock of harness was used"    # by a case that looks at arguments alone
QUEUES = ("QueueTest", "LifoQueueTest", "PriorityQueueTest", "FailingQueueTest",
          "BaseSimpleQueueTest")
# Classes of test.lock_tests: the attribute by which they make what they test, and what that is.
LOCKS = {"LockTests": ("locktype", "Lock"), "RLockTests": ("locktype", "RLock"),
         "EventTests": ("eventtype", "Event"), "ConditionTests": ("condtype", "Condition"),
         "SemaphoreTests": ("semtype", "Semaphore"),
         "BoundedSemaphoreTests": ("semtype", "BoundedSemaphore"),
         "BarrierTests": ("barriertype", "Barrier")}
# What in test.test_threading cannot hold of classes written in Python, whose module is another.
CANNOT = {"test__all__", "test_disallow_instantiation", "test_lock_no_subclass", "test_signature"}
# What these do a role may not: fork, end the process, trace. (InterruptMainTests are left out, as a
# command handles Ctrl-C itself.)
NO_ROLE = ("ThreadTests", "ThreadJoinOnShutdown", "SubinterpThreadingTests",
           "ThreadingExceptionTests", "ExceptHookTests", "TimerTests", "MiscTestCase",
           "AtexitTests")


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


def _of_locks() -> Iterator[unittest.TestCase]:
    """Yield the cases of test.lock_tests, over `harness.threading`."""
    tests = _installed("lock_tests")
    for name, (attribute, what) in LOCKS.items() if tests is not None else ():
        make = getattr(threading, what)
        kind = type(f"Our{name}", (getattr(tests, name),), {attribute: staticmethod(make)})
        yield from unittest.defaultTestLoader.loadTestsFromTestCase(kind)    # type: ignore[misc]


def _of_threading() -> Iterator[unittest.TestCase]:
    """Yield the cases of test.test_threading, over `harness.threading`: but for those of locks,
    which are the same.
    """
    tests = _installed("test_threading")
    for name in NO_ROLE:
        base = getattr(tests, name, None)
        if base is not None:
            kind = type(f"Our{name}", (_OverOurs, base), {"tests": tests})
            for case in unittest.defaultTestLoader.loadTestsFromTestCase(kind):
                if case._testMethodName not in CANNOT:    # type: ignore[union-attr]
                    yield case    # type: ignore[misc]


class _OverOurs:
    """A case of a module whose `threading` is ours while it is done."""

    tests: Any

    def run(self, result: Any = None) -> Any:
        with unittest.mock.patch.object(self.tests, "threading", threading), \
                unittest.mock.patch.object(self.tests, "verbose", False):
            return super().run(result)    # type: ignore[misc]


SUITES: dict[str, Callable[[], Iterator[unittest.TestCase]]] = {
    "test_queue": _of_queue, "lock_tests": _of_locks, "test_threading": _of_threading}
OUTSIDE_ALONE = "test_threading",


class _Live(Observer):
    """An observer that is told of every event, also of plain ones."""

    def lock_acquire(self, task: Any, lock: Any, mode: str) -> None: ...
    def lock_contended(self, task: Any, lock: Any, mode: str) -> None: ...
    def lock_acquired(self, task: Any, lock: Any, mode: str) -> None: ...
    def lock_release(self, task: Any, lock: Any, mode: str) -> None: ...


@contextlib.contextmanager
def _threads_of_a_run() -> Iterator[None]:
    """Let the threads that lock_tests starts past `threading` be threads of the run."""
    tests = _installed("lock_tests")

    def start(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        threading.Thread(target=function, args=args, daemon=True).start()

    if tests is None:
        yield
    else:
        with unittest.mock.patch.object(tests, "start_new_thread", start):
            yield


def _outside(case: unittest.TestCase) -> str:
    """Return what is wrong with *case* outside any run, or ""."""
    result = unittest.TestResult()
    case.run(result)
    return _words(result)


def _inside(case: unittest.TestCase) -> str:
    """Return what is wrong with *case* as a role, or ""."""
    result = unittest.TestResult()
    with _threads_of_a_run():
        outcome = run(lambda: {"test": lambda: case.run(result)}, runs=1, timeout=TIMEOUT,
                      observers=lambda: [_Live()])
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
            if where == "in a run" and name in OUTSIDE_ALONE:
                continue
            if wrong := tell(case):
                differs.append(f"{name}: {case.id().rpartition('.')[2]} of "
                               f"{type(case).__name__}, {where}: {wrong}")
    suites = ", ".join(f"{name} {sum(each == name for each, _ in every):,}" for name in SUITES)
    return f"{len(done):,} of {suites}, each outside a run and in one, but for " \
           f"{' and '.join(OUTSIDE_ALONE)}", differs
