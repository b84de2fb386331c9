"""The pytest plugin: a test has a scenario run, forced or stressed, and fails with the report.

    def test_transfers_do_not_deadlock(lock_harness):
        lock_harness.force(transfers)

pytest imports this file in every session of every project that has the package installed. So
nothing else of `harness` is imported here before it is used, and what others own is left alone:
SIGALRM and ITIMER_REAL are pytest-timeout's, the timer of `faulthandler` is pytest's own. Do not
use them here.

It may well be imported before pytest could rewrite its assertions; it has none. PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from .pytest_support.fixture import LockHarness

_NAMES = ("harness", "harness.pytest_plugin")   # under which it is registered: entry point, -p
_SETTINGS = {
    "timeout": ("S", "judge when nothing has moved for S seconds"),
    "runs": ("N", "how many runs each call makes"),
    "seed": ("N", "seed of lock_harness.stress"),
    "baseline": ("FILE", "cycles of the lock order that are known, each with its reason"),
}
_PREDICT = "fail tests of which the lock order allows a deadlock, whatever threads did this time"
_ALL = *_SETTINGS, "predict"
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
_MARKED = "timeout", "runs", "seed", "predict"
# pytest-replay has an option of that name, and pytest does not start with two.
_REPLAY = "--harness-replay" if importlib.util.find_spec("pytest_replay") else "--replay"


class _Given(NamedTuple):
    """The value of a setting, and where it comes from."""

    value: Any
    source: str


_settings_key = pytest.StashKey[dict[str, _Given]]()
_alarm_key = pytest.StashKey[tuple[float, float]]()
_harness_key = pytest.StashKey["LockHarness"]()
_interrupted_key = pytest.StashKey[tuple[str, str]]()


@pytest.fixture
def lock_harness(request: pytest.FixtureRequest) -> Iterator[LockHarness]:
    """Run, force or stress a scenario of threads and locks; an unexpected verdict fails it."""
    from .pytest_support.fixture import LockHarness
    item = request.node
    given = _given(item)
    tools = item.stash[_harness_key] = LockHarness(
        item, {name: each.value for name, each in given.items()},
        item.config.getoption("harness_replay") or "", _REPLAY,
        item.stash.get(_alarm_key, (math.inf, math.inf)))
    yield tools
    if tools.interrupted:
        item.config.stash[_interrupted_key] = item.nodeid, tools.interrupted
    del item.stash[_harness_key]   # a result keeps the world of its run alive, and items stay


# -- settings ---------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare each setting as an option and as an ini value."""
    group = parser.getgroup("harness", "deadlocks of real threads (fixture lock_harness)")
    for name, (metavar, help_) in _SETTINGS.items():
        group.addoption(f"--harness-{name}", metavar=metavar, help=help_)
        parser.addini(f"harness_{name}", f"lock_harness: {help_}", default=None)
    group.addoption("--predict", dest="harness_predict", action="store_const", const="yes",
                    help=_PREDICT)
    parser.addini("harness_predict", f"yes or no: {_PREDICT}", default=None)
    group.addoption(_REPLAY, dest="harness_replay", metavar="TOKEN",
                    help="where a test asks for the scenario of TOKEN, show the recorded run again")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; read the settings, refusing bad ones before anything runs."""
    config.addinivalue_line("markers", "lock_harness(timeout=S, runs=N, seed=N, predict=BOOL): "
                                       "settings of the fixture lock_harness, and of --predict, "
                                       "for this test")
    if not config.pluginmanager.has_plugin("run-parallel"):
        config.addinivalue_line("markers", "thread_unsafe(reason): not for several threads at once "
                                           "(for pytest-run-parallel; lock_harness sets it)")
    config.stash[_settings_key] = _session_settings(config)
    token = config.getoption("harness_replay")
    if token is not None:
        from .locks.errors import ScenarioError
        from .exploration.token import decode
        try:
            decode(token)
        except ScenarioError as exc:
            raise pytest.UsageError(f"{_REPLAY}: {exc}") from None


def _session_settings(config: pytest.Config) -> dict[str, _Given]:
    """Return the settings of the session. The last source wins; every value is looked at."""
    found = {}
    called, ini = config.invocation_params.dir, config.inipath
    for name in _ALL:
        variable, option = f"HARNESS_{name.upper()}", f"--harness-{name}"
        for value, source, base in (
                (config.getini(f"harness_{name}"), f"ini option harness_{name}",
                 ini.parent if ini else called),
                (os.environ.get(variable), f"environment variable {variable}", called),
                (config.getoption(f"harness_{name}"),
                 "--predict" if name == "predict" else option, called)):
            if value not in (None, ""):
                found[name] = _read(name, base / value if name == "baseline" else value, source)
    return found


def _given(item: pytest.Item) -> dict[str, _Given]:
    """Return the settings of *item*, or fail it with what is wrong with them."""
    try:
        return item.config.stash[_settings_key] | _marked(item)
    except pytest.UsageError as exc:
        raise pytest.fail.Exception(str(exc), pytrace=False) from None


def _marked(item: pytest.Item) -> dict[str, _Given]:
    """Return the settings of the markers of *item*; for each setting the closest marker wins."""
    found: dict[str, _Given] = {}
    for marker in item.iter_markers("lock_harness"):
        source = f"{item.nodeid}: marker lock_harness"
        unknown = [*map(repr, marker.args),
                   *(f"{name}=" for name in marker.kwargs if name not in _MARKED)]
        if unknown:
            raise pytest.UsageError(f"{source}: unknown argument {', '.join(unknown)}; it takes "
                                    f"{', '.join(f'{name}=' for name in _MARKED)}")
        for name, value in marker.kwargs.items():
            found.setdefault(name, _read(name, value, f"{source}: {name}"))
    return found


def _read(name: str, value: Any, source: str) -> _Given:
    """Return the value of a setting, or refuse it with the name of its source."""
    from .locks.errors import ScenarioError
    from .cli.options import positive_int, positive_seconds
    readers: dict[str, Any] = {"timeout": positive_seconds, "runs": positive_int, "seed": int,
                               "baseline": _read_baseline, "predict": _yes_or_no}
    try:
        return _Given(readers[name](str(value)), source)
    except (ArgumentTypeError, ScenarioError) as exc:
        raise pytest.UsageError(f"{source}: {exc}") from None
    except ValueError:
        raise pytest.UsageError(f"{source}: {str(value)!r} is not a whole number") from None


def _yes_or_no(word: str) -> bool:
    if word.lower() not in (*_YES, *_NO):
        raise ArgumentTypeError(f"{word!r} is neither yes nor no")
    return word.lower() in _YES


def _read_baseline(path: str) -> dict[str, str]:
    from .lockorder.finding import read_baseline
    return read_baseline(path)


def _predicts(given: dict[str, _Given]) -> bool:
    return "predict" in given and given["predict"].value


# -- hooks ------------------------------------------------------------------------------------


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Keep this plugin from being registered a second time, under its other name."""
    if plugin is sys.modules[__name__]:
        for name in _NAMES:
            if manager.get_plugin(name) is not plugin:
                manager.set_blocked(name)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show what was set, and where."""
    given = config.stash[_settings_key]
    parts = [f"{name} {_shown(each.value)} ({each.source})" for name, each in given.items()]
    if config.getoption("harness_replay"):
        parts.append(f"replaying ({_REPLAY})")
    return [f"lock harness: {', '.join(parts)}"] if parts else []


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"of {len(value)} cycles" if isinstance(value, dict) else value


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a bad marker before anything runs; keep pytest-run-parallel away from these tests."""
    if not hasattr(item.config, "workerinput"):   # a worker of xdist would die without a word
        _marked(item)
    if "lock_harness" in getattr(item, "fixturenames", ()):
        reason = "lock_harness changes state of the process"
        item.add_marker(pytest.mark.thread_unsafe(reason=reason))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Learn from pytest-timeout when it will end the test. The timer stays its own."""
    item.stash[_alarm_key] = time.monotonic() + settings.timeout, settings.timeout


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Call the locks of each test by the same names, whatever ran before."""
    if _predicts(_given(item)):
        from .pytest_support.watched_run import name_locks_afresh
        name_locks_afresh()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Watch the body of the test, where --predict is given: it stays in this thread."""
    given = _given(item)
    if not _predicts(given):
        return (yield)
    from .pytest_support.watch import watched
    baseline = given["baseline"].value if "baseline" in given else {}
    alarm, _ = item.stash.get(_alarm_key, (math.inf, math.inf))
    item.runtest = functools.partial(watched, item, item.runtest,   # type: ignore[method-assign]
                                     baseline, alarm)
    try:
        return (yield)
    finally:
        vars(item).pop("runtest", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add to the report of a failing test what its calls came to."""
    report = yield
    if report.failed and _harness_key in item.stash:
        report.sections.extend(item.stash[_harness_key].sections())
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Repeat how to see each unexpected verdict again; show where an interrupted run stood."""
    again = {}
    for outcome in ("failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            # Properties, because a worker of xdist sends them along.
            properties = dict(getattr(report, "user_properties", ()))
            if "harness_again" in properties:
                again[report.nodeid] = properties
    if again:
        terminalreporter.section("lock harness: to see it again")
    for nodeid, properties in again.items():
        terminalreporter.write_line(f"{nodeid}: {properties['harness_verdict']}")
        terminalreporter.write_line(f"  {properties['harness_again']}")
    if _interrupted_key in config.stash:
        nodeid, text = config.stash[_interrupted_key]
        terminalreporter.section("lock harness: interrupted")
        terminalreporter.write_line(f"{nodeid}\n\n{text}")
