"""`python -O` and `-OO` leave out assertions and docstrings: neither may change an answer."""

import ast
import gc
import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import run
from pcimodel import Kernel
from pcimodel.fixes import FIXES, apply
from pcimodel.lab import docstrings, invariants
from pcimodel.lab.scenarios import SCENARIOS, _kernel_names, scenario
from pcimodel.trees.v4_14 import V4_14

ROOT = Path(__file__).parent.parent
COMMANDS = [
    ["-m", "pcimodel", "list"],
    ["-m", "pcimodel", "force", "probe-vs-aer"],
    ["-m", "pcimodel", "compare", "--scenario", "unbind-vs-vf-add", "--scenario", "vf-driver-load",
     "--machine", "switch"],
    ["-m", "harness", "force", "small_worlds:abba"],
]


def test_commands_print_the_same_with_and_without_docstrings_and_assertions():
    children = [[subprocess.Popen([sys.executable, *level, *command], cwd=ROOT / "tests/harness",
                                  env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                 for level in ([], ["-OO"])] for command in COMMANDS]
    for command, (plain, stripped) in zip(COMMANDS, children):
        expected, got = plain.communicate()[0], stripped.communicate()[0]
        assert (got, stripped.returncode) == (expected, plain.returncode), command
        assert "Traceback" not in expected and len(expected) > 100, expected


def stripped(modules):
    """Return what `sys` is with -OO, as far as it matters here."""
    return SimpleNamespace(flags=SimpleNamespace(optimize=2), modules=modules)


def test_docstrings_of_the_model_are_found_in_its_source(monkeypatch):
    """Every class and function of every tree and fix, and every scenario."""
    things = [entry.roles for entry in SCENARIOS.values()]
    for cls in {*V4_14.__mro__, *FIXES.values()} - {object}:
        things += [cls, *(thing for thing in vars(cls).values() if inspect.isfunction(thing))]
    expected = [docstrings.docstring(thing) for thing in things]
    monkeypatch.setattr(docstrings, "getattr",
                        lambda thing, name, *default: None if name == "__doc__"
                        else getattr(thing, name, *default), raising=False)
    monkeypatch.setattr(docstrings, "sys", stripped(sys.modules))
    got = [docstrings.docstring(thing) for thing in things]
    assert (got, len(things) > 200, sum(map(bool, got)) > 200) == (expected, True, True)


def test_what_has_no_source_has_no_docstring(monkeypatch):
    monkeypatch.setattr(docstrings, "sys", stripped({}))
    made = {}
    exec(compile("def f(): pass\nclass C: pass", "nowhere.py", "exec"), made)
    assert [docstrings.docstring(made[name]) for name in "fC"] == ["", ""]


def test_nothing_that_the_laboratory_promises_rests_on_an_assert_statement():
    """One of a type checker's may be left out: what it says holds anyway."""
    narrowing = ("finding is not None", "spec is not None and spec.loader is not None")
    left = [f"{path.name}:{node.lineno}" for path in (ROOT / "pcimodel").rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Assert) and ast.unparse(node.test) not in narrowing]
    assert left == []


def test_invariant_that_does_not_hold_raises():
    with pytest.raises(AssertionError, match="^it is not$"):
        invariants.must(0, "it is not")
    invariants.must([1], "it is not")


# -- classes of kernels with fixes -----------------------------------------------------------------


def kernels():
    gc.collect()
    found, todo = set(), [Kernel]
    while todo:
        todo += (new := set(todo.pop().__subclasses__()) - found)
        found |= new
    return len(found)


def test_the_same_fixes_on_the_same_tree_are_the_same_class():
    names = ["collect-then-lock", "defer-vf-add"]
    assert apply(V4_14, names) is apply(V4_14, names)
    assert apply(V4_14, names) is apply(V4_14, {name: FIXES[name] for name in names})
    assert apply(V4_14, names) is not apply(V4_14, names[::-1])


def test_calls_without_number_leave_a_bounded_number_of_classes():
    """A fix whose file is edited is another one each time."""
    before = kernels()
    for _ in range(200):
        apply(V4_14, ["defer-vf-add"])
        fix = type("Edited", (FIXES["collect-then-lock"],), {})
        _kernel_names(apply(V4_14, {"edited": fix}))
    del fix
    assert kernels() - before <= 2 * 32


def test_run_of_a_fix_keeps_no_kernel(monkeypatch):
    before = kernels()
    for _ in range(3):
        run(scenario("vf-driver-load", fixes=["defer-vf-add"]), runs=1)
    assert kernels() - before <= 1
