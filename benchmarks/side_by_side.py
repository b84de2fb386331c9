"""Explorations side by side, each in a process of its own: how many schedules they run together.

A process of ours takes a CPU that no other of ours uses (harness/runtime/cpus.py): so two on two
CPUs do the work of two, and where there are more processes than CPUs they are not worse than if
they were not pinned at all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .measure import scaled

MOST = 4          # processes side by side
ROUNDS = 3        # of each number of processes, interleaved; the median counts
SECONDS = 2.0     # of each round
TOGETHER = 1.5    # times as many schedules as one process, that two run on two CPUs
ROOT = Path(__file__).parent.parent
_CHILD = """
import os, sys
from harness import Mutex, explore
from harness.runtime import cpus
from harness.runtime.process_state import settled
# Other processes of ours that are at work on this machine have no part in this.
cpus._NAME = chr(0) + "side-by-side-%d-{}-{}" % os.getppid()
if sys.argv[1] == "free":
    os.sched_setaffinity = lambda *_: None
def world():
    lock = Mutex("lock")
    def role():
        for _ in range(5):
            with lock:
                pass
    return {"one": role, "two": role}
def schedules(**bound):
    return explore(world, strategy="random", seed=1, **bound).coverage["schedules"]
schedules(max_schedules=5)
with settled():
    print(*sorted(os.sched_getaffinity(0)), flush=True)
    sys.stdin.readline()
    print(schedules(seconds=float(sys.argv[2]), max_schedules=10**9), flush=True)
"""


def together(number: int, how: str, seconds: float) -> tuple[int, list[str]]:
    """Return how many schedules *number* processes ran in *seconds*, and each one's CPUs.

    Args:
        how: "pinned", as ever, or "free".
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    children = [subprocess.Popen([sys.executable, "-c", _CHILD, how, str(seconds)], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 env={**os.environ, "PYTHONPATH": path}) for _ in range(number)]
    cpus = [child.stdout.readline().strip() for child in children if child.stdout]
    for child in children:
        if child.stdin:
            child.stdin.write("\n")
            child.stdin.flush()
    return sum(int(child.communicate()[0]) for child in children), cpus


def compare(scale: float) -> tuple[str, list[str]]:
    """Return what was measured, and what is not as it should be."""
    if not hasattr(os, "sched_getaffinity"):
        return "not available: this system pins nothing", []
    there = len(os.sched_getaffinity(0))
    seconds = max(SECONDS * min(scale, 1.0), 0.05)
    ways = [(number, how) for number in range(1, (MOST if scale >= 1 else 2) + 1)
            for how in ("pinned", "free") if scale >= 1 or (number, how) == (2, "pinned")]
    rates: dict[tuple[int, str], list[int]] = {way: [] for way in ways}
    differs = []
    for _ in range(scaled(ROUNDS, min(scale, 1.0), 1)):
        for number, how in ways:
            done, cpus = together(number, how, seconds)
            rates[number, how].append(round(done / seconds))
            if how == "pinned" and len(set(cpus)) < min(number, there):
                differs.append(f"{number} processes shared CPUs of {there}: {', '.join(cpus)}")
    middle = {way: sorted(of)[len(of) // 2] for way, of in rates.items()}
    if scale >= 1 and there > 1:    # else it says nothing of rates
        if middle[2, "pinned"] < TOGETHER * middle[1, "pinned"]:
            differs.append(f"two run less than {TOGETHER:g} times what one does")
        differs += [f"{number} pinned are slower than {number} that are not"
                    for number in range(2, MOST + 1)
                    if middle[number, "pinned"] < middle[number, "free"]]
    said = ", ".join(f"{number} {how} {rate:,}/s" for (number, how), rate in middle.items())
    return f"schedules together on {there} CPUs: {said}", differs
