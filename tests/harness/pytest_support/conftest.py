"""pytest inside pytest: a directory with scenarios, in which the inner pytest runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

# An inner run in this process forgets, when it ends, the modules that it was the first to import.
# All of `harness` is imported here, so that there is never a second copy of a part of it.
import harness.cli
import harness.pytest_plugin
import harness.pytest_support.fixture
import harness.pytest_support.offline_predict  # noqa: F401

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


@pytest.fixture
def inner(pytester, monkeypatch):
    """Return a function that runs the inner pytest on the text of a test file, with the plugin."""
    for name in [*os.environ]:
        if name.startswith(("HARNESS_", "PYTEST_TIMEOUT", "PYTEST_ADDOPTS")):
            monkeypatch.delenv(name)
    roots = [str(Path(harness.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, roots)))
    pytester.makepyfile(scenarios=SCENARIOS)

    def run(text, *arguments, in_process=True, plugin="harness.pytest_plugin"):
        pytester.makepyfile(test_it=f"import pytest\nfrom scenarios import *\n{text}")
        call = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
        return call(*_arguments(plugin, arguments))

    return run


def _arguments(plugin, arguments):
    return ["-ra", "-p", "no:cacheprovider", *(["-p", plugin] if plugin else []), *arguments]


@pytest.fixture
def inner_at_once(inner, pytester):
    """Return a function that runs inner pytests on one text, each as a process of its own, side by
    side; it takes the arguments of each, the plugin first.
    """
    def run(text, *sessions):
        pytester.makepyfile(test_it=f"import pytest\nfrom scenarios import *\n{text}")
        children = [pytester.popen([sys.executable, "-mpytest", *_arguments(plugin, arguments)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
                    for plugin, *arguments in sessions]
        return [_result_of(child) for child in children]

    return run


def _result_of(child):
    began = time.perf_counter()
    out, err = (text.decode().splitlines() for text in child.communicate())
    return pytest.RunResult(child.returncode, out, err, time.perf_counter() - began)
