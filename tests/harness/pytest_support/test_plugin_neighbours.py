"""Beside pytest-timeout, faulthandler, xdist: their clocks are left alone, and ours comes first."""

import math
import types
from pathlib import Path

import pytest

from harness import Mutex
from harness.methods import run as run_module
from harness.runtime import standstill, workers
from harness.pytest_support.fixture import LockHarness
from harness.pytest_support.watch import limits

HANGS = """
def test_deadlock(lock_harness):
    lock_harness.force(abba)

def test_stuck_outside_our_locks(lock_harness):
    lock_harness.run(stuck)

def test_after(lock_harness):
    lock_harness.run(ordered)
"""


def test_verdict_comes_before_pytest_timeout_ends_the_test_by_signal_or_thread(inner_at_once):
    pytest.importorskip("pytest_timeout")
    for result in inner_at_once(HANGS, *[
            ("pytest_lock_harness", "--timeout=10", f"--timeout-method={method}")
            for method in ("signal", "thread")], beside="timeout"):
        result.assert_outcomes(passed=1, failed=2)
        result.stdout.fnmatch_lines([
            "DEADLOCK: 2 threads wait for each other*",
            "HANG: nothing moved for * s and no cycle explains it*",
            "Limited so as to end before pytest-timeout ends the test *10 s",
            "Outside our locks, and left running: stuck at *"])
        result.stdout.no_fnmatch_line("*Timeout (>10*")


def test_alarm_in_the_middle_of_a_run_shows_who_waited_for_whom(inner):
    pytest.importorskip("pytest_timeout")
    # In place of the alarm's clock: the same signal, sent when the waiter is queued.
    result = inner("""
import signal
from harness import Observer

class Alarm(Observer):
    def lock_contended(self, task, lock, mode):
        if mode == "exclusive":    # not at `held`, should the waiter come first
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

def behind_a_plain_wait():
    lock, never, held = Mutex("lock"), threading.Event(), Completion("held")
    def holder():
        with lock:
            held.complete()
            never.wait()
    def waiter():
        held.wait()
        try:
            lock.acquire()
        finally:
            never.set()    # unwound, it lets the other end, too
    return {"holder": holder, "waiter": waiter}

@pytest.mark.timeout(50, method="signal")
def test_interrupted(lock_harness):
    lock_harness.run(behind_a_plain_wait, observers=lambda: [Alarm()])

def test_after(lock_harness):
    lock_harness.run(ordered)
""", in_process=False, beside="timeout")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Timeout *50.0s*",
                                 "*- lock harness: who waited for whom when the test was ended -*",
                                 "holder runs*", "  and holds lock (exclusive), taken at *",
                                 "waiter waits for lock (exclusive) at *: holder holds it"])


def test_everything_works_without_pytest_timeout(inner):
    inner("""
def test_transfers(lock_harness):
    import sys
    lock_harness.force(abba, expect="deadlock")
    assert lock_harness.alarm[0] == float("inf") and "pytest_timeout" not in sys.modules
""", in_process=False).assert_outcomes(passed=1)


def test_timer_of_faulthandler_goes_on(inner):
    # The dump is due long before the stuck role is judged, but after a first call that ended.
    result = inner("""
def test_stuck(lock_harness):
    lock_harness.force(abba, expect="deadlock")
    lock_harness.run(stuck, expect="hang", timeout=0.3)
""", "-o", "faulthandler_timeout=0.2", in_process=False)
    result.assert_outcomes(passed=1)
    result.stderr.fnmatch_lines(["Timeout (0:00:00.200000)!"])


def test_clocks_of_others_are_never_touched(inner, pytester):
    pytester.makeconftest("""
        import faulthandler, signal
        def refuse(*args, **kwargs):
            raise AssertionError("this clock belongs to somebody else")
    """)
    inner("""
import faulthandler, signal
from conftest import refuse

def test_every_tool(lock_harness, monkeypatch):
    for module, name in [(faulthandler, "dump_traceback_later"), (faulthandler, "enable"),
                         (faulthandler, "cancel_dump_traceback_later"), (faulthandler, "disable"),
                         (signal, "setitimer"), (signal, "alarm")]:
        monkeypatch.setattr(module, name, refuse)
    plain = signal.signal    # what has waited too long outside roles is ended by SIGURG alone
    monkeypatch.setattr(signal, "signal", lambda number, handler: plain(number, handler)
                        if number == signal.SIGURG else refuse())
    lock_harness.run(forgotten, expect="hang")
    lock_harness.run(forgotten, expect="hang", detect="timeout", timeout=0.02)
    lock_harness.force(abba, expect="deadlock")
    lock_harness.stress(abba, expect=("clean", "deadlock"), runs=3)
    monkeypatch.undo()
""").assert_outcomes(passed=1)


