"""Which steps the reduced search leaves out, since they were done in the same state before.

What may not be done again (again.py) must not depend on the order of steps that commute, or the
reduced search would go by what one schedule of many shows. So it is told from what *happens before*
a step, as in the unfoldings of Petri nets (McMillan: "Using unfoldings to avoid the state explosion
problem", CAV 1992; Esparza, Roemer, Vogler: "An improvement of McMillan's unfolding algorithm",
2002): step e of a role is *cut off* if the role took the same step d before, and what happens
before e leads to the state to which what happens before d leads. All that can come of e can then
come of d. Of the steps D that happen before e and not before d it is asked that

- each role of one of them is after its last step before e where it was after its last before d: its
  frames, with the variables that are its own, what it asks for and what it holds;
- none of the stretches after them changed a thing that the role can reach, other than the accounts
  of locks. (What others do at the same time, and is in no order with D, changes things, too: so
  each stretch is looked at by itself, and not the things at d and at e.)
- completions passed as often in D as they were completed, no role is queued at a semaphore, and
  the same wait, in the same order, in each condition;
- no thread was started after one of them: what it does may be in no order with e.

What cannot be known is never cut off, and the schedule goes on; if a role does the same
`MOST_AGAIN` times, the search gives up, and the scenario is searched without the reduction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any

from ..runtime.state import QUEUED, REFERENCE, State
from ..runtime.thing_kinds import ACCOUNT, LOCK as A_LOCK, OVER
from .controlled_run import ControlledRun
from .dependency import ANY, COMPLETE, COMPLETE_ALL, LOCK, PASS, REINIT
from .happens_before import HappensBefore, bits

MOST_AGAIN = 16     # times that a role does the same in a schedule, and it may be the same state
_NET = {PASS: -1, COMPLETE: 1}


class CutOffs(HappensBefore):
    """What happens before what, with the rule on what may not be done again.

    Attributes:
        watches: the rule is heeded: a schedule was met in which a limit ran out twice.
        every: it is heeded for all steps: a schedule was met that goes round by others.
        first: of the steps that were cut off last, by label, where in the schedule each was done.
    """

    own_rule = True

    def __init__(self) -> None:
        super().__init__()
        self.watches = self.every = False
        self.first: dict[int, int] = {}
        self._pure: dict[int, bool] = {}    # by step, in this schedule

    def begin(self) -> None:
        self._pure.clear()

    def needs_watch(self, run: ControlledRun, moves: list[int]) -> bool:
        """Say whether the rule is to be heeded from now on, and was not: then all begins anew.

        A limit can run out in *run*, or it goes round.
        """
        if not self.watches:
            expiring = [label for label in moves if label & 1]
            self.watches = run.goes_round or any(
                step.label in expiring
                and step.lock == run.by_label[step.label - 1].lock_number for step in run.steps)
            self.every = run.goes_round
        elif run.goes_round and not self.every:
            self.every = True
        else:
            return False
        run.names.every = self.every
        return self.watches

    def spent(self, run: ControlledRun, moves: list[int], before: list[list[int]]) -> list[int]:
        """Return which of *moves* are cut off.

        Args:
            before: the moves before each step of *run*.
        """
        if run.again.others_acted:
            self.hopeless = "a thread outside the run changes what roles look at"
        found = {label: self._first(run, label, before) for label in moves
                 if label & 1 or self.every}
        self.first = {label: first for label, first in found.items() if first >= 0}
        return [*self.first]

    def _first(self, run: ControlledRun, label: int, before: list[list[int]]) -> int:
        """Return where in the schedule that was done for which *label* is cut off, -1 if it is not.
        """
        task = run.by_label[label & ~1]
        same = [i for i, step in enumerate(run.steps) if step.label == label
                and step.lock == task.lock_number and step.ask == task.ask]
        if not same:
            return -1
        if len(same) >= MOST_AGAIN and label & 1:
            self.hopeless = f"{task.name} waits for {task.lock} again and again, and what it is " \
                            f"at differs or cannot be compared"
            return -1
        states = run.again.states
        now = states[-1].roles[task.name]
        same = [i for i in same if states[i].roles[task.name] == now]
        if not same:
            return -1
        self.learn(run, before)
        here = self.past(run.would(label))
        return next((i for i in reversed(same) if self._leads_back(run, i, here)), -1)

    def differs(self, label: int, run: Any, again: Any) -> str:
        """Say that a role did not go on as the first time when it did again what was cut off.

        Args:
            run: the schedule at whose end *label* was cut off.
            again: one that begins so, and then does it.
        """
        if _next_of(label >> 1, run, self.first[label]) == _next_of(label >> 1, again,
                                                                    len(run.steps)):
            return ""
        return f"{run.names.roles[label >> 1]} does not go on as before where it is as before: " \
               f"roles share data that no lock orders"

    def _leads_back(self, run: ControlledRun, first: int, here: int) -> bool:
        """Say whether the steps *here* lead to the state to which those before *first* do."""
        there = self._before[first] & ~(1 << first)
        between = here & ~there
        if any(birth >= 0 and between >> birth & 1 for birth in self._births.values()):
            return False
        steps, states = self.steps, run.again.states
        net: Counter[int] = Counter()
        roles: set[int] = set()
        for i in bits(between):
            step = steps[i]
            if step.kind in (COMPLETE_ALL, REINIT, ANY) or step.lock in self.unknown:
                return False
            net[step.lock] += _NET.get(step.kind, 0)
            roles.add(step.label >> 1)
        if any(net.values()) or not self._same_queues(run, between, there, here):
            return False
        for role in roles:
            task = run.by_label[2 * role]
            before, after = (states[self._last(role, mask) + 1] for mask in (there, here))
            if _is_queued(after.roles.get(task.name)) or \
                    before.roles.get(task.name) != after.roles.get(task.name):
                return False
        return all(self._is_pure(run, i) for i in bits(between))

    def _same_queues(self, run: ControlledRun, between: int, there: int, here: int) -> bool:
        """Say whether the same wait, in the same order, in each condition whose lock was taken
        between. Its queue is changed by whoever has that lock: so it is as it was when the last of
        them had done so.
        """
        states = run.again.states
        for number in {self.steps[i].lock for i in bits(between) if self.steps[i].kind == LOCK}:
            lock = run.lock_of(number)
            before, after = (states[mask.bit_length()] for mask in (
                self._on_lock[number].get(LOCK, 0) & each for each in (there, here)))
            if _queues(before, lock) != _queues(after, lock):
                return False
        return True

    def _last(self, role: int, mask: int) -> int:
        """Return the last step of *role* in *mask*, or the one in which it was born, or -1."""
        own = self._of_role.get(role, 0) & mask
        return own.bit_length() - 1 if own else self._births.get(role, -1)

    def _is_pure(self, run: ControlledRun, i: int) -> bool:
        """Say whether the stretch after step *i* changed nothing that its role can reach."""
        if i not in self._pure:
            states = run.again.states
            name = run.by_label[self.steps[i].label & ~1].name
            self._pure[i] = _unchanged(states[i], states[i + 1], name)
        return self._pure[i]


def _next_of(role: int, run: Any, after: int) -> tuple[int, int] | None:
    """Return what *role* asks for after a step of *run*, None if for nothing any more."""
    steps = ((step.lock, step.ask) for step in run.steps[after + 1:] if step.label >> 1 == role)
    stuck = ((task.lock_number, task.ask) for task in run.stuck if task.label >> 1 == role)
    return next(steps, next(stuck, None))


def _is_queued(role: tuple[Any, ...] | None) -> bool:
    return role is not None and bool(role[QUEUED])


def _unchanged(before: State, after: State, name: str) -> bool:
    """Say whether the things that a role can reach are the same, but for accounts of locks."""
    for key in {*_reach(before, name), *_reach(after, name)}:
        one, other = before.things.get(key), after.things.get(key)
        if one is None or other is None or one == other:
            continue
        if one[:1] != (A_LOCK,) or _but_for_account(one) != _but_for_account(other):
            return False
    return True


def _queues(state: State, lock: Any) -> dict[Hashable, Hashable]:
    """Return who waits in the conditions over *lock*."""
    over = (OVER, (REFERENCE, id(lock)))
    return {key: thing[ACCOUNT] for key, thing in state.things.items()
            if thing and thing[0] == A_LOCK and over in thing}


def _but_for_account(lock: tuple[Any, ...]) -> tuple[Any, ...]:
    return lock[:ACCOUNT] + lock[ACCOUNT + 1:]


def _reach(state: State, name: str) -> Iterator[Hashable]:
    """Yield the keys of the things that a role can reach."""
    found: set[Hashable] = set()
    todo: list[Any] = [state.roles.get(name, ())]
    while todo:
        for token in todo.pop():
            if type(token) is not tuple:
                continue
            if len(token) == 2 and token[0] == REFERENCE:
                if token[1] not in found:
                    found.add(token[1])
                    todo.append(state.things[token[1]])
            else:
                todo.append(token)
    return iter(found)
