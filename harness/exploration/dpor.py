"""Reduced search: one schedule of each class of equivalent ones, and no more.

This is optimal dynamic partial-order reduction (Abdulla, Aronis, Jonsson, Sagonas: "Source Sets: A
Foundation for Optimal Dynamic Partial Order Reduction", J. ACM 64, 2017): depth first, with sleep
sets and wakeup trees.

- Two steps of a schedule that are dependent (dependency.py) and of different roles are a *race* if
  the later one could have come before the earlier one. When a schedule has ended, each race is
  turned round: what does not depend on the earlier step, then the later one, is put into the
  *wakeup tree* of the node before the earlier step, unless something already tried or planned there
  comes to the same.
- A role that was tried at a node *sleeps* below it until a step is taken that depends on its own.
  What would begin with a sleeping role has been seen.

Where locks need more than the paper:

- Releases are steps of their own. A request and the release before it can never change places; so
  whether a step could have come earlier is found out from who would have had the lock then
  (`History`), and if not, the search looks further back.
- Requests that nobody can grant at the end of a schedule race like steps that were taken.
- A timed request that cannot be granted has two ways to go on. Each is raced for whenever the other
  was taken.

Sets of steps are bits of integers: step i is bit i.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .controlled_run import ControlledRun
from .dependency import ASK_LOCK, ASK_TRY, DEPENDS, History, KINDS, LOCK, UNLOCK, outcome
from .stable_ids import Taken
from .strategies import Strategy, first_difference


class _Node:
    """The point of a schedule before one of its steps.

    Attributes:
        moves: the labels that can be chosen.
        sleep: what sleeps here: label -> its step.
        tree: what is to be tried from here, in order.
        tried: how many were tried.
    """

    __slots__ = ("moves", "sleep", "tree", "tried")

    def __init__(self, moves: list[int], sleep: dict[int, Taken], tree: list[_Branch]) -> None:
        self.moves = moves
        self.sleep = sleep
        self.tree = tree
        self.tried = 0


class _Branch:
    """One step of a wakeup tree, and what is to follow."""

    __slots__ = ("step", "then")

    def __init__(self, step: Taken, then: list[_Branch]) -> None:
        self.step = step
        self.then = then


class _Race(NamedTuple):
    """Step *later* could have come before step *earlier*.

    Attributes:
        needs: the steps that must precede it in any case.
        step: what it would be there.
    """

    earlier: int
    later: int
    needs: int
    step: Taken


class Reduced(Strategy):
    """Optimal dynamic partial-order reduction."""

    name = "dpor"

    def __init__(self) -> None:
        self._nodes: list[_Node] = []
        self._depth = 0
        self._steps: list[Taken] = []
        self._before: list[int] = []          # the steps that happen before step i, with i itself
        self._after: list[int] = []           # those that happen after step i, with i itself
        self._of_role: dict[int, list[int]] = {}
        self._on_lock: dict[int, list[int]] = {}
        self._masks: dict[tuple[int, int], int] = {}    # (lock, kind) -> those steps
        self._races: list[list[_Race]] = []   # by the later step
        self._births: dict[int, int] = {}
        self._unknown: set[int] = set()       # locks of which all steps are taken to be dependent
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
                     if not self._dependent(other, step)}
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
            if planned.lock in self._unknown:
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
        if not run.names.unknown <= self._unknown:
            self._start_again(run.names.unknown)
            return True
        self._learn(run)
        if self.changed:
            return False
        self._turn_round_races()
        nodes = self._nodes
        while nodes:
            node = nodes[-1]
            done = node.tree.pop(0)
            node.sleep[done.step.label] = self._steps[len(nodes) - 1]
            node.tried += 1
            if node.tree:
                break
            nodes.pop()
        self._forget(len(nodes) - 1)
        return bool(nodes)

    def _start_again(self, unknown: set[int]) -> None:
        """Forget everything: some locks are less well known than was thought."""
        self.restarted = True
        self._unknown = set(unknown)
        self._nodes = []
        self._forget(0)

    def fraction(self) -> float:
        done, share = 0.0, 1.0
        for node in self._nodes:
            share /= node.tried + len(node.tree)
            done += share * node.tried
        return done

    def summary(self) -> dict[str, Any]:
        return {"cut_short": self.blocked} if self.blocked else {}

    def _forget(self, length: int) -> None:
        """Forget the steps from *length* on."""
        length = max(length, 0)
        for i in range(length, len(self._steps)):
            step = self._steps[i]
            self._of_role[step.label >> 1].pop()
            self._on_lock[step.lock].pop()
            self._masks[step.lock, step.kind] &= ~(1 << i)
        for list_ in (self._steps, self._before, self._after, self._races):
            del list_[length:]
        kept = (1 << length) - 1
        self._after = [mask & kept for mask in self._after]

    def _learn(self, run: ControlledRun) -> None:
        """Take in the steps of the schedule that are new: what happens before what, and races."""
        self._run = run
        self._births = {task.label >> 1: task.birth for task in run.tasks}
        known = len(self._steps)
        if run.steps[:known] != self._steps:
            self.changed = first_difference(run.names, self._steps, run.steps[:known])
        for i in range(len(self._steps), len(run.steps)):
            self._add(i, run.steps[i])

    def _add(self, i: int, step: Taken) -> None:
        before = needs = self._needs(step.label >> 1)
        depends, unknown = DEPENDS[step.kind], step.lock in self._unknown
        here = self._on_lock.setdefault(step.lock, [])
        for j in reversed(here):
            if not before >> j & 1 and (unknown or self._steps[j].kind in depends):
                before |= self._before[j]
        bit = 1 << i
        races = self._find_races(i, step, needs, here)
        if step.timed:
            races += self._other_way(i, step, needs, here)
        self._races.append(races)
        self._steps.append(step)
        self._before.append(before | bit)
        self._after.append(bit)
        while before:
            low = before & -before
            self._after[low.bit_length() - 1] |= bit
            before ^= low
        self._of_role.setdefault(step.label >> 1, []).append(i)
        here.append(i)
        self._masks[step.lock, step.kind] = self._masks.get((step.lock, step.kind), 0) | bit

    def _needs(self, role: int) -> int:
        """Return the steps that happen before the next step of *role* whatever it is."""
        own = self._of_role.get(role)
        last = own[-1] if own else self._births.get(role, -1)
        return self._before[last] if last >= 0 else 0

    def _find_races(self, i: int, step: Taken, needs: int, here: list[int]) -> list[_Race]:
        """Return what *step*, of which *needs* must come before, races with; it is number *i*, or
        was not taken.
        """
        found: list[_Race] = []
        covered = 0    # the steps that happen before one that it races with
        unknown = step.lock in self._unknown
        for j in reversed(here):
            other = self._steps[j]
            if (needs | covered) >> j & 1:
                continue
            instead = self._there(step, [k for k in here if not self._after[j] >> k & 1])
            if instead is None or not (self._dependent(other, instead)
                                       or self._dependent(other, step)):
                continue
            found.append(_Race(j, i, needs, instead))
            if not unknown:
                covered |= self._before[j]
        return found

    def _other_way(self, i: int, step: Taken, needs: int, here: list[int]) -> list[_Race]:
        """Return the races of what *step*, a timed request, did not do: give up, or wait on."""
        other = step._replace(label=step.label ^ 1)
        instead = self._there(other, here)
        if instead is not None and other.label in self._nodes[i].moves:
            return [_Race(i, i, needs, instead)]
        return self._find_races(i, other, needs, here)

    def _there(self, step: Taken, here: list[int]) -> Taken | None:
        """Return what *step* would be after the steps *here* on its lock; None if it could not be
        taken.
        """
        names = self._run.names
        if step.ask < ASK_LOCK or step.lock in self._unknown:
            return step
        if step.ask in (ASK_LOCK, ASK_TRY):
            last = next((self._steps[j].kind for j in reversed(here)
                         if self._steps[j].kind in (LOCK, UNLOCK)), UNLOCK)
            kind, give_up = outcome(last == UNLOCK, step.ask, False, step.timed)
        else:
            before = [(self._steps[j].label >> 1, self._steps[j].kind) for j in here]
            history = History(names.policies[step.lock], names.done[step.lock], before)
            kind, give_up = history.outcome(step.label >> 1, step.ask, step.timed)
        kind = give_up if step.label & 1 else kind
        return step._replace(kind=kind) if kind else None

    # -- turning races round --------------------------------------------------------------

    def _turn_round_races(self) -> None:
        everything = (1 << len(self._steps)) - 1
        for races in self._races:
            for race in races:
                self._turn_round(race, everything)
        for race in self._pending():
            self._turn_round(race, everything)

    def _pending(self) -> Iterable[_Race]:
        """Return the races of requests that were not met."""
        end = len(self._run.steps)
        for task in self._run.stuck:
            step = Taken(task.label, task.lock_number, 0, task.ask, task.timed)
            needs = self._needs(task.label >> 1)
            yield from self._find_races(end, step, needs, self._on_lock.get(step.lock, []))

    def _turn_round(self, race: _Race, everything: int) -> None:
        """Plan the schedule in which the race goes the other way, unless it is planned or seen."""
        earlier, step = race.earlier, race.step
        rest = everything & ~((1 << earlier) - 1) & ~self._after[earlier]
        if race.later < len(self._steps):
            rest &= ~self._after[race.later]
        node = self._nodes[earlier]
        for asleep in node.sleep.values():
            if self._may_begin(asleep, rest, race):
                return
        sequence = [self._steps[i] for i in _bits(rest)]
        sequence.append(step)
        if sequence[0].label in node.moves:
            self._insert(node.tree, sequence)
        elif step.lock not in self._unknown:
            self.unfollowed += 1

    def _may_begin(self, first: Taken, rest: int, race: _Race) -> bool:
        """Say whether *first* can be the first of some continuation of *rest* and the step after
        it: is a weak initial of it.
        """
        role, step = first.label >> 1, race.step
        own = next((i for i in self._of_role.get(role, ()) if rest >> i & 1), None)
        if own is not None:
            before = self._before[own] & rest & ~(1 << own)
            return self._steps[own].label == first.label and not before
        conflicts = self._conflicts(first) & rest
        if role == step.label >> 1:
            return first.label == step.label and not (race.needs & rest or conflicts)
        return not conflicts and not self._dependent(first, step)

    def _conflicts(self, step: Taken) -> int:
        """Return the steps on its lock that it depends on."""
        kinds = KINDS if step.lock in self._unknown else DEPENDS[step.kind]
        conflicts = 0
        for kind in kinds:
            conflicts |= self._masks.get((step.lock, kind), 0)
        return conflicts

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
            if self._dependent(first, step):
                return None
        return -1

    def _dependent(self, a: Taken, b: Taken) -> bool:
        return a.label >> 1 == b.label >> 1 or (
            a.lock == b.lock and (b.kind in DEPENDS[a.kind] or a.lock in self._unknown))


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
