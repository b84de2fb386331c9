"""Which steps may change places, and what a request comes to, told from the steps before it."""

from itertools import product

import pytest

from harness import Completion, RWSemaphore
from harness.exploration import dependency
from harness.exploration.controlled_run import ControlledRun
from harness.exploration.dependency import (
    ASK_READ, ASK_TRY_READ, ASK_TRY_WRITE, ASK_WAIT, ASK_WRITE, COMPLETE, COMPLETE_ALL, DEPENDS,
    QUEUEING, READ, REINIT, UP_READ, UP_WRITE, WRITE, outcome_after)
from harness.exploration.stable_ids import Names
from harness.exploration.strategies import Random
from harness.locks.policies import POLICIES
from harness.runtime.building import build
from harness.runtime.workers import Workers

ROLES = range(3)
SEMAPHORE = ASK_READ, ASK_WRITE, ASK_TRY_READ, ASK_TRY_WRITE
CHANGES = COMPLETE, COMPLETE_ALL, REINIT


# -- the history of a lock and its account ---------------------------------------------------------


class Compares(Random):
    """Draws schedules; says of each request, at each stop, what the steps so far make of it."""

    def __init__(self, seed):
        super().__init__(seed)
        self.seen, self.differ = set(), []

    def choose(self, run, moves):
        for task in run.tasks:
            if task.lock is not None and task.ask in dependency.OUTCOMES:
                steps = [(step.label >> 1, step.kind) for step in run.steps
                         if step.lock == task.lock_number]
                told = outcome_after(steps, run.names.policies[task.lock_number],
                                     run.names.done[task.lock_number], task.label >> 1, task.ask,
                                     task.timed)
                self.seen.add((task.ask, task.kind, task.give_up))
                if told != (task.kind, task.give_up):
                    self.differ.append((steps, task.ask, told, (task.kind, task.give_up)))
        return super().choose(run, moves)


def compared(make):
    """Return what was seen of 150 schedules, and where history and account differ."""
    chooser, names = Compares(seed=7), Names()
    with Workers() as workers:
        for _ in range(150):
            ControlledRun(build(make, "compared"), chooser, names).play(workers)
    return chooser.seen, chooser.differ


def requests(sem, requests):
    def role():
        for take, leave in requests:
            if getattr(sem, take)(*((1,) if take.endswith("timeout") else ())) is not False:
                getattr(sem, leave)()
    return role


@pytest.mark.parametrize("policy", POLICIES)
def test_history_of_a_semaphore_says_of_each_request_what_its_account_says(policy):
    def world():
        sem = RWSemaphore("sem", policy=policy)
        read, write = (("down_read", "up_read"), ("down_write", "up_write"))
        roles = [[read, ("down_read_timeout", "up_read"), ("down_write_trylock", "up_write")],
                 [("down_write_timeout", "up_write"), ("down_read_trylock", "up_read"), read],
                 [write, ("down_read_timeout", "up_read")], [("down_write_timeout", "up_write")]]
        return {f"r{i}": requests(sem, each) for i, each in enumerate(roles)}

    seen, differ = compared(world)
    assert differ == []
    expected = {(ask, kind, give_up if kind != free else 0)
                for ask, (free, busy, waits, *limits) in dependency.OUTCOMES.items()
                if ask in SEMAPHORE for kind, give_ups in (
                    (free, (0,)), (busy, (0, limits[0])), (waits, (0, limits[1])))
                for give_up in give_ups}
    assert seen == expected


def test_history_of_a_completion_says_of_each_wait_what_its_account_says():
    def world():
        done = Completion("done")

        def changes():
            done.complete()
            done.complete()
            done.reinit()
            done.complete_all()

        def waits():
            done.wait(1)
            done.wait(1)

        return {"changes": changes, "one": waits, "other": waits, "for good": done.wait}

    seen, differ = compared(world)
    assert differ == []
    assert {kind for _, kind, _ in seen} == {0, dependency.PASS, dependency.PASS_ALL}


# -- steps that may change places ------------------------------------------------------------------


class State:
    """A lock after some steps: what each role has of it, or waits for there.

    Attributes:
        has: role -> the step by which it gives up what it has.
        asks: role -> (what it is queued for, whether with a limit).
    """

    def __init__(self, policy, steps=(), has=(), asks=()):
        self.policy, self.steps, self.has, self.asks = policy, steps, dict(has), dict(asks)

    def requests(self, role):
        """Return what *role* may ask for: (what, whether with a limit) each."""
        if role in self.asks:
            return [self.asks[role]]
        return [] if role in self.has else [
            *product((ASK_READ, ASK_WRITE, ASK_WAIT), (False, True)),
            (ASK_TRY_READ, False), (ASK_TRY_WRITE, False)]

    def would(self, role, request):
        """Return the steps that *role* may take by a request."""
        policy = "writer" if request[0] == ASK_WAIT else self.policy
        return outcome_after(self.steps, policy, 0, role, *request)

    def moves(self, role):
        """Return the steps that *role* may take, each with its request."""
        found = [(kind, request) for request in self.requests(role)
                 for kind in self.would(role, request) if kind]
        found += [(self.has[role], None)] if role in self.has else []
        return found + [(kind, None) for kind in CHANGES if role not in {*self.has, *self.asks}]

    def after(self, role, move):
        kind, request = move
        after = State(self.policy, (*self.steps, (role, kind)), self.has, self.asks)
        after.has.pop(role, None)
        after.asks.pop(role, None)
        if kind in QUEUEING:
            after.asks[role] = request
        elif kind in (READ, WRITE):
            after.has[role] = UP_READ if kind == READ else UP_WRITE
        return after

    @property
    def answers(self):
        """What tells two states apart: what each role may do in them."""
        return tuple(tuple(self.moves(role)) for role in ROLES)


def states(policy, longest):
    """Return a state of each kind that some *longest* steps lead to."""
    found = {(): State(policy)}
    new = list(found.values())
    for _ in range(longest):
        new = [after for state in new for role in ROLES for move in state.moves(role)
               if (after := state.after(role, move)).answers not in found
               and not found.update({after.answers: after})]
    return list(found.values())


@pytest.mark.parametrize("policy", POLICIES)
def test_steps_that_do_not_depend_on_each_other_come_to_the_same_in_both_orders(policy):
    free = set()
    for state in states(policy, longest=3):
        for one, other in product(state.moves(0), state.moves(1)):
            if other[0] in DEPENDS[one[0]]:
                continue
            free.add(frozenset((one[0], other[0])))
            after, before = state.after(0, one), state.after(1, other)
            assert other in after.moves(1) and one in before.moves(0), (state.steps, one, other)
            assert after.after(1, other).answers == before.after(0, one).answers, (
                state.steps, one, other)
    assert frozenset((READ, UP_READ)) in free and len(free) > 5


def test_dependence_is_mutual():
    for one, other in product(range(1, dependency.START + 1), repeat=2):
        assert (other in DEPENDS[one]) == (one in DEPENDS[other])
        assert (other in dependency.DEPENDS_ANYWHERE[one]) == (
            one in dependency.DEPENDS_ANYWHERE[other])
