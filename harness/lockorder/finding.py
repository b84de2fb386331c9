"""What a prediction is: a finding, its status, and the file of those that are known."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..locks.arguments import expected
from ..locks.calls import Chain
from ..locks.errors import ScenarioError
from ..locks.node import ImpliedClass
from ..locks.one_line import one_line
from ..meetings.meet import Meet
from ..runtime.text_file import read_text
from ..runtime.verdict import Finding, Outcome, Verdict
from .cycles import Group, reduced
from .graph import Leg
from .held_stacks import Place
from .lockdep import CIRCULAR, RECURSIVE
from .record import Cycle, Record

FORCED, NEEDS_WRITER, GUARDED, ONE_ROLE, UNCONFIRMED, KNOWN = (
    "forced", "needs-writer", "guarded", "one-role", "unconfirmed", "known")
STATUSES = (FORCED, NEEDS_WRITER, UNCONFIRMED, GUARDED, ONE_ROLE, KNOWN)    # the gravest first
VERDICT = {FORCED: Verdict.DEADLOCK, NEEDS_WRITER: Verdict.PREDICTED,
           UNCONFIRMED: Verdict.PREDICTED}


@dataclass
class Prediction:
    """One finding: all cycles of the same classes.

    Attributes:
        classes: the cycle, each class asked for while the one before is held.
        legs: the cycle by instance that stands for it, with roles and places.
        status: ``forced`` (it happened on real threads), ``needs-writer`` (it happened once further
            writers were queued), ``guarded``, ``one-role`` (it cannot happen, and why),
            ``unconfirmed`` (it could not be made to happen), ``known`` (in the baseline).
        reason: why, in a sentence.
        count: how many cycles by instance it stands for.
        meeting: the points at which the roles were to meet.
        met: they met there; else they followed a schedule of the engine's, if it happened.
        outcome: the run in which it happened.
        lockdep: what the kernel's own validator would have made of it.
        by_instance: a set of locks closes it; else classes alone do.
        guard: what was seen to make it impossible.
        proved: all that the roles may do was gone through; else what is impossible is so as long as
            they do what they were seen to do.
    """

    classes: tuple[str, ...]
    legs: Cycle
    status: str
    reason: str
    count: int = 1
    meeting: Meet | None = None
    met: bool = False
    writers: tuple[str, ...] = ()
    outcome: Outcome | None = None
    lockdep: str = ""
    by_instance: bool = False
    guard: str = ""
    proved: bool = False

    def __repr__(self) -> str:
        return one_line(self, f"{self.key}, {self.status}: {self.reason}")

    @property
    def headline(self) -> str:
        """The kernel's words for it."""
        # Locks that are of one class because one expression made them are locks of their own.
        several = len(self.legs) > 1 and isinstance(self.classes[0], ImpliedClass)
        return RECURSIVE if len(self.classes) == 1 and not several else CIRCULAR

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        return VERDICT.get(self.status, Verdict.CLEAN)

    @property
    def key(self) -> str:
        """The cycle of classes in one line, as in a baseline file."""
        return cycle_key(self.classes)

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON output."""
        return {"verdict": str(self.verdict), "how": "predicted", "status": self.status,
                "reason": self.reason, "proved": self.proved, "headline": self.headline,
                "cycle": self.key, "count": self.count, "writers": list(self.writers),
                "lockdep": self.lockdep,
                "text": f"{self.headline}: {self.key} ({self.status}: {self.reason})",
                "legs": [{"role": leg.role, "holds": leg.held.name, "held_mode": leg.held.mode,
                          "wants": leg.wanted.name, "mode": leg.wanted.mode} for leg in self.legs]}


def waits_of(finding: Finding | None) -> frozenset[tuple[str, str]]:
    """Return who waits for what in the cycle of a deadlock."""
    return frozenset((state.role, state.wants) for state in (finding.cycle if finding else ()))


def known(group: Group, reason: str) -> Prediction:
    """Return the prediction for a cycle that is in the baseline."""
    legs = group.candidates[0].legs if group.candidates else group.witness
    return Prediction(group.classes, legs, KNOWN, reason, max(1, len(group.candidates)))


def observed(deadlock: Finding, outcome: Outcome, record: Record) -> Prediction:
    """Return the prediction that came true before anyone made it.

    Each role of the cycle has, or is to end, what the one before it wants.
    """
    def place(name: str, mode: str, chain: Chain) -> Place:
        return Place(name, record.classes.setdefault(name, name), mode, chain)

    legs = []
    for before, state in pairwise((deadlock.cycle[-1], *deadlock.cycle)):
        hold = next((hold for hold in state.holds if hold.lock == before.wants), None)
        held = place(before.wants, *(hold.mode, hold.chain) if hold else (before.mode, ()))
        wanted = place(state.wants, state.mode, state.chain)
        legs.append(Leg(state.role, held, wanted, brings=hold is None))
    classes = reduced([leg.held.lock_class for leg in legs])
    return Prediction(classes, tuple(legs), FORCED, "it happened on real threads", outcome=outcome)


# -- the file of those that are known --------------------------------------------------------------


def checked_baseline(baseline: Any) -> dict[str, str]:
    """Return known cycles, by `cycle_key`: of a file, or of a mapping from cycles to reasons."""
    if baseline is None:
        return {}
    if isinstance(baseline, (str, os.PathLike)):
        return read_baseline(os.fsdecode(baseline))
    if not isinstance(baseline, Mapping):
        raise expected("baseline", baseline, "a file or a mapping from cycles to reasons")
    return dict(_known_cycle(f"{cycle}  # {reason}", "baseline")
                for cycle, reason in baseline.items())


def _known_cycle(line: str, where: str) -> tuple[str, str]:
    cycle, _, reason = map(str.strip, line.partition(" # "))
    classes = [name.strip() for name in cycle.split(" -> ")]
    if not reason or len(classes) < 2 or classes[0] != classes[-1]:
        raise ScenarioError(f"{where}: expected 'CLASS -> CLASS -> CLASS  # reason', a cycle that "
                            f"ends where it begins, got {line.strip()!r}")
    return cycle_key(classes[:-1]), reason


def read_baseline(path: str) -> dict[str, str]:
    """Read the known cycles of a file: ``CLASS -> CLASS -> CLASS  # reason``, one a line.

    Empty lines and lines that begin with # are left out.

    Raises:
        ScenarioError: the file cannot be read, or a line is not of that form.
    """
    lines = read_text(path, "the baseline").splitlines()
    return dict(_known_cycle(line, f"{path}:{number}") for number, line in enumerate(lines, 1)
                if line.strip() and not line.startswith("#"))


def cycle_key(classes: Sequence[str]) -> str:
    """Return a cycle of classes in one line, beginning with the least."""
    turned = reduced(list(classes))
    return " -> ".join([*turned, turned[0]])
