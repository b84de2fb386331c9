"""Lines of a data file: JSON lists that know theirs, functions whose statements stand at them.

So that a report names the line of the file where an operation is written, not the line of ours that
performs it.
"""

from __future__ import annotations

import ast
import bisect
import json
from collections.abc import Callable, Sequence
from json import decoder, scanner
from typing import Any


class LinedList(list):
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
        made = LinedList(values)
        made.line = bisect.bisect_left(ends, begin[1]) + 1
        return made, end

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice!r} stands twice in one object")
        return found

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
    function: Any = tree.body[0]
    guarded = function.body[1]
    wanted = list(lines) or list(range(1, count + 1)) or [1]
    for i, line in enumerate(wanted[:count]):
        for statement in guarded.body[2 * i:2 * i + 2]:
            _put_at(statement, line)
    for statement in (function, function.body[0], guarded, function.args):
        _put_at(statement, wanted[0], deep=False)
    _put_at(guarded.finalbody[0], wanted[-1])
    namespace: dict[str, Any] = {}
    exec(compile(tree, file, "exec"), namespace)
    made = namespace["role"]
    made.__code__ = made.__code__.replace(co_name=name, co_qualname=name)
    return made


def _put_at(node: ast.AST, line: int, deep: bool = True) -> None:
    for each in ast.walk(node) if deep else [node]:
        if hasattr(each, "lineno"):
            each.lineno = each.end_lineno = line   # type: ignore[attr-defined]
