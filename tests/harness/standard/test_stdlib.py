"""A sample of CPython's own tests; `python -m benchmarks --check stdlib` does all of them."""

import pytest

from benchmarks import stdlib

# Those that take no time. The first of a class is not one of them on every Python.
SAMPLE = {"test_queue_task_done", "test_shrinking_queue", "test_simple", "test_reentrancy",
          "test_shutdown_immediate_join", "test_shutdown_nowait", "test_maxsize"}


def sample():
    return [case for suite in stdlib.SUITES.values() for case in suite()
            if case._testMethodName in SAMPLE]


@pytest.mark.parametrize("case", sample(), ids=lambda case: case.id())
def test_a_test_of_cpython_passes_with_ours_outside_a_run_and_in_one(case):
    assert stdlib._outside(case) == stdlib._inside(case) == ""
