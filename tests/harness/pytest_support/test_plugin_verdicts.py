"""What a verdict does to the test that asked for it."""

import xml.etree.ElementTree

import pytest

THREE = """
def test_before(lock_harness):
    lock_harness.run(ordered)

def test_transfers(lock_harness):
    lock_harness.force(abba)

def test_after(lock_harness):
    lock_harness.stress(ordered, runs=5)
"""


def test_deadlock_fails_its_test_with_the_report_and_the_others_still_run(inner):
    result = inner(THREE)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines([
        "*_ test_transfers _*",
        "DEADLOCK: 2 threads wait for each other*",
        "*acquire(b)  <-- waits, right holds it",
        "left waits for b (exclusive) at scenarios.py:*: right holds it",
        "Again: python -m pytest test_it.py::test_transfers",
        "*= lock harness: to see it again =*",
        "test_it.py::test_transfers: deadlock",
        "  python -m pytest test_it.py::test_transfers",
        "FAILED test_it.py::test_transfers - Failed: DEADLOCK: 2 threads*"], consecutive=False)
    result.stdout.no_fnmatch_line("*lock_harness.force(abba)*")    # no traceback beside the report
    assert result.ret == 1


@pytest.mark.parametrize("expect", ["'deadlock'", "Verdict.DEADLOCK", "('clean', 'deadlock')",
                                    "[Verdict.CLEAN, Verdict.DEADLOCK]", "iter(['deadlock'])"])
def test_expected_verdict_passes(inner, expect):
    result = inner(f"""
def test_transfers(lock_harness):
    result = lock_harness.force(abba, expect={expect})
    assert [state["role"] for state in result.cycle] == ["left", "right"]
""")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*lock harness*")


def test_clean_verdict_fails_where_a_deadlock_is_expected(inner):
    result = inner("""
def test_transfers(lock_harness):
    lock_harness.run(ordered, expect="deadlock")
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["CLEAN (100 runs, no proof): nothing found",
                                 "Again: python -m pytest *", "Expected: deadlock",
                                 "test_it.py::test_transfers: clean"])


def test_not_reached_is_no_pass_unless_it_is_expected(inner):
    result = inner("""
def test_fixed(lock_harness):
    lock_harness.force(unmeetable)

def test_known_to_be_fixed(lock_harness):
    lock_harness.force(unmeetable, expect=("clean", "not-reached"))
""")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["NOT REACHED: *"])


@pytest.mark.parametrize("expect, said", [
    ("'dedlock'", "expect: there is no verdict 'dedlock'; did you mean 'deadlock'? the verdicts *"),
    ("3", "expect: there is no verdict 3; the verdicts are deadlock, hang, *"),
    ("()", "expect: no verdict is given")])
def test_unknown_expectation_is_refused_before_anything_runs(inner, expect, said):
    result = inner(f"""
def test_transfers(lock_harness):
    def unused():
        raise AssertionError("the scenario was built")
    lock_harness.run(unused, expect={expect})
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E*UsageError: {said}"])
    result.stdout.no_fnmatch_line("*_verdicts*")


def test_failure_after_a_call_shows_what_the_call_came_to(inner):
    result = inner("""
def test_transfers(lock_harness):
    assert lock_harness.force(abba, expect="deadlock").cycle == "something else"
""")
    result.stdout.fnmatch_lines(["E * assert *", "*- lock harness: scenarios:abba -*",
                                 "DEADLOCK: *"])
    result.stdout.no_fnmatch_line("*to see it again*")    # that verdict was expected


def test_worlds_of_a_test_are_gone_when_it_is_over(inner):
    inner("""
import gc, weakref
worlds = []

def test_transfers(lock_harness):
    def watched():
        role = Mutex("m").acquire
        worlds.append(weakref.ref(role.__self__))
        return {"one": lambda: role(False), "two": lambda: role(False)}
    lock_harness.run(watched, expect="violation")

def test_after():
    gc.collect()
    assert [world() for world in worlds] == [None]
""").assert_outcomes(passed=2)


def test_scenario_that_makes_no_sense_is_an_error_in_one_line(inner):
    result = inner("""
def test_transfers(lock_harness):
    lock_harness.run(dict)
""")
    result.stdout.fnmatch_lines(["E*ScenarioError: scenario builtins:dict returned no roles: *"])


def test_verdicts_and_what_shows_them_again_reach_junit(inner, pytester):
    inner("""
def test_transfers(lock_harness):
    lock_harness.run(ordered)
    lock_harness.stress(certain, runs=2)
""", "--junit-xml=report.xml")
    tree = xml.etree.ElementTree.parse(pytester.path / "report.xml")
    found = [(each.get("name"), each.get("value")) for each in tree.iter("property")]
    token = dict(found)["harness_replay"]
    again = f"python -m pytest test_it.py::test_transfers --replay {token}"
    assert token and found == [("harness_verdict", "clean"), ("harness_verdict", "deadlock"),
                               ("harness_replay", token), ("harness_again", again)]


def test_command_to_see_it_again_holds_where_pytest_was_called(inner, pytester, monkeypatch):
    pytester.makeini("[pytest]")
    monkeypatch.chdir(pytester.mkdir("below"))
    result = inner("""
@pytest.mark.parametrize("name", ["two words"])
def test_transfers(lock_harness, name):
    lock_harness.force(abba)
""", "--rootdir", str(pytester.path), str(pytester.path))
    result.stdout.fnmatch_lines(
        ["  python -m pytest '../test_it.py::test_transfers[[]two words[]]'"])


def test_ctrl_c_ends_the_session_with_who_waited_for_whom(inner):
    # The signal comes when one role is queued behind the other, which waits outside our locks.
    result = inner("""
import signal
from harness import Observer

class CtrlC(Observer):
    def lock_contended(self, task, lock, mode):
        if mode == "exclusive":    # not at `held`, should the waiter come first
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

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

def test_interrupted(lock_harness):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    lock_harness.run(behind_a_plain_wait, observers=lambda: [CtrlC()])

def test_never_begun(lock_harness):
    pass
""", in_process=False)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*= lock harness: interrupted =*", "test_it.py::test_interrupted",
                                 "INCONCLUSIVE: *",
                                 "waiter waits for lock (exclusive) *: holder holds it"])


def test_a_check_that_returns_false_fails_the_test_with_its_place(inner):
    result = inner("""
def balance(check):
    lock = Mutex("lock")
    def role():
        with lock:
            pass
    return Scenario({"one": role, "two": role}, check=check)

@pytest.mark.parametrize("tool", ["run", "explore", "stress", "predict"])
def test_no(lock_harness, tool):
    getattr(lock_harness, tool)(lambda: balance(lambda: 1 + 1 == 3))

def test_yes(lock_harness):
    assert lock_harness.explore(lambda: balance(lambda: 1 + 1 == 2))
""")
    result.assert_outcomes(passed=1, failed=4)
    said = "VIOLATION: the check at the end failed: it returned False: lambda at test_it.py:13:*"
    result.stdout.fnmatch_lines([said] * 4)


def test_search_that_was_cut_is_no_pass(inner):
    inner("""
def test_it(lock_harness):
    lock_harness.explore(ordered, strategy="dfs", max_schedules=1)
""").assert_outcomes(failed=1)
