"""What the fixture hands on: to the tool that is called, and to the prediction beside it."""

import functools
import random
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import Completion, Mutex, RWSemaphore
from harness.pytest_support import fixture
from harness.pytest_support.fixture import LockHarness
from harness.pytest_support.offline_predict import FEW
from harness.pytest_support.watched_run import WatchedRun


@pytest.fixture
def tools():
    """Return the fixture's tools as a test that is to be predicted would have them."""
    config = SimpleNamespace(rootpath=Path.cwd(),
                             invocation_params=SimpleNamespace(dir=Path.cwd()))
    return LockHarness(SimpleNamespace(nodeid="test_it.py::it", user_properties=[], config=config),
                       {"predict": True})


@pytest.fixture
def asked(monkeypatch):
    """Return what prediction is asked: scenario and arguments, each time."""
    asked, (predict, defaults) = [], fixture._TOOLS["predict"]

    @functools.wraps(predict)
    def told(scenario, **arguments):
        asked.append((scenario, arguments))
        return predict(scenario, **arguments)

    monkeypatch.setitem(fixture._TOOLS, "predict", (told, defaults))
    return asked


def nothing_to_find():
    lock = Mutex("lock")

    def role():
        with lock:
            pass

    return {"one": role, "other": role}


@pytest.mark.parametrize("tool, arguments, handed_on", [
    ("run", {"timeout": 3.0, "detect": "timeout"}, {"timeout": 3.0, "detect": "timeout"}),
    ("force", {"detect": "timeout"}, {"timeout": 5.0, "detect": "timeout"}),
    ("stress", {"timeout": 2.0, "runs": 3, "seed": 1}, {"timeout": 2.0}),
    ("explore", {"timeout": 2.0}, {"timeout": 2.0})])
def test_prediction_beside_a_call_has_its_timeout_and_its_way_to_detect(
        tool, arguments, handed_on, tools, asked):
    getattr(tools, tool)(nothing_to_find, expect=("clean", "not-reached"), **arguments)
    (_, given), = asked
    assert given["runs"] is None and {name: given[name] for name in handed_on} == handed_on
    assert ("detect" in given) == ("detect" in arguments)


def test_prediction_beside_stress_is_of_the_first_random_world(tools, asked):
    drawn = []

    def random_world(rng=None):
        drawn.append(rng.random())
        return nothing_to_find()

    tools.stress(random_world, runs=2, seed=7)
    (scenario, _), = asked
    drawn.clear()
    scenario()
    assert drawn == [random.Random("7/0").random()]


def test_picture_of_what_needs_a_writer_has_him_queue_between_the_holders_and_the_requests():
    def body():
        sem, lock = RWSemaphore("sem"), Mutex("lock")

        def one():
            with sem.down_read(), lock:
                pass

        def other():
            with lock, sem.down_read():
                pass

        threads = [threading.Thread(target=role, name=role.__name__) for role in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    run = WatchedRun("it")
    run.watch(body)
    result = run.predict({}, None)
    assert [finding.status for finding in result.predictions] == ["needs-writer"]
    rows = [line.split()[-1] for line in str(result).splitlines() if line.endswith(");")]
    held, (writer, *asks) = set(rows[:2]), rows[2:]
    assert held == {"rlock(sem);", "lock(lock);"} == set(asks) and writer == "lock(sem);"


@pytest.mark.parametrize("read_too, status", [(False, "guarded"), (True, "unconfirmed")])
def test_of_cycles_of_the_same_roles_each_way_to_hold_a_gate_is_judged(read_too, status):
    """Both hold the gate for writing when they lock crosswise, and perhaps for reading, too; the
    second waits for the first, and looks about besides. The rest makes it many threads.
    """
    def body():
        a, b, go, gate = Mutex("a"), Mutex("b"), Completion("go"), RWSemaphore("gate")

        def crosswise(outer, inner):
            for guard in (gate.down_write, *[gate.down_read] * read_too):
                with guard(), outer, inner:
                    pass

        def one():
            crosswise(a, b)
            go.complete()

        def other():
            go.wait()
            crosswise(b, a)
            if go.wait(0):
                go.complete()

        def idle():
            with Mutex("mine"):
                pass

        for role in (one, other, *[idle] * FEW):
            thread = threading.Thread(target=role, name=role.__name__)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    threads = []
    run = WatchedRun("it")
    run.watch(body)
    assert [finding.status for finding in run.predict({}, None).predictions] == [status]
