"""What happens before what in a schedule, and which of its steps race.

Two dependent steps of a schedule (dependency.py), of different roles, are a *race* if the later one
could have come before the earlier one. Where locks need more than the textbook:

- Releases are steps of their own. A request and the release before it can never change places; so
  whether a step could have come earlier is found out from who would have had the lock then
  (`outcome_after`), and if not, the search looks further back.
- Requests that nobody can grant at the end of a schedule race like steps that were taken.
- A timed request that cannot be granted has two ways to go on. Each is raced for whenever the other
  was taken.

Sets of steps are bits of integers: step i is bit i.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from .controlled_run import ControlledRun
from .dependency import (ASK_LOCK, ASK_TRY, DEPENDS, DEPENDS_ANYWHERE, LOCK, START, UNLOCK, outcome,
                         outcome_after)
from .stable_ids import Taken
from .strategies import Strategy, first_difference

_NONE: dict[int, frozenset[tuple[int, int]]] = {}
_NO_STEPS: dict[int, int] = {}
_ALL = range(START + 1)


class Race(NamedTuple):
    """Step *later* could have come before step *earlier*.

    `step`: what it would be there.
    """

    earlier: int
    later: int
    step: Taken


class HappensBefore(Strategy):
    """A strategy that knows the steps of the last schedule, and keeps its books of those with which
    the next one begins.

    Attributes:
        steps: those that were taken, in order.
        races: by the later step.
        unknown: locks of which all steps are taken to be dependent.
    """

    def __init__(self) -> None:
        self.steps: list[Taken] = []
        self.races: list[list[Race]] = []
        self.unknown: set[int] = set()
        self.starts: dict[int, dict[int, frozenset[tuple[int, int]]]] = {}    # see `Names`
        self._before: list[int] = []    # the steps that happen before step i, with i itself
        # Step -> how many were known when it was asked what happens after it, and what did.
        self._known_after: dict[int, tuple[int, int]] = {}
        self._of_role: dict[int, int] = {}
        self._on_lock: dict[int, dict[int, int]] = {}    # lock -> kind -> the steps
        self._births: dict[int, int] = {}

    def forget(self, length: int) -> None:
        """Forget the steps from *length* on."""
        kept = (1 << (length := max(length, 0))) - 1
        for step in self.steps[length:]:
            self._of_role[step.label >> 1] &= kept
            self._on_lock[step.lock][step.kind] &= kept
        for list_ in (self.steps, self._before, self.races):
            del list_[length:]
        self._known_after = {i: (min(known, length), mask & kept)
                             for i, (known, mask) in self._known_after.items() if i < length}

    def learn(self, run: ControlledRun, moves: list[list[int]]) -> None:
        """Take in the new steps of *run*, chosen of *moves*: what happens before what, races."""
        self._run, self._moves = run, moves
        self._births = {task.label >> 1: task.birth for task in run.tasks}
        known = len(self.steps)
        if run.steps[:known] != self.steps:
            self.changed = first_difference(run.names, self.steps, run.steps[:known])
        for i, step in enumerate(run.steps[known:], known):
            self._add(i, step)

    def _add(self, i: int, step: Taken) -> None:
        before = self._past(step, needs := self._needs(step.label >> 1))
        # Races first: what is on the lock, and comes after it, is still without this one.
        races = self._find_races(i, step, needs)
        if step.timed:
            races += self._other_way(i, step, needs)
        self.races.append(races)
        self.steps.append(step)
        bit = 1 << i
        self._before.append(before | bit)
        self._of_role[step.label >> 1] = self._of_role.get(step.label >> 1, 0) | bit
        on_lock = self._on_lock.setdefault(step.lock, {})
        on_lock[step.kind] = on_lock.get(step.kind, 0) | bit

    def after(self, i: int) -> int:
        """Return the steps that happen after step *i*, with itself; it is asked of few."""
        known, mask = self._known_after.get(i, (i, 0))
        for j, before in enumerate(self._before[known:], known):
            if before >> i & 1:
                mask |= 1 << j
        self._known_after[i] = len(self._before), mask
        return mask

    def past(self, step: Taken) -> int:
        """Return the steps that happen before *step*, which may be the next."""
        return self._past(step, self._needs(step.label >> 1))

    def _past(self, step: Taken, before: int) -> int:
        left = self._conflicting(step) & ~before
        while left:    # the last first: it has most of the others before it
            before |= self._before[left.bit_length() - 1]
            left &= ~before
        return before

    def _conflicting(self, step: Taken) -> int:
        """Return the steps on which *step* depends, but for those of its own role."""
        return self._here(step, _ALL if step.lock in self.unknown else DEPENDS[step.kind])

    def _here(self, step: Taken, kinds: Container[int] = _ALL) -> int:
        """Return the steps on what *step* is on; all that it, done otherwise, can depend on are
        among them.

        Args:
            kinds: which of those on the very same.
        """
        found = 0
        for kind, mask in self._on_lock.get(step.lock, _NO_STEPS).items():
            if kind in kinds:
                found |= mask
        for kind in DEPENDS_ANYWHERE[step.kind]:
            for on_lock in self._on_lock.values():
                found |= on_lock.get(kind, 0)
        return found | self._by_starts(step) if self.starts else found

    def _by_starts(self, step: Taken) -> int:
        """Return the steps on which *step* depends by a start."""
        role, steps, found = step.label >> 1, self.steps, 0
        for lock, roles in self.starts.items():
            if role in roles:
                found |= self._on_lock.get(lock, _NO_STEPS).get(START, 0)
        for other in self.starts.get(step.lock, ()):
            found |= self._of_role.get(other, 0)
        return sum(1 << j for j in bits(found)
                   if self._by_start(steps[j], step) or self._by_start(step, steps[j]))

    def _by_start(self, start: Taken, step: Taken) -> bool:
        """Say whether *start*, if it is one, depends on *step*."""
        apart = self.starts.get(start.lock, _NONE).get(step.label >> 1)
        return apart is not None and (step.lock, step.ask) not in apart

    def _needs(self, role: int) -> int:
        """Return the steps that happen before the next step of *role* whatever it is."""
        own = self._of_role.get(role, 0)
        last = own.bit_length() - 1 if own else self._births.get(role, -1)
        return self._before[last] if last >= 0 else 0

    def _find_races(self, i: int, step: Taken, needs: int) -> list[Race]:
        """Return the races of *step*, number *i* or not taken, which *needs* must come before."""
        races: list[Race] = []
        # What may not be there, since it is cut off, says nothing of what is before.
        covers = step.lock not in self.unknown and not self.watches
        left = self._here(step) & ~needs
        while left:
            j = left.bit_length() - 1
            left ^= 1 << j
            other = self.steps[j]    # what asks for nothing is the same wherever it comes
            instead = step if step.ask < ASK_LOCK else self._there(step, self.after(j))
            if instead and (self.dependent(other, instead) or self.dependent(other, step)):
                races.append(Race(j, i, instead))
                if covers:    # what happens before one that it races with
                    left &= ~self._before[j]
        return races

    def _other_way(self, i: int, step: Taken, needs: int) -> list[Race]:
        """Return the races of what *step*, a timed request, did not do: give up, or wait on."""
        other = step._replace(label=step.label ^ 1)
        instead = self._there(other, 0)
        if instead is not None and other.label in self._moves[i]:
            return [Race(i, i, instead)]
        return self._find_races(i, other, needs)

    def _there(self, step: Taken, without: int) -> Taken | None:
        """Return what *step* would be if the steps *without* had not been, None if nothing."""
        if step.ask < ASK_LOCK or step.lock in self.unknown:
            return step
        on_lock = self._on_lock.get(step.lock, _NO_STEPS)
        if step.ask in (ASK_LOCK, ASK_TRY):
            taken = on_lock.get(LOCK, 0) & ~without
            free = taken < on_lock.get(UNLOCK, 0) & ~without    # by the last of both
            if not free and not taken:
                free = step.lock not in self._run.names.taken
            kind, give_up = outcome(free, step.ask, False, step.timed)
        else:
            there = sum(on_lock.values()) & ~without    # a step is of one kind
            before = [(self.steps[j].label >> 1, self.steps[j].kind) for j in bits(there)]
            names = self._run.names
            kind, give_up = outcome_after(before, names.policies[step.lock], names.done[step.lock],
                                          step.label >> 1, step.ask, step.timed)
        kind = give_up if step.label & 1 else kind
        return Taken(step.label, step.lock, kind, step.ask, step.timed) if kind else None

    def _pending(self) -> Iterable[Race]:
        """Return the races of requests that were not met."""
        for task in self._run.stuck:
            step = Taken(task.label, task.lock_number, 0, task.ask, task.timed)
            yield from self._would_race(step)
            if self.watches and task.timed:    # its limit may not run out again here
                yield from self._would_race(step._replace(label=task.label + 1))

    def _would_race(self, step: Taken) -> list[Race]:
        needs = self._needs(step.label >> 1)
        return self._find_races(len(self.steps), step, needs)

    def may_begin(self, first: Taken, rest: int, race: Race) -> bool:
        """Say whether *first* may begin a continuation of *rest* and *race*: is a weak initial."""
        role, step = first.label >> 1, race.step
        own = self._of_role.get(role, 0) & rest
        if own:
            begins = own & -own    # its first step there
            i = begins.bit_length() - 1
            return self.steps[i].label == first.label and not self._before[i] & rest & ~begins
        if self._conflicting(first) & rest:
            return False
        if role == step.label >> 1:
            return first.label == step.label    # all that must precede it is before the race
        return not self.dependent(first, step)

    def dependent(self, a: Taken, b: Taken) -> bool:
        """Say whether two steps are of one role, or on one lock and not free to change places, or
        one is a start that depends on the other; of steps on no name, which are on every name, any
        two are not.
        """
        if a.label >> 1 == b.label >> 1 or (
                b.kind in DEPENDS[a.kind] or a.lock in self.unknown if a.lock == b.lock
                else b.kind in DEPENDS_ANYWHERE[a.kind]):
            return True
        return bool(self.starts) and (self._by_start(a, b) or self._by_start(b, a))


def bits(mask: int) -> Iterable[int]:
    """Yield which bits of *mask* are set, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
