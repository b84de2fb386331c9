"""How the files of the model are put together: what calls what, and where a reader finds it."""

import ast
import inspect
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pcimodel
from pcimodel.fixes import FIXES
from pcimodel.trees.v4_14 import V4_14

MIXINS = V4_14.__mro__[:-1]


@cache
def syntax(cls):
    """Return the syntax tree of a class, with what it declares for type checkers only."""
    module = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    return next(node for node in module.body if getattr(node, "name", "") == cls.__name__)


def fields(cls, context):
    """Return the names that the functions of a class read (ast.Load) or assign (ast.Store) of
    ``self``.
    """
    return {node.attr for node in ast.walk(syntax(cls))
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, context)
            and isinstance(node.value, ast.Name) and node.value.id == "self"}


def offered_by(cls):
    """Return the names that a class itself has, declares or assigns."""
    functions = {node.name for node in ast.walk(syntax(cls)) if isinstance(node, ast.FunctionDef)}
    return {*vars(cls), *inspect.get_annotations(cls), *functions, *fields(cls, ast.Store)}


@pytest.mark.parametrize("cls", [*MIXINS, *FIXES.values()], ids=lambda cls: cls.__name__)
def test_what_a_file_uses_of_the_kernel_is_in_it_or_in_those_it_inherits_from(cls):
    offered = set().union(*map(offered_by, cls.__mro__[:-1]))
    assert fields(cls, ast.Load) - offered == set()


def test_no_function_of_the_kernel_is_defined_in_two_files():
    defined = [name for cls in MIXINS for name in vars(cls) if not name.startswith("__")
               and callable(vars(cls)[name])]
    assert sorted(defined) == sorted(set(defined))


def test_no_files_import_each_other_in_a_circle():
    root = Path(pcimodel.__file__).parent
    known = {path.relative_to(root).with_suffix("").parts for path in root.rglob("*.py")}
    graph = {}
    for parts in known:
        after = graph[parts] = set()
        for node in ast.walk(ast.parse(root.joinpath(*parts).with_suffix(".py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = parts[:len(parts) - node.level] + tuple((node.module or "").split("."))
                base = tuple(filter(None, base))
                for name in (alias.name for alias in node.names):
                    ways = [(*base, name), (*base, name, "__init__"), base, (*base, "__init__")]
                    after.add(next(way for way in ways if way in known))
    assert ("pci",) in graph["probe",]
    TopologicalSorter(graph).prepare()    # raises CycleError
