"""Which schedules are run once more at the end, as the first of a process."""

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
