"""What a call returns, and its report: one line of verdict, the diagram, the proof, what to do next.

Text is made in this package and nowhere else, but for the words of the kernel's validator, which a
result of `predict` brings with it. Plain text of at most 100 columns; the same run gives the same
text.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..runtime.recorder import function, verb
from ..runtime.verdict import Finding, Outcome, Verdict, counted
from .diagram import WIDTH, diagram, full_trace, proof

WAITING = (Verdict.DEADLOCK, Verdict.HANG, Verdict.INCONCLUSIVE)   # who waits for whom is the story
BLOCKING = "found at the moment of blocking, not by a timeout"
AT_ONCE = "known at once, not by a timeout"
TIMED_OUT = "timed out: the threads hung, nothing moved any more"


class Splat(Protocol):
    """Puts predictions into words: see lockorder/splat.py."""

    def headline(self, result: Result, /) -> str:
        """Return what follows the verdict in the first line."""

    def statuses(self, result: Result, /) -> str:
        """Return how many predictions have which status, or ""."""

    def paragraphs(self, result: Result, /) -> list[str]:
        """Return the predictions, gravest first."""


@dataclass
class Result:
    """What a call of run, force or stress returns; `str()` of it is the report.

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
    lockdep: list[str] = field(default_factory=list)       # what the kernel's validator would have said
    splat: Splat | None = None    # how *predictions* are put into words
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
    def trace(self) -> list[dict[str, Any]]:
        """The events of the reported run up to the finding, as dictionaries."""
        events = self.outcome.events
        if self.finding:
            events = events[:self.finding.events]
        return [{"role": event.task.name, "event": event.event, "lock": str(event.lock),
                 "mode": event.mode, "verb": verb(event),
                 "function": function(event.chain, self.names)} for event in events]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Everything that was predicted, and found in the reported run, gravest first."""
        ordered = sorted(self.outcome.findings, key=lambda found: -found.verdict.graveness)
        return [each.as_dict() for each in self.predictions] + [
            {"verdict": str(found.verdict), "how": found.how, "text": found.text}
            for found in ordered]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        told = {"lockdep": self.lockdep} if self.lockdep else {}
        return {"scenario": self.scenario, "verdict": str(self.verdict), "how": self.how,
                "coverage": self.coverage, "cycle": self.cycle, "findings": self.findings, **told,
                "trace": self.trace, "replay": self.replay, "seconds": round(self.seconds, 6)}

    def __str__(self) -> str:
        return render(self)


def render(result: Result) -> str:
    """Return the report of *result*."""
    finding = result.finding
    parts = [wrapped(headline(result))]
    if _was_predicted(result):
        pass   # its diagram stands with the prediction
    elif finding is not None and (finding.verdict in WAITING or finding.cycle):
        parts.append(diagram(result.outcome, result.names, result.titles, result.full))
        parts.append(wrapped("\n".join(proof(finding))))
    elif result.full and result.outcome.events:
        parts.append(full_trace(result.outcome, result.names, result.titles))
    if finding is not None and finding.headline:
        parts.append(in_kernel_words(finding))
    if finding is not None and finding.detail:
        parts.append(finding.detail)
    others = [found for found in result.outcome.findings
              if found is not finding or found.verdict is not result.verdict]
    parts.extend(in_kernel_words(found) if found.headline else
                 wrapped(f"Also: {found.text}") for found in others)
    if result.predictions or result.lockdep:
        assert result.splat is not None
        parts.extend(result.splat.paragraphs(result))
    parts.extend(map(wrapped, result.outcome.notes))
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
    covered = f"{result.scenario}: {coverage(result.coverage)}"
    splat = result.splat
    if result.predictions and splat is not None:
        covered = f"{covered}\n{splat.statuses(result)}".rstrip()
    if result.predictions and splat is not None and (
            finding is None or finding.verdict is not result.verdict):
        first = f"{word}: {splat.headline(result)}"
    elif finding is None and "schedules" in result.coverage:
        first = f"{word} (all {counted(result.coverage['schedules'], 'schedule')}): nothing found"
    elif finding is None:
        first = f"{word}: nothing found" if result.coverage.get("runs") else f"{word}: nothing was run"
    elif finding.verdict in (Verdict.DEADLOCK, Verdict.HANG):
        observed = BLOCKING if finding.verdict is Verdict.DEADLOCK else AT_ONCE
        first = f"{word}: {finding.text} ({TIMED_OUT if finding.how == 'timed out' else observed})"
    else:
        first = f"{word}: {finding.text}"
    return f"{first}\n{covered}"


def _was_predicted(result: Result) -> bool:
    """Say whether the run that is reported is the one in which a prediction came true."""
    return any(each.outcome is result.outcome for each in result.predictions)


def commands(result: Result) -> list[str]:
    """Return what to call next: the same again; what was predicted and came true, at once."""
    happened = any(each.met or each.status == "forced" for each in result.predictions)
    return [f"Again: {result.again}", *([f"Force: {result.next}"] if happened and result.next else [])]


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
