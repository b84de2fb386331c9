"""Functions whose statements stand at the lines of a data file, so that a report names the line where
an operation is written, not the line of ours that performs it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any


def compiled(name: str, count: int, file: str, lines: Sequence[int] = ()) -> Callable[..., None]:
    """Return a function called *name* that performs *count* steps, each at its line of *file*.

    It is called with a role, told before each step where it is (`role.at`) and when it ends
    (`role.exit`), and with the steps. A step returns how many of the next ones to skip, None for
    none.
    """
    body = "\n".join(f"  role.at = {i}; skip = skip - 1 if skip else steps[{i}]() or 0"
                     for i in range(count))
    tree = ast.parse(f"def role(role, steps):\n skip = 0\n try:\n{body or '  pass'}\n"
                     f" finally:\n  role.exit()\n")
    places = list(lines) or list(range(1, count + 1)) or [1]
    _put_at(tree, places[0])
    guarded: Any = tree.body[0].body[1]    # type: ignore[attr-defined]
    for number, statement in enumerate(guarded.body):    # two for each step
        _put_at(statement, places[number // 2])
    _put_at(guarded.finalbody[0], places[-1])
    namespace: dict[str, Any] = {}
    exec(compile(tree, file, "exec"), namespace)
    role: Callable[..., None] = namespace["role"]
    role.__code__ = role.__code__.replace(co_name=name, co_qualname=name)
    return role


def _put_at(tree: ast.AST, line: int) -> None:
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = line   # type: ignore[attr-defined]
