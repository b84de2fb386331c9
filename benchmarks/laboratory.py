"""The long check of the laboratory: what is said of a scenario on a kernel is the same, whoever
says it: prediction, the declared race, drawn schedules, all schedules, the command in the table.

The tests do a part of it.
"""

from __future__ import annotations

import json
import random
import shlex
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import cycle
from pathlib import Path

from harness import Verdict, explore, force, predict
from pcimodel.__main__ import main
from pcimodel.fixes import FIXES
from pcimodel.lab.compare import Question, judge
from pcimodel.lab.machines import MACHINES
from pcimodel.lab.scenarios import SCENARIOS, scenario

Pair = tuple[str, str | None]    # a scenario, and a fix or none

MAIL = "collect-then-lock"
PAIRS: list[Pair] = [(name, fix) for name in SCENARIOS for fix in (None, *FIXES)]
# Those of which all schedules are clean, and few enough; and those that have hundreds.
WHOLE: list[Pair] = [
    ("sysfs-enable-vs-aer", MAIL), ("disable-vs-aer", MAIL), ("aer-with-vfs", MAIL),
    ("vf-driver-load", "defer-vf-add"), ("vf-driver-load", None)]
BEGUN: list[Pair] = [
    ("sysfs-enable-vs-aer", None), ("disable-vs-aer", None), ("unbind-vs-aer", "defer-vf-add"),
    ("unbind-vs-aer", MAIL), ("nested-walk", MAIL),
    *(("enable-unbind-vs-aer", fix) for fix in (None, *FIXES))]
BEGINNING = 60    # schedules


def predicted(name: str, fix: str | None) -> str:
    """Return what is wrong with the prediction of a scenario, or "".

    It is a deadlock if the declared race ends in one; the patch of the mail leaves nothing.
    """
    fixes = [fix] if fix else []
    result = predict(scenario(name, fixes=fixes))
    if fix == MAIL and (result.verdict, result.predictions) != (Verdict.CLEAN, []):
        return f"predicted {result.verdict}"
    if not SCENARIOS[name].has_meeting:
        return ""
    forced = force(scenario(name, fixes=fixes)).verdict
    if "NOT" in result.coverage["declared_meeting"]:
        return f"the declared meeting: {result.coverage['declared_meeting']}"
    alike = (result.verdict is Verdict.DEADLOCK) == (forced is Verdict.DEADLOCK)
    return "" if alike else f"predicted {result.verdict}, forced {forced}"


def shown_again(name: str, fix: str | None) -> str:
    """Return how a cell of the table differs from what the command beside it shows, or ""."""
    cell = judge(Question(name, "v4.14", fix, "writer", 5.0), list(MACHINES))
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        file = Path(folder, "again.json")
        main([*shlex.split(cell.again)[3:], "--json", str(file)])
        again = json.loads(file.read_text(encoding="utf-8"))
    found = [each["verdict"] for each in again.get("cells", [again])
             if "cells" not in again or each["fix"] == fix]
    told = str(cell.result.verdict)
    return "" if found == [told] else f"{told} in the table; {cell.again}: {', '.join(found)}"


def whole(name: str, fix: str | None) -> str:
    """Return what is found in all schedules of a scenario that has none that fails, or ""."""
    result = explore(scenario(name, fixes=[fix] if fix else []), engine=False)
    clean = result.verdict is Verdict.CLEAN and result.coverage["complete"]
    return "" if clean else f"explored {result.verdict}, {result.coverage}"


def begun(name: str, fix: str | None, schedules: int = BEGINNING) -> str:
    """Return what is found in the first schedules beside deadlocks, or ""."""
    result = explore(scenario(name, fixes=[fix] if fix else []), engine=False, all=True,
                     max_schedules=schedules)
    more = set(result.coverage.get("verdicts", ())) - {"clean", "deadlock"}
    return f"the first schedules: {', '.join(sorted(more))}" if more else ""


WAYS: dict[Callable[[str, str | None], str], list[Pair]] = {
    predicted: PAIRS, shown_again: PAIRS, whole: WHOLE, begun: BEGUN}
CASES = sum(map(len, WAYS.values()))


def compared(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Judge scenarios and fixes, one by one way for each of *cases*."""
    every = [(way, pair) for way, pairs in WAYS.items() for pair in pairs]
    random.Random(seed or 1).shuffle(every)
    done: Counter[str] = Counter()
    differs = []
    for _, (way, (name, fix)) in zip(cases, cycle(every)):
        done[way.__name__.replace("_", " ")] += 1
        if wrong := way(name, fix):
            differs.append(f"{name}{f' with {fix}' if fix else ''}: {wrong}")
    said = ", ".join(f"{kind} {n}" for kind, n in sorted(done.items()))
    return f"{done.total():,} of {CASES}: {said}", differs
