"""What ends the process from inside is refused while a call is under way.

`os._exit` and `os.exec...` know neither `except` nor `finally`: a role that calls one would end the
command with a status of its own choice, 0 for one, and without a word. So they raise `ProcessExit`
in a role, in a thread that one started, and in whatever the calling thread calls of the user's. In
a child that somebody forked they do what they always did; so they do in any other thread, which
pytest-timeout has for one, but never with the status 0.

With the last call under way they are what they were again.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from . import afresh
from .callsite import caller_at
from .errors import ProcessExit
from .replaced import Replaced
from .task import current

plain_exit = os._exit    # for our own processes
_NAMES = "_exit", "execv", "execve"    # the others of `os` call these

_lock = afresh.module_lock()
_under_way = 0
_process = 0                     # in which they are refused
_callers: list[int] = []         # threads with a call under way


def _refuse(name: str, plain: Callable[..., NoReturn], args: tuple[Any, ...],
            more: dict[str, Any]) -> Any:
    call = f"os.{name}({', '.join(map(repr, args[:1]))})"
    if not _under_way or os.getpid() != _process:
        return plain(*args, **more)
    at, task = caller_at(sys._getframe(1)), current()
    if task.run is None and threading.get_ident() not in _callers:
        if name != "_exit" or args == (0,):
            if sys.__stderr__ is not None:    # else print() would take standard output
                print(f"{call} at {at} ended the process while harness was at work: nothing was "
                      f"judged", file=sys.__stderr__, flush=True)
            args = (1,)
        return plain_exit(*args, **more)
    exc = ProcessExit(call, at)
    if task.run is not None:
        task.run.failed(task, exc)    # at once: it may be swallowed
    raise exc


def _refusing(name: str) -> Callable[..., Any]:
    plain = getattr(os, name)

    def refusing(*args: Any, **more: Any) -> Any:
        return _refuse(name, plain, args, more)

    refusing.__name__ = refusing.__qualname__ = name
    refusing.__doc__ = plain.__doc__
    return refusing


_replaced = Replaced({getattr(os, name): _refusing(name) for name in _NAMES}, (__name__,))


def install(caller: int | None = None) -> None:
    """Count one more call under way, of the thread *caller*, by default the calling one."""
    global _under_way, _process
    with _lock:
        if not _under_way:
            _process = os.getpid()
        _under_way += 1
        _callers.append(caller or threading.get_ident())
        if _under_way == 1:
            _replaced.install()


def uninstall(caller: int | None = None) -> None:
    """Count one less; with the last one, put the functions of the interpreter back."""
    global _under_way
    with _lock:
        if not _under_way:    # this process was forked in the middle of the call
            return
        _under_way -= 1
        _callers.remove(caller or threading.get_ident())
        if not _under_way:
            _replaced.uninstall()


def install_forked() -> None:
    """Refuse in this process, too, which the calling thread of a call under way forked."""
    global _process
    _process = os.getpid()


@afresh.in_child
def _forget() -> None:
    """Refuse nothing in a process that somebody forked."""
    global _under_way
    if not afresh.is_ours() and _under_way:
        _under_way = 0
        _callers.clear()
        _replaced.uninstall()


class Refused:
    """Refuse to end the process while the block is under way."""

    # No generator: the standard library's way out sets attributes of what the block raised.
    def __enter__(self) -> None:
        install()

    def __exit__(self, *exc: object) -> None:
        uninstall()
