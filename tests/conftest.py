"""What every test is held to: it leaves no thread behind."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytest_plugins = ("pytester",)    # for tests/plugin


@pytest.fixture(autouse=True)
def no_threads_left():
    """Fail, with their names, if the test leaves threads that were not there before it."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not left, f"threads left behind: {', '.join(left)}"


@pytest.fixture
def in_another_process():
    """Return a function that runs this Python on some arguments, elsewhere, and returns what came
    of it.
    """
    def call(*arguments, cwd=HERE / "harness", timeout=20, **more):
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        return subprocess.run([sys.executable, *arguments], cwd=cwd, timeout=timeout, text=True,
                              capture_output=True, env={**os.environ, "PYTHONPATH": path}, **more)

    return call
