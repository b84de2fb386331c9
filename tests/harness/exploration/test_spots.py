"""Schedules that are run once more as the first of a process: which, and what if that ends."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from harness.exploration.dependency import ASK_ANY, ASK_LOCK, START
from harness.exploration.forked import Died
from harness.exploration.stable_ids import Taken, habits
from harness.methods.worlds import Worlds


def test_last_schedule_is_looked_at_again_and_from_64_on_each_whose_number_is_a_power_of_two():
    worlds, same = Worlds(), [Taken(0, 0, 1, 101)]
    worlds._recorded, worlds._spots, worlds._known = [], {}, habits(same)
    for worlds.schedules in range(1, 301):
        steps = same * worlds.schedules
        worlds._known |= habits(steps)
        assert not worlds.look_twice(steps, None)
    assert {number: len(steps) for number, steps in worlds._spots.items()} == {
        0: 300, 64: 64, 128: 128, 256: 256}


@pytest.mark.parametrize("alone", [False, True])
def test_schedule_that_a_process_of_its_own_could_not_show_is_no_proof(alone, monkeypatch):
    """With the threads that this process has, it is a finding; else it says nothing."""
    def dies(*_):
        raise Died("it ended in the middle")

    monkeypatch.setattr("harness.methods.worlds.play", dies)
    worlds = Worlds()
    worlds._apart = SimpleNamespace(why_not="", alone=alone)
    with pytest.raises(Died) if alone else nullcontext():
        worlds.look_apart(None, None, None)
    assert worlds.unseen == ("" if alone else "it ended in the middle")


def test_habit_is_who_asked_for_what_right_after_what():
    """No two of these are the same, whatever the numbers: locks 0 to 40, all requests."""
    asks = [*range(1, START + 1), *range(ASK_LOCK, ASK_ANY + 1)]
    told = [(role, before, (lock, ask)) for role in (0, 1) for before in (None, (0, ASK_LOCK))
            for lock in range(41) for ask in asks]
    numbers = set()
    for role, before, (lock, ask) in told:
        first = [Taken(2 * role, before[0], 1, before[1])] if before else []
        numbers |= habits([*first, Taken(2 * role, lock, 1, ask)]) - habits(first)
    assert len(numbers) == len(told)
