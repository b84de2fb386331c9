"""What each rule for an argument takes and refuses, both sides of every bound, with its words."""

import functools
import threading
from fractions import Fraction

import pytest

from harness import ScenarioError
from harness.locks import arguments

MOST = threading.TIMEOUT_MAX


class Callable:
    def __call__(self):
        pass


def lazy():
    yield


async def awaits():
    pass


async def both():
    yield


@pytest.mark.parametrize("rule, taken, refused, words", [
    (arguments.whole(), [1, 2, 10**9], [0, -1, True, 1.0, "1", None],
     "expected a whole number of at least 1"),
    (arguments.whole(0), [0, 1], [-1, False, 0.5], "expected a whole number of at least 0"),
    (arguments.whole(-5), [-5, 0], [-6, "x"], "expected a whole number$"),
    (arguments.whole(0, 5), [0, 5], [6, 10**40], "expected at most 5"),
    (arguments.whole(), [10**9], [10**9 + 1], "expected at most 1,000,000,000"),
    (arguments.seconds, [1, 0.001, MOST - 1], [0, -1, True, MOST, MOST * 2, float("nan"),
                                               float("inf"), Fraction(1, 2), "1", None],
     "expected a number of seconds above 0"),
    (arguments.limit, [0, -1, 0.5, MOST], [MOST * 2, float("nan"), Fraction(1, 2), "1", None],
     "expected a number of seconds, at most "),
    (arguments.text, ["", "a"], [1, b"a", None], "expected a string"),
    (arguments.flag, [True, False], [0, 1, "yes", None], "expected True or False"),
    (arguments.function, [len, lazy, Callable(), Callable], [1, "f", None], "expected a callable"),
    (arguments.plain, [len, Callable(), functools.partial(len), lambda: None], [lazy, awaits, both],
     "expected a plain function: to call a generator or a coroutine does nothing"),
    (arguments.plain, [len], [1, None], "expected a callable"),
    (arguments.one_of(["a", "b"]), ["a", "b"], ["c", "", "ab", 1, None, ["a"]],
     "expected one of a, b"),
    (arguments.or_none(arguments.text), [None, "a"], [1], "expected a string"),
])
def test_a_rule_takes_what_it_says_and_refuses_the_rest(rule, taken, refused, words):
    assert [rule("n", value) for value in taken] == [None] * len(taken)
    for value in refused:
        with pytest.raises(ScenarioError, match=f"^n is .*, {words}"):
            rule("n", value)
