"""--replay: a test shows a recorded run again."""

import shlex

import pytest

from harness import stress

FOUND_BY_STRESS = """
def test_transfers(lock_harness):
    lock_harness.stress({scenario}, runs=2)

def test_other(lock_harness):
    assert lock_harness.run(ordered, runs=3).coverage["runs"] == 3

def test_other_of_the_kind(lock_harness):
    other = ordered if {scenario} is certain else lambda: ordered()
    assert lock_harness.run(other, runs=3).coverage["runs"] == 3
"""


@pytest.mark.parametrize("scenario", ["certain", "lambda: certain()"])
def test_command_of_the_report_shows_the_finding_again_and_again(inner, scenario):
    test = FOUND_BY_STRESS.format(scenario=f"({scenario})")
    lines = inner(test).outlines
    again = next(line for line in lines if line.startswith("Again: python -m pytest"))
    _, _, _, _, nodeid, *replay = shlex.split(again)
    assert (nodeid, replay[0]) == ("test_it.py::test_transfers", "--replay")
    for _ in range(3):
        result = inner(test, *replay)
        result.assert_outcomes(passed=2, failed=1)    # the other tests do what they always do
        result.stdout.fnmatch_lines(["lock harness: replaying (--replay)", "DEADLOCK: 2 threads *",
                                     "*: 1 run; replayed operations *", again])


def test_token_is_replayed_whatever_tool_the_test_uses_on_its_scenario(inner, token_of_certain):
    result = inner("""
@pytest.mark.parametrize("tool", ["run", "force", "stress"])
def test_transfers(lock_harness, tool):
    coverage = getattr(lock_harness, tool)(certain, runs=9, expect="deadlock").coverage
    assert list(coverage) == ["runs", "replayed_operations"] and coverage["runs"] == 1

def test_other(lock_harness):
    assert lock_harness.run(ordered, runs=3).coverage["runs"] == 3
""", "--replay", token_of_certain)
    result.assert_outcomes(passed=4)


def test_scenario_without_a_name_replays_a_token_recorded_elsewhere(inner, token_of_certain):
    inner("""
def test_transfers(lock_harness):
    def local():
        return certain()
    assert "replayed_operations" in lock_harness.run(local, expect="deadlock").coverage
""", "--replay", token_of_certain).assert_outcomes(passed=1)


def test_replay_of_changed_code_is_no_pass(inner, token_of_certain):
    result = inner("""
def test_transfers(lock_harness):
    def renamed():
        roles = ordered()
        return {"left": roles["left"], "middle": roles["right"]}
    lock_harness.run(renamed)
""", "--replay", token_of_certain)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["NOT REACHED: the code has changed since this was recorded: *"])


def test_scenario_with_arguments_replays_only_what_was_recorded_with_the_same(inner):
    result = inner("""
import harness
def with_tree(*fixes):
    def made():
        return certain()
    made.reference = "scenarios:certain", {"fixes": fixes}
    return made

def test_recorded(lock_harness, pytestconfig):
    pytestconfig.option.harness_replay = harness.stress(with_tree("x"), runs=2).replay

def test_same(lock_harness):
    assert "replayed_operations" in lock_harness.run(with_tree("x"), expect="deadlock").coverage

def test_other(lock_harness):
    verdicts = [verdict for verdict in Verdict]
    assert "replayed_operations" not in lock_harness.run(with_tree("y"), expect=verdicts).coverage
""")
    result.assert_outcomes(passed=3)


def test_option_gives_way_to_the_one_of_pytest_replay(inner, pytester):
    pytester.makepyfile(pytest_replay="""
        def pytest_addoption(parser):
            parser.addoption("--replay")
    """)
    result = inner("def test_nothing(): pass", "-p", "pytest_replay", "--harness-replay=nonsense",
                   in_process=False)
    result.stderr.fnmatch_lines(["ERROR: --harness-replay: this is no replay token*"])


@pytest.fixture
def token_of_certain(pytester):
    """Return the token of a deadlock that stress found in scenarios:certain."""
    pytester.syspathinsert()
    import scenarios
    return stress(scenarios.certain, runs=2).replay


def test_explore_fails_with_a_token_that_shows_it_again(inner):
    test = """
def test_every_order(lock_harness):
    lock_harness.explore(abba, engine=False)

def test_a_proof(lock_harness):
    lock_harness.explore(ordered)
"""
    result = inner(test)
    result.assert_outcomes(passed=1, failed=1)
    again = next(line for line in result.outlines if line.startswith("Again: python -m pytest"))
    replayed = inner(test, *shlex.split(again)[-2:])
    replayed.assert_outcomes(passed=1, failed=1)
    replayed.stdout.fnmatch_lines(["DEADLOCK: 2 threads *", "*: 1 run; replayed operations *",
                                   again])


UNUSED = "--replay: no test used the token: none that ran asked for its scenario"


@pytest.mark.parametrize("test, arguments, status", [
    ("def test_plain(): pass", [], 4),
    ("def test_other(lock_harness): lock_harness.run(ordered)", [], 4),
    ("def test_it(lock_harness): lock_harness.run(certain)\ndef test_plain(): pass",
     ["-k", "plain"], 4),
    ("def test_other(lock_harness): lock_harness.run(ordered, expect='hang')", [], 1),
    ("", [], 5)])
def test_a_token_that_no_test_used_is_an_error_of_the_session(inner, token_of_certain, test,
                                                              arguments, status):
    result = inner(test, *arguments, "--replay", token_of_certain)
    assert result.ret == status
    result.stdout.fnmatch_lines([UNUSED])


@pytest.mark.parametrize("more", [["--collect-only"], []])
def test_a_token_that_a_test_used_is_none_and_neither_is_one_where_no_test_is_run(
        inner, token_of_certain, more):
    result = inner("""
def test_transfers(lock_harness):
    lock_harness.run(certain, expect="deadlock")

def test_plain():
    pass
""", "--replay", token_of_certain, *more)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*no test used*")


def test_without_a_token_a_session_ends_as_ever(inner):
    assert inner("def test_plain(): pass").ret == 0
