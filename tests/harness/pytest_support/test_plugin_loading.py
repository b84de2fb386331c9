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
def test_session_that_does_not_use_it_imports_nothing_of_the_harness(pytester, without_neighbours):
    pytester.makepyfile(test_plain="""
        import sys
        def test_nothing_is_there(pytestconfig):
            plugin = pytestconfig.pluginmanager.get_plugin("harness")
            assert plugin.__name__ == "pytest_lock_harness"
            assert [m for m in sys.modules if m.startswith(("harness", "readerwriterlock"))] == []
    """)
    arguments = without_neighbours()
    pytester.runpytest_subprocess(*arguments, "test_plain.py").assert_outcomes(passed=1)


def test_nothing_of_the_harness_is_imported_in_the_time_of_a_test(inner_at_once, pytester):
    pytester.makeconftest("""
        import sys, pytest
        late = set()

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_protocol(item):
            before = set(sys.modules)
            answer = yield
            late.update(name for name in set(sys.modules) - before if name.startswith("harness"))
            return answer

        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line(f"late: {sorted(late) or 'none'}")
    """)
    for result in inner_at_once(USES_IT + """
def test_body():
    with Mutex("a"), Mutex("b"):
        pass

@pytest.mark.lock_harness(predict=True)
def test_marked():
    test_body()
""", *[("pytest_lock_harness", *arguments) for arguments in (
            ["-k", "transfers"], ["-k", "body", "--predict"], ["-k", "marked"])]):
        result.assert_outcomes(passed=1, deselected=2)
        result.stdout.fnmatch_lines(["late: none"])


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


def test_inner_sessions_load_no_other_plugin_whatever_is_installed(inner, monkeypatch, tmp_path):
    info = tmp_path / "stranger-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pytest11]\nstranger = strange_to_us\n")
    (tmp_path / "strange_to_us.py").write_text("def pytest_report_header(): return 'a stranger'")
    monkeypatch.syspath_prepend(tmp_path)
    inner(USES_IT).stdout.no_fnmatch_line("a stranger")
    inner(USES_IT, beside="stranger").stdout.fnmatch_lines(["a stranger"])
