"""The calls that led to a place in a program: what is taken down of each lock operation.

To walk a stack at each operation costs in proportion to its depth. So a frame is walked over once:
what led to it stays the same until it returns, and is kept on the frame itself, in `f_trace`, which
nothing looks at unless the thread is traced. It is gone with the frame. (The identity of a frame is
no name for it, since the next call gets the same; and to keep frames would keep their locals.)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

Call = tuple[CodeType, int]
# The innermost call and those that led to it: (code, offset, callers), or () for none. Operations
# share the callers they have in common; each has a tuple of its own, by which it is known.
Chain = tuple[Any, ...]

# What is gone on with by another than who began it has other callers then.
_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def call_role(function: Callable[[], Any]) -> Any:
    """Run a role. The frame of this call is where every recorded call chain, and stack, ends."""
    return function()


BASE = call_role.__code__


class Callers:
    """The *chain* of calls that led to a frame, of *code*.

    Where the thread is traced, after all, the interpreter calls this for its lines, in vain.
    """

    __slots__ = ("code", "chain")

    def __init__(self, code: CodeType, chain: Chain) -> None:
        self.code, self.chain = code, chain

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None: ...


def capture(frame: FrameType | None, own: int = 2) -> Chain:
    """Return the calls that led to *frame*, which runs, up to the role.

    Args:
        own: how many of them are the operation's own, and return with it.
    """
    fresh: list[FrameType] = []
    chain: Chain = ()
    while frame is not None:
        code = frame.f_code
        if code is BASE:
            break
        known: Any = frame.f_trace
        if known.__class__ is Callers:
            chain = code, frame.f_lasti, known.chain
            break
        fresh.append(frame)
        frame = frame.f_back
    if len(fresh) > own:
        chain = _keep(fresh, own, chain)
    while fresh:
        frame = fresh.pop()
        chain = frame.f_code, frame.f_lasti, chain
    return chain


def _keep(fresh: list[FrameType], own: int, chain: Chain) -> Chain:
    """Take all but the *own* off *fresh*, to which *chain* led; keep on each what led to it."""
    is_traced = sys.gettrace() is not None
    while len(fresh) > own:
        frame = fresh.pop()
        code = frame.f_code
        if not is_traced and frame.f_trace is None and not code.co_flags & _RESUMED:
            frame.f_trace = Callers(code, chain)
        chain = code, frame.f_lasti, chain
    return chain


def calls_of(chain: Chain) -> list[Call]:
    """Return the calls of *chain*, innermost first."""
    calls: list[Call] = []
    while chain:
        code, lasti, chain = chain
        calls.append((code, lasti))
    return calls


def is_deeper(chain: Chain, calls: int) -> bool:
    """Say whether *chain* has more than so many *calls*."""
    while chain and calls >= 0:
        calls -= 1
        chain = chain[2]
    return calls < 0


def room(levels: int = 12) -> None:
    """Raise RecursionError now, while nothing has changed, if what comes has not the room."""
    if levels:
        room(levels - 1)
