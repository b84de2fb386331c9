"""timeout, runs and seed: where they may come from, which source wins, how bad ones are refused."""

import pytest

RUNS = """
{marker}
def test_runs(lock_harness):
    assert lock_harness.run(ordered).coverage["runs"] == {expected}
"""


@pytest.mark.parametrize("sources, expected", [
    ("marker option variable ini", 5), ("option variable ini", 4), ("variable ini", 3), ("ini", 2),
    ("", 100)])
def test_marker_wins_over_option_over_environment_over_ini(inner, pytester, monkeypatch, sources,
                                                           expected):
    if "variable" in sources:
        monkeypatch.setenv("HARNESS_RUNS", "3")
    pytester.makeini(f"[pytest]\nharness_runs = {2 if 'ini' in sources else ''}")
    marker = "@pytest.mark.lock_harness(runs=5)" if "marker" in sources else ""
    options = ["--harness-runs=4"] if "option" in sources else []
    inner(RUNS.format(marker=marker, expected=expected), *options).assert_outcomes(passed=1)


def test_argument_of_the_call_wins_over_the_marker(inner):
    inner("""
@pytest.mark.lock_harness(runs=5, seed=6)
def test_runs(lock_harness):
    coverage = lock_harness.stress(ordered, runs=7).coverage
    assert (coverage["runs"], coverage["seed"]) == (7, 6)
""").assert_outcomes(passed=1)


def test_closest_marker_wins_for_each_setting_by_itself(inner):
    inner("""
pytestmark = pytest.mark.lock_harness(runs=2, seed=3)

@pytest.mark.lock_harness(runs=5)
def test_runs(lock_harness):
    coverage = lock_harness.stress(ordered).coverage
    assert (coverage["runs"], coverage["seed"]) == (5, 3)
""").assert_outcomes(passed=1)


def test_every_tool_gets_the_settings_it_knows(inner):
    inner("""
def test_settings(lock_harness):
    hang = lock_harness.run(forgotten, expect="hang", detect="timeout", runs=1)
    assert "nothing moved for 0.04 s" in str(hang)
    assert lock_harness.force(abba, expect="deadlock").coverage["runs"] == 3
    stressed = lock_harness.stress(ordered).coverage
    assert (stressed["runs"], stressed["seed"]) == (3, 8)
""", "--harness-timeout=0.04", "--harness-runs=3", "--harness-seed=8").assert_outcomes(passed=1)


def test_stress_for_some_seconds_is_not_bounded_by_the_usual_number_of_runs(inner):
    inner("""
def test_seconds(lock_harness):
    asked = lock_harness._with_settings("stress", {"seconds": 3})
    assert (asked.get("runs"), asked["seconds"]) == (None, 3)
    assert lock_harness._with_settings("stress", {})["runs"] == 1000
""").assert_outcomes(passed=1)


@pytest.mark.parametrize("value, said", [
    ("--harness-timeout=soon", "--harness-timeout: 'soon' is not a number of seconds"),
    ("--harness-timeout=0", "--harness-timeout: 0 is not a number of seconds above 0"),
    ("--harness-runs=0", "--harness-runs: 0 is below 1"),
    ("--harness-seed=1.5", "--harness-seed: '1.5' is not a whole number"),
    ("HARNESS_RUNS=many", "environment variable HARNESS_RUNS: 'many' is not a whole number"),
    ("HARNESS_TIMEOUT=nan", "environment variable HARNESS_TIMEOUT: nan is not a number *"),
    ("ini harness_seed=x", "ini option harness_seed: 'x' is not a whole number"),
    ("ini harness_timeout=-1", "ini option harness_timeout: -1 is not a number of seconds above 0"),
    ("--replay=nonsense", "--replay: this is no replay token (was it cut short?)")])
def test_bad_value_is_refused_in_one_line_that_names_its_source(inner, pytester, monkeypatch, value,
                                                                said):
    options = [value] if value.startswith("--") else []
    if value.startswith("HARNESS"):
        monkeypatch.setenv(*value.split("="))
    if value.startswith("ini "):
        pytester.makeini(f"[pytest]\n{value[4:]}")
    result = inner(THAT_NEVER_RUNS, *options)
    errors = [line for line in result.stderr.lines if line]
    assert (result.ret, len(errors)) == (pytest.ExitCode.USAGE_ERROR, 1)
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


