"""The pytest plugin: a test has a scenario run, forced or stressed, and fails with the report.

    def test_transfers_do_not_deadlock(lock_harness):
        lock_harness.force(transfers)

pytest imports this file in every session of every project that has the package installed, and such
a project may have a `harness` of its own, which its tests must get. So this file is installed as a
package beside `harness`, and imports nothing of it, not even `harness/__init__.py`, before a test
or a setting asks for it; settings are read when the tests are collected, which shows whose
`harness` they mean. Where it is somebody else's the plugin is off: one line of the header says so,
if it is known by then, and what is asked of the plugin is refused in one line.

Over 250 lines, because pytest wants all hooks of a plugin in one module, and this one can share
nothing with `harness`.

What others own is left alone: SIGALRM and ITIMER_REAL are pytest-timeout's, the timer of
`faulthandler` is pytest's own. Do not use them here.

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
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.pytest_support.fixture import LockHarness

_NAMES = ("harness", "pytest_lock_harness")   # under which it is registered: entry point, -p
_SETTINGS = {
    "timeout": ("--harness-timeout", "S", "judge when nothing has moved for S seconds"),
    "runs": ("--harness-runs", "N", "how many runs each call makes"),
    "seed": ("--harness-seed", "N", "seed of lock_harness.stress"),
    "baseline": ("--harness-baseline", "FILE",
                 "cycles of the lock order that are known, each with its reason"),
    "predict": ("--predict", "yes or no",
                "fail tests of which the lock order allows a deadlock, "
                "whatever threads did this time"),
}
_MARKED = "timeout", "runs", "seed", "predict"
# pytest-replay has an option of that name, and pytest does not start with two.
_REPLAY = "--harness-replay" if importlib.util.find_spec("pytest_replay") else "--replay"

_values_key = pytest.StashKey[dict[str, Any]]()
_alarm_key = pytest.StashKey[tuple[float, float]]()
_harness_key = pytest.StashKey["LockHarness"]()
_interrupted_key = pytest.StashKey[tuple[str, str]]()
_told_key = pytest.StashKey["_Told"]()


@pytest.fixture
def lock_harness(request: pytest.FixtureRequest) -> Iterator[LockHarness]:
    """Run, force or stress a scenario of threads and locks; an unexpected verdict fails it."""
    item = request.node
    off = _why_off()
    if off:
        pytest.fail(f"lock_harness: {off}", pytrace=False)
    from harness.pytest_support.fixture import LockHarness
    tools = item.stash[_harness_key] = LockHarness(
        item, _values_of(item), item.config.getoption("harness_replay") or "", _REPLAY,
        item.stash.get(_alarm_key, (math.inf, math.inf)))
    yield tools
    if tools.interrupted:
        item.config.stash[_interrupted_key] = item.nodeid, tools.interrupted
    del item.stash[_harness_key]   # a result keeps the world of its run alive, and items stay


def _why_off() -> str:
    """Return "" if `harness` is ours, else what it is. Nobody's code is run to know it."""
    module = sys.modules.get("harness")
    spec = getattr(module, "__spec__", None) if module else importlib.util.find_spec("harness")
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    if any(os.path.isfile(os.path.join(folder, "pytest_support", "fixture.py"))
           for folder in folders):
        return ""
    place = getattr(spec, "origin", None) or next(iter(folders), "not a module of files")
    return f"the lock harness is off, because here `harness` is {place}"


# -- settings ---------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare each setting as an option and as an ini value."""
    group = parser.getgroup("harness", "deadlocks of real threads (fixture lock_harness)")
    for name, (option, metavar, help_) in _SETTINGS.items():
        value: dict[str, Any] = {"metavar": metavar} if option.startswith("--harness") else \
            {"action": "store_const", "const": "yes"}
        group.addoption(option, dest=f"harness_{name}", help=help_, **value)
        parser.addini(f"harness_{name}", f"lock_harness, {metavar}: {help_}", default=None)
    group.addoption(_REPLAY, dest="harness_replay", metavar="TOKEN",
                    help="where a test asks for the scenario of TOKEN, show the recorded run again")


