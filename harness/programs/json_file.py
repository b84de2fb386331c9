"""JSON files: lists that know their line, and refusals that say where a file is wrong."""

from __future__ import annotations

import bisect
import json
from collections import Counter
from collections.abc import Mapping
from json import decoder, scanner
from typing import Any

from ..locks.errors import ScenarioError, unknown_name
from ..runtime.text_file import read_text

# Remarks that any object may have, beside what it says.
REMARKS = ("title", "note", "notes", "comment", "why", "what", "source", "sources", "url", "commit",
           "author", "date", "year")


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
            if not name.isprintable():
                raise ValueError(f"a name must be printable, but {name!r} is not")
        return dict(pairs)

    reader: Any = json.JSONDecoder(object_pairs_hook=once)
    reader.parse_array = array
    reader.scan_once = scanner.py_make_scanner(reader)   # type: ignore[attr-defined]
    return reader.decode(text)


def check_keys(raw: Mapping[str, Any], where: str, *known: str) -> None:
    """Refuse a key that nobody would read."""
    for key in raw:
        if key not in (*known, *REMARKS) and not key.startswith("_"):
            raise unknown_name(f"{where}: unknown key", key, [*known, *REMARKS])


_NAMED: dict[type, str] = {dict: "an object", list: "a list", str: "a name"}
_REQUIRED = object()


def get(raw: dict[str, Any], key: str, kind: type, where: str, default: Any = _REQUIRED) -> Any:
    """Return what *raw* has under *key*, if it is of the right kind; null is as good as nothing."""
    value = raw.get(key)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind):
        raise ScenarioError(f"{where}: {key!r} is {value!r}, expected {_NAMED[kind]}" if key in raw
                            else f"{where} needs {key!r}, {_NAMED[kind]}")
    if kind is str and not str(value).isprintable():
        raise ScenarioError(f"{where}: {key!r} is {value!r}, which is not printable")
    return value


def read_json(path: str) -> Any:
    """Return what the JSON file *path* says, each list with its line."""
    text = read_text(path)
    try:
        return parse(text)
    except json.JSONDecodeError as exc:
        raise ScenarioError(f"{path} is no JSON: {exc.msg} at line {exc.lineno}, column "
                            f"{exc.colno}") from None
    except ValueError as exc:
        raise ScenarioError(f"{path} is no JSON that can be read: {exc}") from None
    except RecursionError:
        raise ScenarioError(f"{path} is nested too deeply") from None
