"""Prediction says of every small world what is true of it: see differential.py.

Samples, and all pairs of mutexes: `python -m benchmarks --check pairs` does the rest.
"""

from collections import Counter

import pytest
from differential import (LOCKS, MIXED, check, difference, distinct, lockdep_splats, pairs,
                          program_of, sample, scenario_of, triples)
from lock_programs import HANGS, NEEDS_WRITER, SAFE, truth

from harness import force
from harness.runtime.verdict import Verdict


# -- what the kernel's rules come to ---------------------------------------------------------------


@pytest.mark.parametrize("modes, depth, everything, splats", [
    ("M", 3, 120, 33 + 3), ("RW", 2, 465, 48), ("RW", 3, 3081, 918 + 666)])
def test_lockdep_complains_of_as_many_pairs_as_were_counted(modes, depth, everything, splats):
    """Counted with another implementation of the rules; in each sum, those that hang come first."""
    every = pairs(modes, depth)
    assert (len(every), sum(map(lockdep_splats, every))) == (everything, splats)


def test_lockdep_misses_pairs_with_recursive_readers():
    """It misses 207 of the 918 that hang, since it keeps edges from the lock held last alone."""
    assert sum(lockdep_splats(pair, "RR") for pair in pairs("RW")) == 711 + 81


def test_all_pairs_on_three_mutexes_get_the_status_that_is_true():
    """33 hang; lockdep complains of 3 more, which a gate lock makes safe."""
    counts, wrong = check(distinct(pairs("M")))
    assert (counts, wrong) == ({HANGS: 33, SAFE: 120 - 33}, [])


def test_pairs_on_three_semaphores_two_deep_get_the_status_that_is_true():
    """48 hang, as lockdep says: 27 by themselves and 21 with a queued writer."""
    kinds, truths = distinct(pairs("RW", 2)), Counter()
    for pair, weight in kinds.items():
        truths[truth(program_of(pair))] += weight
    assert truths == {HANGS: 27, NEEDS_WRITER: 21, SAFE: 465 - 48}
    counts, wrong = check(sample(kinds, 20, 11))
    assert (len(counts), wrong) == (3, [])


def test_pairs_of_three_semaphores_get_the_status_that_is_true():
    """A sample of the 534 kinds there are of the 3,081 pairs."""
    counts, wrong = check(sample(distinct(pairs("RW")), 12, 5))
    assert wrong == []
    assert min(counts.values()) >= 3 and len(counts) == 3


def test_kinds_of_pairs_stand_for_all_pairs():
    kinds = distinct(pairs("RW"))
    assert (len(kinds), sum(kinds.values())) == (534, 3081)


def test_lockdep_never_misses_what_hangs_on_semaphores_and_mutexes():
    """Of each kind of pairs two deep: those complained of are those that hang, with a writer or
    without.
    """
    kinds = distinct(pairs("RW", 2))
    assert len(kinds) > 20
    for pair in kinds:
        assert lockdep_splats(pair) == (truth(program_of(pair)) != SAFE), pair


# -- beyond the table ------------------------------------------------------------------------------


def test_mutexes_and_semaphores_together_get_the_status_that_is_true():
    counts, wrong = check(sample(pairs(MIXED), 12, 16))
    assert wrong == []
    assert len(counts) == 3


def test_three_threads_get_the_status_that_is_true():
    counts, wrong = check(triples(5, 3))
    assert wrong == []
    assert counts[HANGS] > 4 and counts[SAFE] > 2


@pytest.mark.parametrize("policy", ["fair", "reader"])
def test_other_policies_get_the_status_that_is_true(policy):
    counts, wrong = check(sample(pairs("RW"), 12, 4), policy)
    assert wrong == []
    assert (counts[NEEDS_WRITER] > 0) == (policy == "fair") and counts[HANGS] > 2


@pytest.mark.parametrize("closed, hang", [("AB", 2), ("ABC", 3)])
def test_each_who_holds_one_and_asks_for_the_next_hangs(closed, hang):
    """The cycle of as many threads as there are locks, hand-made, beside the samples."""
    ring = tuple(((lock, "M"), (after, "M")) for lock, after in zip(closed, closed[1:] + closed[0]))
    assert difference(ring) == (HANGS, "")
    result = force(scenario_of(ring))
    assert (result.verdict, len(result.cycle)) == (Verdict.DEADLOCK, hang)


# -- the comparison itself -------------------------------------------------------------------------


def test_a_wrong_status_is_told(monkeypatch):
    """Of an inversion it is told that prediction finds nothing, were it made to look at something
    else.
    """
    inversion = ((("A", "M"), ("B", "M")), (("B", "M"), ("A", "M")))
    straight = ((("A", "M"), ("B", "M")),) * 2
    assert difference(inversion) == (HANGS, "")
    monkeypatch.setattr("differential.scenario_of", lambda sections, policy: scenario_of(straight))
    expected, told = difference(inversion)
    assert expected == HANGS and "predicted clean set()" in told


def test_pairs_that_differ_in_names_are_one_kind():
    one = ((("A", "R"), ("B", "W")), (("B", "R"),))
    two = ((("C", "R"),), (("A", "R"), ("C", "W")))
    other = ((("A", "R"), ("B", "W")), (("A", "R"),))
    assert distinct([one, two]) == {min(distinct([one])): 2}
    assert len(distinct([one, other])) == 2
    assert len(LOCKS) == 3
