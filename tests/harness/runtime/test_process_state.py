"""What a call changes of the process, it puts back, whatever happens in between."""

import os
import sys
import threading
from contextlib import suppress

import pytest
import small_worlds

from harness import ScenarioError, Verdict, run, stress
from harness.runtime.process_state import aside, settled, surely

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")


def state():
    """Return what a call may change."""
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return affinity, sys.getswitchinterval()


def test_the_switch_interval_is_changed_inside_only():
    before, seen = sys.getswitchinterval(), []
    with settled(1e-4):
        seen.append(round(sys.getswitchinterval(), 6))
    assert (seen, sys.getswitchinterval()) == ([1e-4], before)


class Trouble(BaseException):
    """Something no `except Exception` sees."""


def broken():
    raise Trouble


@pytest.mark.parametrize("call", [run, stress])
def test_everything_is_put_back_after_an_error_in_the_scenario(call):
    before = state()
    with pytest.raises(ScenarioError, match="it raised Trouble, at test_process_state.py"):
        call(broken, runs=2)
    assert state() == before


@pytest.mark.parametrize("call", [run, stress])
def test_everything_is_put_back_after_refused_roles(call):
    before = state()
    with pytest.raises(ScenarioError):
        call(small_worlds.no_roles, runs=2)
    assert state() == before


def test_two_calls_side_by_side_leave_the_switch_interval_as_it_was():
    """One begins, the other begins, the one ends, the other ends."""
    before = sys.getswitchinterval()
    inside, first_has_left = threading.Event(), threading.Event()

    def second():
        with settled(2e-4):
            inside.set()
            first_has_left.wait()
            still.append(sys.getswitchinterval())

    still = []
    thread = threading.Thread(target=second)
    with settled(1e-4):
        thread.start()
        inside.wait()
    first_has_left.set()
    thread.join()
    after = sys.getswitchinterval()
    sys.setswitchinterval(before)   # the tests after this one are not to suffer
    assert after == before
    assert still == [pytest.approx(2e-4)]    # of the one that was still under way


def test_it_works_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert run(small_worlds.in_order, runs=3).verdict is Verdict.CLEAN


@needs_affinity
@pytest.mark.parametrize("forbidden", ["sched_setaffinity", "sched_getaffinity"])
def test_it_works_where_affinity_is_forbidden(forbidden, monkeypatch):
    def refuse(*args):
        raise PermissionError("not in this sandbox")

    monkeypatch.setattr(os, forbidden, refuse)
    assert run(small_worlds.in_order, runs=3).verdict is Verdict.CLEAN


def test_it_works_without_eventfd(monkeypatch):
    monkeypatch.delattr(os, "eventfd", raising=False)
    assert run(small_worlds.in_order, runs=3).verdict is Verdict.CLEAN


@pytest.mark.parametrize("call", [run, stress])
def test_an_interpreter_without_its_global_lock_is_refused_in_one_line(call, monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(ScenarioError, match="PYTHON_GIL=1") as caught:
        call(small_worlds.in_order, runs=2)
    assert "\n" not in str(caught.value)


def test_an_interpreter_that_says_it_has_its_global_lock_is_accepted(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert run(small_worlds.in_order).verdict is Verdict.CLEAN


def test_what_is_done_aside_ends_wherever_a_signal_handler_raises(monkeypatch):
    """At each line of ours and of the standard library's that it takes."""
    at, left = [0], []

    class Broke(Exception):
        pass

    def trace(frame, event, arg):
        at[0] -= 1
        if at[0] == 0:
            sys.settrace(None)
            raise Broke
        return trace

    def body():
        left.append(1)

    for at_first in range(1, 200):
        left.clear()
        at[0] = at_first
        before = sys.gettrace()
        with suppress(Broke):
            try:
                sys.settrace(trace)
                surely(lambda: aside(body))
            finally:
                sys.settrace(before)
        if at[0] > 0:
            break
        assert left or at_first < 6, at_first    # it was raised before it was tried
    else:
        pytest.fail("it has no end")
