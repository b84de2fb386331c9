"""What counts as the deadlock that was predicted: that of these roles, for these locks."""

import pytest
from small_worlds import abba, handoff_bare, nested_read_bare, waits_for_nobody

from harness import Completion, Mutex, Verdict, force, predict, run
from harness.lockorder.reproduce import as_deadlock


@pytest.mark.parametrize("waits, same", [
    ({"left": "b", "right": "a"}, True), ({"left": "b"}, True),
    ({"left": "a", "right": "b"}, False), ({"left": "b", "other": "a"}, False),
    ({"left": "b", "right": "a", "other": "c"}, False)])
def test_deadlock_of_others_or_for_other_locks_confirms_nothing(waits, same):
    outcome = force(abba).outcome
    assert outcome.verdict is Verdict.DEADLOCK
    assert (as_deadlock(outcome, waits) is outcome) is same


def crossed_by_waits():
    """Each waits for what the other does after its own wait, and nobody says who is to do it."""
    first, second, lock = Completion("first"), Completion("second"), Mutex("lock")

    def one():
        with lock:
            first.wait()
        second.complete()

    def two():
        second.wait()
        first.complete()

    return {"one": one, "two": two}


@pytest.mark.parametrize("waits, same", [
    ({"one": "first", "two": "second"}, True), ({"one": "second", "two": "first"}, False),
    ({"one": "first", "other": "second"}, False)])
def test_hang_is_the_deadlock_of_those_who_wait_so_and_of_nobody_else(waits, same):
    outcome = run(crossed_by_waits, runs=1).outcome
    assert outcome.verdict is Verdict.HANG
    found = as_deadlock(outcome, waits)
    assert (found is not None) is same
    if found is not None:
        assert found.verdict is Verdict.DEADLOCK
        assert [(state.role, state.waits_for) for state in found.gravest.cycle] == [
            ("one", ("two",)), ("two", ("one",))]


def test_run_that_ends_confirms_nothing():
    assert as_deadlock(run(lambda: {"role": lambda: None, "other": Mutex("a").locked},
                           runs=1).outcome, {"role": "a"}) is None
    assert as_deadlock(run(waits_for_nobody, runs=1).outcome, {"waiter": "b"}) is None


def test_writer_is_queued_before_the_reader_whom_it_keeps_out():
    prediction = predict(nested_read_bare).predictions[0]
    assert [(point.role, point.mode) for point in prediction.meeting.points] == [
        ("writer", "exclusive"), ("reader", "shared")]
    assert prediction.met and prediction.status == "forced"


def test_reader_and_holder_meet_before_who_only_waits_for_a_mutex():
    prediction = predict(handoff_bare).predictions[0]
    assert [point.role for point in prediction.meeting.points] == ["writer", "reader2"]
