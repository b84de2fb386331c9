"""Engine, exploration and prediction agree on programs of which an independent checker, which
visits every state, said whether they hang: tests/data/agree-cases.json.
"""

from pathlib import Path

import pytest
from lock_programs import HANGS, SAFE, predict_program, predicted, program

from harness import explore
from harness.checker.search import search
from harness.programs.format import File
from harness.programs.threads import scenario_of

FILE = Path(__file__).parent.parent.parent / "data" / "agree-cases.json"
CASES = {case.name: case.versions["before"] for case in File(str(FILE)).cases()}
EXPECTED = {"deadlock": HANGS, "ok": SAFE}
every_case = pytest.mark.parametrize("version", CASES.values(), ids=CASES)


def test_there_are_as_many_cases_as_there_were():
    assert len(CASES) == 71


@every_case
def test_prediction_says_what_the_independent_checker_says(version):
    assert predicted(predict_program(version.program)) == EXPECTED[version.expected]


@every_case
def test_deadlock_the_engine_knows_is_confirmed_on_real_threads(version):
    """Without a search: the one schedule that was tried is the engine's; and in its word."""
    answer = search(version.program)
    if not answer.deadlocks:
        return
    result = explore(scenario_of(version.program), max_schedules=1)
    word = "deadlock" if answer.deadlocks[0].circle else "hang"
    assert (str(result.verdict), result.coverage["schedules"]) == (word, 1)


# -- the follower of the engine's schedules --------------------------------------------------------


@pytest.mark.parametrize("text", [
    # Each has begun, which is a look and an end of a wait, before the other is waited for.
    "t0: begin -; sync t1\nt1: begin -; sync t0",
    "t0: begin -; lock a; sync t1; unlock a\nt1: begin -; lock b; sync t0; unlock b",
    # A flag that is set and cleared has two stops.
    "t0: set f; lock a; lock b; unlock b; unlock a\n"
    "t1: wait f; clear f; lock b; lock a; unlock a; unlock b\nt2: wait_clear f",
    # Who has queued is overtaken, and never gets the semaphore.
    "t0: begin -; down_write s; up_write s\n"
    "t1: down_read s; up_read s; down_write s; sync t0; up_write s",
    "t0: down_write s; up_write s; set f\n"
    "t1: down_read s; up_read s; down_write s; wait f; up_write s"])
def test_witness_of_several_stops_an_operation_is_followed_to_its_end(text):
    result = explore(scenario_of(program(text)))
    assert (str(result.verdict), result.coverage["schedules"]) == ("deadlock", 1)
    assert result.coverage["engine"].endswith("confirmed on real threads")
