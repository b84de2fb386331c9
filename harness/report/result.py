"""What a call returns, and its report: the verdict, the diagram, the proof, what to do next.

Text is made in this package and nowhere else, but for the words of the kernel's validator, which a
result of `predict` brings with it. Plain text of at most 100 columns; the same run gives the same
text. The file is long because a headline, and what it rests on, are worded in one place.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..locks.one_line import one_line
from ..runtime.recorder import function, verb
from ..runtime.verdict import Finding, Outcome, Verdict, counted
from .diagram import WIDTH, diagram, full_trace
from .proof import blocked_by, by_name, proof

WAITING = (Verdict.DEADLOCK, Verdict.HANG, Verdict.INCONCLUSIVE)   # who waits for whom is the story
AT_ONCE = {Verdict.DEADLOCK: "found at the moment of blocking, not by a timeout",
           Verdict.HANG: "known at once, not by a timeout"}
_FEW = 5    # lines of a baseline that are named one by one
A_PROOF = "a proof for the locks"    # what roles do to data between them is another matter
TIMED_OUT = "timed out: the threads hung, nothing moved any more"


@dataclass(eq=False)
class Result:
    """What a call of run, force or stress returns; `str()` of it is the report.

    It is true if its verdict is `clean`, and false if something was found; a verdict that leaves
    the question open has no truth value. It is no verdict itself, and not to be compared with one.

    Raises:
        ValueError: it is asked for a truth value, and the question is open.
        TypeError: it is compared with a verdict, a word, True or False.

    Attributes:
        scenario: its name.
        coverage: what was looked at; a clean verdict says no more than this.
        outcome: the run that is reported: the gravest, the first of several.
        again: the command that shows it again, or "".
    """

    scenario: str
    verdict: Verdict
    how: str
    coverage: dict[str, Any]
    outcome: Outcome
    seconds: float
    again: str = ""
    replay: str = ""
    names: Any = None        # what the report calls a function: code -> str
    titles: Any = None       # a word on each role, for the head of its column
    full: bool = False       # report every event
    predictions: list[Any] = field(default_factory=list)   # of predict, gravest first
    known: list[str] = field(default_factory=list)      # cycles of the baseline that were met
    unmatched: list[str] = field(default_factory=list)  # and those that matched nothing
    lockdep: list[str] = field(default_factory=list)   # what the kernel's validator would have said
    splat: Callable[[Result], list[str]] | None = None     # puts *predictions* into paragraphs
    next: str = ""           # after a prediction that came true: the command that forces it at once

    @property
    def finding(self) -> Finding | None:
        """The finding behind the verdict, if there is one."""
        return self.outcome.gravest

    @property
    def cycle(self) -> list[dict[str, Any]]:
        """The deadlock's roles, each waiting for the next: role, wants, mode, holds, at."""
        return [state.as_dict() for state in self.finding.cycle] if self.finding else []

    @property
    def members(self) -> list[dict[str, Any]]:
        """All threads of the deadlock, none of which can ever go on: role, wants, why."""
        if self.finding is None:
            return []
        roles = by_name(self.finding.roles)
        return [{"role": state.role, "wants": state.wants, "why": blocked_by(state, roles)}
                for state in (*self.finding.cycle, *self.finding.others, *self.finding.behind)]

    @property
    def trace(self) -> list[dict[str, Any]]:
        """The events of the reported run up to the finding, as dictionaries."""
        events = self.outcome.events[:self.finding.events if self.finding else None]
        return [{"role": event.task.name, "event": event.event, "lock": str(event.lock),
                 "mode": event.mode, "verb": verb(event),
                 "function": function(event.chain, self.names)} for event in events]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Everything that was predicted, and found in the reported run, gravest first."""
        ordered = sorted(self.outcome.findings, key=lambda finding: -finding.verdict.graveness)
        return [*(prediction.as_dict() for prediction in self.predictions), *(
            {"verdict": str(finding.verdict), "how": finding.how, "text": finding.text}
            for finding in ordered)]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        kernel = {"lockdep": self.lockdep} if self.lockdep else {}
        return {"scenario": self.scenario, "verdict": str(self.verdict), "how": self.how,
                "coverage": self.coverage, "cycle": self.cycle, "members": self.members,
                "findings": self.findings, **kernel, "trace": self.trace,
                "replay": self.replay, "seconds": round(self.seconds, 6)}

    def __str__(self) -> str:
        return render(self)

    def __repr__(self) -> str:
        return one_line(self, f"{self.verdict}, {self.scenario}: {coverage(self.coverage)}")

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (str, Verdict, bool)):
            raise TypeError(f"a Result is never {str(other)!r}: `assert result`, or compare its "
                            f"verdict, as in `result.verdict == \"clean\"`")
        return self is other

    __hash__ = object.__hash__


def render(result: Result) -> str:
    """Return the report of *result*."""
    finding = result.finding
    parts = [wrapped(headline(result))]
    if any(prediction.outcome is result.outcome for prediction in result.predictions):
        pass   # it came true as predicted: its diagram stands with the prediction
    elif finding is not None and (finding.verdict in WAITING or finding.cycle):
        parts.append(diagram(result.outcome, result.names, result.titles, result.full))
        parts.append(wrapped("\n".join(proof(finding))))
    elif result.outcome.events and (result.full or finding and result.outcome.scheduled):
        parts.append(full_trace(result.outcome, result.names, result.titles, result.full))
    if finding is not None:
        parts += [in_kernel_words(finding) if finding.headline else "", finding.detail]
    parts += [in_kernel_words(other) if other.headline else wrapped(f"Also: {other.text}")
              for other in result.outcome.findings
              if other is not finding or other.verdict is not result.verdict]
    if result.splat is not None:
        parts += result.splat(result)
    parts.extend(map(wrapped, result.outcome.notes))
    parts.append("\n".join(map(wrapped, matched_nothing(result.unmatched))))
    if result.outcome.stuck:
        stuck = "; ".join(result.outcome.stuck)
        parts.append(wrapped(f"Outside our locks, and left running: {stuck}"))
    if result.again:
        parts.append("\n".join(commands(result)))
    return "\n\n".join(part for part in parts if part)


def wrapped(text: str) -> str:
    """Break the lines of *text* that are too long for a mail."""
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False,
                                   break_on_hyphens=False) for line in text.splitlines())


def headline(result: Result) -> str:
    """Return the line of the verdict, and the line that says what was covered."""
    finding = result.finding
    word = str(result.verdict).upper().replace("-", " ")
    lines = [f"{result.scenario}: {coverage(result.coverage)}", *statuses(result.predictions)]
    if result.verdict is Verdict.CLEAN:
        first = f"{word} ({basis(result.coverage)}): {nothing_new(result)}"
    elif result.predictions and (finding is None or finding.verdict is not result.verdict):
        first = f"{word}: {of_predictions(result)}"
    elif finding is None:
        first = f"{word}: nothing {'found' if result.coverage.get('runs') else 'was run'}"
    else:
        how = TIMED_OUT if finding.how == "timed out" else AT_ONCE.get(finding.verdict)
        first = f"{word}: {finding.text}{f' ({how})' if finding.verdict in AT_ONCE else ''}"
    return "\n".join([first, *lines])


def basis(covered: dict[str, Any]) -> str:
    """Return what a clean verdict rests on: all schedules, or what is no proof."""
    runs = counted(covered.get("runs", 0), "run")
    if "schedules" in covered:
        return f"all {counted(covered['schedules'], 'schedule')}, {A_PROOF}"
    if "replayed_operations" in covered:
        return "one schedule replayed, no proof"
    if "cycles" in covered:
        gone = _gone_through(covered)
        return f"judged from {runs}{f'; then {gone}, {A_PROOF}' if gone else ', no proof'}"
    return f"{'a single run' if covered.get('runs') == 1 else runs}, no proof"


def _gone_through(covered: dict[str, Any]) -> str:
    """Return what a prediction went through in full, after its runs; "" if nothing."""
    if "states" in covered and "states_left_out" not in covered:
        return f"all {counted(covered['states'], 'state')}"
    explored: str = covered.get("explored", "")
    return explored if explored.startswith("all ") else ""


def nothing_new(result: Result) -> str:
    """Return what a clean verdict says: of every order, of the lock order, or of what was run."""
    covered = result.coverage
    if "schedules" in covered:
        return "no order of the lock operations fails"
    if "cycles" not in covered:
        return "nothing found"
    proved = _gone_through(covered)
    known = len(result.known)
    others = sum(prediction.status != "known" for prediction in result.predictions)
    words = [f"{counted(known, 'known deadlock')} (baseline), nothing new"] if known else []
    if others:
        cycles = counted(others, f"{'further ' if known else ''}cycle")
        happen = "none of which can happen" if others > 1 else "which cannot happen"
        words.append(f"{cycles} in the lock order, "
                     f"{happen if proved else 'ruled out by what was seen'}")
    return "; ".join(words) or f"no cycle in the lock order{'' if proved else ' that was seen'}"


def of_predictions(result: Result) -> str:
    """Return what the predictions come to, where no run gave the verdict."""
    if result.verdict is Verdict.PREDICTED:
        allowed = [prediction for prediction in result.predictions
                   if prediction.verdict is Verdict.PREDICTED]
        happened = any(prediction.outcome is not None for prediction in allowed)
        what = f"{len(allowed)} deadlocks" if len(allowed) > 1 else "a deadlock"
        return f"the lock order {'allows' if happened else 'may allow'} {what} that did not happen"
    return "stopped before every cycle in the lock order was judged"


def statuses(predictions: list[Any]) -> list[str]:
    """Return a line on how many have which status, the gravest first; none if there is but one."""
    counts = Counter(prediction.status for prediction in predictions)
    words = ", ".join(f"{n} {status}" for status, n in counts.items())
    return [f"{len(predictions)} findings: {words}"] if len(predictions) > 1 else []


def matched_nothing(unmatched: Sequence[str], where: str = "") -> list[str]:
    """Return a line on each of these cycles of a baseline; of many, on the first few."""
    which = [f"baseline line '{cycle}'" for cycle in unmatched[:_FEW]]
    if len(unmatched) > _FEW:
        which.append(counted(len(unmatched) - _FEW, "further baseline line"))
    return [f"{one} matched nothing{where}" for one in which]


def commands(result: Result) -> list[str]:
    """Return what to call next: the same again; what was predicted and came true, at once, or the
    schedule in which it was met, if nothing else leads there.
    """
    if result.next and result.replay:
        return [f"Again: {result.again}", f"Replay: python -m harness replay {result.replay}"]
    happened = any(prediction.met or prediction.status == "forced"
                   for prediction in result.predictions)
    force = [f"Force: {result.next}"] if happened and result.next else []
    return [f"Again: {result.again}", *force]


def banner(text: str) -> str:
    """Return the kernel's words for a finding between two rules, as its validator prints them."""
    line = f"WARNING: {text}"
    return f"{'=' * len(line)}\n{line}\n{'-' * len(line)}"


def in_kernel_words(finding: Finding) -> str:
    """Return the text of *finding* under what the kernel calls it."""
    return f"{banner(finding.headline)}\n{wrapped(finding.text)}"


def coverage(covered: dict[str, Any]) -> str:
    """Return what was covered, as words."""
    what = "schedule" if "schedules" in covered else "run"
    words = [counted(covered.get(f"{what}s", 0), what)]
    if "verdicts" in covered:
        words.append(", ".join(f"{n:,} {verdict}" for verdict, n in covered["verdicts"].items()))
        words.append(counted(covered["distinct_reports"], "distinct report"))
    words += [f"{key.replace('_', ' ')} {value}" for key, value in covered.items()
              if key not in ("runs", "schedules", "complete", "verdicts", "distinct_reports")]
    return "; ".join(words)
