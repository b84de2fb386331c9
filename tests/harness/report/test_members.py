"""A deadlock names every thread that can never go on, and draws the cycle among them."""

import pytest
from lock_programs import program

from harness import Verdict, explore, run
from harness.checker.search import search
from harness.programs.threads import scenario_of

# p and q wait for each other; r for what p has. Or: whoever of p and r is to set f waits for q.
BEHIND = "p: lock A; set a; wait b; lock B\nq: lock B; set b; wait a; lock A\nr: wait a; lock A"
ANY_OF_TWO = "p: join q; set f\nq: wait f\nr: join q; set f"


@pytest.mark.parametrize("text, words, members", [
    (BEHIND, "2 threads wait for each other, and 1 more for them",
     {"p": "q holds it", "q": "p holds it", "r": "p holds it"}),
    (ANY_OF_TWO, "3 threads wait for each other",
     {"p": "q is to end the wait", "q": "p or r is to end the wait",
      "r": "q is to end the wait"}),
])
def test_every_member_is_told_with_who_should_act(text, words, members):
    made = program(text)
    result = explore(scenario_of(made))
    assert result.verdict is Verdict.DEADLOCK and result.finding.text == words
    assert {member["role"]: member["why"] for member in result.as_dict()["members"]} == members
    assert len(result.cycle) == 2
    assert all(f"{role} waits for " in str(result) for role in members)
    assert {frozenset(end.members) for end in search(made).deadlocks} == {frozenset(members)}


def test_what_is_drawn_is_the_cycle_and_those_without_whom_it_is_none():
    """The third column of the second is of the story; of the first it is not."""
    heads = [str(explore(scenario_of(program(text)))).partition("\n---")[0].split("\n")[-1].split()
             for text in (BEHIND, ANY_OF_TWO)]
    assert heads == [["p", "q"], ["p", "q", "r"]]


def test_a_hang_has_no_members():
    result = run(scenario_of(program("p: wait f")), runs=1)
    assert (result.verdict, result.as_dict()["members"]) == (Verdict.HANG, [])
