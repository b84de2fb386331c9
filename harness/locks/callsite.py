"""Places in code: from a code object and an instruction offset to "file:line", for reports; and
what to say of an exception that came from there.

A place is kept as the pair a frame gives for nothing (`f_code`, `f_lasti`) and resolved when it is
printed.

The file is long because what a report says of code, and of what it raised, is found out here alone.
"""

from __future__ import annotations

import gc
import opcode
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeGuard, TypeVar

from readerwriterlock import rwlock

from .calls import Call, Chain, calls_of
from .errors import LockTaken, ProcessExit, ScenarioError

_enable, _disable, _isenabled = gc.enable, gc.disable, gc.isenabled    # they may be others later
_HARNESS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PACKAGE = os.path.dirname(os.path.abspath(rwlock.__file__)) + os.sep
_PYTHON = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")
_RAISE = opcode.opmap["RAISE_VARARGS"]
_vocabulary: set[str] = set()
_carriers: set[str] = set()
_verbs: dict[int, CodeType] = {}    # by identity: a code object hashes slowly
_nameless: dict[int, CodeType] = {}

Verbs = TypeVar("Verbs", bound=str | Callable[..., Any])
Wrapper = TypeVar("Wrapper", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound=BaseException)


def vocabulary(verbs: Verbs) -> Verbs:
    """Declare a function, or all functions of a file, part of the locking vocabulary.

    A report prints ``device_lock(x)`` for what such a verb did, and takes the function that called
    it for the place.

    Args:
        verbs: the path of the file; or the function: ``@vocabulary`` is a decorator that leaves it
            as it is.
    """
    code = getattr(verbs, "__code__", None)
    if isinstance(verbs, str):
        _vocabulary.add(verbs)
    elif not isinstance(code, CodeType):
        raise ScenarioError(f"verbs is {shown(verbs)}, expected a function of Python, or the path "
                            f"of a file of them")
    else:
        _verbs[id(code)] = code
    return verbs


def carries(path: str) -> None:
    """Declare that the functions of a file of the standard library use our locks for whoever calls
    them: reports take the caller for the place. (What they are at is part of a state all the same.)
    """
    _carriers.add(path)


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


def here() -> str:
    """Return the working directory; "" if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def short_path(path: str) -> str:
    """Return *path* relative to the working directory, or to the import path it was found on."""
    home = here()
    roots = {os.path.normpath(os.path.join(home, root)) for root in (home, *sys.path) if root}
    for root in sorted(roots, key=len, reverse=True):
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


def split(chain: Chain) -> tuple[list[Call], list[Call]]:
    """Split *chain* into the verbs at its inner end and the functions that called them.

    Both stay innermost first. The verb a reader knows is the last of the first part.
    """
    calls = calls_of(chain)
    for i, (code, _) in enumerate(calls):
        if not is_verb(code) and code.co_filename not in _carriers:
            return calls[:i], calls[i:]
    return calls, []


def raised_at(exc: BaseException) -> str:
    """Return where in the user's code *exc* came from; if it passed none of it, where else."""
    own = other = None
    tb = _traceback_of(exc)
    while tb is not None:
        code = tb.tb_frame.f_code
        if not is_verb(code):
            other = tb
            if not is_of_python(code.co_filename):
                own = tb
        tb = tb.tb_next
    last = own or other
    # Not the frame's own position: that is where it was left, the end of a `with` perhaps.
    return place_of(last.tb_frame.f_code, last.tb_lasti) if last is not None else ""


def _traceback_of(exc: BaseException) -> TracebackType | None:
    """Return the traceback of *exc*, whatever its class has under that name."""
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(exc)
    return found


def is_installed(path: str) -> bool:
    """Say whether a file is of the standard library, or of an installed package."""
    real = os.path.realpath(path)
    return real.startswith(os.path.realpath(_PYTHON) + os.sep) or bool(_INSTALLED.search(real))


def is_of_python(path: str) -> bool:
    """Say whether a file is of the standard library, or of what imports modules."""
    return path.startswith("<frozen ") or (path.startswith(_PYTHON)
                                           and not _INSTALLED.search(path))


