"""Lines of a data file: JSON lists that know theirs, functions whose statements stand at them.

So that a report names the line of the file where an operation is written, not the line of ours that
performs it.
"""

from __future__ import annotations

import ast
import bisect
import json
from collections import Counter
from collections.abc import Callable, Sequence
from json import decoder, scanner
from typing import Any


class LinedList(list[Any]):
    """A list that knows the line it begins at."""

    line = 1


def parse(text: str) -> Any:
    """Return what the JSON *text* says, each list as a `LinedList`.

    Raises:
        ValueError: it is no JSON (json.JSONDecodeError), or an object has a name twice.
        RecursionError: it is nested too deeply.
    """
    ends = [i for i, character in enumerate(text) if character == "\n"]

    def array(begin: tuple[str, int], *how: Any) -> tuple[LinedList, int]:
        values, end = decoder.JSONArray(begin, *how)   # type: ignore[attr-defined]
        lined = LinedList(values)
        lined.line = bisect.bisect_left(ends, begin[1]) + 1
        return lined, end

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1:
                raise ValueError(f"{name!r} stands twice in one object")
        return dict(pairs)

    reader: Any = json.JSONDecoder(object_pairs_hook=once)
    reader.parse_array = array
    reader.scan_once = scanner.py_make_scanner(reader)   # type: ignore[attr-defined]
    return reader.decode(text)


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
