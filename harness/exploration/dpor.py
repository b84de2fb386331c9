"""Reduced search: one schedule of each class of equivalent ones, and no more.

This is optimal dynamic partial-order reduction (Abdulla, Aronis, Jonsson, Sagonas: "Source Sets: A
Foundation for Optimal Dynamic Partial Order Reduction", J. ACM 64, 2017): depth first, with sleep
sets and wakeup trees.

- When a schedule has ended, each of its races (happens_before.py) is turned round: what does not
  depend on the earlier step, then the later one, is put into the *wakeup tree* of the node before
  the earlier step, unless something already tried or planned there comes to the same.
- A role that was tried at a node *sleeps* below it until a step is taken that depends on its own.
  What would begin with a sleeping role has been seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..runtime.verdict import counted
from .chooser import ROUND
from .controlled_run import ControlledRun
from .cut_off import CutOffs
from .dependency import ASK_LOCK, DEPENDS_ANYWHERE
from .happens_before import Race
from .stable_ids import Taken
from .strategies import ahead


@dataclass(slots=True)
class _Node:
    """The point of a schedule before one of its steps.

    Attributes:
        moves: the labels that can be chosen.
        spent: those that are cut off.
        sleep: what sleeps here: label -> its step.
        tree: what is to be tried from here, in order.
        tried: how many were tried.
    """

    moves: list[int]
    spent: list[int]
    sleep: dict[int, Taken]
    tree: list[_Branch]
    tried: int = 0


@dataclass(slots=True)
class _Branch:
    """One step of a wakeup tree, and what is to follow."""

    step: Taken
    then: list[_Branch]


class Reduced(CutOffs):
    """Optimal dynamic partial-order reduction."""

    name = "dpor"
    complete = True    # until a plan cannot be followed

    def __init__(self) -> None:
        super().__init__()
        self._nodes: list[_Node] = []
        self._blocked = 0       # schedules cut short since all that could be done was asleep
        self._unfollowed = 0    # plans that could not be followed

    # -- during a schedule ----------------------------------------------------------------

    def begin(self) -> None:
        super().begin()
        self.restarted = False

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        depth = len(run.steps)
        if (run.expires or run.goes_round) and self.needs_watch(run, moves):
            self.restarted = True
            return -1
        if depth == len(self._nodes):
            spent: list[int] = []
            if self.watches:
                spent = self.spent(run, moves, [node.moves for node in self._nodes])
                if self.hopeless:
                    return -1
                if len(spent) == len(moves):
                    return ROUND
                moves = [label for label in moves if label not in spent]
            if not self._enter(run, moves, spent):
                return -1
        label = self._nodes[depth].tree[0].step.label
        if label not in moves:
            role = run.names.roles[label >> 1]
            self.changed = f"at step {depth + 1} {role} could go on before, and now cannot"
            return -1
        return label

    def _enter(self, run: ControlledRun, moves: list[int], spent: list[int]) -> bool:
        """Make the next node; False if all that can be done there is asleep."""
        self.starts = run.names.starts
        sleep: dict[int, Taken] = {}
        tree: list[_Branch] = []
        if self._nodes:
            node = self._nodes[-1]
            if node.sleep:
                step = run.steps[-1]
                sleep = {label: other for label, other in node.sleep.items()
                         if not self.dependent(other, step)}
            if node.tree[0].then:
                tree = self._possible(run, moves, spent, node.tree[0].then)
        if not tree:
            awake = [label for label in moves if label not in sleep] if sleep else moves
            if not awake:
                return False
            tree = [_Branch(run.would(ahead(run, awake)[0] if awake[1:] else awake[0]), [])]
        self._nodes.append(_Node(moves, spent, sleep, tree))
        return True

    def _possible(self, run: ControlledRun, moves: list[int], spent: list[int],
                  plans: list[_Branch]) -> list[_Branch]:
        """Return those of *plans* that can be followed from here.

        All can, if what roles do depends on the order of their steps alone; but of locks of which
        it is not known who would have them, some may have been planned in vain.
        """
        possible = []
        for plan in plans:
            step, unknown = plan.step, plan.step.lock in self.unknown
            if step.label in moves and (unknown or _same_step(run.would(step.label), step)):
                possible.append(plan)
            elif not unknown and step.label not in spent:
                self._give_up_a_plan()
        return possible

    def _give_up_a_plan(self) -> None:
        self._unfollowed += 1
        self.complete = False
        many = counted(self._unfollowed, "planned schedule")
        self.bound = f"{many} could not be followed: roles share " \
                     f"data that no lock orders (call harness.step() before it is used)"

    # -- between schedules ----------------------------------------------------------------

    def advance(self, run: ControlledRun) -> bool:
        del self._nodes[len(run.steps):]   # a role behaved differently, or the schedule was stopped
        if self.restarted:    # the rule on what may not be done again is heeded from now on
            self._nodes.clear()
            self.forget(0)
            return True
        if self.hopeless:
            return False
        if run.cut and not run.round:
            self._blocked += 1
        if not run.names.unknown <= self.unknown:    # known less well than was thought: start again
            self.restarted, self.unknown = True, set(run.names.unknown)
            self._nodes.clear()
            self.forget(0)
            return True
        self.learn(run, [node.moves for node in self._nodes])
        if self.changed:
            return False
        # Only when all steps are known: a plan leaves out what comes after the earlier of a race.
        for race in chain(*self.races, self._pending()):
            self._turn_round(race)
        nodes = self._nodes
        while nodes:
            node = nodes[-1]
            done = node.tree.pop(0)
            node.sleep[done.step.label] = done.step
            node.tried += 1
            if node.tree:
                break
            nodes.pop()
        self.forget(len(nodes) - 1)
        return bool(nodes)

    def tried(self) -> Iterable[tuple[int, int]]:
        return ((node.tried, node.tried + len(node.tree)) for node in self._nodes)

    def summary(self) -> dict[str, Any]:
        return {"cut_short": self._blocked} if self._blocked else {}

    # -- turning races round --------------------------------------------------------------

    def _turn_round(self, race: Race) -> None:
        """Plan the schedule in which the race goes the other way, unless it is planned or seen."""
        end, earlier = len(self.steps), race.earlier
        rest = ((1 << end) - (1 << earlier)) & ~self.after(earlier)
        if race.later < end:
            rest &= ~self.after(race.later)
        node = self._nodes[earlier]
        for asleep in node.sleep.values():
            if self.may_begin(asleep, rest, race):
                return
        steps, sequence = self.steps, []
        while rest:    # the first step first
            low = rest & -rest
            sequence.append(steps[low.bit_length() - 1])
            rest ^= low
        sequence.append(race.step)
        if sequence[0].label in node.moves:
            self._insert(node.tree, sequence)
        elif race.step.lock not in self.unknown and sequence[0].label not in node.spent:
            self._give_up_a_plan()

    def _insert(self, tree: list[_Branch], sequence: list[Taken]) -> None:
        """Plan *sequence* in *tree*, unless a plan there comes to the same."""
        while True:
            for branch in tree:
                rest = self._after(branch.step, sequence)
                if rest is not None:
                    break
            else:
                for step in sequence:
                    tree.append(_Branch(step, []))
                    tree = tree[-1].then
                return
            if not branch.then or not rest:
                return
            tree, sequence = branch.then, rest

    def _after(self, first: Taken, sequence: list[Taken]) -> list[Taken] | None:
        """Return what is left of *sequence* when *first* comes before it; None if it cannot."""
        label, role, lock = first.label, first.label >> 1, first.lock
        elsewhere = not self.starts and not DEPENDS_ANYWHERE[first.kind]
        for i, step in enumerate(sequence):
            if step.label == label:
                return sequence[:i] + sequence[i + 1:]
            if elsewhere and step.lock != lock and step.label >> 1 != role:
                continue    # most are on other locks: see `dependent`
            if self.dependent(first, step):
                return None
        return sequence


def _same_step(would: Taken, planned: Taken) -> bool:
    # Whether it is complete or complete_all is not known before it is done.
    return would.lock == planned.lock and would.ask == planned.ask and (
        would.kind == planned.kind or would.ask < ASK_LOCK)