def caller_at(frame: FrameType | None, of_the_user: bool = False) -> str:
    """Return where the function of the user's stands, "file:line", that called what is in *frame*.

    Args:
        of_the_user: not where one of the standard library stands, if there is none; "" then.
    """
    other = None
    while frame is not None:
        if not is_verb(frame.f_code):
            other = other or frame
            if not is_of_python(frame.f_code.co_filename):
                break
        frame = frame.f_back
    last = frame or (None if of_the_user else other)
    return place_of(last.f_code, last.f_lasti) if last is not None else ""


def is_a(exc: BaseException, kind: type[Kind]) -> TypeGuard[Kind]:
    """Say whether *exc* is of *kind*; `isinstance` might ask *exc* itself, which may raise."""
    return issubclass(type(exc), kind)


def first_line(exc: BaseException) -> str:
    """Return type and text of *exc* in one line, also if it cannot say what it is."""
    name = type.__dict__["__name__"].__get__(type(exc))
    if is_a(exc, SystemExit):
        return f"{name}({shown(exc.code)})" if exc.code is not None else f"{name}()"
    try:
        # Of a subclass of str, too, what the interpreter itself has.
        text = str.partition(str.__str__(str(exc)), "\n")[0]
    except BaseException as again:
        pass_signal(again)
        text = f"(its text cannot be shown: __str__ raised {type(again).__name__})"
    return f"{name}: {text}" if text else str(name)


def raised(exc: BaseException) -> str:
    """Return what became of code that a user wrote, in words: what it raised, and where."""
    if is_a(exc, LockTaken):
        return str(exc)
    what, place = first_line(exc), raised_at(exc)
    at = f", at {place}" if place else ""
    if is_a(exc, ProcessExit):
        return f"called {exc.call}{f', at {exc.at}' if exc.at else at}, which would have ended " \
               f"the process"
    return f"raised {what}{at}"


def shown(value: Any) -> str:
    """Return *value* in one line for a message, also if its own `repr` fails."""
    try:
        return str.partition(str.__str__(repr(value)), "\n")[0]
    except BaseException as exc:
        pass_signal(exc)
        return f"<{type(value).__name__}, whose repr raised {type(exc).__name__}>"


def user_traceback(exc: BaseException) -> str:
    """Return the traceback of *exc* from the user's code on, without the harness above it."""
    try:
        tb = _traceback_of(exc)
        while tb is not None and is_verb(tb.tb_frame.f_code):
            tb = tb.tb_next
        return "".join(traceback.format_exception(type(exc), exc, tb)).rstrip()
    except BaseException as again:
        pass_signal(again)
        return f"(its traceback cannot be shown: {type(again).__name__})"


def pass_signal(exc: BaseException) -> None:
    """Raise *exc* again if a signal handler raised it: it is none of the code it broke into."""
    if by_signal(exc):
        raise exc


def by_signal(exc: BaseException) -> bool:
    """Say whether a signal handler raised *exc*, Ctrl-C above all, and not the code that ran.

    Handlers run in the main thread. One in Python leaves its frame in the traceback; the
    interpreter's own for Ctrl-C leaves none, and then no `raise` stands where the traceback ends.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return False
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    tb = last = _traceback_of(exc)
    while tb is not None:
        if tb.tb_frame.f_code in handlers:
            return True
        last, tb = tb, tb.tb_next
    if not is_a(exc, KeyboardInterrupt) or last is None:
        return is_a(exc, KeyboardInterrupt)
    code = last.tb_frame.f_code
    # From within the harness it is Ctrl-C whoever passes it on.
    return is_verb(code) or code.co_code[last.tb_lasti] != _RAISE


def _code_of(handler: Any) -> CodeType | None:
    handler = getattr(handler, "__func__", getattr(handler, "func", handler))
    code = getattr(handler, "__code__", None)
    if code is None and callable(handler):
        code = getattr(type(handler).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def frames_of_threads() -> dict[int, FrameType]:
    """Return where each thread is, by identity; of the calling thread, who called the caller.

    A frame that kept itself would keep all that the threads have, until a collection: so an idle
    pool would not end, and a finalizer not run. No collection may run meanwhile: before CPython
    3.12 one that clears a `threading.local` waits for ever for what this call has (gh-106883).
    """
    enabled = _isenabled()
    _disable()
    try:
        frames = sys._current_frames()
    finally:
        if enabled:
            _enable()
    caller = sys._getframe(1).f_back
    if caller is not None:
        frames[threading.get_ident()] = caller
    else:
        frames.pop(threading.get_ident(), None)
    return frames
