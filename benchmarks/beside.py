"""Other tools on the cases of peers.py, run here and now, if they are installed.

Each is a process of its own: such a tool replaces the locks of the interpreter. The cases are
written with plain locks, as its users would. `python -m benchmarks.beside TOOL` prints what one
needs for each case, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from readerwriterlock.rwlock import RWLockWrite

SECONDS = 60      # that a tool has for all cases
SCHEDULES = 2000  # of one case
# tool -> its package, and what runs Python under it
TOOLS = {"frontrun": ("frontrun", ["frontrun"]), "interleave-test": ("interleave_test", [])}


class World:
    """The locks of every case."""

    def __init__(self) -> None:
        self.device = threading.Lock()
        self.sem = RWLockWrite(lock_factory=threading.Lock)
        self.forks = [threading.Lock() for _ in range(3)]
        self.entered, self.joined, self.left = (threading.Event() for _ in range(3))


Way = Callable[[World], None]


def probe(world: World) -> None:
    """Take the device's lock, then the bus for writing."""
    with world.device:
        with world.sem.gen_wlock():
            pass


def recover(world: World) -> None:
    """Read the bus, and lock the device meanwhile."""
    with world.sem.gen_rlock():
        with world.device:
            pass


def collect(world: World) -> None:
    """Read the bus, and lock the device afterwards: the fix."""
    with world.sem.gen_rlock():
        pass
    with world.device:
        pass


def dines(first: int, second: int) -> Way:
    """Return a philosopher who takes two forks in this order."""
    def philosopher(world: World) -> None:
        with world.forks[first]:
            with world.forks[second]:
                pass
    return philosopher


def reads_again(world: World) -> None:
    """Read, and read once more inside."""
    with world.sem.gen_rlock():
        with world.sem.gen_rlock():
            pass


def writes(world: World) -> None:
    """Write once."""
    with world.sem.gen_wlock():
        pass


def enters(world: World) -> None:
    """Be the first reader, and leave when the second is there."""
    with world.sem.gen_rlock():
        world.entered.set()
        world.joined.wait()
    world.left.set()


def joins(world: World) -> None:
    """Be the second reader, and lock the device when the first has left."""
    world.entered.wait()
    with world.sem.gen_rlock():
        world.joined.set()
        world.left.wait()
        with world.device:
            pass


def crosses(world: World) -> None:
    """Lock the device and write, when the first reader has left."""
    world.left.wait()
    probe(world)


CASES: dict[str, list[Way]] = {
    "mail": [probe, recover], "dining3": [dines(0, 1), dines(1, 2), dines(2, 0)],
    "recread": [reads_again, writes], "handoff": [enters, joins, crosses],
    "fixed": [probe, collect], "ordered dining": [dines(0, 1), dines(1, 2), dines(0, 2)]}


def _frontrun(paths: list[Way], finds: bool) -> tuple[int, str]:
    import frontrun

    result = frontrun.explore(World, paths, lambda world: True, reproduce_on_failure=0,
                              preemption_bound=2 if finds else None)
    if result.property_holds is None or getattr(result, "inconclusive_reason", None):
        return result.num_explored, "no"
    return result.num_explored, "no" if result.property_holds is finds else ""


def _interleave(paths: list[Way], finds: bool) -> tuple[int, str]:
    import interleave_test

    def model() -> None:
        world = World()
        tasks = [interleave_test.spawn(path, world) for path in paths]
        for task in tasks:
            task.join()

    result = interleave_test.explore(model, iterations=SCHEDULES, seed=1, raise_on_failure=False)
    # What it draws proves nothing.
    return result.schedules_run, "" if finds and not result.ok else "no"


def measure(tool: str) -> list[tuple[int, float, str]]:
    """Return for each case how many schedules, in how many seconds, and "no" if it did not find
    the deadlock, or prove that there is none.
    """
    search = {"frontrun": _frontrun, "interleave-test": _interleave}[tool]
    cells = []
    for case, paths in CASES.items():
        began = time.perf_counter()
        try:
            count, word = search(paths, case not in ("fixed", "ordered dining"))
        except Exception as exc:    # a tool that fails is part of what is measured
            count, word = 0, type(exc).__name__
        cells.append((count, time.perf_counter() - began, word))
    return cells


def table() -> dict[str, list[str] | str]:
    """Return by tool what it needs for each case, as text; or why there is nothing."""
    return {tool: _cells(tool, *how) for tool, how in TOOLS.items()}


def _cells(tool: str, package: str, under: list[str]) -> list[str] | str:
    if find_spec(package) is None:
        return "not installed, so not run beside us"
    here = Path(sys.executable).parent
    command = [*(str(here / name) for name in under), sys.executable, "-m", "benchmarks.beside",
               tool]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, env={
                                  **os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)})
        if done.returncode:
            return f"ended with status {done.returncode}: {done.stderr.strip()[-100:]}"
        cells = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError) as exc:
        return f"could not be run: {exc}"
    except subprocess.TimeoutExpired:
        return f"took more than {SECONDS} s"
    return [f"{word or format(count, ',')} / {seconds:.2g}" for count, seconds, word in cells]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
