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

from collections.abc import Iterable
from typing import NamedTuple

from .controlled_run import ControlledRun
from .dependency import (ASK_LOCK, ASK_TRY, DEPENDS, DEPENDS_ANYWHERE, LOCK, STEP_UNNAMED, STEPS,
                         UNLOCK, outcome, outcome_after)
from .stable_ids import Taken
from .strategies import Strategy, first_difference


_NONE: dict[int, frozenset[tuple[int, int]]] = {}


class Race(NamedTuple):
    """Step *later* could have come before step *earlier*.

    Attributes:
        needs: the steps that must precede it in any case.
        step: what it would be there.
    """

    earlier: int
    later: int
    needs: int
    step: Taken


class HappensBefore(Strategy):
    """A strategy that knows the steps of the last schedule, and keeps its books of those with which
    the next one begins.

    Attributes:
        steps: those that were taken, in order.
        races: by the later step.
        after: for each step, those that happen after it, with itself.
        unknown: locks of which all steps are taken to be dependent.
    """

    def __init__(self) -> None:
        self.steps: list[Taken] = []
        self.races: list[list[Race]] = []
        self.after: list[int] = []
        self.unknown: set[int] = set()
        self.starts: dict[int, dict[int, frozenset[tuple[int, int]]]] = {}    # see `Names`
        self._before: list[int] = []          # the steps that happen before step i, with i itself
        self._of_role: dict[int, list[int]] = {}
        self._on_lock: dict[int, list[int]] = {}
        self._harness_steps: list[int] = []   # those of `harness.step`, on whatever
        self._births: dict[int, int] = {}

    def forget(self, length: int) -> None:
        """Forget the steps from *length* on."""
        length = max(length, 0)
        for step in self.steps[length:]:
            self._of_role[step.label >> 1].pop()
            self._on_lock[step.lock].pop()
            if step.kind in STEPS:
                self._harness_steps.pop()
        for list_ in (self.steps, self._before, self.after, self.races):
            del list_[length:]
        kept = (1 << length) - 1
        self.after = [mask & kept for mask in self.after]

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
        needs, here = self._needs(step.label >> 1), self._here(step)
        before = self._past(step, needs, here)
        # Races first: `here`, and what comes after the steps there, are still without this one.
        races = self._find_races(i, step, needs, here)
        if step.timed:
            races += self._other_way(i, step, needs, here)
        self.races.append(races)
        self.steps.append(step)
        self._before.append(before | 1 << i)
        self.after.append(0)
        for j in bits(self._before[i]):
            self.after[j] |= 1 << i
        self._of_role.setdefault(step.label >> 1, []).append(i)
        self._on_lock.setdefault(step.lock, []).append(i)
        if step.kind in STEPS:
            self._harness_steps.append(i)

    def past(self, step: Taken) -> int:
        """Return the steps that happen before *step*, which may be the next."""
        return self._past(step, self._needs(step.label >> 1), self._here(step))

    def _past(self, step: Taken, needs: int, here: list[int]) -> int:
        before, depends, unknown = needs, DEPENDS[step.kind], step.lock in self.unknown
        for j in reversed(here):
            if not before >> j & 1 and (unknown or self.steps[j].kind in depends
                                        or self.steps[j].lock != step.lock):
                before |= self._before[j]
        return before

    def _here(self, step: Taken) -> list[int]:
        """Return the steps on what *step* is on, in order; all it can depend on are among them."""
        here = self._on_lock.get(step.lock, [])
        if step.kind in STEPS:
            here = [i for i in self._harness_steps
                    if step.lock == (other := self.steps[i]).lock
                    or STEP_UNNAMED in (step.kind, other.kind)]
        return self._with_starts(step, here) if self.starts else here

    def _with_starts(self, step: Taken, here: list[int]) -> list[int]:
        """Return the steps *here*, and those that *step* may depend on by a start."""
        role, steps = step.label >> 1, self.steps
        others = [j for lock, roles in self.starts.items() if role in roles
                  for j in self._on_lock.get(lock, ()) if self._by_start(steps[j], step)]
        others += [j for other in self.starts.get(step.lock, ())
                   for j in self._of_role.get(other, ()) if self._by_start(step, steps[j])]
        return sorted({*others, *here}) if others else here

    def _by_start(self, start: Taken, step: Taken) -> bool:
        """Say whether *start*, if it is one, depends on *step*."""
        apart = self.starts.get(start.lock, _NONE).get(step.label >> 1)
        return apart is not None and (step.lock, step.ask) not in apart

    def _needs(self, role: int) -> int:
        """Return the steps that happen before the next step of *role* whatever it is."""
        own = self._of_role.get(role)
        last = own[-1] if own else self._births.get(role, -1)
        return self._before[last] if last >= 0 else 0

    def _find_races(self, i: int, step: Taken, needs: int, here: list[int]) -> list[Race]:
        """Return the races of *step*, number *i* or not taken, which *needs* must come before."""
        races: list[Race] = []
        covered = 0    # the steps that happen before one that it races with
        for j in reversed(here):
            other = self.steps[j]
            if (needs | covered) >> j & 1:
                continue
            instead = self._there(step, [k for k in here if not self.after[j] >> k & 1])
            if instead and (self.dependent(other, instead) or self.dependent(other, step)):
                races.append(Race(j, i, needs, instead))
                # What may not be there, since it is cut off, says nothing of what is before.
                if step.lock not in self.unknown and not self.watches:
                    covered |= self._before[j]
        return races

    def _other_way(self, i: int, step: Taken, needs: int, here: list[int]) -> list[Race]:
        """Return the races of what *step*, a timed request, did not do: give up, or wait on."""
        other = step._replace(label=step.label ^ 1)
        instead = self._there(other, here)
        if instead is not None and other.label in self._moves[i]:
            return [Race(i, i, needs, instead)]
        return self._find_races(i, other, needs, here)

    def _there(self, step: Taken, here: list[int]) -> Taken | None:
        """Return what *step* would be after the steps *here* on its lock, None if nothing."""
        if step.ask < ASK_LOCK or step.lock in self.unknown:
            return step
        if step.ask in (ASK_LOCK, ASK_TRY):
            last = next((self.steps[j].kind for j in reversed(here)
                         if self.steps[j].kind in (LOCK, UNLOCK)), UNLOCK)
            kind, give_up = outcome(last == UNLOCK, step.ask, False, step.timed)
        else:
            before = [(self.steps[j].label >> 1, self.steps[j].kind) for j in here]
            names = self._run.names
            kind, give_up = outcome_after(before, names.policies[step.lock], names.done[step.lock],
                                          step.label >> 1, step.ask, step.timed)
        kind = give_up if step.label & 1 else kind
        return step._replace(kind=kind) if kind else None

    def _pending(self) -> Iterable[Race]:
        """Return the races of requests that were not met."""
        for task in self._run.stuck:
            step = Taken(task.label, task.lock_number, 0, task.ask, task.timed)
            yield from self._would_race(step)
            if self.watches and task.timed:    # its limit may not run out again here
                yield from self._would_race(step._replace(label=task.label + 1))

    def _would_race(self, step: Taken) -> list[Race]:
        needs = self._needs(step.label >> 1)
        return self._find_races(len(self.steps), step, needs, self._here(step))

    def may_begin(self, first: Taken, rest: int, race: Race) -> bool:
        """Say whether *first* may begin a continuation of *rest* and *race*: is a weak initial."""
        role, step = first.label >> 1, race.step
        own = next((i for i in self._of_role.get(role, ()) if rest >> i & 1), None)
        if own is not None:
            before = self._before[own] & rest & ~(1 << own)
            return self.steps[own].label == first.label and not before
        if any(rest >> i & 1 and self.dependent(first, self.steps[i])
               for i in self._here(first)):
            return False
        if role == step.label >> 1:
            return first.label == step.label and not race.needs & rest
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