class _Told:
    """What the tests told of themselves, as (name, value), workers of xdist included."""

    def __init__(self) -> None:
        self.properties: set[tuple[str, object]] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what the plugin had the test tell."""
        properties = getattr(report, "user_properties", ())    # other plugins make reports, too
        self.properties.update((name, value) for name, value in properties
                               if name in ("harness_known", "harness_replayed"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and who listens to what tests tell."""
    config.stash[_told_key] = _Told()
    config.pluginmanager.register(config.stash[_told_key])
    config.addinivalue_line(
        "markers", "lock_harness(timeout=S, runs=N, seed=N, predict=BOOL): settings of the fixture "
                   "lock_harness, and of --predict, for this test")
    if not config.pluginmanager.has_plugin("run-parallel"):
        config.addinivalue_line("markers", "thread_unsafe(reason): not for several threads at once "
                                           "(for pytest-run-parallel; lock_harness sets it)")


def _given(config: pytest.Config) -> list[tuple[str, str, str]]:
    """Return name, text and source of all that was set for the session; the last source wins."""
    given = []
    called, ini = config.invocation_params.dir, config.inipath
    environment = {} if _why_off() else os.environ    # which may well be meant for theirs
    for name, (option, _, _) in _SETTINGS.items():
        variable = f"HARNESS_{name.upper()}"
        for text, source, base in (
                (config.getini(f"harness_{name}"), f"ini option harness_{name}",
                 ini.parent if ini else called),
                (environment.get(variable), f"environment variable {variable}", called),
                (config.getoption(f"harness_{name}"), option, called)):
            if text:
                given.append((name, str(base / text) if name == "baseline" else text, source))
    token = config.getoption("harness_replay")
    return given if token is None else [*given, ("replay", token, _REPLAY)]


def _values(config: pytest.Config) -> dict[str, Any]:
    """Return the settings of the session, read once. Every one is looked at."""
    if _values_key not in config.stash:
        config.stash[_values_key] = {name: _read(name, text, source)
                                     for name, text, source in _given(config)}
    return config.stash[_values_key]


def _marked(item: pytest.Item) -> dict[str, Any]:
    """Return the settings of the markers of *item*; for each setting the closest marker wins."""
    values: dict[str, Any] = {}
    for marker in item.iter_markers("lock_harness"):
        source = f"{item.nodeid}: marker lock_harness"
        unknown = [*map(repr, marker.args),
                   *(f"{name}=" for name in marker.kwargs if name not in _MARKED)]
        if unknown:
            raise pytest.UsageError(f"{source}: unknown argument {', '.join(unknown)}; it takes "
                                    f"{', '.join(f'{name}=' for name in _MARKED)}")
        for name, value in marker.kwargs.items():
            values.setdefault(name, _read(name, str(value), f"{source}: {name}"))
    return values


def _values_of(item: pytest.Item) -> dict[str, Any]:
    """Return the settings of *item*, or fail it with what is wrong with them."""
    try:
        return _values(item.config) | _marked(item)
    except pytest.UsageError as exc:
        raise pytest.fail.Exception(str(exc), pytrace=False) from None


def _read(name: str, text: str, source: str) -> Any:
    """Return the value of a setting, or refuse it with the name of its source."""
    off = _why_off()
    if off:
        raise pytest.UsageError(f"{source}: {off}")
    from harness.cli.options import positive_int, positive_seconds
    from harness.exploration.token import decode
    from harness.lockorder.finding import read_baseline
    from harness.locks.errors import ScenarioError
    readers: dict[str, Callable[[str], Any]] = {
        "timeout": positive_seconds, "runs": positive_int, "seed": int, "baseline": read_baseline,
        "predict": _yes_or_no, "replay": decode}
    try:
        return readers[name](text)
    except (ArgumentTypeError, ScenarioError) as exc:
        raise pytest.UsageError(f"{source}: {exc}") from None
    except ValueError:
        raise pytest.UsageError(f"{source}: {text!r} is not a whole number") from None


def _yes_or_no(word: str) -> bool:
    yes = word.lower() in ("yes", "true", "on", "1")
    if not yes and word.lower() not in ("no", "false", "off", "0"):
        raise ArgumentTypeError(f"{word!r} is neither yes nor no")
    return yes


# -- hooks ------------------------------------------------------------------------------------


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Keep this plugin from being registered a second time, under its other name."""
    if getattr(plugin, "lock_harness", None) is lock_harness:
        for name in _NAMES:
            if manager.get_plugin(name) is not plugin:
                manager.set_blocked(name)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show what was set, and where; or why nothing can be."""
    off = _why_off()
    parts = {name: f"{name} {text} ({source})" if name in _SETTINGS else f"replaying ({source})"
             for name, text, source in _given(config)}
    return [off or f"lock harness: {', '.join(parts.values())}"] if off or parts else []


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a bad marker before anything runs; keep pytest-run-parallel away from these tests."""
    if not hasattr(item.config, "workerinput"):   # a worker of xdist would die without a word
        _marked(item)
    if "lock_harness" in getattr(item, "fixturenames", ()):
        reason = "lock_harness changes state of the process"
        item.add_marker(pytest.mark.thread_unsafe(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Refuse bad settings, now that all tests are imported; import ours before a test is timed."""
    if not hasattr(session.config, "workerinput"):
        _values(session.config)
    if not session.config.getoption("collectonly") and _is_used(session) and not _why_off():
        importlib.import_module("harness.pytest_support.fixture")


