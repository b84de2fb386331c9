"""Who waits for whom, and whether for ever: of threads that wait, which are a deadlock."""

import random
from itertools import chain, combinations

import pytest

from harness.locks.waitgraph import AnyOf, Likely, deadlock, deadlock_among, deadlock_from, flat


class Waiting:
    """A task that waits for what it is itself: a lock whose blockers are `others`."""

    timed, ended, mode = False, False, ""

    def __init__(self):
        self.waits_on, self.others = self, []

    def blockers(self, task, mode):
        return self.others


def found(waits, ended=()):
    """Return cycle, others and behind of *waits*, as text; "" if there is no deadlock."""
    deadly = deadlock(waits, lambda thread: thread in ended)
    return " ".join("".join(threads) or "-" for threads in deadly) if deadly else ""


@pytest.mark.parametrize("waits, expected", [
    ({"a": ["a"]}, "a - -"),
    ({"a": ["b"]}, ""),
    ({"a": ["b"], "b": []}, ""),                  # nobody is known to end b's wait: a hang
    ({"a": ["b"], "b": ["a"]}, "ab - -"),
    ({"a": ["b"], "b": ["a"], "c": ["b"]}, "ab - c"),
    ({"a": ["b"], "b": ["c"], "c": ["b"]}, "bc - a"),
    # A writer needs each of three readers gone: one that never goes is enough.
    ({"a": ["b", "c", "d"], "c": ["a"]}, "ac - -"),
    # Of two ways back the shorter one is shown.
    ({"a": ["c", "b"], "b": ["a"], "c": ["d"], "d": ["a"]}, "ab - cd"),
    # Any permit is enough: while b or c may go on it is none.
    ({"a": AnyOf("bc"), "b": ["a"]}, ""),
    ({"a": AnyOf("bc"), "b": ["a"], "c": []}, ""),
    ({"a": AnyOf("bc"), "b": ["a"], "c": ["a"]}, "ab c -"),
    ({"a": AnyOf("bc"), "b": ["a"], "c": AnyOf("cd"), "d": ["c"]}, "ab cd -"),
    ({"a": AnyOf("bc"), "b": ["a"], "c": ["d", "b"], "d": []}, "ab c -"),
    ({"a": AnyOf("b"), "b": AnyOf("a")}, "ab - -"),
    # Both of b and c, or d alone.
    ({"a": AnyOf([["b", "c"], "d"]), "d": ["a"]}, ""),
    ({"a": AnyOf([["b", "c"], "d"]), "d": ["a"], "c": ["a"]}, "ac d -"),
])
def test_each_waits_for_what_only_they_could_do(waits, expected):
    assert found(waits) == expected


@pytest.mark.parametrize("waits, expected", [
    ({"a": AnyOf("be"), "b": ["a"]}, "ab - -"),    # e acts no more
    ({"a": AnyOf("e"), "b": ["a"]}, ""),           # nobody will: a hang
    ({"a": ["e"], "b": ["a"]}, ""),                # e has kept its lock
    ({"a": ["e", "b"], "b": ["a"]}, "ab - -"),
    ({"a": AnyOf([["e", "b"], "c"]), "c": ["a"]}, "ac - -"),
])
def test_who_has_ended_does_nothing_any_more(waits, expected):
    assert found(waits, ended="e") == expected


def wait_of(seed, threads):
    """Return whom a thread waits for, and how."""
    some = seed.sample(threads, seed.randint(1, 3))
    kind = seed.randrange(3)
    return [some, AnyOf(some), AnyOf([some[:2], *some[2:]])][kind]


def keeps(wait, members, ended):
    """Say whether each way in which *wait* could end needs one of *members*. Of several ways those
    are none for which one is needed that has ended.
    """
    ways = [set(way) if isinstance(way, list) else {way} for way in wait] \
        if isinstance(wait, AnyOf) else [set(wait)]
    if isinstance(wait, AnyOf):
        ways = [way for way in ways if not way & set(ended)]
    return ways != [] and all(way & set(members) for way in ways)


@pytest.mark.parametrize("numbers", [range(first, first + 100) for first in (0, 100, 200)], ids=str)
def test_it_is_the_union_of_all_sets_that_wait_for_themselves_alone(numbers):
    """By trying every set of up to six threads; one of them may have ended."""
    for number in numbers:
        compare_with_every_set(random.Random(number))


def compare_with_every_set(seed):
    threads = list(range(seed.randint(2, 6)))
    ended = seed.sample(threads, seed.randint(0, 1))
    waits = {thread: wait_of(seed, [*threads, 9]) for thread in threads
             if thread not in ended and seed.random() < 0.9}
    closed = [members for size in range(1, len(waits) + 1)
              for members in combinations(waits, size)
              if all(keeps(waits[one], members, ended) for one in members)]
    deadly = deadlock(waits, ended.__contains__)
    assert set(chain(*(deadly or ()))) == set(chain(*closed)), waits
    if deadly:
        assert len(set(chain(*deadly))) == sum(map(len, deadly))
        for before, after in zip(deadly.cycle, deadly.cycle[1:] + deadly.cycle[:1]):
            assert after in flat(waits[before]), waits


def test_only_those_who_are_waited_for_are_asked():
    """b and c wait for each other; a waits for b, d for nobody of them."""
    a, b, c, d = (Waiting() for _ in range(4))
    a.others, b.others, c.others, d.others = [b], [c], [b], [d]
    assert deadlock_from(c) == ([c, b], [], [])
    assert deadlock_from(a) == ([b, c], [], [a])


def test_of_several_cycles_the_one_is_told_that_the_last_to_wait_closed():
    a, b, c, d = (Waiting() for _ in range(4))
    a.others, b.others, c.others, d.others = [b], [a], [d], [c]
    assert deadlock_among([a, b, c, d]).cycle == [d, c]
    assert deadlock_among([d, c, b, a]).cycle == [a, b]


def test_who_is_likely_to_end_a_wait_counts_once_nobody_else_can_act():
    a, b = Waiting(), Waiting()
    a.others, b.others = Likely([b]), [a]
    assert deadlock_from(b) is None and deadlock_among([a, b]) is None
    assert deadlock_among([a, b], nobody_else=True) == ([b, a], [], [])


def test_a_wait_with_a_limit_and_one_that_is_over_are_in_none():
    a, b = Waiting(), Waiting()
    a.others, b.others = [b], [a]
    a.timed = True
    assert deadlock_from(b) is None
    a.timed, a.waits_on = False, None
    assert deadlock_among([a, b]) is None