@pytest.mark.parametrize("left", [0.1, 1, 2, 3, 4, 5, 10, 60, 3600])
@pytest.mark.parametrize("asked", [(5, None), (5, 1), (10_000, 10_000)])
def test_limits_leave_time_to_judge_and_to_end(left, asked):
    timeout, seconds = limits(left, *asked)
    judged = min(timeout * (1 + 1 / standstill.SLICES), seconds)
    grace = min(workers.GRACE, left / 2)    # with less than two graces left we cannot promise it
    assert 0 < judged + grace <= left
    assert timeout <= asked[0] and seconds <= (asked[1] or math.inf)
    assert timeout * (1 + 1 / standstill.SLICES) < max(left / 2, left - 2 * workers.GRACE)


@pytest.mark.parametrize("left", [math.inf, 0, -1])
def test_limits_change_nothing_when_no_alarm_is_ahead(left):
    assert limits(left, 5, None) == (5, None)


@pytest.mark.parametrize("tool", ["run", "force", "stress"])
def test_clean_runs_cut_short_for_the_alarm_are_no_pass(tool, monkeypatch):
    def one():
        with Mutex("m"):
            pass
    harness = a_moment_before_the_alarm(monkeypatch, runs=10**9)
    # On a slow machine even the first run of force is cut, and has nothing to say of the race.
    expect = ["inconclusive", *["not-reached"] * (tool == "force")]
    result = getattr(harness, tool)(lambda: {"one": one}, expect=expect)
    assert "Limited so as to end before pytest-timeout ends the test after 60 s" in str(result)


@pytest.mark.parametrize("seconds, verdict", [(0.01, "inconclusive"), (600, "clean")])
def test_a_run_that_says_nothing_is_no_pass_if_the_alarm_ends_it_and_one_if_it_ends(
        seconds, verdict, monkeypatch):
    harness = a_moment_before_the_alarm(monkeypatch)
    monkeypatch.setattr("harness.pytest_support.fixture.limits",
                        lambda left, timeout, _: (timeout, seconds))
    most = 100 if verdict == "clean" else 10**9
    monkeypatch.setattr(run_module, "RUNS", most)
    monkeypatch.setattr(run_module, "ENOUGH", math.inf)

    def one():
        with Mutex("m"):
            pass

    result = harness.run(lambda: {"one": one}, expect=verdict)
    assert (result.coverage["runs"] == most) == (verdict == "clean")


@pytest.mark.parametrize("tool", ["run", "force", "stress"])
def test_roles_that_never_stop_moving_are_ended_before_the_alarm(tool, monkeypatch):
    def endless():
        mutex = Mutex("m")
        while True:
            with mutex:
                pass
    harness = a_moment_before_the_alarm(monkeypatch)
    result = getattr(harness, tool)(lambda: {"endless": endless}, expect="inconclusive")
    assert "Limited so as to end before pytest-timeout ends the test after 60 s" in str(result)


def a_moment_before_the_alarm(monkeypatch, **settings):
    """Return the tools of a test that has a moment left, whatever the clock says."""
    monkeypatch.setattr("harness.pytest_support.fixture.limits",
                        lambda left, timeout, _: (timeout, 0.01))
    config = types.SimpleNamespace(rootpath=Path("."),
                                   invocation_params=types.SimpleNamespace(dir="."))
    item = types.SimpleNamespace(nodeid="test_it.py::test_one", user_properties=[], config=config)
    return LockHarness(item, settings, alarm=(math.inf, 60))


def test_reports_and_commands_travel_from_workers_of_xdist(inner):
    pytest.importorskip("xdist")
    result = inner("""
@pytest.mark.lock_harness(runs=0)
def test_badly_marked(lock_harness):
    pass

def test_transfers(lock_harness):
    lock_harness.force(abba)

def test_late_failure(lock_harness):
    assert lock_harness.force(abba, expect="deadlock") is None
""", "-n2", in_process=False, beside="xdist")
    result.assert_outcomes(failed=2, errors=1)
    for lines in (["*_ test_transfers _*", "[[]gw?[]] *", "DEADLOCK: 2 threads *"],
                  ["*- lock harness: scenarios:abba -*", "DEADLOCK: 2 threads *"],
                  ["*marker lock_harness: runs: 0 is below 1"],
                  ["*= lock harness: to see it again =*", "test_it.py::test_transfers: deadlock",
                   "  python -m pytest test_it.py::test_transfers"]):
        result.stdout.fnmatch_lines(lines)


def test_pytest_run_parallel_leaves_these_tests_alone(inner):
    pytest.importorskip("pytest_run_parallel")
    result = inner("""
def test_transfers(lock_harness):
    lock_harness.force(abba, expect="deadlock")
""", "--parallel-threads=4", "-v", in_process=False, beside="run-parallel")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*lock_harness changes state of the process*"])