def _is_used(session: pytest.Session) -> bool:
    return any(name == "predict" for name, _, _ in _given(session.config)) or any(
        "lock_harness" in (*getattr(item, "fixturenames", ()), *item.keywords)
        for item in session.items)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Learn from pytest-timeout when it will end the test. The timer stays its own."""
    item.stash[_alarm_key] = time.monotonic() + settings.timeout, settings.timeout


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Call the locks of each test by the same names, whatever ran before."""
    if _values_of(item).get("predict"):
        from harness.pytest_support.watched_run import count_unnamed_locks_afresh
        count_unnamed_locks_afresh()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Watch the body of the test, where --predict is given: it stays in this thread."""
    values = _values_of(item)
    if not values.get("predict"):
        return (yield)
    from harness.pytest_support.watch import watched
    alarm, _ = item.stash.get(_alarm_key, (math.inf, math.inf))
    item.runtest = functools.partial(watched, item, item.runtest,   # type: ignore[method-assign]
                                     values.get("baseline", {}), alarm)
    try:
        return (yield)
    finally:
        vars(item).pop("runtest", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
        item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failing test what its calls came to."""
    report = yield
    if report.failed and _harness_key in item.stash:
        report.sections.extend(item.stash[_harness_key].sections())
    return report


def _unused_token(config: pytest.Config) -> bool:
    """Say whether --replay was given and no test asked for the scenario of the token."""
    return bool(config.getoption("harness_replay") and not config.getoption("collectonly")
                and ("harness_replayed", "yes") not in config.stash[_told_key].properties)


def _unmatched(config: pytest.Config) -> list[str]:
    """Return the cycles of the session's baseline that no test met, if tests were run."""
    if config.getoption("collectonly"):
        return []
    baseline = config.stash.get(_values_key, {}).get("baseline", {})
    told = config.stash[_told_key].properties
    return [cycle for cycle in baseline if ("harness_known", cycle) not in told]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let a session in which the token of --replay was of no use be no success."""
    if exitstatus == pytest.ExitCode.OK and not hasattr(session.config, "workerinput") \
            and _unused_token(session.config):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def _without_lock(stats: Any) -> list[str]:
    """Say how many watched tests passed that took no lock of ours, if any did."""
    unseen = sum("harness_no_lock" in dict(getattr(report, "user_properties", ()))
                 for report in stats.get("passed", ()) if report.when == "call")
    them = "it" if unseen == 1 else "them"
    return [f"{unseen:,} test{'s' * (unseen != 1)} took no lock of harness, and --predict says "
            f"nothing of {them}"] if unseen else []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Repeat how to see each unexpected verdict again; show where an interrupted run stood."""
    again = {}
    stats = terminalreporter.stats
    for report in [*stats.get("failed", ()), *stats.get("error", ())]:
        # Properties, because a worker of xdist sends them along.
        properties = dict(getattr(report, "user_properties", ()))
        if "harness_again" in properties:
            again[report.nodeid] = properties
    if again:
        terminalreporter.section("lock harness: to see it again")
    for nodeid, properties in again.items():
        terminalreporter.write_line(f"{nodeid}: {properties['harness_verdict']}")
        terminalreporter.write_line(f"  {properties['harness_again']}")
    lines, unmatched = [], _unmatched(config)
    if unmatched:
        from harness.report.result import matched_nothing
        lines = matched_nothing(unmatched, " in the tests that ran")
    if _unused_token(config):
        lines.append(f"{_REPLAY}: no test used the token: none that ran asked for its scenario")
    lines += _without_lock(stats)
    if lines:
        terminalreporter.section("lock harness")
    for line in lines:
        terminalreporter.write_line(line)
    if _interrupted_key in config.stash:
        nodeid, text = config.stash[_interrupted_key]
        terminalreporter.section("lock harness: interrupted")
        terminalreporter.write_line(f"{nodeid}\n\n{text}")
