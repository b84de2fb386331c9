"""Who waits for whom: the way from a waiting thread back to itself."""

from harness.locks.waitgraph import OneOf, any_cycle, find_cycle


class Waiting:
    """A task that waits for what it is itself: a lock whose blockers are `others`."""

    timed, mode = False, ""

    def __init__(self):
        self.waits_on, self.others = self, []

    def blockers(self, task, mode):
        return self.others


def test_of_two_ways_back_the_shorter_is_shown():
    """a waits for b and c; b for a; c for d, and d for a."""
    a, b, c, d = (Waiting() for _ in range(4))
    a.others, b.others, c.others, d.others = [c, b], [a], [d], [a]
    assert find_cycle(a) == [a, b]
    a.others = [b, c]
    assert find_cycle(a) == [a, b]


def test_each_of_those_who_block_may_close_the_cycle():
    """a writer waits for three readers; the second waits for what it holds."""
    a, b, c, d = (Waiting() for _ in range(4))
    a.others, c.others = [b, c, d], [a]
    assert find_cycle(a) == [a, c] and find_cycle(c) == [c, a]


def test_who_waits_for_a_cycle_is_not_of_it():
    a, b, c = (Waiting() for _ in range(3))
    a.others, b.others, c.others = [b], [c], [b]
    assert find_cycle(a) is None


def test_of_several_cycles_the_one_is_told_that_the_last_to_wait_closed():
    a, b, c, d = (Waiting() for _ in range(4))
    a.others, b.others, c.others, d.others = [b], [a], [d], [c]
    assert any_cycle([a, b, c, d]) == [d, c] and any_cycle([d, c, b, a]) == [a, b]


def test_a_cycle_through_one_of_several_is_none_while_another_of_them_may_go_on():
    a, b, c = (Waiting() for _ in range(3))
    b.name = c.name = ""
    a.others, b.others, c.others = [OneOf([b, c], None)], [a], []
    assert any_cycle([a, b]) is None
    assert any_cycle([a, b, c]) == [b, a]
