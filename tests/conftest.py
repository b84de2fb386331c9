"""What every test is held to: it leaves no thread behind. And what many tests share."""

import gc
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent
pytest_plugins = ("pytester",)    # for tests/harness/pytest_support


def pytest_collection_finish():
    """Spare the collector of garbage what lives to the end anyway: every test and its module."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def compiled_once(tmp_path_factory):
    """Have the interpreters that tests start share their bytecode where this one writes none: a
    hundred of them would each compile all of `harness` anew, which is half the cost of the suite.
    """
    with pytest.MonkeyPatch.context() as patch:
        if sys.dont_write_bytecode:
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_threads_of_the_runner():
    """Hide the threads that were there before the first test, as xdist has one: what is said of a
    process depends on whether another thread may act in it.
    """
    def outermost(frame):
        while frame.f_back is not None:
            frame = frame.f_back
        return frame

    frames = sys._current_frames
    # By frame: an identity is another's in a forked process.
    there = [outermost(frame) for ident, frame in frames().items()
             if ident != threading.get_ident()]
    with pytest.MonkeyPatch.context() as patch:
        if there:
            patch.setattr(sys, "_current_frames", lambda: {
                ident: frame for ident, frame in frames().items() if outermost(frame) not in there})
        yield


@pytest.fixture(autouse=True)
def no_threads_left():
    """Fail, with their names, if the test leaves threads that were not there before it."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not left, f"threads left behind: {', '.join(left)}"


@pytest.fixture(scope="session")
def in_another_process():
    """Return a function that runs this Python on some arguments, elsewhere, and returns what came
    of it.
    """
    def call(*arguments, cwd=HERE / "harness", timeout=120, **more):
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        return subprocess.run([sys.executable, *arguments], cwd=cwd, timeout=timeout, text=True,
                              capture_output=True, env={**os.environ, "PYTHONPATH": path}, **more)

    return call


@pytest.fixture(scope="session")
def at_once():
    """Return a function that performs calls side by side, each in a thread of its own, and returns
    the futures of their results: what has to wait for a timeout then waits together.
    """
    def settle(future, call):
        try:
            future.set_result(call())
        except BaseException as exc:
            future.set_exception(exc)

    def perform(*calls):
        futures = [Future() for _ in calls]
        threads = [threading.Thread(target=settle, args=both, daemon=True)    # one may hang
                   for both in zip(futures, calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return futures

    return perform


@pytest.fixture(scope="session")
def comparison():
    """What `python -m pcimodel` does: status, what it prints, and its cells by scenario and fix."""
    from pcimodel import __main__ as pcimodel

    cells, out, err = [], io.StringIO(), io.StringIO()
    compare = pcimodel.compare
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["pcimodel"])
        patch.setattr(pcimodel, "compare",
                      lambda *given, **more: cells.extend(compare(*given, **more)) or cells)
        status = pcimodel.main()
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue(),
                           cells={(cell.scenario, cell.fix): cell for cell in cells})
