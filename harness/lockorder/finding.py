"""What a prediction is: a finding, its status, and the file of those that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..meetings.meet import Meet
from ..runtime.verdict import Finding, Outcome, Verdict
from .baseline import cycle_key
from .cycles import Group, reduced
from .graph import Place
from .lockdep import CIRCULAR, RECURSIVE
from .record import Cycle, Leg, Record

FORCED, NEEDS_WRITER, GUARDED, ONE_ROLE, UNCONFIRMED, KNOWN = (
    "forced", "needs-writer", "guarded", "one-role", "unconfirmed", "known")
VERDICT = {FORCED: Verdict.DEADLOCK, NEEDS_WRITER: Verdict.PREDICTED, UNCONFIRMED: Verdict.PREDICTED}


@dataclass
class Prediction:
    """One finding: all cycles of the same classes.

    Attributes:
        headline: the kernel's words for it.
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
    """

    headline: str
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
                "reason": self.reason, "headline": self.headline, "cycle": self.key,
                "count": self.count, "writers": list(self.writers), "lockdep": self.lockdep,
                "text": f"{self.headline}: {self.key} ({self.status}: {self.reason})",
                "legs": [{"role": leg.role, "holds": leg.held.name, "held_mode": leg.held.mode,
                          "wants": leg.wanted.name, "mode": leg.wanted.mode} for leg in self.legs]}


def waits_of(finding: Finding | None) -> frozenset[tuple[str, str]]:
    """Return who waits for what in the cycle of a deadlock."""
    return frozenset((state.role, state.wants) for state in finding.cycle) if finding else frozenset()


def known(group: Group, reason: str) -> Prediction:
    """Return the prediction for a cycle that is in the baseline."""
    legs = group.candidates[0].legs if group.candidates else group.witness
    return Prediction(group.headline, group.classes, legs, KNOWN, reason,
                      max(1, len(group.candidates)))


def observed(found: Finding, outcome: Outcome, record: Record) -> Prediction:
    """Return the prediction that came true before anyone made it."""
    legs = _legs_of(found, record)
    classes = reduced([record.base(leg.held.name) for leg in legs])
    headline = RECURSIVE if len(classes) == 1 else CIRCULAR
    return Prediction(headline, classes, legs, FORCED, "it happened on real threads", outcome=outcome)


def _legs_of(finding: Finding, record: Record) -> Cycle:
    """Return the legs of an observed cycle: each role has, or is to end, what the one before wants."""
    legs = []
    for before, state in zip((finding.cycle[-1], *finding.cycle), finding.cycle):
        hold = next((hold for hold in state.holds if hold.lock == before.wants), None)
        held = Place(before.wants, _class_of(before.wants, record), hold.mode if hold else before.mode,
                     hold.chain if hold else ())
        wanted = Place(state.wants, _class_of(state.wants, record), state.mode, state.chain)
        legs.append(Leg(state.role, held, wanted, brings=hold is None))
    return tuple(legs)


def _class_of(name: str, record: Record) -> str:
    return record.classes.setdefault(name, name)
