"""Prediction from what one test did, where nothing can be run again.

A cycle of its lock order is judged as in predict.py, but nothing is forced: what can happen by
the record is `unconfirmed` at best. A test may start many threads, most of which have nothing to do
with a given cycle: those are left out, which can only make more possible, and of cycles that differ
in the names of their threads alone one is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from ..checker.program import Op
from ..lockorder.cycles import Candidate, Group
from ..lockorder.feasibility import Judgement
from ..lockorder.finding import NEEDS_WRITER, UNCONFIRMED, Prediction
from ..methods.judging import Judge
from ..exploration.extract_program import started
from ..lockorder.record import Path, Record
from ..locks.operations import TELLING

FEW = 6             # threads; with more of them only those that matter to a cycle are looked at
_SYNC = (*TELLING, "wait", "join")


class OfflineJudge(Judge):
    """A prediction from one record, with nothing that could be run again."""

    def settle_by_instance(self, group: Group) -> Prediction:
        if len(self.record.paths) <= FEW:
            return super().settle_by_instance(group)
        # Many threads do the same: of cycles that differ in their names alone, one is judged.
        distinct: dict[object, Candidate] = {}
        for candidate in group.candidates:
            distinct.setdefault(self.late or _shape(self.record, candidate), candidate)
        prediction = super().settle_by_instance(
            replace(group, candidates=list(distinct.values())))
        prediction.count = len(group.candidates)
        return prediction

    def try_one(self, group: Group, candidate: Candidate) -> Prediction:
        if not self.late:
            return super().try_one(group, candidate)
        return Prediction(group.classes, candidate.legs, UNCONFIRMED,
                          "no time was left to judge it")

    def relevant(self, candidate: Candidate) -> Record:
        return _cut_down(self.record, candidate)

    def look_into(self, prediction: Prediction, candidate: Candidate, judgement: Judgement) -> None:
        """Say whether a cycle can happen by the record, and with whom."""
        prediction.writers = judgement.writers
        writers = ""
        if prediction.writers:
            prediction.status = NEEDS_WRITER
            writers = f" with a writer queued for {' and '.join(prediction.writers)}"
        can = f"it can happen{writers}, by what was recorded" if judgement.stuck is not None \
            else "the search for a schedule met its bound"
        prediction.reason = f"{can}; not forced, since the body of a test is no scenario"


def _cut_down(record: Record, candidate: Candidate) -> Record:
    """Return *record* with what the roles of *candidate* do; of other threads only what they wait
    for and let others wait for, and only of those who matter by that.

    This leaves out what may be in the way, never what would make the deadlock possible.
    """
    roles = {leg.role for leg in candidate.legs}
    kept = {role: [path if role in roles else tuple(op for op in path if op.op in _SYNC)
                   for path in paths] for role, paths in record.paths.items()}
    while True:
        waited = _waited(kept, lambda role, op: op.target != started(role))
        idle = [role for role, paths in kept.items() if role not in roles
                and all(_is_idle(op, role, kept, waited) for path in paths for op in path)]
        if not idle:
            break
        for role in idle:
            del kept[role]
    needed = {"wait": _waited(kept, lambda role, op: True), "join": kept}
    return record.with_paths({role: [_without_idle(path, needed) for path in paths]
                              for role, paths in kept.items()})


def _without_idle(path: Path, needed: Mapping[str, Collection[str]]) -> Path:
    """Return *path* without joins and ends of waits that nobody has to do with."""
    return tuple(op for op in path if (op.op not in TELLING or op.target in needed["wait"])
                 and (op.op != "join" or op.target in needed["join"]))


def _shape(record: Record, candidate: Candidate) -> object:
    """Return what `_cut_down` leaves, with numbers for the names of threads."""
    roles = [leg.role for leg in candidate.legs]
    paths = _cut_down(record, candidate).paths
    order = [*roles, *(role for role in paths if role not in roles)]
    numbers = {name: str(i) for i, role in enumerate(order) for name in (role, started(role))}
    legs = tuple([(leg.held.name, leg.held.mode, leg.wanted.name, leg.wanted.mode, leg.gates,
                   leg.brings) for leg in candidate.legs])
    return legs, tuple([tuple([tuple([(op.op, numbers.get(op.target, op.target)) for op in path])
                               for path in paths.get(role, ())]) for role in order])


def _waited(paths: dict[str, list[Path]], matters: Callable[[str, Op], bool]) -> set[str]:
    return {op.target for role, each in paths.items() for path in each for op in path
            if op.op == "wait" and matters(role, op)}


def _is_idle(op: Op, role: str, kept: Collection[str], waited: set[str]) -> bool:
    """Say whether *op* can neither hold *role* up, once it was started, nor let another go on."""
    if op.op == "wait":
        return op.target == started(role)
    return op.target not in (kept if op.op == "join" else waited)
