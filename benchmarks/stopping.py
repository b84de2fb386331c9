"""Processes that are stopped, or get no processor: what a call says must be as without.

Each case is a forked process that makes one call of one program. In the middle of it a role tells
which process it is in, and that one gets SIGSTOP for twice the timeout. Then several make a call at
once, on one processor.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from harness import At, Completion, Meet, Mutex, Scenario, explore, force, predict, run, stress
from harness.runtime.standstill import SLICES

TIMEOUT = 0.2        # of the calls
SIDE_BY_SIDE = 8
BUSY = 0.3           # their timeout
AT_WORK = 0.05       # seconds of a processor that each role there needs for itself
LONGER = 3 * TIMEOUT / SLICES    # that one needs which is stopped: somebody looks meanwhile
_PID = struct.Struct("=i")
_TOOLS: dict[str, Callable[..., Any]] = {
    "run": partial(run, runs=3), "force": force, "stress": partial(stress, runs=3, seed=1),
    "predict": predict, "explore": explore, "explore --fresh": partial(explore, fresh=True)}


class _Here:
    """Where the process is stopped: at the *at*-th of the places that ask, of all processes.

    Args:
        told: the end of a pipe to say so in.
    """

    def __init__(self, told: int, at: int) -> None:
        self._told, self._left = told, mmap.mmap(-1, 1)
        self._left[0] = at

    def __call__(self) -> None:
        if self._left[0]:
            self._left[0] -= 1
            if not self._left[0]:
                os.write(self._told, _PID.pack(os.getpid()))
                _compute(LONGER)    # so that nothing has moved when it goes on


def _in_order(here: _Here) -> Any:
    """Two locks, taken in one order."""
    a, b = Mutex("a"), Mutex("b")

    def role() -> None:
        for _ in range(2):
            with a:
                here()
                with b:
                    here()

    return Scenario({"one": role, "other": role}, meet=Meet(At("one", "a"), At("other", "a")))


def _crosswise(here: _Here) -> Any:
    """Two locks, taken in both orders."""
    a, b = Mutex("a"), Mutex("b")

    def role(first: Mutex, then: Mutex) -> None:
        here()
        with first:
            here()
            with then:
                here()

    return Scenario({"one": partial(role, a, b), "other": partial(role, b, a)},
                    meet=Meet(At("one", "b"), At("other", "a")))


def _forgotten(here: _Here) -> Any:
    """A wait that nobody ends."""
    lock, done = Mutex("a"), Completion("done")

    def waits() -> None:
        here()
        with lock:
            here()
        done.wait()

    return {"waits": waits, "other": partial(_takes, lock, here)}


def _takes(lock: Mutex, here: _Here) -> None:
    with lock:
        here()


_PROGRAMS = {_in_order: "clean", _crosswise: "deadlock", _forgotten: "hang"}
_BY_CHANCE = "run", "stress"    # may not meet the deadlock


def stops(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Stop each tool in the middle of each program, at a moment that is drawn."""
    rng, differs, verdicts = random.Random(1 if seed is None else seed), [], Counter[str]()
    pairs = [(tool, program) for program in _PROGRAMS for tool in _TOOLS]
    rng.shuffle(pairs)
    number = stopped = 0
    for number in cases:
        tool, program = pairs[number % len(pairs)]
        at = rng.randrange(1, 8)
        got, was_stopped = _called(tool, program, at, rng.uniform(0, LONGER))
        verdicts[got] += 1
        stopped += was_stopped
        expected = [_PROGRAMS[program]]
        if expected == ["deadlock"] and tool in _BY_CHANCE:
            expected.append("clean")
        if got not in expected:
            differs.append(f"case {number}: {tool} of {program.__name__.strip('_')}, stopped at "
                           f"place {at}: {got}, expected {' or '.join(expected)}")
    words = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
    return f"{number:,} calls, {stopped:,} stopped in the middle for {2 * TIMEOUT:g} s; {words}", \
        differs


def _called(tool: str, program: Callable[[_Here], Any], at: int, wait: float) -> tuple[str, bool]:
    """Return the verdict of a call in a process of its own, and whether it was stopped, *wait*
    seconds after a role came to its place.
    """
    def call(told: int) -> Any:
        here = _Here(told, at)
        return _TOOLS[tool](lambda: program(here), timeout=TIMEOUT).verdict

    with _process(call) as (told, answer):
        data = os.read(told, _PID.size)
        if data:
            time.sleep(wait)
            pid, = _PID.unpack(data)
            with suppress(ProcessLookupError):    # it was a moment too late
                os.kill(pid, signal.SIGSTOP)
                time.sleep(2 * TIMEOUT)
                os.kill(pid, signal.SIGCONT)
        return os.read(answer, 100).decode(), bool(data)


def side_by_side(cases: Iterator[int]) -> tuple[str, list[str]]:
    """Let several correct programs that compute run at once on one processor."""
    differs, verdicts = [], Counter[str]()
    number = 0
    for number in cases:
        processes = [_process(lambda _: run(_computing, runs=2, timeout=BUSY).verdict)
                     for _ in range(SIDE_BY_SIDE)]
        answers = [process.__enter__()[1] for process in processes]
        for answer, process in zip(answers, processes, strict=True):
            verdicts[verdict := os.read(answer, 100).decode()] += 1
            process.__exit__(None, None, None)
            if verdict != "clean":
                differs.append(f"case {number}: {verdict}, not clean")
    words = "".join(f", {n} {verdict}" for verdict, n in verdicts.items())
    return f"{SIDE_BY_SIDE * number:,} calls{words}", differs


def _computing() -> Any:
    lock = Mutex("a")

    def role() -> None:
        for _ in range(2):
            _compute(AT_WORK)
            with lock:
                pass

    return {"one": role, "other": role}


def _compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@contextmanager
def _process(call: Callable[[int], Any]) -> Iterator[tuple[int, int]]:
    """Fork a process that makes *call*, which is given what to tell its number in; yield the ends
    of pipes to read that, and its answer, from.
    """
    told, answer = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(answer[1], str(call(told[1])).encode())
        except BaseException as exc:
            os.write(answer[1], type(exc).__name__.encode())
        finally:
            os._exit(0)
    os.close(told[1])
    os.close(answer[1])
    try:
        yield told[0], answer[0]
    finally:
        with suppress(OSError):
            os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
        os.close(told[0])
        os.close(answer[0])
