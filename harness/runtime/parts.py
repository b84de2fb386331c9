"""What a thing consists of, as a tuple that can be compared, for states (state.py).

No code of the user's runs: attributes are read where they are kept, and a collection by its own
type's functions. What cannot be compared raises `Unknown`. The file is long because each kind of
thing is told of in its own way; which kinds there are is in thing_kinds.py.
"""

from __future__ import annotations

import gc
import sys
import threading
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from ..locks.exclusive import Exclusive
from ..locks.task import Task
from ..standard.condition import Condition
from . import thread_patch
from .reach import is_of
from .thing_kinds import (ASKING, CONTAINERS, EXACTLY, HEAP, INSIDE_NODES, INSIDE_THREADS, LOCK,
                          NOT_PURE, OF_ACCOUNT, OF_CLASSES, OF_MODULES, OVER, PURE, is_decided,
                          codes_in, is_of_others, kind_of_thing, names_in)

Token = Hashable
_OF_ERRORS: tuple[Any, ...] = tuple(vars(BaseException)[name] for name in (
    "args", "__cause__", "__context__"))
_FACTORY: Any = vars(defaultdict)["default_factory"]


class Unknown(Exception):
    """It cannot be told what a thing is: why."""


class Parts:
    """Tells of things what they consist of; *token* returns what stands for one that is met."""

    def __init__(self, token: Callable[[Any], Token]) -> None:
        self.token = token
        self.codes: dict[int, types.CodeType] = {}    # that may run, by id
        self.plain: list[int] = []    # ids of objects whose attributes code of the user's alone has

    def of(self, thing: Any) -> tuple[Token, ...]:
        """Return what *thing* is."""
        kind = type(thing)
        tell: Callable[[Any], tuple[Token, ...]] = getattr(
            self, EXACTLY.get(id(kind)) or kind_of_thing(kind).tell)
        return tell(thing)

    def _same(self, thing: Any) -> tuple[Token, ...]:
        return "same", id(thing)

    def _shown(self, thing: Any) -> tuple[Token, ...]:
        return type(thing).__name__, repr(thing)

    def _of_cell(self, cell: types.CellType) -> tuple[Token, ...]:
        try:
            return "cell", self.token(cell.cell_contents)
        except ValueError:    # not filled yet
            return "cell",

    def _of_method(self, method: types.MethodType) -> tuple[Token, ...]:
        return "method", self.token(method.__self__), self.token(method.__func__)

    def _of_task(self, task: Task) -> tuple[Token, ...]:
        return "task", task.name

    def _of_thread(self, thread: threading.Thread) -> tuple[Token, ...]:
        return ("thread", self.token(type(thread)), self.token(thread_patch.end_of(thread)),
                *self._inside(thread, INSIDE_THREADS))

    def _of_raw_lock(self, lock: Any) -> tuple[Token, ...]:
        return "raw lock", lock.locked()

    def _of_partial(self, partial: Any) -> tuple[Token, ...]:
        return (type(partial).__name__, self.token(partial.func), *map(self.token, partial.args),
                self.token(partial.keywords))

    def _of_descriptor(self, thing: Any) -> tuple[Token, ...]:
        return (type(thing).__name__, *(self.token(getattr(thing, name, None)) for name in (
            "fget", "fset", "fdel", "__func__", "func")))

    def _of_cached(self, function: Any) -> tuple[Token, ...]:
        about = function.cache_info()
        return "cached", self.token(function.__wrapped__), about.misses, about.currsize

    def _of_iterator(self, iterator: Any) -> tuple[Token, ...]:
        return "iterator", self._flat(iterator.__reduce__())

    def _flat(self, made: Any) -> Token:
        """Return what stands for a tuple or range that was made just now, and those in it."""
        if type(made) is range:
            return self._shown(made)
        return tuple(map(self._flat, made)) if type(made) is tuple else self.token(made)

    def _of_count(self, thing: Any) -> tuple[Token, ...]:
        if any(type(each) not in (int, float, type) for each in gc.get_referents(thing)):
            raise Unknown("an itertools.count of something that is no number")
        return "iterator", repr(thing)

    def _of_unknown(self, thing: Any) -> tuple[Token, ...]:
        raise Unknown(f"a {type(thing).__module__}.{type(thing).__qualname__}")

    def _of_lock(self, lock: Any) -> tuple[Token, ...]:
        """Return what a lock is, its account (who has it, who waits) in one part: `ACCOUNT`."""
        account: list[Token] = [task.name for task in getattr(lock, "_readers", ())]
        rest: list[Token] = []
        if is_of(lock, Condition):    # whose queue changes under its lock, if that is one of ours
            waits = tuple(map(self.token, list(lock._queue)))
            (account if is_of(lock._lock, Exclusive) else rest).append(waits)
            rest.append((OVER, self.token(lock._lock)))
        for name, token in self._inside(lock, INSIDE_NODES):
            (account if name in OF_ACCOUNT else rest).append((name, token))
        return (LOCK, self.token(type(lock)), tuple(account), *rest)

    # -- code ---------------------------------------------------------------------------------

    def names(self, code: types.CodeType, names: Mapping[str, Any],
              modules: list[types.ModuleType]) -> tuple[Token, ...]:
        """Return what *code*, with what is defined in it, can name beside its own variables.

        Args:
            names: its globals.
            modules: those that its variables are.
        """
        if is_of_others(names.get("__name__")):
            return ()
        return self._named(code, names, modules)

    def _named(self, code: types.CodeType, names: Mapping[str, Any],
               modules: list[types.ModuleType]) -> tuple[Token, ...]:
        if id(code) not in self.codes:
            self.codes |= {id(each): each for each in codes_in(code)}
        used, attributes_used, imported = names_in(code)
        found: list[Token] = []
        builtins = names.get("__builtins__", {})
        if type(builtins) is types.ModuleType:
            builtins = vars(builtins)
        modules = list(modules)
        for name in used:
            if name in names:
                value = names[name]
            elif name in imported and name in sys.modules:
                value = sys.modules[name]
            elif name in builtins and name in NOT_PURE:
                raise Unknown(f"`{name}` is used")
            else:
                continue
            if type(value) is types.ModuleType:
                modules.append(value)
            else:
                found.append((name, self.token(value)))
        seen: list[types.ModuleType] = []
        for module in modules:
            if any(module is each for each in seen):
                continue
            seen.append(module)
            inside = vars(module)
            if not is_of_others(module.__name__) and not ASKING.isdisjoint(
                    used + attributes_used):
                raise Unknown(f"it is asked by name what module {module.__name__} has")
            for name in attributes_used:
                if name in inside:
                    value = inside[name]
                    if type(value) is types.ModuleType:
                        modules.append(value)
                    else:
                        found.append((module.__name__, name, self.token(value)))
        return tuple(found)

    def _of_function(self, function: types.FunctionType) -> tuple[Token, ...]:
        module = function.__globals__.get("__name__", "")
        if is_of_others(module):
            self._refuse(module, function.__name__)
            return "same", id(function.__code__), *map(self.token, function.__closure__ or ())
        return ("function", id(function.__code__), *map(self.token, function.__closure__ or ()),
                self.token(function.__defaults__), self.token(function.__kwdefaults__),
                self.token(function.__dict__ or None),
                self._named(function.__code__, function.__globals__, []))

    def _of_builtin(self, function: Any) -> tuple[Token, ...]:
        owner = function.__self__
        if owner is None or type(owner) is types.ModuleType:
            module = function.__module__ if owner is None else owner.__name__
            name = function.__name__
            if (module, name) != ("time", "sleep") and (module not in PURE or name in NOT_PURE):
                raise Unknown(f"`{module}.{name}` is used")
            return "same", id(function)
        return "method", self.token(owner), function.__name__

    def _of_module(self, module: types.ModuleType) -> tuple[Token, ...]:
        if is_of_others(module.__name__):
            self._refuse(module.__name__, "")
            return "same", id(module)
        return ("module", *((name, self.token(value)) for name, value in list(vars(module).items())
                            if name not in OF_MODULES))

    def _of_class(self, cls: type) -> tuple[Token, ...]:
        if not cls.__flags__ & HEAP or is_of_others(cls.__module__):
            self._refuse(cls.__module__, cls.__name__)
            return "same", id(cls)
        return ("class", self.token(type(cls)), *map(self.token, cls.__bases__),
                *((name, self.token(value)) for name, value in list(vars(cls).items())
                  if name not in OF_CLASSES))

    def _refuse(self, module: Any, name: str) -> None:
        if type(module) is not str or not is_decided(module):
            raise Unknown(f"`{module}{name and '.'}{name}` is used")

    # -- data ---------------------------------------------------------------------------------

    def _of_object(self, thing: Any) -> tuple[Token, ...]:
        if not any(is_of_others(base.__module__) for base in type(thing).__mro__[:-1]):
            self.plain.append(id(thing))
        return self.token(type(thing)), *self._inside(thing, ())

    def _of_value(self, thing: Any) -> tuple[Token, ...]:
        """Return what an object is whose type derives from one of the interpreter's."""
        out: list[Token] = [self.token(type(thing))]
        if is_of(thing, *CONTAINERS):
            out += self._elements(thing)
        elif is_of(thing, int):
            out.append(int.__add__(thing, 0))
        elif is_of(thing, str):
            out.append(str.__str__(thing))
        elif is_of(thing, float):
            out.append(float.__repr__(thing))
        elif is_of(thing, complex):
            out.append(complex.__repr__(thing))
        elif is_of(thing, bytes):
            out.append(bytes.__getitem__(thing, slice(None)))
        elif is_of(thing, bytearray):
            out.append(bytearray.__repr__(thing))
        elif is_of(thing, BaseException):
            out += [self.token(each.__get__(thing)) for each in _OF_ERRORS]
        return (*out, *self._inside(thing, ()))

    def _of_list(self, thing: Any) -> tuple[Token, ...]:
        return type(thing).__name__, *map(self.token, list(thing))

    def _of_dict(self, thing: dict[Any, Any]) -> tuple[Token, ...]:
        return "dict", *self._items(thing)

    def _items(self, thing: dict[Any, Any]) -> Iterator[Token]:
        for key, value in list(dict.items(thing)):
            yield self.token(key)
            yield self.token(value)

    def _elements(self, thing: Any) -> Iterator[Token]:
        if is_of(thing, OrderedDict):
            keys = list(OrderedDict.__iter__(thing))
            if any(type(key) not in (int, str, bytes) for key in keys):
                raise Unknown("an ordered dict, whose keys may compare themselves")
            yield from keys    # their order; the values follow
        if is_of(thing, dict):
            if is_of(thing, defaultdict):
                yield self.token(_FACTORY.__get__(thing))
            yield from self._items(thing)
            return
        base = next(base for base in CONTAINERS if is_of(thing, base))
        if base is deque:
            yield "maxlen", deque.maxlen.__get__(thing)
        yield from map(self.token, list(base.__iter__(thing)))

    def _inside(self, thing: Any, leave_out: Any) -> Iterator[tuple[str, Token]]:
        """Yield the attributes that are kept with *thing*."""
        kind = kind_of_thing(type(thing))
        if kind.has_dict:
            inside = object.__getattribute__(thing, "__dict__")
            if type(inside) is dict:
                for name, value in list(inside.items()):
                    if name not in leave_out:
                        yield name, self.token(value)
        for name, slot in kind.slots:
            if name not in leave_out:
                try:
                    value = slot.__get__(thing)
                except AttributeError:    # not set
                    continue
                yield name, self.token(value)
