"""Engine and real threads end alike: in the same word, whatever a program ends in."""

import pytest
from ending_programs import random_program
from lock_programs import program

from harness import Verdict, explore
from harness.checker.search import search
from harness.methods.predict import predict
from harness.programs.threads import scenario_of

# Of each word some; drawn at random (ending_programs.py), and of few schedules.
SEEDS = (0, 1, 2, 7, 10, 12, 13, 15, 23, 24, 25, 31, 36, 44, 46, 51)


def words(tested):
    """Return the gravest word of all states, and of all schedules."""
    result = explore(scenario_of(tested), strategy="dfs", all=True, max_schedules=5_000)
    assert result.coverage["complete"] and str(result)
    return search(tested).verdict, str(result.verdict)


@pytest.mark.parametrize("text, word", [
    ("t: lock a\nu: lock a; unlock a", "violation"),
    ("t: down_read s; wait f\nu: down_read s; set f; up_read s", "violation"),
    ("t: trylock a 1; wait f; unlock a\nu: set f; lock a", "violation"),
    ("t: trylock a 1; wait f; unlock a\nu: lock a; set f", "deadlock"),
    # What is kept is taken away: who wants it waits for nobody, and misses a release of its own.
    ("t: lock a; lock b; unlock a\nu: lock b; lock a; unlock a; unlock b", "deadlock"),
    # Cancelled with a lock in hand, or while it waits for one: that one it never had.
    ("t: sync u\nu: lock a; begin -; unlock a", "violation"),
    ("t: lock a; sync u; unlock a\nu: lock a; begin -; unlock a", "clean"),
    ("t: down_write s; sync u; up_write s\nu: down_read s; begin -; up_read s", "clean"),
    ("t: down_read s; sync u; down_read s; up_read s; up_read s\nu: down_write s; up_write s",
     "clean"),
    ("t: lock a; sync u; lock b; unlock b; unlock a\n"
     "u: lock b; lock a; begin -; unlock a; unlock b", "violation"),
])
def test_program_ends_on_real_threads_in_the_word_of_the_engine(text, word):
    assert words(program(text)) == (word, word)
    # Nested reads would need a further writer: of a program that ends well that may be predicted.
    assert str(predict(scenario_of(program(text))).verdict) in (
        [word, "predicted"] if word == "clean" else [word])


def test_engine_says_violation_in_the_coverage_of_explore():
    """The first schedule ends well, so that the engine is asked. t stands before or after its
    operation, 2; u before each of its two, at its end with the lock and without, ended, 5.
    """
    tested = program("t: set f\nu: jump_if f 1; lock a")
    result = explore(scenario_of(tested))
    assert (str(result.verdict), result.coverage["engine"]) == (
        "violation", "violation (all 10 states)")


@pytest.mark.parametrize("seed", SEEDS)
def test_random_program_ends_on_real_threads_in_the_word_of_the_engine(seed):
    word, on_threads = words(random_program(seed))
    assert word == on_threads == str(predict(scenario_of(random_program(seed))).verdict)


@pytest.mark.parametrize("text", ["t: lock a\nu: lock a; unlock a",
                                  "t: trylock a 1; lock b; unlock b\nu: lock b; unlock b"])
def test_the_picture_has_no_column_for_a_role_that_did_nothing_yet(text):
    """The second had begun, which is a step but no row: a column as wide as its widest row."""
    result = explore(scenario_of(program(text)))
    assert result.verdict is Verdict.VIOLATION
    assert f"\nt\n{'-' * 100}\n" in str(result)
