"""What is said of a baseline: of the lines that were met, and of those that were not.

A line that matches nothing was misspelt, or its deadlock is gone: silent, it would silence whatever
comes to be called so.
"""

import pytest
import small_worlds

from harness import Completion, Mutex, Scenario, predict
from harness.cli import main

KNOWN = "a -> b -> a"


def said(result):
    """Return the lines of the report that tell of the baseline."""
    return [line for line in str(result).splitlines() if "matched nothing" in line]


def own_wait():
    """A deadlock that no lock order shows: each is to end what the other waits for."""
    first, second = Completion("first"), Completion("second")

    def waits(what, ends, by):
        what.wait(by=by)
        ends.complete()

    return {"one": lambda: waits(first, second, "two"), "two": lambda: waits(second, first, "one")}


@pytest.mark.parametrize("lines, unmatched", [
    ({KNOWN: "seen"}, []), ({"b -> a -> b": "turned round"}, []),
    ({"a -> c -> a": "misspelt"}, ["a -> c -> a"]),
    ({KNOWN: "seen", "x -> x": "gone", "q -> p -> q": "gone"}, ["x -> x", "p -> q -> p"])])
@pytest.mark.parametrize("world", [small_worlds.abba_bare, small_worlds.abba])
def test_a_line_that_matches_no_finding_of_the_call_is_named_in_a_line(world, lines, unmatched):
    result = predict(world, baseline=lines)
    assert said(result) == [f"baseline line '{cycle}' matched nothing" for cycle in unmatched]
    assert result.verdict == ("clean" if len(lines) > len(unmatched) else "deadlock")


def test_a_line_is_met_by_a_deadlock_that_was_seen_and_not_predicted():
    key = predict(own_wait).predictions[0].key
    result = predict(own_wait, baseline={key: "waits", "x -> x": "gone"})
    assert (result.known, said(result)) == ([key], ["baseline line 'x -> x' matched nothing"])
    assert str(result).startswith("CLEAN (judged from 2 runs, no proof): 1 known deadlock "
                                  "(baseline), nothing new\n")


def test_a_known_deadlock_hides_nothing_else_that_came_up_in_its_run():
    def world():
        return {"clumsy": small_worlds.raises()["clumsy"], **own_wait()}

    key = predict(own_wait).predictions[0].key
    result = predict(world, baseline={key: "waits"})
    assert (result.verdict, result.known) == ("error", [key])
    assert "clumsy raised KeyError" in str(result)


def test_of_many_lines_that_match_nothing_the_first_are_named_and_the_rest_counted():
    result = predict(small_worlds.in_order, baseline={f"c{i} -> c{i}": "gone" for i in range(8)})
    assert said(result) == [*(f"baseline line 'c{i} -> c{i}' matched nothing" for i in range(5)),
                            "3 further baseline lines matched nothing"]


def test_nothing_is_said_where_there_is_no_baseline_or_not_all_was_judged():
    assert said(predict(small_worlds.abba)) == []

    def many():
        locks = [Mutex(f"lock {i}") for i in range(5)]

        def takes(first, second):
            with first, second:
                pass

        return Scenario({f"{i} {j}": lambda i=i, j=j: takes(locks[i], locks[j])
                         for i in range(5) for j in range(5) if i != j})

    assert said(predict(many, seconds=1e-9, baseline={"x -> x": "gone"})) == []


def test_the_command_says_it_and_keeps_its_status(tmp_path, capsys):
    known = tmp_path / "known.txt"
    known.write_text(f"{KNOWN}  # seen\nlock -> key -> lock  # misspelt\n", encoding="utf-8")
    assert main(["predict", "small_worlds:abba_bare", "--baseline", str(known)]) == 0
    out = capsys.readouterr().out
    assert "\nbaseline line 'key -> lock -> key' matched nothing\n" in out
    assert out.startswith("CLEAN (judged from 2 runs, no proof): 1 known deadlock (baseline), ")
