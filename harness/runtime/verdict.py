"""The words for what was found, gravest first, and what a call returns."""

from __future__ import annotations

import difflib
import enum
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..locks.one_line import one_line
from .recorder import Event, RoleState, written_out


class Verdict(enum.Enum):
    """What a run, or many, came to. The graver one wins, in this order.

    A verdict equals its word and no other: a word that is none is refused, since such a comparison
    would come out the same for ever. It is true if it is `clean` and false if something was found;
    what leaves the question open is neither, and has no truth value. It does not equal that value.

    Raises:
        ValueError: it is compared with a word that is no verdict, or has no truth value.
        TypeError: it is compared with True or False.
    """

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
        return _GRAVENESS[self._value_]

    def __str__(self) -> str:
        return self.value

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bool):
            raise TypeError(f"a verdict is never {other}: ask for its truth, or compare it with a "
                            f"word, as in `verdict == \"clean\"`")
        return self is Verdict(other) if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value_)    # as its word, which it equals

    def __bool__(self) -> bool:
        if self.exit_status == 3:
            raise ValueError(f"{self} says neither that it is clean nor that it is broken, so it "
                             f"is neither true nor false: compare the verdict with a word")
        return self is Verdict.CLEAN

    @classmethod
    def _missing_(cls, value: object) -> Verdict:
        words = [verdict._value_ for verdict in cls]
        near = difflib.get_close_matches(str(value).lower().replace("_", "-"), words, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ";"
        raise ValueError(f"there is no verdict {value!r}{meant} the verdicts are "
                         f"{', '.join(words)}")


_GRAVENESS = {verdict.value: n for n, verdict in enumerate(reversed(Verdict), 1)}


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
    # Of a deadlock: who else must act before one of the cycle can go on; who waits for these.
    others: tuple[RoleState, ...] = ()
    behind: tuple[RoleState, ...] = ()
    alone: bool = False   # on what was ended where no role ran: it is likely to stay each time

    def __repr__(self) -> str:
        return one_line(self, f"{self.verdict}, {self.how}: {self.text}")


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
    noted: list[tuple[Any, ...]]     # by the recorder
    notes: list[str] = field(default_factory=list)
    stuck: tuple[str, ...] = ()
    silent: bool = False     # nothing moved for a while though roles ran, outside our locks
    tried: int = 1           # how many ways to meet were tried for it
    seconds: float = 0.0
    seed: int | None = None
    scheduled: bool = False  # somebody chose who goes when: the order is the story
    # Uses of its locks by threads outside: a sentence each, by thread.
    outside: dict[str, str] = field(default_factory=dict)
    cut_off: bool = False    # the time given was up before its end
    names: Any = None        # of a world that was not built: see `Scenario.function_name`
    left: bool = False       # only daemon threads were left, to whom nothing new would come
    operated: bool = True    # an operation of ours was seen: on a lock, a wait, a look, a step

    def __repr__(self) -> str:
        return one_line(self, f"{self.verdict}, {counted(len(self.log), 'event')}")

    @cached_property
    def log(self) -> list[tuple[Any, ...]]:
        """What happened, in order, as tuples with the fields of an `Event`."""
        return written_out(self.noted)

    @cached_property
    def events(self) -> list[Event]:
        """What happened, in order."""
        return list(map(Event._make, self.log))

    @property
    def gravest(self) -> Finding | None:
        """The finding that gives the verdict; the first of several of the same graveness."""
        findings = self.findings
        if len(findings) < 2:
            return findings[0] if findings else None
        return max(findings, key=lambda finding: finding.verdict.graveness)

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of its findings."""
        gravest = self.gravest
        return gravest.verdict if gravest is not None else Verdict.CLEAN
