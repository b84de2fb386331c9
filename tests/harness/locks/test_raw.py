"""No lock of the harness's own is ever one that somebody put in place of the interpreter's."""

import ast
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRIMITIVES = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier",
              "allocate_lock", "Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"}
MODULES = {"threading", "_thread", "queue", "_queue"}
# What stands for the standard modules is made of them; `raw` has the interpreter's own.
SPARED = {"harness/locks/raw.py", "harness/threading.py", "harness/queue.py"}


def named(text):
    """Yield (line, name) of each primitive that *text* looks up at run time, or imports."""
    annotations = set()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for each in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if each is not None:
                annotations.update(map(id, ast.walk(each)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) \
                and node.value.id in MODULES and node.attr in PRIMITIVES \
                and id(node) not in annotations:
            yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module in MODULES:
            for alias in node.names:
                if alias.name in PRIMITIVES:
                    yield node.lineno, f"{node.module}.{alias.name}"


def test_a_module_binds_the_primitives_of_the_interpreter_by_raw_alone():
    found = {}
    for path in sorted((ROOT / "harness").rglob("*.py")):
        file = str(path.relative_to(ROOT))
        if file not in SPARED and not file.startswith(("harness/standard/", "harness/patching/")):
            found[file] = list(named(path.read_text(encoding="utf-8")))
    assert len(found) > 100 and not any(found.values()), {
        file: names for file, names in found.items() if names}


@pytest.mark.parametrize("text", ["import threading\nlock = threading.Lock()",
                                  "import threading\nKIND = threading.Condition",
                                  "from threading import RLock as R",
                                  "import _thread\n_thread.allocate_lock()"])
def test_a_primitive_that_is_looked_up_is_noticed(text):
    assert len(list(named(text))) == 1


def test_raw_has_what_the_interpreter_had():
    from harness.locks import raw
    assert type(raw.Lock()) is raw.LOCK and type(raw.RLock()) is raw.RLOCK
    assert isinstance(threading.Lock(), raw.LOCK) and isinstance(threading.RLock(), raw.RLOCK)
    assert (raw.Condition, raw.Event, raw.Queue) == (
        threading.Condition, threading.Event, queue.Queue)


REPLACED = """
import harness, sys, threading, _thread
from harness import Mutex, force
import harness.locks.raw    # as any part of it does
def not_for_harness(plain):
    def make(*args):
        name = sys._getframe(1).f_globals["__name__"]
        assert not name.startswith("harness."), f"{name} has a lock that is not the interpreter's"
        return plain(*args)
    return make
for module in threading, _thread:
    for name in "Lock", "RLock", "allocate_lock", "Condition", "Event", "Semaphore":
        if hasattr(module, name):
            setattr(module, name, not_for_harness(getattr(module, name)))
def scenario():
    a, b = Mutex("a"), Mutex("b")
    def one():
        with a, b: pass
    def two():
        with b, a: pass
    return {"one": one, "two": two}
assert force(scenario).verdict.value == "deadlock"
assert harness.run(scenario, runs=2).coverage["runs"] == 2
assert harness.predict(scenario).verdict.value == "deadlock"
assert harness.explore(scenario).verdict.value == "deadlock"
"""


def test_whoever_replaces_the_names_of_threading_breaks_nothing():
    subprocess.run([sys.executable, "-c", REPLACED], check=True, cwd=ROOT, timeout=60)
