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
from typing import Any

from .controlled_run import ControlledRun
from .dependency import ASK_LOCK
from .happens_before import HappensBefore, Race
from .stable_ids import Taken


@dataclass(slots=True)
class _Node:
    """The point of a schedule before one of its steps.

    Attributes:
        moves: the labels that can be chosen.
        sleep: what sleeps here: label -> its step.
        tree: what is to be tried from here, in order.
        tried: how many were tried.
    """

    moves: list[int]
    sleep: dict[int, Taken]
    tree: list[_Branch]
    tried: int = 0


@dataclass(slots=True)
class _Branch:
    """One step of a wakeup tree, and what is to follow."""

    step: Taken
    then: list[_Branch]


class Reduced(HappensBefore):
    """Optimal dynamic partial-order reduction."""

    name = "dpor"

    def __init__(self) -> None:
        super().__init__()
        self._nodes: list[_Node] = []
        self._depth = 0
        self.blocked = 0       # schedules cut short since all that could be done was asleep
        self.unfollowed = 0    # plans that could not be followed

    @property
    def complete(self) -> bool:   # type: ignore[override]
        """Whether every plan could be followed."""
        return not self.unfollowed

    @property
    def bound(self) -> str:   # type: ignore[override]
        """Why it is not complete."""
        if not self.unfollowed:
            return ""
        return f"{self.unfollowed} planned schedules could not be followed: roles share data " \
               f"that no lock orders (call harness.step() before it is used)"

    # -- during a schedule ----------------------------------------------------------------

    def begin(self) -> None:
        self._depth = 0
        self.restarted = False

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        depth, nodes = self._depth, self._nodes
        if depth == len(nodes) and not self._enter(run, moves):
            return -1
        label = nodes[depth].tree[0].step.label
        if label not in moves:
            role = run.names.roles[label >> 1]
            self.changed = f"at step {depth + 1} {role} could go on before, and now cannot"
            return -1
        self._depth = depth + 1
        return label

    def _enter(self, run: ControlledRun, moves: list[int]) -> bool:
        """Make the next node; False if all that can be done there is asleep."""
        sleep: dict[int, Taken] = {}
        tree: list[_Branch] = []
        if self._nodes:
            node, step = self._nodes[-1], run.steps[-1]
            sleep = {label: other for label, other in node.sleep.items()
                     if not self.dependent(other, step)}
            tree = self._possible(run, moves, node.tree[0].then)
        if not tree:
            label = self._default(run, moves, sleep)
            if label < 0:
                return False
            tree = [_Branch(run.would(label), [])]
        self._nodes.append(_Node(moves, sleep, tree))
        return True

    def _possible(self, run: ControlledRun, moves: list[int],
                  plans: list[_Branch]) -> list[_Branch]:
        """Return those of *plans* that can be followed from here.

        All can, if what roles do depends on the order of their steps alone; but of locks of which
        it is not known who would have them, some may have been planned in vain.
        """
        possible = []
        for plan in plans:
            planned = plan.step
            if planned.lock in self.unknown:
                if planned.label in moves:
                    possible.append(plan)
            elif planned.label in moves and _same_step(run.would(planned.label), planned):
                possible.append(plan)
            else:
                self.unfollowed += 1
        return possible

    def _default(self, run: ControlledRun, moves: list[int], sleep: dict[int, Taken]) -> int:
        """Return whom to try where nothing is planned: the one that went last, if it can go on."""
        awake = [label for label in moves if label not in sleep]
        if not awake:
            return -1
        last = run.steps[-1].label if run.steps else -1
        return last if last in awake else awake[0]

    # -- between schedules ----------------------------------------------------------------

    def advance(self, run: ControlledRun) -> bool:
        del self._nodes[self._depth:]   # a role behaved differently, or the schedule was stopped
        if run.cut:
            self.blocked += 1
        if not run.names.unknown <= self.unknown:
            self._start_again(run.names.unknown)
            return True
        self.learn(run)
        if self.changed:
            return False
        self._turn_round_races()
        nodes = self._nodes
        while nodes:
            node = nodes[-1]
            done = node.tree.pop(0)
            node.sleep[done.step.label] = self.steps[len(nodes) - 1]
            node.tried += 1
            if node.tree:
                break
            nodes.pop()
        self.forget(len(nodes) - 1)
        return bool(nodes)

    def _start_again(self, unknown: set[int]) -> None:
        """Forget everything: some locks are less well known than was thought."""
        self.restarted = True
        self.unknown = set(unknown)
        self._nodes = []
        self.forget(0)

    def fraction(self) -> float:
        done, share = 0.0, 1.0
        for node in self._nodes:
            share /= node.tried + len(node.tree)
            done += share * node.tried
        return done

    def summary(self) -> dict[str, Any]:
        return {"cut_short": self.blocked} if self.blocked else {}

    # -- turning races round --------------------------------------------------------------

    def _turn_round_races(self) -> None:
        everything = (1 << len(self.steps)) - 1
        for races in self.races:
            for race in races:
                self._turn_round(race, everything)
        for race in self._pending():
            self._turn_round(race, everything)

    def moves_at(self, i: int) -> list[int]:
        return self._nodes[i].moves

    def _turn_round(self, race: Race, everything: int) -> None:
        """Plan the schedule in which the race goes the other way, unless it is planned or seen."""
        earlier, step = race.earlier, race.step
        rest = everything & ~((1 << earlier) - 1) & ~self.after[earlier]
        if race.later < len(self.steps):
            rest &= ~self.after[race.later]
        node = self._nodes[earlier]
        for asleep in node.sleep.values():
            if self.may_begin(asleep, rest, race):
                return
        sequence = [self.steps[i] for i in _bits(rest)]
        sequence.append(step)
        if sequence[0].label in node.moves:
            self._insert(node.tree, sequence)
        elif step.lock not in self.unknown:
            self.unfollowed += 1

    def _insert(self, tree: list[_Branch], sequence: list[Taken]) -> None:
        """Plan *sequence* in *tree*, unless a plan there comes to the same."""
        while True:
            for branch in tree:
                at = self._where_first(branch.step, sequence)
                if at is not None:
                    break
            else:
                for step in sequence:
                    tree.append(_Branch(step, []))
                    tree = tree[-1].then
                return
            if at >= 0:
                sequence = sequence[:at] + sequence[at + 1:]
            if not branch.then or not sequence:
                return
            tree = branch.then

    def _where_first(self, first: Taken, sequence: list[Taken]) -> int | None:
        """Return where *first* stands in *sequence* if it can be put first there, -1 if it does not
        stand there but can be put before it, else None.
        """
        for i, step in enumerate(sequence):
            if step.label == first.label:
                return i
            if self.dependent(first, step):
                return None
        return -1


def _same_step(would: Taken, planned: Taken) -> bool:
    if would.lock != planned.lock or would.ask != planned.ask:
        return False
    # Whether it is complete or complete_all is not known before it is done.
    return would.kind == planned.kind or would.ask < ASK_LOCK


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
