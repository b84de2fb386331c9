"""Other tools' figures, and ours on the same cases, measured now.

Those that are installed are run beside us (beside.py). The other figures were measured in November
2026 with CPython 3.11 and 3.13 on two cores; they are shown as they were written down then, and are
no part of any goal.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from harness import Verdict, explore
from harness.checker.search import search

from . import beside
from .measure import scaled
from .worlds import dining, handoff, on_threads, recovery, recread

CASES = {"mail": recovery(), "dining3": dining(3), "recread": recread(), "handoff": handoff(),
         "fixed": recovery(collected=True), "ordered dining": dining(3, ordered=True)}
CLEAN = ("fixed", "ordered dining")
THEIRS = {
    "frontrun DPOR, bound 2": ("5 / 0.06", "9 / 0.09", "8 / 1.1", "no / 5.6", "26 / 0.34",
                               "44 / 0.30"),
    "frontrun DPOR": ("-", "-", "-", "-", "16 / 0.17", "14 / 0.14"),
    "frontrun random": ("3 / 1.1", "1 / 0.04", "2 / 1.0", "no", "no / 2.6", "-"),
    "interleave-test random": ("7 / 0.07", "19 / 0.25", "1 / 0.003", "1 / 0.03 *", "no / 16.3",
                               "no / 15.6"),
    "interleave-test DFS, bound 2": ("10 / 0.02", "31 / 0.06", "25 / 0.04", "-", "2,291 / 4.7",
                                     "16,430 / 38.6"),
    "ploom DFS": ("6 / 2.4", "no / 110", "8 / 5.6", "9 / 4.8", "no / 100", "249 / 97.5"),
    "racecheck, 5,000 trials": ("654 / 3.4", "no", "no", "-", "no", "no"),
    "musil, a model: states": ("10 / 0.0001", "21 / 0.0003", "8 / 0.0001", "25 / 0.0002",
                               "25 / 0.0002", "72 / 0.0005"),
}
REMARKS = ("Theirs were measured in November 2026 where it does not say now; - not measured, no: "
           "not found, or not proven, in so many seconds.",
           "Ours: with the schedule made simple and run ten times more; frontrun takes "
           "0.16 s for the mail with ten replays.",
           "* It names a role that has left. Frontrun at bound 2, DFS at bound 2 and ploom's 249 "
           "(bound 1) prove within their bounds.")


def table(scale: float) -> dict[str, Any]:
    """Return the cases, and by tool what it needs for each: ours as (count, seconds), theirs as
    text, those beside us as text or why there is none.
    """
    times = scaled(7, scale)
    return {
        "cases": list(CASES),
        "ours": {
            "explore": _row(times, lambda case: _explored(case, True)),
            "explore, real threads alone": _row(times, lambda case: _explored(case, False)),
            "the fast engine: states": _row(times, _searched)},
        "beside": beside.table(),
        "theirs": {tool: list(figures) for tool, figures in THEIRS.items()},
        "remarks": list(REMARKS),
    }


def text(measured: dict[str, Any]) -> list[str]:
    """Return the lines of what `table` returned."""
    def line(name: str, cells: list[str]) -> str:
        return f"{name:30}" + "".join(f"{cell:>15}" for cell in cells)

    ours = [line(tool, [_cell(*each) for each in row]) for tool, row in measured["ours"].items()]
    return ["Ours and others: which schedule finds it, or how many prove that nothing is there / "
            "seconds", line("", measured["cases"]), *ours,
            *(f"{tool}, now: {cells}" if isinstance(cells, str) else line(f"{tool}, now", cells)
              for tool, cells in measured["beside"].items()),
            *(line(*each) for each in measured["theirs"].items()), *measured["remarks"]]


def _cell(count: int, seconds: float) -> str:
    return f"{count:,} / {seconds:.{3 if seconds >= 0.001 else 5}f}"


def _row(times: int, measure: Callable[[str], tuple[int, float]]) -> list[tuple[int, float]]:
    """Return for each case the count, and the median of the seconds."""
    cells = []
    for case in CASES:
        counts, seconds = zip(*(measure(case) for _ in range(times)))
        assert len(set(counts)) == 1, (case, counts)
        cells.append((counts[0], statistics.median(seconds)))
    return cells


def _explored(case: str, engine: bool) -> tuple[int, float]:
    world = on_threads(CASES[case])
    began = time.perf_counter()
    result = explore(world, engine=engine)
    seconds = time.perf_counter() - began
    assert (result.verdict, result.coverage["complete"]) == (_right(case), case in CLEAN), result
    return result.coverage["schedules"], seconds


def _searched(case: str) -> tuple[int, float]:
    began = time.perf_counter()
    answer = search(CASES[case], first=case not in CLEAN)
    seconds = time.perf_counter() - began
    assert answer.verdict == str(_right(case)), answer
    return answer.states, seconds


def _right(case: str) -> Verdict:
    return Verdict.CLEAN if case in CLEAN else Verdict.DEADLOCK
