"""What one instruction touches: attributes, items, cells, containers, and what it hands to C.

Functions of C and of the standard library are not followed: what they are handed counts as touched,
for writing unless it is known that they only read. No code of the user is run to find out.

The file is long because it says in one place what each kind of access comes to.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import types
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, cast

from ..locks import raw
from ..locks.callsite import is_verb
from ..locks.node import Node
from .stretches import ALL, ANY, LENT, LOST, OWN, READ, WRITE, Stretches

class Mark:
    """Stands for an object on the stack of a shadow."""

    def __init__(self, name: str) -> None:
        self.name = name


class Made(Mark):
    """Stands for a function that the frame has just made."""

    def __init__(self, code: types.CodeType) -> None:
        super().__init__(code.co_name)
        self.__code__ = code


UNKNOWN, FRESH, NULL, OF_FRESH = map(Mark, ("unknown", "fresh", "null", "of a fresh one"))
Slot = tuple[Any, str]    # a value and the expression that it came of
_NEW: Slot = FRESH, "a new object"

CONTAINERS = (list, dict, set, deque, bytearray)
IMMUTABLE = frozenset((
    int, float, complex, bool, str, bytes, tuple, frozenset, range, slice, type(None), type(...),
    type(NotImplemented), types.CodeType, types.FunctionType, types.BuiltinFunctionType,
    types.ModuleType, types.MethodType, types.MethodDescriptorType, property, type, object))
_READERS = frozenset((
    "get", "keys", "values", "items", "copy", "index", "count", "isdisjoint", "issubset",
    "issuperset", "union", "intersection", "difference", "symmetric_difference", "__len__",
    "__contains__", "__getitem__", "__iter__", "__eq__", "__repr__"))
_METHODS = (types.FunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
            types.ClassMethodDescriptorType, staticmethod, classmethod)
_KEEPERS = frozenset((    # methods that do not look into what they are given
    "append", "appendleft", "add", "insert", "discard", "remove", "get", "pop", "setdefault",
    "index", "count", "__contains__", "__getitem__", "__setitem__", "__delitem__"))
_LOOK_ONLY = frozenset(map(id, (id, isinstance, issubclass, type, callable, hash)))
_READ_ONLY = frozenset(map(id, (
    len, bool, iter, sorted, sum, min, max, list, tuple, set, dict, frozenset, any, all, repr, str,
    print, enumerate, zip, map, filter, reversed, format, deque, range, int, float, abs, divmod)))
_GETTERS = {id(getattr): READ, id(hasattr): READ, id(setattr): WRITE, id(delattr): WRITE}
# Modules whose functions touch nothing that a program branches on.
_SILENT = frozenset(("logging", "random", "time", "warnings", "traceback", "typing"))
_COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
# What lets in one at a time: used and given back between two operations it orders nothing.
_EXCLUDING = (raw.LOCK, raw.RLOCK, raw.Condition)


def is_silent(thing: Any) -> bool:
    """Say whether calls to *thing* touch nothing that anybody branches on, or are ours."""
    named = isinstance(thing, (types.FunctionType, types.BuiltinFunctionType, type))
    module = thing.__module__ if named else type(thing).__module__
    return isinstance(module, str) and module.partition(".")[0] in _SILENT \
        or thing is sys.stdout or thing is sys.stderr


class Trace(Protocol):
    """What a shadow is part of.

    Attributes:
        keep: objects that were touched, by identity: those of objects that are alive are names.
    """

    keep: dict[int, Any]

    def traced(self, code: types.CodeType) -> bool:
        """Say whether frames of *code* have shadows."""

    def used(self, thing: Any, text: str, code: types.CodeType, offset: int) -> None:
        """Be told that a method of *thing* is called, or that a `with` block begins with it."""


class Toucher:
    """Takes note of what the instructions of one frame touch.

    Args:
        function: of the frame, None if it is not known.
        caller: the same of the frame that called it, if that is traced.
        trace: what it is told beside the touches.
    """

    def __init__(self, frame: types.FrameType, stretches: Stretches, function: Any,
                 caller: Any, trace: Trace) -> None:
        self.frame, self.code, self.stretches = frame, frame.f_code, stretches
        self.function, self.caller, self._trace = function, caller, trace
        self.offset = 0               # of the instruction
        self.callee: Any = None       # what a call under way calls, if it is traced
        self.made: set[str] = set()   # variables in which there is a function that the frame made
        self._asked: Slot | None = None    # an unknown one: it is of C unless a frame begins

    def touch(self, owner: Any, key: Any, bits: int, text: str) -> None:
        self.stretches.touch(owner, key, bits, text, self.code, self.offset)

    def touch_of(self, slot: Slot, key: Any, bits: int, text: str = "") -> None:
        """Take note that something of an object is touched."""
        value, name = slot
        if value in (FRESH, NULL, OF_FRESH) or isinstance(value, (Made, threading.local)):
            return
        if value is UNKNOWN:
            if key is not ALL:
                self.touch(ANY, key, bits, text or name)
            return
        if isinstance(value, types.ModuleType):
            value, key = value.__dict__, ("name", key[1])
        self._trace.keep[id(value)] = value
        self.touch(id(value), key, bits, text or name)

    def whole(self, slot: Slot, bits: int) -> None:
        """Take note that an object is touched as a whole, by the interpreter or a C function."""
        value, name = slot
        if value is UNKNOWN:
            self.touch(ANY, ("item", None), bits, name)
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, CONTAINERS):
                    self.whole((item, name), bits)
        elif isinstance(value, CONTAINERS):
            self.touch_of(slot, ("item", None), bits)
        elif type(value) not in IMMUTABLE and not isinstance(value, (Node, type, Mark)) \
                and not is_silent(value):
            self.touch_of(slot, ALL, bits)

    def attribute(self, slot: Slot, name: str, bits: int) -> Slot:
        """Take note that an attribute is touched; return it if it is known."""
        value, text = slot
        text = f"{text}.{name}"
        if isinstance(value, Node) or is_silent(value):
            return _static(value, name), text
        self.touch_of(slot, ("attribute", name), bits, text)
        if isinstance(value, Mark):
            return OF_FRESH if value is FRESH else UNKNOWN, text
        for base in (value if isinstance(value, type) else type(value)).__mro__:
            if name in base.__dict__ and bits == READ:
                self.touch_of((base, base.__name__), ("attribute", name), bits, text)
                break
        return _static(value, name), text

    def item(self, container: Slot, key: Slot, bits: int) -> Slot:
        """Take note that an item is touched; return it if it is known."""
        (value, name), (index, _) = container, key
        plain = type(index) in (str, int, bool) and not isinstance(value, deque)
        text = f"{name}[{index!r}]" if plain else f"{name}[...]"
        if type(value) in IMMUTABLE and not isinstance(value, tuple):
            return UNKNOWN, text
        if not isinstance(value, tuple):
            self.touch_of(container, ("item", index if plain else None), bits, text)
        if type(value) in (dict, list, tuple) and type(index) in (str, int, bool):
            try:
                return value[index], text
            except (KeyError, IndexError, TypeError):
                pass
        return UNKNOWN, text

    def _operand(self, slot: Slot, bits: int) -> None:
        """Take note that an operator is applied, by C code if it is a container."""
        if isinstance(slot[0], CONTAINERS):
            self.whole(slot, bits)

    def _local(self, name: str) -> Slot:
        return self.frame.f_locals.get(name, UNKNOWN), name

    def _maker(self, function: Any) -> Toucher | None:
        """Return which of the frames that led here made *function*, if one is known to."""
        shadow: Toucher | None = self
        while shadow is not None:
            if any(shadow.frame.f_locals.get(name) is function for name in shadow.made):
                return shadow
            shadow = shadow.caller
        return None

    def cell(self, name: str, bits: int) -> None:
        """Take note that the variable *name*, which closures share, is touched."""
        code, shadow = self.code, self
        while True:
            if name in shadow.code.co_cellvars:
                self.touch((OWN, name), shadow.code, bits, name)
                return
            function = shadow.function
            if function is not None and name in shadow.code.co_freevars:
                cell = function.__closure__[shadow.code.co_freevars.index(name)]
                self._trace.keep[id(cell)] = cell
                self.touch(id(cell), ("cell", None), bits, name)
                owner = shadow._maker(function)
                if owner is not None and name in owner.code.co_cellvars:
                    self.touch((OWN, name), owner.code, bits, name)
                else:
                    self.touch((LENT, name), code, bits, name)
                return
            caller = shadow.caller
            if caller is None or shadow.code not in caller.code.co_consts:
                self.touch((LOST, name), code, bits, name)
                return
            shadow = caller

    def call(self, function: Slot, arguments: Sequence[Slot]) -> Slot:
        """Take note of what a call touches by itself; return what it comes to, if that is known."""
        value, text = function
        if isinstance(value, functools.partial):
            return self.call((value.func, text), [*((arg, "?") for arg in value.args), *arguments])
        result: Slot = UNKNOWN, f"{text}()"
        if value is cast and len(arguments) == 2:
            return arguments[1]
        self.callee = None
        if value is UNKNOWN:
            self._asked = function
            return result
        if isinstance(value, Made):
            self.callee = value
            return _NEW if value.name in _COMPREHENSIONS else result
        if isinstance(value, Mark):    # a method of what nobody else has
            for argument in arguments:
                self.whole(argument, READ)
            return result
        if isinstance(value, Exit):
            self._gives_back((value.manager, value.text))
            return _NEW
        code = getattr(getattr(value, "__func__", value), "__code__", None)
        if code is not None and (self._trace.traced(code) or is_verb(code)):
            self.callee = value
            return (FRESH, text) if code.co_flags & inspect.CO_GENERATOR else result
        if isinstance(value, type):
            made = getattr(_static(value, "__init__"), "__code__", None)
            if made is None or not self._trace.traced(made):
                for argument in arguments:
                    self.whole(argument, READ)
            return _NEW
        self._untraced(value, text, arguments)
        return self._answer(value, arguments), result[1]

    def _untraced(self, value: Any, text: str, arguments: Sequence[Slot]) -> None:
        """Take note of what a function that is not traced, of C or the library, touches."""
        receiver = getattr(value, "__self__", None)
        if is_silent(value) or is_silent(receiver) or id(value) in _LOOK_ONLY or value is vars:
            return
        if id(value) in _GETTERS and len(arguments) > 1 and isinstance(arguments[1][0], str):
            self.attribute(arguments[0], arguments[1][0], _GETTERS[id(value)])
            return
        bits = READ if id(value) in _READ_ONLY else READ | WRITE
        if receiver is not None and not isinstance(receiver, (types.ModuleType, type)):
            name = getattr(value, "__name__", "")
            slot = receiver, text.rpartition(".")[0]
            self._trace.used(receiver, slot[1], self.code, self.offset)
            if isinstance(receiver, (*CONTAINERS, tuple, frozenset)):
                bits = READ
                if name == "get" and arguments and isinstance(receiver, dict):
                    self.item(slot, arguments[0], READ)
                else:
                    self.whole(slot, READ if name in _READERS else WRITE)
                if name in _KEEPERS:
                    return
            elif type(receiver) in IMMUTABLE:
                bits = READ
            elif isinstance(receiver, _EXCLUDING) and name in ("acquire", "release"):
                (self._takes if name == "acquire" else self._gives_back)(slot)
            else:
                self.whole(slot, READ | WRITE)
        for argument in arguments:
            self.whole(argument, bits)

    def _takes(self, slot: Slot) -> None:
        """Take note that a `with` block begins, or a lock is taken, that is not ours."""
        if isinstance(slot[0], _EXCLUDING):
            self.whole(slot, READ)
            self.stretches.holds[id(slot[0])] = slot[1], self.code, self.offset
        else:
            self.whole(slot, WRITE)

    def _gives_back(self, slot: Slot) -> None:
        """Take note that it ends. Who gives back what another has taken tells him something."""
        if self.stretches.holds.pop(id(slot[0]), None) is None:
            self.whole(slot, WRITE)

    def _answer(self, value: Any, arguments: Sequence[Slot]) -> Any:
        receiver = getattr(value, "__self__", None)
        if value is vars and arguments and hasattr(arguments[0][0], "__dict__"):
            return arguments[0][0].__dict__
        if type(receiver) is dict and value.__name__ in ("get", "setdefault") and arguments:
            key = arguments[0][0]
            if type(key) in (str, int, bool):
                return receiver.get(key, UNKNOWN)
        fresh = id(value) in _READ_ONLY or id(value) in _LOOK_ONLY or type(receiver) is str
        return FRESH if fresh and value not in (iter, reversed, map, filter) else UNKNOWN


class Exit:
    """The end of a `with` block whose manager is not traced."""

    def __init__(self, manager: Any, text: str) -> None:
        self.manager, self.text = manager, text


def _static(value: Any, name: str) -> Any:
    """Return an attribute of *value*, if that needs no code of the user; else `UNKNOWN`."""
    if isinstance(value, types.ModuleType):
        return value.__dict__.get(name, UNKNOWN)
    kind = value if isinstance(value, type) else type(value)
    found: Any = next((base.__dict__[name] for base in kind.__mro__ if name in base.__dict__),
                      UNKNOWN)
    if isinstance(value, type):
        if isinstance(found, (staticmethod, classmethod)):
            return found.__get__(None, value)
        return UNKNOWN if isinstance(found, property) else found
    if isinstance(kind.__getattribute__, types.FunctionType):
        return UNKNOWN
    try:
        if isinstance(found, types.MemberDescriptorType):
            return found.__get__(value, kind)
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:    # an empty slot, an object without a dictionary
        own = {}
    if name in own and not hasattr(type(found), "__set__"):
        return own[name]
    if isinstance(found, _METHODS):
        return found.__get__(value, kind)
    return UNKNOWN if isinstance(found, Mark) or hasattr(type(found), "__get__") else found
