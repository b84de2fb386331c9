"""Code that raises, through the doors of pytest."""

import pytest

RAISING = """
import os, sys
from harness import Scenario

class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no")

def speechless():
    raise Unspeakable

def role(raises):
    return lambda: {"role": raises}

def check(raises):
    return lambda: Scenario({"role": lambda: None}, check=raises)

def factory(raises):
    def build():
        raises()
    return build

@pytest.mark.parametrize("raises", [speechless, lambda: sys.exit(0), lambda: os._exit(9)])
def test_it(lock_harness, raises):
    getattr(lock_harness, TOOL)(PLACE(raises))

def test_after():
    assert os._exit.__module__ == "posix"
"""


@pytest.mark.parametrize("tool", ["run", "explore"])
@pytest.mark.parametrize("place", ["role", "check", "factory"])
def test_a_test_whose_scenario_raises_fails_and_the_next_one_runs(inner, tool, place):
    result = inner(RAISING + f"TOOL, PLACE = {tool!r}, {place}\n")
    result.assert_outcomes(passed=1, failed=3)


def test_a_watched_test_that_ends_the_process_fails_and_the_next_one_runs(inner):
    """It would have ended the session, with status 0 and without a summary."""
    result = inner("""
import os, threading
from harness import Mutex

def test_leaves():
    with Mutex("a"):
        os._exit(9)

def test_swallows():
    try:
        os._exit(9)
    except BaseException:
        pass

def test_after():
    assert os._exit.__module__ == "harness.locks.exits"
""", "--predict")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*called os._exit(9)*test_it.py:*"])


def test_a_factory_may_skip_its_test_or_fail_it(inner):
    result = inner("""
import pytest

def test_skips(lock_harness):
    lock_harness.run(lambda: pytest.skip("no such machine"))

def test_fails(lock_harness):
    lock_harness.explore(lambda: pytest.fail("it is broken"))
""")
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*it is broken*"])
