"""The words for what was found, gravest first, and what a call returns."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .recorder import Event, RoleState


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


_GRAVENESS = {verdict: n for n, verdict in enumerate(reversed(Verdict), 1)}


@dataclass(frozen=True)
class Finding:
    """One thing found in one run, frozen before anything was unwound."""

    verdict: Verdict
    how: str              # ``observed``, ``predicted`` or ``timed out``
    text: str             # one line that says what it is
    cycle: tuple[RoleState, ...] = ()    # who wait for each other, in order, if it is a deadlock
    roles: tuple[RoleState, ...] = ()    # every role of the run, in its order
    detail: str = ""      # stacks or tracebacks, as text
    events: int = 0       # how many events of the trace came before it
    headline: str = ""    # what the kernel's lock validator calls a broken rule of locks


def counted(n: int, noun: str) -> str:
    """Return *n* of *noun*, in words."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def for_ever(n: int) -> str:
    """Say that *n* roles wait for what will not come."""
    return f"{counted(n, 'role')} wait{'s' if n == 1 else ''} for ever and no cycle explains it"


@dataclass
class Outcome:
    """What one run came to."""

    findings: list[Finding]
    log: list[tuple[Any, ...]]     # the recorder's
    notes: list[str] = field(default_factory=list)
    stuck: tuple[str, ...] = ()
    silent: bool = False     # nothing moved for a while though roles ran, outside our locks
    tried: int = 1           # how many ways to meet were tried for it
    seconds: float = 0.0
    seed: int | None = None
    operated: bool = True    # an operation of ours was seen: on a lock, a wait, a look, a step

    @cached_property
    def events(self) -> list[Event]:
        """What happened, in order."""
        return list(map(Event._make, self.log))

    @property
    def gravest(self) -> Finding | None:
        """The finding that gives the verdict; the first of several of the same graveness."""
        return max(self.findings, key=lambda finding: finding.verdict.graveness, default=None)

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of its findings."""
        return self.gravest.verdict if self.gravest else Verdict.CLEAN
