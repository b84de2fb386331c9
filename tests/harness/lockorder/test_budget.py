"""What the searches of one prediction may use up: states, and time."""

import time

import pytest
from lock_programs import program

from harness.lockorder.feasibility import Budget
from harness.methods.judging import Judge
from harness.methods.tally import Tally

CROSSED = program("one: lock a; lock b; unlock b; unlock a\n"
                  "two: lock b; lock a; unlock a; unlock b")


@pytest.mark.parametrize("deadline, left, spent", [
    (None, 1, False), (None, 0, True), (None, -5, True), (60, 1, False), (60, 0, True),
    (-1, 1, True), (-1, 0, True)])
def test_budget_is_spent_when_no_state_or_no_time_is_left(deadline, left, spent):
    budget = Budget(None if deadline is None else time.monotonic() + deadline, left)
    assert budget.spent is spent
    judge = Judge(Tally("it"), {})
    judge.budget = budget
    assert judge.late is judge.cut_short is spent


def test_each_search_uses_up_the_states_that_it_went_through_and_no_more_than_are_left():
    budget = Budget(left=1_000)
    answer = budget.search(CROSSED)
    assert answer.complete and budget.left == 1_000 - answer.states
    budget.left = 3
    cut = budget.search(CROSSED)
    assert not cut.complete and cut.states <= 4 and budget.spent
