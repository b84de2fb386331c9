"""Making a failing schedule simple: to the end, of the same failure, by what was really done."""

import time
from types import SimpleNamespace

from harness.exploration import follower
from harness.exploration.follower import Failure, shrink, switches
from harness.runtime.verdict import Finding, Outcome, Verdict

BY_TURNS = [0, 2, 0, 2, 0, 2]    # labels of two roles
FAILURE = Failure(Verdict.ERROR, "it")


def shrunk(monkeypatch, comes_to, deadline=None):
    """Return what becomes of `BY_TURNS`; *comes_to* says of a schedule what is really done in it
    and what text it fails with.
    """
    def follow(world, workers, labels, strictly):
        taken, text = comes_to(labels)
        return SimpleNamespace(steps=[SimpleNamespace(label=label) for label in taken],
                               round=False), Outcome([Finding(Verdict.ERROR, "observed", text)], [])

    monkeypatch.setattr(follower, "follow", follow)
    return shrink(SimpleNamespace(deadline=deadline), None, BY_TURNS, FAILURE)


def test_one_switch_after_another_is_taken_out_until_none_can_be(monkeypatch):
    """It fails so as long as each does all that he does."""
    labels, simplest = shrunk(monkeypatch, lambda labels: (
        labels, "it" if sorted(labels) == sorted(BY_TURNS) else "another"))
    assert (sorted(labels), switches(labels), simplest) == ([0, 0, 0, 2, 2, 2], 1, True)


def test_what_fails_otherwise_is_not_the_same_made_simple(monkeypatch):
    assert shrunk(monkeypatch, lambda labels: (labels, "another")) == (BY_TURNS, True)


def test_schedule_is_as_simple_as_what_was_done_in_it(monkeypatch):
    """Whatever is asked for, the roles go by turns, or end with what was left out."""
    assert shrunk(monkeypatch, lambda labels: (BY_TURNS, "it")) == (BY_TURNS, True)
    labels, _ = shrunk(monkeypatch, lambda labels: ([0, 0, 2, 2, 2, 2], "it"))
    assert labels == [0, 0, 2, 2, 2, 2]


def test_at_the_end_of_the_time_the_simplest_so_far_is_not_called_the_simplest(monkeypatch):
    assert shrunk(monkeypatch, lambda labels: (labels, "it"), time.monotonic()) == (BY_TURNS, False)
