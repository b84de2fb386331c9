"""pytest inside pytest: a directory with scenarios, in which the inner pytest runs."""

import os
import subprocess
import sys
import time
import tomllib
from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path

import pytest

# An inner run in this process forgets, when it ends, the modules that it was the first to import.
# All of `harness` is imported here, so that there is never a second copy of a part of it.
import harness.cli
import harness.pytest_support.fixture
import harness.pytest_support.offline_predict  # noqa: F401

ROOT = Path(__file__).parents[3]

SCENARIOS = '''
    import threading
    from harness import At, Completion, Meet, Mutex, Scenario, Verdict

    def ordered():
        a, b = Mutex("a"), Mutex("b")
        def role():
            with a, b:
                pass
        return {"left": role, "right": role}

    def abba():
        a, b = Mutex("a"), Mutex("b")
        def left():
            with a, b:
                pass
        def right():
            with b, a:
                pass
        return {"left": left, "right": right}

    def certain():
        """Deadlock every time, without being forced."""
        a, b, first, second = Mutex("a"), Mutex("b"), Completion("first"), Completion("second")
        def left():
            with a:
                first.complete(), second.wait()
                with b:
                    pass
        def right():
            with b:
                second.complete(), first.wait()
                with a:
                    pass
        return {"left": left, "right": right}

    def unmeetable():
        where = At("left", "b", holding=("a",)), At("right", "a", holding=("b",))
        return Scenario(ordered(), meet=Meet(*where))

    def forgotten():
        return {"waiter": Completion("never").wait}

    def stuck():
        return {"stuck": threading.Event().wait, "waiter": lambda: None}
'''


@pytest.fixture(scope="session")
def site_packages(tmp_path_factory):
    """Return a folder in which the package looks installed, as pyproject.toml declares it."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = pyproject["tool"]["setuptools"]["packages"]["find"]
    site = tmp_path_factory.mktemp("site-packages")
    for where in packages["where"]:
        for file in (ROOT / where).glob("*/__init__.py"):
            if any(fnmatch(file.parent.name, pattern) for pattern in packages["include"]):
                (site / file.parent.name).symlink_to(file.parent)
    info = site / "look_alike-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: look-alike\nVersion: 1\n")
    plugins = pyproject["project"]["entry-points"]["pytest11"].items()
    (info / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{name} = {module}\n" for name, module in plugins))
    return site


@pytest.fixture(scope="session")
def without_neighbours():
    """Return a function that returns the arguments with which pytest loads, of all plugins that are
    installed, ours and those that are named.
    """
    def arguments(*wanted):
        others = {each.name for each in entry_points(group="pytest11")} - {"harness", *wanted}
        return [word for name in sorted(others) for word in ("-p", f"no:{name}")]

    return arguments


@pytest.fixture
def inner(pytester, monkeypatch, site_packages, without_neighbours):
    """Return a function that runs the inner pytest on the text of a test file, with the plugin and,
    whatever else is installed, with no other but the neighbours that `beside` names.
    """
    for name in [*os.environ]:
        # The last two: pytest shows each message twice, the second time uncut, where they are set.
        if name.startswith(("HARNESS_", "PYTEST_TIMEOUT", "PYTEST_ADDOPTS", "PYTEST_PLUGINS",
                            "PYTEST_DISABLE_")) or name in ("CI", "BUILD_NUMBER"):
            monkeypatch.delenv(name)
    path = [str(site_packages), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    # The plugin of this tree, whatever copy of it the outer session has loaded.
    monkeypatch.delitem(sys.modules, "pytest_lock_harness", raising=False)
    monkeypatch.syspath_prepend(site_packages)
    pytester.makepyfile(scenarios=SCENARIOS)

    def run(text, *arguments, in_process=True, plugin="pytest_lock_harness", beside=""):
        pytester.makepyfile(test_it=f"import pytest\nfrom scenarios import *\n{text}")
        call = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
        return call(*without_neighbours(beside), *_arguments(plugin, arguments))

    return run


def _arguments(plugin, arguments):
    return ["-ra", "-p", "no:cacheprovider", *(["-p", plugin] if plugin else []), *arguments]


@pytest.fixture
def inner_at_once(inner, pytester, without_neighbours):
    """Return a function that runs inner pytests on one text, each as a process of its own, side by
    side; it takes the arguments of each, the plugin first.
    """
    def run(text, *sessions, beside=""):
        pytester.makepyfile(test_it=f"import pytest\nfrom scenarios import *\n{text}")
        children = [pytester.popen([sys.executable, "-mpytest", *without_neighbours(beside),
                                    *_arguments(plugin, arguments)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
                    for plugin, *arguments in sessions]
        return [_result_of(child) for child in children]

    return run


def _result_of(child):
    began = time.perf_counter()
    out, err = (text.decode().splitlines() for text in child.communicate())
    return pytest.RunResult(child.returncode, out, err, time.perf_counter() - began)
