"""What chance finds: the deadlock of the mail on bare locks, without the harness, and what a
barrier changes.

A *start* barrier is worth little, the place of the barrier is everything; and a loop of long-lived
threads finds this one by chance in a moment. What chance cannot give is the same schedule twice, a
named cycle, and a word on the fix.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from readerwriterlock.rwlock import RWLockWrite

from harness import At, Meet, Mutex, RWSemaphore, Scenario, Verdict, force

from .measure import scaled

HANG = 0.05   # seconds an acquire waits before it counts as a deadlock


def table(scale: float) -> list[dict[str, Any]]:
    """Return a line for each way to look for it: how, tries, hits, seconds, and how many of those
    went by until a hit counted as one: its own timeout, which is no cost of the way to look.
    """
    return [
        _line("chance: two threads, no barrier", _one_shot, scaled(1000, scale, 20)),
        _line("start barrier", lambda n: _one_shot(n, start=True), scaled(1000, scale, 20)),
        _line("rendezvous after the first lock, by hand", lambda n: _one_shot(n, middle=True),
              scaled(40, scale, 3)),
        _line("two long-lived threads in a loop, until it hangs", _loops, scaled(10, scale, 1)),
        *_run_parallel(scaled(2000, scale, 20)),
        _line("force", _forced, scaled(1000, scale, 20), timeout=0),
    ]


def _line(how: str, look: Callable[[int], int], tries: int,
          timeout: float = HANG) -> dict[str, Any]:
    began = time.perf_counter()
    hits = look(tries)
    return {"how": how, "tries": tries, "hits": hits, "seconds": time.perf_counter() - began,
            "timeouts": hits * timeout}


def _pass() -> None:
    pass


class _Mail:
    """The two paths of the mail on bare locks; an acquire that waits too long is a hit."""

    def __init__(self, meet: Callable[[], Any] = _pass) -> None:
        self._device, self._sem = threading.Lock(), RWLockWrite(lock_factory=threading.Lock)
        self._meet = meet
        self.hung = False

    def probe(self) -> None:
        """Take the device's lock, then the semaphore for writing."""
        with self._device:
            self._meet()
            self._inner(self._sem.gen_wlock())

    def recover(self) -> None:
        """Take the semaphore for reading, then the device's lock."""
        with self._sem.gen_rlock():
            self._meet()
            self._inner(self._device)

    def _inner(self, lock: Any) -> None:
        if lock.acquire(timeout=HANG):
            lock.release()
        else:
            self.hung = True


def _one_shot(tries: int, start: bool = False, middle: bool = False) -> int:
    """Start the two paths on fresh threads, *tries* times; return how often they deadlocked."""
    return sum(_one_try(start, middle) for _ in range(tries))


def _one_try(start: bool, middle: bool) -> bool:
    barrier = threading.Barrier(2)
    mail = _Mail(barrier.wait if middle else _pass)

    def once(path: Callable[[], None]) -> None:
        if start:
            barrier.wait()
        path()

    _both(once, mail)
    return mail.hung


PARALLEL = """
import atexit, itertools
from benchmarks.honesty import _Mail

hits = []

class Counting(_Mail):
    hung = property(lambda self: False, lambda self, hung: hits.append(hung) if hung else None)

mail, turns = Counting(), itertools.count()
atexit.register(lambda: print(f"hits {len(hits)}"))

def test():
    (mail.probe if next(turns) % 2 else mail.recover)()
"""


def _run_parallel(tries: int) -> list[dict[str, Any]]:
    """Return the line of pytest-run-parallel, if it is installed: two threads, in step at the start
    of each of *tries* rounds.
    """
    if find_spec("pytest_run_parallel") is None:
        return []
    with TemporaryDirectory() as folder:
        file = Path(folder, "test_mail.py")
        file.write_text(PARALLEL)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(file),
             "--parallel-threads", "2", "--iterations", str(tries)], cwd=folder, text=True,
            capture_output=True, stdin=subprocess.DEVNULL, timeout=120, env={
                **os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)})
        seconds = time.perf_counter() - began
    hits = int(done.stdout.rpartition("hits ")[2])
    return [{"how": "pytest-run-parallel, two threads", "tries": tries, "hits": hits,
             "seconds": seconds, "timeouts": hits * HANG}]


def _loops(tries: int) -> int:
    """Let two threads run the paths over and over, until they deadlock; *tries* times."""
    for _ in range(tries):
        _loop_until_hung(_Mail())
    return tries


def _loop_until_hung(mail: _Mail) -> None:
    def over_and_over(path: Callable[[], None]) -> None:
        while not mail.hung:
            path()

    _both(over_and_over, mail)


def _both(perform: Callable[[Callable[[], None]], Any], mail: _Mail) -> None:
    threads = [threading.Thread(target=perform, args=(path,), daemon=True)
               for path in (mail.probe, mail.recover)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _forced(tries: int) -> int:
    result = force(_mail_scenario, runs=tries)
    return result.coverage.get("verdicts", {}).get(str(Verdict.DEADLOCK), 0)


def _mail_scenario() -> Scenario:
    device, sem = Mutex("device"), RWSemaphore("sem")

    def probe() -> None:
        with device:
            with sem.down_write():
                pass

    def recover() -> None:
        with sem.down_read():
            with device:
                pass

    return Scenario({"CPU0": probe, "CPU1": recover},
                    meet=Meet(At("CPU0", sem, holding=(device,)),
                              At("CPU1", device, holding=(sem,))))