NEVER_RUNS = "test_it.py::test_never_runs"
THAT_NEVER_RUNS = """
def test_never_runs(lock_harness):
    raise AssertionError
"""


@pytest.mark.parametrize("arguments, said", [
    ("timeout='soon'", "timeout: 'soon' is not a number of seconds"),
    ("timeout=None", "timeout: 'None' is not a number of seconds"),
    ("runs=2.5", "runs: '2.5' is not a whole number"),
    ("runs=True", "runs: 'True' is not a whole number"),
    ("3", "unknown argument 3; it takes timeout=, runs=, seed=, predict="),
    ("tries=3, runs=1", "unknown argument tries=; it takes timeout=, runs=, seed=, predict=")])
def test_bad_marker_is_refused_in_one_line_before_anything_runs(inner, arguments, said):
    result = inner(f"@pytest.mark.lock_harness({arguments}){THAT_NEVER_RUNS}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.stderr.lines if line]
    assert errors == [f"ERROR: {NEVER_RUNS}: marker lock_harness: {said}"]


def test_bad_marker_set_late_fails_its_test_in_one_line(inner, pytester):
    pytester.makeconftest("""
        import pytest
        def pytest_collection_modifyitems(items):
            items[0].add_marker(pytest.mark.lock_harness(runs=0))
    """)
    result = inner(THAT_NEVER_RUNS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*_ ERROR at setup of test_never_runs _*",
                                 f"{NEVER_RUNS}: marker lock_harness: runs: 0 is below 1",
                                 "*= short test summary info =*"], consecutive=True)


def test_header_speaks_of_settings_only_when_there_are_some(inner, pytester, monkeypatch):
    inner(THAT_NEVER_RUNS, "--collect-only").stdout.no_fnmatch_line("*lock harness*")
    monkeypatch.setenv("HARNESS_SEED", "12345678901")
    result = inner(THAT_NEVER_RUNS, "--collect-only", "--harness-timeout=3")
    result.stdout.fnmatch_lines(["lock harness: timeout 3 (--harness-timeout), "
                                 "seed 12345678901 (environment variable HARNESS_SEED)"])


def test_markers_are_registered(inner):
    inner("""
@pytest.mark.lock_harness(runs=1)
def test_marked(lock_harness):
    lock_harness.run(ordered)
""", "--strict-markers", "-W", "error").assert_outcomes(passed=1)


def test_tests_that_use_the_fixture_are_kept_from_running_in_parallel_threads(inner):
    inner("""
def test_using_it(request, lock_harness):
    assert request.node.get_closest_marker("thread_unsafe").kwargs["reason"]

def test_not_using_it(request):
    assert request.node.get_closest_marker("thread_unsafe") is None
""").assert_outcomes(passed=2)


def test_baseline_of_an_ini_file_is_beside_it(inner, pytester, monkeypatch):
    pytester.makeini("[pytest]\nharness_baseline = known.txt\n")
    pytester.path.joinpath("known.txt").write_text("a -> b -> a  # a ticket\n")
    below = pytester.mkdir("below")
    below.joinpath("test_below.py").write_text("def test_it(lock_harness): pass")
    monkeypatch.chdir(below)
    result = inner("", str(below / "test_below.py"))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*: baseline {pytester.path}/known.txt (ini option *)"])


def test_an_argument_that_a_tool_has_not_is_refused_with_the_nearest_that_it_has(inner):
    result = inner("""
@pytest.mark.parametrize("tool, argument, near", [
    ("run", "rnus", "did you mean 'runs'"), ("run", "some", "there are scenario, runs"),
    ("force", "seed", "there are "), ("explore", "fersh", "did you mean 'fresh'")])
def test_it(lock_harness, tool, argument, near):
    with pytest.raises(ValueError, match=f"{tool}: unknown argument '{argument}'; {near}"):
        getattr(lock_harness, tool)(ordered, **{argument: 1})

@pytest.mark.parametrize("argument", ["timeout", "seconds", "runs"])
def test_type(lock_harness, argument):
    with pytest.raises(ValueError, match=f"{argument} is 'x', expected a"):
        lock_harness.run(ordered, **{argument: "x"})
""")
    result.assert_outcomes(passed=7)
