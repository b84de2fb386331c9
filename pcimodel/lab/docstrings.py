"""Docstrings, with `python -OO` too, which strips them: a docstring of the model says what C calls
a function, and that of a scenario or fix is its summary.
"""

from __future__ import annotations

import ast
import sys
from functools import lru_cache
from inspect import cleandoc
from typing import Any


def docstring(thing: Any) -> str:
    """Return the docstring of a class or function; of its source, where Python has none.

    "" if it has none, or its source is not there: then names are those of Python.
    """
    if getattr(thing, "__doc__", None) or sys.flags.optimize < 2:
        return cleandoc(getattr(thing, "__doc__", None) or "")    # as 3.13 compiles it
    code = getattr(thing, "__code__", None)
    if code is not None:
        return _in_source(code.co_filename).get((code.co_qualname, code.co_firstlineno), "")
    module = sys.modules.get(getattr(thing, "__module__", ""))
    return _in_source(getattr(module, "__file__", None) or "").get(
        (getattr(thing, "__qualname__", ""), 0), "")


@lru_cache
def _in_source(path: str) -> dict[tuple[str, int], str]:
    """Return (qualified name, first line of a function or 0) -> docstring, of a file."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[tuple[str, int], str] = {}

    def look(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            below = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name, below = prefix + child.name, f"{prefix}{child.name}."
                line = 0
                if not isinstance(child, ast.ClassDef):
                    below += "<locals>."
                    line = min(part.lineno for part in (child, *child.decorator_list))
                found[name, line] = ast.get_docstring(child) or ""
            look(child, below)

    look(tree, "")
    return found
