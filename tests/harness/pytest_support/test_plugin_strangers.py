"""In a project that has a `harness` of its own, its tests get that one, and the plugin is off."""

import importlib
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

THEIRS = "def whose(): return 'theirs'\n"
THEIR_TESTS = """
import harness
def test_module_has_theirs():
    assert harness.whose() == "theirs"
def test_body_has_theirs():
    from harness import whose
"""
FOR_US = "def test_for_us(lock_harness): raise AssertionError\n"
# The current directory is first on the import path, or not on it.
PYTHON_M_PYTEST, PYTEST = ["-m", "pytest"], ["-P", "-m", "pytest"]


@pytest.fixture
def project(inner, pytester, without_neighbours):
    """Return a function that runs *call* in a project with a `harness`, as a process of its own."""
    def run(theirs, call, tests=THEIR_TESTS):
        file = pytester.path / theirs
        file.parent.mkdir(exist_ok=True)
        file.write_text(THEIRS)
        folder = file.parent if file.parent.name == "tests" else pytester.path
        (folder / "test_theirs.py").write_text(tests)
        return subprocess.run([sys.executable, *call, "-p", "no:cacheprovider",
                               *without_neighbours()],
                              cwd=pytester.path, text=True, capture_output=True)

    return run


@pytest.mark.parametrize("theirs", ["harness.py", "harness/__init__.py", "tests/harness.py"])
def test_all_tests_of_a_project_run_with_its_own_harness(project, pytester, theirs):
    for call in (PYTHON_M_PYTEST, PYTEST):
        result = project(theirs, call)
        assert (result.returncode, result.stderr) == (0, "")
        assert " 2 passed in " in result.stdout
        header = [line for line in result.stdout.splitlines() if "lock harness" in line]
        known = call is PYTHON_M_PYTEST and "tests" not in theirs    # before a test is looked at
        assert header == [off(pytester, theirs)] * known


def off(pytester, theirs):
    return f"the lock harness is off, because here `harness` is {pytester.path / theirs}"


@pytest.mark.parametrize("theirs, option, ini", [
    ("harness.py", "--predict", ""),
    ("harness/__init__.py", "--harness-baseline=none.txt", ""),
    ("tests/harness.py", "--replay=x", ""),
    ("tests/harness.py", "-v", "harness_runs=1")])
def test_settings_are_refused_in_one_line(project, pytester, theirs, option, ini):
    pytester.makeini(f"[pytest]\n{ini}")
    result = project(theirs, [*PYTEST, option])
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    source = "ini option harness_runs" if ini else option.partition("=")[0]
    assert result.stderr.strip() == f"ERROR: {source}: {off(pytester, theirs)}"


def test_environment_variables_may_be_theirs_and_are_ignored(project, monkeypatch):
    monkeypatch.setenv("HARNESS_RUNS", "many")
    monkeypatch.setenv("HARNESS_PREDICT", "1")
    result = project("tests/harness.py", PYTEST)
    assert (result.returncode, result.stderr) == (0, "")
    assert " 2 passed in " in result.stdout


def test_fixture_fails_its_test_in_one_line_and_no_other(project, pytester):
    result = project("harness.py", PYTEST, THEIR_TESTS + FOR_US)
    assert " 2 passed, 1 error in " in result.stdout
    assert f"_\nlock_harness: {off(pytester, 'harness.py')}\n=" in result.stdout


def test_marker_is_refused_in_one_line(project, pytester):
    marked = "import pytest\n@pytest.mark.lock_harness(predict=True)\n" + FOR_US
    result = project("harness.py", PYTEST, marked)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.strip() == f"ERROR: test_theirs.py::test_for_us: marker lock_harness: " \
                                    f"predict: {off(pytester, 'harness.py')}"


def test_folder_that_python_passes_over_is_no_harness_of_theirs(inner, pytester):
    pytester.mkdir("harness")    # without __init__.py it gives way to a package further on the path
    result = inner("""
def test_transfers(lock_harness):
    lock_harness.force(abba, expect="deadlock")
""", "--predict", plugin=None, in_process=False)
    result.assert_outcomes(passed=1)


def test_module_made_by_hand_is_no_harness_of_ours(inner, monkeypatch):
    monkeypatch.setitem(sys.modules, "harness", types.ModuleType("harness"))
    plugin = importlib.import_module("pytest_lock_harness")
    assert plugin._why_off().endswith("here `harness` is not a module of files")


def test_console_script_runs_scenarios_beside_a_harness_of_theirs(inner, pytester, site_packages):
    """As installed it has its own folder, not the current one, first on the import path."""
    pytester.path.joinpath("harness.py").write_text(THEIRS)
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["harness"]
    module, _, function = entry.partition(":")
    script = f"import sys; from {module} import {function}; sys.exit({function}())"
    result = subprocess.run([sys.executable, "-P", "-c", script, "force", "scenarios:abba"],
                            cwd=pytester.path, text=True, capture_output=True)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.startswith("DEADLOCK: 2 threads wait for each other")
