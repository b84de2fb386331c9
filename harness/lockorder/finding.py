"""What a prediction is: a finding, its status, and the file of those that are known."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..locks.errors import ScenarioError
from ..meetings.meet import Meet
from ..runtime.verdict import Finding, Outcome, Verdict
from .cycles import Group, reduced
from .graph import Leg
from .held_stacks import Place
from .lockdep import CIRCULAR, RECURSIVE
from .record import Cycle, Record

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
    classes = reduced([record.classes[leg.held.name] for leg in legs])
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


# -- the file of those that are known --------------------------------------------------------------


def checked_baseline(baseline: Any) -> dict[str, str]:
    """Return known cycles in the form of `cycle_key`: those of a file, or of a mapping from a cycle,
    written as in the file, to its reason.
    """
    if baseline is None:
        return {}
    if isinstance(baseline, (str, os.PathLike)):
        return read_baseline(os.fspath(baseline))
    if not isinstance(baseline, Mapping):
        raise ScenarioError(f"baseline is {baseline!r}, expected a file or a mapping from cycles to "
                            f"reasons")
    return dict(_known_cycle(f"{cycle}  # {reason}", "baseline") for cycle, reason in baseline.items())


def _known_cycle(line: str, where: str) -> tuple[str, str]:
    cycle, _, reason = map(str.strip, line.partition(" # "))
    classes = [each.strip() for each in cycle.split(" -> ")]
    if not reason or len(classes) < 2 or classes[0] != classes[-1]:
        raise ScenarioError(f"{where}: expected 'CLASS -> CLASS -> CLASS  # reason', a cycle that ends "
                            f"where it begins, got {line.strip()!r}")
    return cycle_key(classes[:-1]), reason


def read_baseline(path: str) -> dict[str, str]:
    """Read the known cycles of a file: ``CLASS -> CLASS -> CLASS  # reason``, one a line.

    Empty lines and lines that begin with # are left out.

    Raises:
        ScenarioError: the file cannot be read, or a line is not of that form.
    """
    known = {}
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ScenarioError(f"cannot read the baseline {path}: "
                            f"{getattr(exc, 'strerror', None) or exc}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cycle, reason = _known_cycle(line, f"{path}:{number}")
        known[cycle] = reason
    return known


def cycle_key(classes: Sequence[str]) -> str:
    """Return a cycle of classes in one line, beginning with the least."""
    turned = reduced(list(classes))
    return " -> ".join([*turned, turned[0]])
