"""Places in code: from a code object and an instruction offset to "file:line", for reports.

A place is kept as the pair a frame gives for nothing (`f_code`, `f_lasti`) and resolved when it is
printed.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from readerwriterlock import rwlock

Call = tuple[CodeType, int]
# Calls, innermost first, as one flat tuple (code, offset, code, ...): one object for each event.
Chain = tuple[Any, ...]

_HARNESS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PACKAGE = os.path.dirname(os.path.abspath(rwlock.__file__)) + os.sep
_vocabulary: set[str] = set()
_verbs: dict[int, CodeType] = {}    # by identity: a code object hashes slowly
_nameless: dict[int, CodeType] = {}

Verbs = TypeVar("Verbs", bound=str | Callable[..., Any])
Wrapper = TypeVar("Wrapper", bound=Callable[..., Any])


def vocabulary(verbs: Verbs) -> Verbs:
    """Declare a function, or all functions of a file, part of the locking vocabulary.

    A report prints ``device_lock(x)`` for what such a verb did, and takes the function that called
    it for the place.

    Args:
        verbs: the path of the file; or the function: ``@vocabulary`` is a decorator that leaves it
            as it is.
    """
    if isinstance(verbs, str):
        _vocabulary.add(verbs)
    else:
        code = verbs.__code__
        _verbs[id(code)] = code
    return verbs


def is_verb(code: CodeType) -> bool:
    """Say whether *code* belongs to the locking vocabulary, or to the package below it."""
    name = code.co_filename
    return id(code) in _verbs or name in _vocabulary or name.startswith((_HARNESS, _PACKAGE))


def nameless(function: Wrapper) -> Wrapper:
    """Declare a function of ours that calls a verb for another: reports do not print its name."""
    _nameless[id(function.__code__)] = function.__code__
    return function


def is_named(code: CodeType) -> bool:
    """Say whether reports may print the name of *code* as a verb."""
    return id(code) not in _nameless


def line_of(code: CodeType, lasti: int) -> int:
    """Return the line number of the instruction at offset *lasti* of *code*."""
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno


def short_path(path: str) -> str:
    """Return *path* relative to the working directory, or to the import path it was found on."""
    for root in sorted({os.getcwd(), *map(os.path.abspath, filter(None, sys.path))},
                       key=len, reverse=True):
        if path.startswith(root + os.sep):
            return path[len(root) + 1:]
    return path


def place_of(code: CodeType, lasti: int) -> str:
    """Return "file:line"."""
    return f"{short_path(code.co_filename)}:{line_of(code, lasti)}"


def column_of(code: CodeType, lasti: int) -> str:
    """Return what tells an instruction from others of its line: ":column", counted from 1."""
    columns = [column for *_, column, _ in code.co_positions()]
    column = columns[lasti // 2] if lasti // 2 < len(columns) else None
    return f"+{lasti}" if column is None else f":{column + 1}"


def function_name(code: CodeType) -> str:
    """Return the name reports print for *code*: qualified, without the function it is local to."""
    return getattr(code, "co_qualname", code.co_name).rpartition("<locals>.")[2]


def capture(frame: FrameType | None, base: CodeType | None) -> Chain:
    """Return the calls that led to *frame*, innermost first, up to but without *base*."""
    chain: list[Any] = []
    add = chain.append
    while frame is not None:
        code = frame.f_code
        if code is base:
            break
        add(code)
        add(frame.f_lasti)
        frame = frame.f_back
    return tuple(chain)


def split(chain: Chain) -> tuple[list[Call], list[Call]]:
    """Split *chain* into the verbs at its inner end and the functions that called them.

    Both stay innermost first. The verb a reader knows is the last of the first part.
    """
    calls = list(zip(chain[::2], chain[1::2], strict=True))
    for i, (code, _) in enumerate(calls):
        if not is_verb(code):
            return calls[:i], calls[i:]
    return calls, []


def raised_at(exc: BaseException) -> str:
    """Return where in the user's code *exc* came from."""
    place, tb = "", exc.__traceback__
    while tb is not None:
        # Not the frame's own position: that is where it was left, the end of a `with` perhaps.
        if not is_verb(tb.tb_frame.f_code):
            place = place_of(tb.tb_frame.f_code, tb.tb_lasti)
        tb = tb.tb_next
    return place


def first_line(exc: BaseException) -> str:
    """Return type and text of *exc* in one line."""
    return f"{type(exc).__name__}: {exc}".partition("\n")[0]


def user_traceback(exc: BaseException) -> str:
    """Return the traceback of *exc* from the user's code on, without the harness above it."""
    tb = exc.__traceback__
    while tb is not None and is_verb(tb.tb_frame.f_code):
        tb = tb.tb_next
    return "".join(traceback.format_exception(type(exc), exc, tb)).rstrip()
