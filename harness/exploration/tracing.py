"""Tracing the roles of one run, instruction by instruction: what their stretches touch.

The trace function is set in the threads of the roles, from the start of a role to its end; what was
set there is put back. Code of the harness and of the standard library is not followed: what is
handed to it counts as touched. A budget bounds what is traced; who uses it up has touched anything.
The file is long because what is called for each instruction is written out, to cost little.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..locks import raw
from ..locks.callsite import function_name, is_verb, place_of
from ..locks.node import Node
from ..locks.task import Task
from ..runtime.played_run import PlayedRun
from ..standard.barrier import Barrier
from ..standard.queues import Queue
from .shadow_frame import KNOWN_PYTHON, Shadow
from .stretches import ANY, READ, WRITE, Stretches

MOST_EVENTS = 300_000    # of one traced schedule: about half a second
_LIBRARY = tuple(path + os.sep for path in (
    sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")))
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
PRIMITIVES: tuple[type, ...] = (
    raw.LOCK, raw.RLOCK, raw.Condition, raw.Semaphore, raw.Event, raw.Barrier, raw.Queue,
    raw.SimpleQueue)
_OURS = Queue, Barrier    # which derive from them


@dataclass(frozen=True)
class Outside:
    """A lock, or another means to wait, of the standard library that a role used."""

    kind: str
    text: str     # what the code calls it
    place: str    # the function, or the class, that calls it so, and the line

    def __str__(self) -> str:
        return f"`{self.text}` ({self.kind}, {self.place})"


def kind_of(thing: Any) -> str:
    """Return what the documentation calls the class of one of `PRIMITIVES`."""
    if isinstance(thing, PRIMITIVES[:2]):
        return "threading.Lock" if isinstance(thing, PRIMITIVES[0]) else "threading.RLock"
    return f"{type(thing).__module__.removeprefix('_')}.{type(thing).__name__}"


def is_primitive(thing: Any) -> bool:
    """Say whether *thing* is one of `PRIMITIVES` that nobody sees."""
    bases = type(thing).__mro__
    return not (set(PRIMITIVES).isdisjoint(bases) or set(_OURS) & set(bases)
                or is_over_ours(thing))


def is_over_ours(thing: Any) -> bool:
    """Say whether one of `PRIMITIVES` waits in locks of ours alone."""
    inside = getattr(thing, "__dict__", {})
    return any(isinstance(inside.get(name), Node) for name in ("_cond", "_lock", "mutex"))


@functools.lru_cache(4096)
def is_followed(code: types.CodeType) -> bool:
    """Say whether *code* is the user's: neither ours nor the standard library's."""
    name = code.co_filename
    if is_verb(code) or name.startswith("<frozen "):
        return False
    return not name.startswith(_LIBRARY) or any(part in name for part in _PACKAGES)


class Tracer:
    """What the threads of one run were seen to touch.

    Attributes:
        of: stretches by the key of a task.
        outside: means to wait of the standard library that were used, by identity.
        events: how many instructions were traced.
        errors: faults of this tracer; who met one has touched anything.
    """

    def __init__(self) -> None:
        self.of: dict[str, Stretches] = {}
        self.outside: dict[int, Outside] = {}
        self.keep: dict[int, Any] = {}
        self.events = 0
        self.errors: list[Exception] = []
        self._before: dict[str, Any] = {}
        self._followed: dict[int, tuple[types.CodeType, bool]] = {}

    def traced(self, code: types.CodeType) -> bool:
        """Say whether frames of *code* are followed."""
        return is_followed(code)

    def used(self, thing: Any, text: str, code: types.CodeType, offset: int) -> None:
        """Take note that a method of *thing* is called; of interest is what one can wait for."""
        if id(thing) not in self.outside and is_primitive(thing):
            self.keep[id(thing)] = thing
            where = f"{function_name(code)}, {place_of(code, offset)}"
            self.outside[id(thing)] = Outside(kind_of(thing), text, where)

    def give_up(self) -> None:
        """Take it that the budget is used up."""
        self.events = MOST_EVENTS

    def begin(self, key: str, parent: str, functions: list[Any]) -> None:
        """Trace the calling thread, which performs *key*; *functions* are known to be called."""
        home = frozenset(function.__code__.co_filename for function in functions
                         if isinstance(function, types.FunctionType))
        stretches = self.of[key] = Stretches(key, parent, home=home)
        if not KNOWN_PYTHON:
            self._lose(stretches)
            return
        self._before[key] = sys.gettrace()
        known = {function.__code__: function for function in functions
                 if isinstance(function, types.FunctionType)}
        shadows: dict[types.FrameType, Shadow] = {}
        # From 3.12 on settrace asks whether any frame ever wanted this. Of one that never runs: an
        # instruction of such a frame in a thread without a tracer ends the process (3.12.1).
        never: Any = (None for _ in ())
        never.gi_frame.f_trace_opcodes = True
        sys.settrace(self._safely(stretches, functools.partial(
            self._on_call, stretches, known, shadows)))

    def rest(self, key: str) -> Callable[..., Any] | None:
        """Trace nothing in the calling thread, which is to do what is the harness's own alone, and
        return what goes on with it. Before 3.12 that costs nothing, and the trace much.
        """
        if key not in self._before or sys.version_info >= (3, 12):
            return None
        trace = sys.gettrace()
        sys.settrace(None)
        return trace

    def end(self, key: str) -> None:
        """Put back what traced the calling thread before."""
        if key in self._before:
            sys.settrace(self._before.pop(key))

    def _lose(self, stretches: Stretches) -> None:
        """Take it that anything is touched, and follow no further."""
        stretches.lost = True
        code = sys._getframe().f_code
        stretches.touch(ANY, ("all", None), READ | WRITE, "anything", code, 0)

    def _safely(self, stretches: Stretches, trace: Callable[..., Any]) -> Callable[..., Any]:
        """Return *trace*, so that a fault of it is none of the traced code."""
        def traced(frame: types.FrameType, event: str, arg: Any) -> Any:
            try:
                return trace(frame, event, arg)
            except Exception as exc:
                return self._fault(stretches, frame, exc)
        return traced

    def _fault(self, stretches: Stretches, frame: types.FrameType, exc: Exception) -> None:
        self.errors.append(exc)
        self._lose(stretches)
        _let_go(frame)

    def _on_call(self, stretches: Stretches, known: dict[types.CodeType, Any],
                 shadows: dict[types.FrameType, Shadow], frame: types.FrameType, event: str,
                 arg: Any) -> Any:
        code = frame.f_code
        back = frame.f_back
        caller = shadows.get(back) if back is not None else None
        if caller is not None:
            caller.called()
        if stretches.lost or not self._follows(code):
            return None
        function = known.get(code)
        if caller is not None:
            callee = getattr(caller.callee, "__func__", caller.callee)
            if isinstance(callee, types.FunctionType) and callee.__code__ is code:
                function = callee
        shadow = shadows[frame] = Shadow(frame, stretches, function, caller, self)
        frame.f_trace = trace = self._following(stretches, shadows, shadow)
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return trace

    def _follows(self, code: types.CodeType) -> bool:
        """Say whether *code* is followed; code hashes slowly, and this is asked of every call."""
        known = self._followed.get(id(code))
        if known is None or known[0] is not code:
            known = self._followed[id(code)] = code, is_followed(code)
        return known[1]

    def _following(self, stretches: Stretches, shadows: dict[types.FrameType, Shadow],
                   shadow: Shadow) -> Callable[..., Any]:
        """Return the trace function of the frame of *shadow*."""
        code, at, step = shadow.code, stretches.at, shadow.step

        def following(frame: types.FrameType, event: str, arg: Any) -> Any:
            try:
                if event != "opcode" or stretches.lost:
                    return self._on_event(stretches, shadows, shadow, frame, event, arg)
                self.events += 1
                if self.events > MOST_EVENTS:
                    self._lose(stretches)
                    return _let_go(frame)
                offset = frame.f_lasti
                at(code, offset)
                step(offset)
            except Exception as exc:
                return self._fault(stretches, frame, exc)
            return following
        return following

    def _on_event(self, stretches: Stretches, shadows: dict[types.FrameType, Shadow],
                  shadow: Shadow, frame: types.FrameType, event: str, arg: Any) -> Any:
        if stretches.lost:
            return _let_go(frame)
        if event == "exception":
            shadow.raised()
        elif event == "return":
            caller = shadow.caller
            if caller is not None and getattr(getattr(
                    caller.callee, "__func__", caller.callee), "__code__", None) is frame.f_code:
                caller.returned(arg)
            shadow.left()
            shadows.pop(frame, None)
            stretches.frames.setdefault(frame.f_code, []).append(
                (shadow.function, frame.f_globals, dict(frame.f_locals)))
            return _let_go(frame)    # a generator may be gone on with by whom nobody traces
        return frame.f_trace


def _let_go(frame: types.FrameType) -> None:
    """Trace *frame* no further."""
    if sys.version_info < (3, 13):    # there it would hold for all frames of the code
        frame.f_trace_opcodes = False
    frame.f_trace = None


class Tracing(PlayedRun):
    """What makes a run a traced one: to be put before its kind."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.tracer = Tracer()
        super().__init__(*args, **more)

    def begin(self, task: Task) -> None:
        super().begin(task)
        key, parent = getattr(task, "key", task.name), getattr(task, "parent", "")
        self.tracer.begin(key, parent, _functions_of(
            self.scenario.roles.get(key) or getattr(task.thread, "_target", None)))

    def end(self, task: Task) -> None:
        self.tracer.end(getattr(task, "key", task.name))
        super().end(task)


def _functions_of(thing: Any) -> list[Any]:
    """Return the functions that a call of *thing* is known to lead to."""
    found: list[Any] = []
    while thing is not None and not any(thing is each for each in found):
        found.append(getattr(thing, "__func__", thing))
        thing = getattr(thing, "func", None) or getattr(thing, "__wrapped__", None)
    return found
