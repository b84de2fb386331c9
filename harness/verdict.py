"""The words for what was found, gravest first, and what a call returns."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .trace import Event, RoleState, function, verb


class Verdict(enum.Enum):
    """What a run, or many, came to. The graver one wins, in this order."""

    DEADLOCK = "deadlock"
    HANG = "hang"
    VIOLATION = "violation"
    ERROR = "error"
    PREDICTED = "predicted"
    NOT_REACHED = "not-reached"
    INCONCLUSIVE = "inconclusive"
    CLEAN = "clean"

    @property
    def exit_status(self) -> int:
        """Status of a command that ends with this verdict."""
        if self is Verdict.CLEAN:
            return 0
        return 3 if self in (Verdict.NOT_REACHED, Verdict.INCONCLUSIVE) else 1

    @property
    def graveness(self) -> int:
        """Larger is graver."""
        return _GRAVENESS[self]

    def __str__(self) -> str:
        return self.value


_GRAVENESS = {verdict: len(Verdict) - i for i, verdict in enumerate(Verdict)}


@dataclass(frozen=True)
class Finding:
    """One thing found in one run, frozen before anything was unwound.

    Attributes:
        how: ``observed``, ``predicted`` or ``timed out``.
        text: one line that says what it is.
        cycle: the roles that wait for each other, in order; empty if it is no deadlock.
        roles: every role of the run, in its order.
        detail: stacks or tracebacks, as text.
        events: how many events of the trace came before it.
        headline: what the kernel's lock validator calls it, if it is a broken rule of locks.
    """

    verdict: Verdict
    how: str
    text: str
    cycle: tuple[RoleState, ...] = ()
    roles: tuple[RoleState, ...] = ()
    detail: str = ""
    events: int = 0
    headline: str = ""


@dataclass
class Outcome:
    """What one run came to."""

    findings: list[Finding]
    log: list[tuple[Any, ...]]     # the recorder's
    notes: list[str] = field(default_factory=list)
    stuck: tuple[str, ...] = ()
    silent: bool = False     # nothing moved for a while though roles ran: they waited outside our locks
    tried: int = 1           # how many ways to meet were tried for it
    seconds: float = 0.0
    seed: int | None = None

    @cached_property
    def events(self) -> list[Event]:
        """What happened, in order."""
        return list(map(Event._make, self.log))

    @property
    def gravest(self) -> Finding | None:
        """The finding that gives the verdict; the first of several of the same graveness."""
        return max(self.findings, key=lambda found: found.verdict.graveness, default=None)

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of its findings."""
        return self.gravest.verdict if self.gravest else Verdict.CLEAN


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
        from .report import render
        return render(self)
