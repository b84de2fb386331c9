"""Schedules that are run once more as the first of a process: which, and what if that ends."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from harness.exploration.forked import Died
from harness.exploration.stable_ids import Taken
from harness.methods.worlds import Worlds, _habits


def test_last_schedule_is_looked_at_again_and_from_64_on_each_whose_number_is_a_power_of_two():
    worlds, same = Worlds(), [Taken(0, 0, 1, 101)]
    worlds._recorded, worlds._spots, worlds._known = [], {}, _habits(same)
    for worlds.schedules in range(1, 301):
        steps = same * worlds.schedules
        worlds._known |= _habits(steps)
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
