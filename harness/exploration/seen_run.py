"""What one process tells another of a run: plain data, in place of its tasks, locks and code."""

from __future__ import annotations

import io
import marshal
import pickle
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import CodeType, FunctionType
from typing import Any

from ..locks.node import LockClass, Node
from ..locks.task import EXCLUSIVE, SHARED, WAIT, Task
from .controlled_run import ControlledRun
from .stable_ids import Names, Taken


_CACHED = type(lru_cache(len))


@dataclass(eq=False)
class SeenTask:
    """Of a task in another process, what is looked at afterwards: see `ControlledTask`."""

    name: str
    key: str
    label: int
    lock_number: int
    ask: int
    timed: bool
    birth: int
    parent: str


@dataclass(eq=False)
class SeenLock:
    """Of a lock in another process, what a report prints."""

    name: str
    text: str
    verbs: dict[str, str]

    def __str__(self) -> str:
        return self.text

    def release_verb(self, mode: str) -> str:
        """Return what reports call its release."""
        return self.verbs[mode]


@dataclass(eq=False)
class SeenRun:
    """Of a run in another process, what is looked at afterwards: see `ControlledRun`."""

    names: Names
    steps: list[Taken]
    tasks: list[SeenTask]
    stuck: list[SeenTask]
    deadlocked: list[SeenTask]
    cut: bool
    late: bool
    round: bool
    goes_round: bool
    starts: Any    # of a traced run, its `StartPoints`


# -- from process to process -----------------------------------------------------------------------


def _seen(task: Any) -> tuple[Any, ...]:
    return (task.name, getattr(task, "key", task.name), getattr(task, "label", -1),
            getattr(task, "lock_number", -1), getattr(task, "ask", 0), task.timed,
            getattr(task, "birth", -1), getattr(task, "parent", ""))


class _Pickler(pickle.Pickler):
    """Turns tasks, locks and runs into what is seen of them."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, CodeType):
            return _code, (id(obj), _identity(obj), marshal.dumps(obj))
        if isinstance(obj, Task):
            return SeenTask, _seen(obj)
        if isinstance(obj, Node):
            verbs = {mode: obj.release_verb(mode) for mode in (EXCLUSIVE, SHARED, WAIT)}
            return SeenLock, (obj.name, str(obj), verbs)
        if isinstance(obj, ControlledRun):
            starts = getattr(obj, "starts", None)    # found out now, if at all: it numbers locks
            return SeenRun, (obj.names, obj.steps, obj.tasks, obj.stuck, list(obj.deadlocked),
                             bool(obj.cut), obj.late, obj.round, obj.goes_round, starts)
        if isinstance(obj, LockClass):    # its order may be a local function; it equals its name
            return str, (str(obj),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Gives code that both processes have had since the fork its own identity."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._known: dict[str, dict[int, CodeType]] = {}    # by file

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, _code.__name__):
            return self._code
        return super().find_class(module, name)

    def _code(self, number: int, identity: tuple[Any, ...], data: bytes) -> CodeType:
        file = identity[0]
        if file not in self._known:
            self._known[file] = _code_of(file)
        known = self._known[file].get(number)
        return known if known is not None and _identity(known) == identity else _code(
            number, identity, data)


def _code_of(file: str) -> dict[int, CodeType]:
    """Return the code of the functions of the modules made of *file*, by identity."""
    modules = {name: module for name, module in list(sys.modules.items())
               if getattr(module, "__file__", None) == file}
    todo: list[Any] = [value for module in modules.values()
                       for value in list(vars(module).values())]
    found: dict[int, CodeType] = {}
    seen: set[type] = set()
    while todo:
        value = todo.pop()
        if isinstance(value, CodeType):
            if id(value) not in found:
                found[id(value)] = value
                todo += value.co_consts
        elif isinstance(value, type):
            if value.__module__ in modules and value not in seen:
                seen.add(value)
                todo += vars(value).values()
        elif isinstance(value, FunctionType):
            todo += value.__code__, value.__dict__.get("__wrapped__")
        elif isinstance(value, staticmethod | classmethod):
            todo.append(value.__func__)
        elif isinstance(value, property):
            todo += value.fget, value.fset, value.fdel
        elif isinstance(value, cached_property):
            todo.append(value.func)
        elif isinstance(value, _CACHED):
            todo.append(value.__wrapped__)
    return found


def _code(number: int, identity: tuple[Any, ...], data: bytes) -> CodeType:
    code: CodeType = marshal.loads(data)
    return code


def _identity(code: CodeType) -> tuple[Any, ...]:
    return code.co_filename, code.co_firstlineno, code.co_name


def dumps(obj: Any) -> bytes:
    """Return *obj* in bytes for `loads`, in another process."""
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(obj)
    return file.getvalue()


def loads(data: bytes) -> Any:
    """Return what `dumps` was given, with what is seen of runs, tasks and locks."""
    return _Unpickler(io.BytesIO(data)).load()
