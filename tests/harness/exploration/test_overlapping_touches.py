"""Two stretches conflict whichever is asked of the other, and only where one of them writes."""

from itertools import product

from harness.exploration.stretches import ALL, ANY, READ, WRITE, Touch, Touches, conflicts

HERE = conflicts.__code__
KEYS = [("item", None), ("item", "x"), ("item", "y"), ("attribute", "x"), ALL]
PLACES = [*product((1, 2, ANY), KEYS)]


def touching(place, bits):
    touches = Touches()
    touches[place] = Touch(bits, "it", HERE, 0)
    return touches


def test_conflict_is_mutual_and_never_of_two_that_read():
    found = set()
    for one, other, bits, others in product(PLACES, PLACES, (READ, WRITE), (READ, WRITE)):
        ours, theirs = touching(one, bits), touching(other, others)
        conflict = bool([*conflicts(ours, theirs)])
        assert conflict == bool([*conflicts(theirs, ours)]), (one, other)
        assert not conflict or WRITE in (bits, others)
        found |= {(one, other)} if conflict else set()
    assert ((1, ("item", None)), (1, ("item", "x"))) in found
    assert ((1, ("item", "x")), (1, ("item", "y"))) not in found
    assert ((1, ("item", "x")), (2, ("item", "x"))) not in found
    assert ((ANY, ("attribute", "x")), (2, ALL)) in found
