"""Places in code: from a code object and an instruction offset to "file:line", for reports.

A place is kept as the pair a frame gives for nothing (`f_code`, `f_lasti`) and resolved when it is printed.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType
from typing import Any

Call = tuple[CodeType, int]
# Calls, innermost first, as one flat tuple: code, offset, code, offset, ... One object for each event, not one a call.
Chain = tuple[Any, ...]

_vocabulary = {os.path.dirname(os.path.abspath(__file__)) + os.sep}


def vocabulary(path: str) -> None:
    """Declare the file *path* part of the locking vocabulary.

    Its functions are verbs: a report prints ``device_lock(x)`` for what such a function did, and takes
    the function that called it for the place.
    """
    _vocabulary.add(path)


def is_verb(code: CodeType) -> bool:
    """Say whether *code* belongs to the locking vocabulary, or to the package below it."""
    name = code.co_filename
    if name in _vocabulary or "readerwriterlock" in name:
        return True
    return os.path.dirname(name) + os.sep in _vocabulary


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
    calls = list(zip(chain[::2], chain[1::2]))
    for i, (code, _) in enumerate(calls):
        if not is_verb(code):
            return calls[:i], calls[i:]
    return calls, []
