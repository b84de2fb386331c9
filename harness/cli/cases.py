"""cases: every case of a file against what it expects.

A version of a program has three judges: the fast engine, which goes through all its states;
exploration, which runs it on real threads in every order of its operations; and prediction, which
forces on real threads what clean runs told it. A case is ok if all say what the file expects; where
they contradict each other it differs, whatever is expected. A case of a validator is judged by the
validator's rules (lockdep.py), headline included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..checker.search import search
from ..lockorder.finding import GUARDED, NEEDS_WRITER, ONE_ROLE
from ..lockorder.lockdep import validate
from ..methods.explore import explore
from ..methods.predict import predict
from ..methods.defaults import TIMEOUT
from ..programs.format import Case, File, ProgramCase, ValidatorCase, Version
from ..report.result import Result
from ..runtime.verdict import Verdict, counted
from .output import Writer, say

HANGS = (str(Verdict.DEADLOCK), str(Verdict.HANG))
MOST_SCHEDULES = 5_000    # explored of one version
MOST_SECONDS = 60.0       # of that: a schedule of a thousand threads takes one
HARMLESS = (GUARDED, ONE_ROLE, NEEDS_WRITER)   # findings that cannot hang with these threads

# What became of one version of a case, as the JSON output has it: its "name", with the version if
# it is of a program; what was "expected" and what was "got"; whether that is "ok"; "why" it is, or
# what differs; and what is known of its kind alone. A program is expected to come to ``deadlock``
# (``hang`` is as good, but engine, threads and prediction must use one word) or ``ok``, a case of a
# validator to ``splat`` or ``clean``.
Row = dict[str, Any]


def judge_all(cases: list[Case], timeout: float = TIMEOUT) -> Iterator[Row]:
    """Judge each of *cases*, each version of it."""
    for case in cases:
        if isinstance(case, ValidatorCase):
            yield judge_validator_case(case)
        else:
            for version in case.versions.values():
                yield judge_version(case, version, timeout)


def judge_version(case: ProgramCase, version: Version, timeout: float = TIMEOUT) -> Row:
    """Compare what engine, exploration and prediction say of one version with what is expected."""
    answer = search(version.program)
    scenario = case.scenario(version.name)
    predicted = predict(scenario, timeout=timeout)
    explored = explore(scenario, engine=False, max_schedules=MOST_SCHEDULES, seconds=MOST_SECONDS,
                       timeout=timeout)
    got = "ok" if answer.verdict == "clean" else answer.verdict
    opinions = {_opinion(predicted)}
    if explored.verdict is not Verdict.INCONCLUSIVE:   # else it met its bound, and says so
        opinions.add(_opinion(explored))
    words = {got}
    if answer.misuse:    # which may be what was found first
        words.add("violation")
    contradicted = not opinions <= {*words, "unclear"}
    as_expected = got == "ok"
    if version.expected == "deadlock":
        # A lock that is kept for good is one that somebody may wait for.
        as_expected = got in HANGS or got == "violation" \
            and search(version.program, keep=True).verdict in HANGS
    statuses = [prediction.status for prediction in predicted.predictions]
    schedules, all_schedules = (explored.coverage[key] for key in ("schedules", "complete"))
    why = ["the judges CONTRADICT each other"] if contradicted else []
    every, all_ = ("all " if complete else "" for complete in (answer.complete, all_schedules))
    shown = f" ({', '.join(dict.fromkeys(statuses))})" if statuses else ""
    why += [f"engine {answer.verdict} ({every}{counted(answer.states, 'state')})",
            f"explored {explored.verdict} ({all_}{counted(schedules, 'schedule')})",
            f"predicted {predicted.verdict}{shown}"]
    return {"name": f"{case.name}:{version.name}", "expected": version.expected, "got": got,
            "ok": as_expected and not contradicted and "unclear" not in opinions,
            "why": "; ".join(why), "engine": answer.verdict, "states": answer.states,
            "complete": answer.complete, "explored": str(explored.verdict),
            "schedules": schedules, "all_schedules": all_schedules,
            "predicted": str(predicted.verdict), "statuses": statuses}


def _opinion(result: Result) -> str:
    """Return what real threads say: the verdict on what fails, ``ok`` or ``unclear``."""
    if result.verdict in (Verdict.DEADLOCK, Verdict.HANG, Verdict.VIOLATION):
        return str(result.verdict)
    harmless = all(prediction.status in HARMLESS for prediction in result.predictions)
    return "ok" if harmless and result.verdict in (Verdict.CLEAN, Verdict.PREDICTED) else "unclear"


def judge_validator_case(case: ValidatorCase) -> Row:
    """Compare what the validator's rules say with what is expected, kind of complaint included."""
    headline = validate(case.operations, case.locks)
    got = "clean" if headline is None else "splat"
    kind_is_right = case.expected_report in (None, headline)
    why = headline or ""
    if got == case.expected and not kind_is_right:
        why = f"expected {case.expected_report!r}, got {headline!r}"
    elif got != case.expected and case.expected_report:
        why = f"expected {case.expected_report!r}"
    return {"name": case.name, "expected": case.expected, "got": got,
            "ok": got == case.expected and kind_is_right, "why": why,
            "expected_report": case.expected_report, "report": headline}


def show_cases(path: str, write: Writer, timeout: float = TIMEOUT) -> int:
    """Print a line for each case of the file *path*, unless JSON goes to stdout; write the JSON;
    return the exit status: 1 if any case differs.

    Raises:
        ScenarioError: the file, or one of its cases, is wrong; then none is judged.
    """
    began = time.perf_counter()
    cases = list(File(path).cases())
    width = max(len(name) for case in cases for name in (
        [case.name] if isinstance(case, ValidatorCase)
        else [f"{case.name}:{version}" for version in case.versions]))
    rows: list[Row] = []

    def done() -> dict[str, Any]:
        failed = sum(not row["ok"] for row in rows)
        return {"file": path, "cases": rows, "passed": len(rows) - failed, "failed": failed,
                "seconds": round(time.perf_counter() - began, 6)}

    write.so_far = done
    for row in judge_all(cases, timeout):
        rows.append(row)
        if not write.quiet:
            say(f"{row['name']:<{width}}  {row['expected']:<8}  {row['got']:<8}  "
                  f"{'ok' if row['ok'] else 'DIFFERS':<7}  {row['why']}".rstrip())
    sums = done()
    if not write.quiet:
        say(f"\n{path}: {len(rows)} cases, {sums['passed']} as expected, {sums['failed']} differ")
    write(sums)
    return 1 if sums["failed"] else 0
