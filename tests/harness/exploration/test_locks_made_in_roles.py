"""Exploring knows a lock by who made it: counted by hand, and alike with and without reduction."""

from functools import partial

import made_in_roles as programs
import pytest

from harness import Mutex, RWSemaphore, Verdict, explore, replay
from harness.exploration.stable_ids import Names
from harness.runtime.building import build

# The registry is asked for twice by each of two roles, which makes six orders: in three the role of
# x and y has both before the other's second (xxyy, xyxy, yxxy), and y may be taken either way
# round; in the others (xyyx, yxyx, yyxx) the role of y and z had to give y up before it went on.
BY_HAND = {
    "guarded": (programs.guarded_table, 9),
    "methods": (programs.methods, 9),
    "alike": (programs.alike, 9),
    # Each two of three roles share a lock. Of 2 x 2 x 2 orders two lead in a circle.
    "defaults": (programs.defaults, 6),
    "hidden": (programs.hidden_table, 6),
    # Nobody shares anything; three roles share a guard.
    "own": (programs.own_pairs, 1),
    "own of one name": (programs.own_of_one_name, 1),
    "beside": (programs.guarded_beside_own, 6),
    # Parent and child meet at the outer lock alone; whoever has it is done with both before.
    "handed on": (partial(programs.handed_on, "first"), 2),
    # Both look at the list first, so starts are steps. Left first: two orders of the lock that it
    # made. Right first: of one that the traced schedule did not know, so that left's start comes
    # before, between or after what right does with it; before, there are two orders again.
    "branching": (programs.branching, 6)}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_schedule_for_each_order_and_no_more(name):
    program, schedules = BY_HAND[name]
    result = explore(program)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.CLEAN, True)
    assert result.coverage["schedules"] == schedules


@pytest.mark.parametrize("name", ["alike", "own", "handed on", "branching"])
def test_every_order_without_reduction_comes_to_the_same(name):
    result = explore(BY_HAND[name][0], strategy="dfs")
    assert (result.verdict, result.coverage["complete"]) == (Verdict.CLEAN, True)


@pytest.mark.parametrize("strategy", ["dpor", "dfs"])
@pytest.mark.parametrize("program", [
    partial(programs.guarded_table, programs.OPPOSITE), programs.handed_on,
    partial(programs.alike, programs.OPPOSITE), partial(programs.hidden_table, programs.OPPOSITE)])
def test_opposite_orders_are_found_and_replayed_with_the_same_names(strategy, program):
    result = explore(program, strategy=strategy, engine=False)
    assert result.verdict is Verdict.DEADLOCK
    again = replay(result.replay, program)
    assert again.verdict is Verdict.DEADLOCK and again.cycle == result.cycle
    assert "code has changed" not in str(again)
    assert [event["lock"] for event in again.trace] == [event["lock"] for event in result.trace]


def test_a_lock_has_one_name_in_a_report_and_in_its_replay():
    result = explore(programs.kept_too_late)
    assert result.verdict is Verdict.DEADLOCK
    again = replay(result.replay, programs.kept_too_late)
    assert again.cycle == result.cycle
    assert {event["lock"] for event in again.trace} == {event["lock"] for event in result.trace} \
        == {"a", "maker.lock"}


def test_a_token_does_not_say_that_the_code_has_changed_where_a_role_s_first_lock_is_another():
    result = explore(programs.made_by_another, engine=False)
    assert (result.verdict, result.replay != "") == (Verdict.DEADLOCK, True)
    again = replay(result.replay, programs.made_by_another)
    assert (again.verdict, again.cycle) == (Verdict.DEADLOCK, result.cycle)
    assert "code has changed" not in str(again)


def test_a_number_is_of_semaphores_of_one_policy():
    def table(policy):
        made = [RWSemaphore(policy=policy)]
        return {"role": lambda: made[0]}

    names = Names()
    numbers = [names.lock(build(partial(table, policy), "table").roles["role"]())
               for policy in ("fair", "writer", "fair")]
    assert numbers == [0, 1, 0] and names.policies == {0: "fair", 1: "writer"}


def test_what_was_asked_of_a_lock_does_not_change_its_number():
    def door():
        made = [Mutex("door")]
        return {"role": lambda: made[0]}

    one, two = (build(door, "door").roles["role"]() for _ in range(2))
    names = Names()
    number = names.lock(one)
    assert two.lock_class == "door" and names.lock(two) == number
