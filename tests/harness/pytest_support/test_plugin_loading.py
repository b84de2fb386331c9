"""How the plugin comes into a session, and how little it brings along."""

import subprocess
import sys

import pytest

USES_IT = """
def test_transfers(lock_harness):
    lock_harness.force(abba, expect="deadlock")
"""


@pytest.mark.usefixtures("inner")    # it sets the import path
def test_import_of_the_plugin_brings_nothing_of_the_harness_along():
    code = "import sys, pytest_lock_harness; print([m for m in sys.modules if m.startswith" \
           "(('harness', 'pcimodel', 'readerwriterlock'))])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout == "[]\n"


@pytest.mark.usefixtures("inner")
def test_session_that_does_not_use_it_imports_nothing_of_the_harness(pytester):
    pytester.makepyfile(test_plain="""
        import sys
        def test_nothing_is_there(pytestconfig):
            plugin = pytestconfig.pluginmanager.get_plugin("harness")
            assert plugin.__name__ == "pytest_lock_harness"
            assert [m for m in sys.modules if m.startswith(("harness", "readerwriterlock"))] == []
    """)
    pytester.runpytest_subprocess("test_plain.py").assert_outcomes(passed=1)


@pytest.mark.parametrize("plugins, conftest", [
    ([None, "harness", "pytest_lock_harness"], ""),
    ([None], "pytest_plugins = ['pytest_lock_harness']")], ids=["by option", "by conftest"])
def test_plugin_is_registered_once_however_it_is_named(inner_at_once, pytester, plugins, conftest):
    pytester.makeconftest(conftest)
    for result in inner_at_once(USES_IT + """
def test_it_is_there_once(pytestconfig):
    plugins = pytestconfig.pluginmanager.get_plugins()
    assert len([each for each in plugins if getattr(each, "lock_harness", None)]) == 1
""", *[(plugin, "-W", "error") for plugin in plugins]):
        result.assert_outcomes(passed=2)


def test_plugin_can_be_turned_off(inner):
    result = inner(USES_IT, "-p", "no:harness", plugin=None, in_process=False)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E*fixture 'lock_harness' not found"])
