"""What the functions of a scenario can name, and what hangs at an object: where locks are found.

No code of the user's runs meanwhile: attributes are read where they are kept, and a collection by
its own type's functions.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from typing import Any

from ..locks.node import Node

_PLAIN = (str, int, float, bytes, bool, type(None))
_FOREIGN = {*sys.stdlib_module_names, "harness", "readerwriterlock", "pytest", "_pytest", "pluggy"}
_FOREIGN -= {"__main__", "builtins"}
_HOLDING = {"threading", "weakref"}    # modules of others whose objects may hold what is looked for
Found = tuple[Any, str, bool]    # an object, its path, whether that is the same in every run


def is_of(thing: Any, *kinds: type) -> bool:
    """Say whether *thing* is one of *kinds*; `isinstance` might ask *thing* itself."""
    return not set(kinds).isdisjoint(type(thing).__mro__)


class Roots:
    """What the functions of a scenario can name.

    Attributes:
        known: each thing by a name that means the same wherever it is used.
        ambiguous: the rest.
    """

    def __init__(self, scenario: Any) -> None:
        self._meanings: dict[str, dict[int, Found]] = {}
        self._weak: list[Found] = []
        self._seen: set[int] = set()
        self._things: list[Any] = []
        functions = [*scenario.roles.values(), scenario.check, *scenario.invariants.values()]
        for function in functions:
            self._function(function)
        self.known: list[Found] = []
        self.ambiguous: list[Found] = []
        for meanings in self._meanings.values():
            (self.known if len(meanings) == 1 else self.ambiguous).extend(meanings.values())
        self.known += self._selves()
        self.ambiguous += self._weak

    def _function(self, function: Any) -> None:
        """Take in the variables that *function* sees, and those of functions among them."""
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        if is_of(function, functools.partial):
            self._function(function.func)
            self._weak += _parameters(function)
        elif is_of(function, types.MethodType):
            self._things.append(function.__self__)
            self._function(function.__func__)
            self._methods(type(function.__self__))
        elif is_of(function, types.FunctionType) and not _is_foreign(function):
            self._weak += _defaults(function)
            for name, value in [*closure(function), *_globals(function)]:
                if is_of(value, types.FunctionType, types.MethodType, functools.partial):
                    self._function(value)
                elif not is_of(value, *_PLAIN):
                    self._meanings.setdefault(name, {})[id(value)] = value, name, True
                    self._methods(value if is_of(value, type) else type(value))
        elif callable(function) and not is_of(function, type):
            self._things.append(function)    # an object with that method
            self._methods(type(function))

    def _methods(self, owner: type) -> None:
        if not _is_foreign(owner) and owner.__module__ != "builtins":
            for member in list(vars(owner).values()):
                self._function(getattr(member, "__func__", member)
                               if is_of(member, classmethod, staticmethod) else member)

    def _selves(self) -> Iterator[Found]:
        """Yield the objects whose methods are roles, by their types."""
        things = {id(thing): thing for thing in self._things}.values()
        types_ = [type(thing).__name__ for thing in things]
        for thing, name in zip(things, types_, strict=True):
            yield thing, name, types_.count(name) == 1


def closure(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the variables of enclosing functions that *function* sees."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):    # not filled yet
            yield name, cell.cell_contents


def _globals(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the variables of modules that *function* uses."""
    used = [function.__code__]
    for code in used:
        used += [const for const in code.co_consts if is_of(const, types.CodeType)]
    names = dict.fromkeys(name for code in used for name in code.co_names)
    for name in names:
        value = function.__globals__.get(name)
        if is_of(value, types.ModuleType):
            inside = vars(value)
            yield from ((f"{name}.{other}", inside[other]) for other in names
                        if other in inside and not _is_foreign(inside[other]))
        elif value is not None and not _is_foreign(value):
            yield name, value


def _is_foreign(thing: Any) -> bool:
    """Say whether *thing* is code of others, or a lock's, in which nothing is to be found."""
    if is_of(thing, types.ModuleType):
        return True
    if is_of(thing, Node, types.BuiltinFunctionType):
        return not is_of(thing, Node)
    is_code = is_of(thing, type, types.FunctionType)
    module = (thing if is_code else type(thing)).__module__
    package = module.partition(".")[0] if is_of(module, str) else ""
    return package in _FOREIGN and (is_code or package not in _HOLDING)


def _defaults(function: types.FunctionType) -> Iterator[Found]:
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values):code.co_argcount]
    for name, value in [*zip(names, values, strict=True),
                        *(function.__kwdefaults__ or {}).items()]:
        yield value, name, False


def _parameters(partial: functools.partial[Any]) -> Iterator[Found]:
    code = getattr(partial.func, "__code__", None)
    names = code.co_varnames if code is not None else ()
    for i, value in enumerate(partial.args):
        yield value, names[i] if i < len(names) else f"argument {i + 1}", False
    for name, value in partial.keywords.items():
        yield value, name, False


def children(thing: Any, path: str, sure: bool) -> list[Found]:
    """Return what hangs at *thing*, with the path to it."""
    found: list[Found] = []
    if is_of(thing, weakref.WeakValueDictionary, weakref.WeakKeyDictionary):
        thing = object.__getattribute__(thing, "data")
    if is_of(thing, dict):
        for number, (key, value) in enumerate(list(dict.items(thing))):
            key, value = _referent(key), _referent(value)
            text = _key(key)
            found.append((value, f"{path}[{text or number}]", sure and text != ""))
    elif is_of(thing, list, tuple, set, frozenset, deque):
        fields = type(thing).__dict__.get("_fields", ())
        for i, value in enumerate(elements(thing)):
            end = f".{fields[i]}" if i < len(fields) else f"[{i}]"
            found.append((value, f"{path}{end}", sure and is_of(thing, tuple)))
    elif is_of(thing, types.FunctionType):
        found += [(value, name, False) for name, value in closure(thing)]
    elif is_of(thing, types.MethodType):
        found.append((thing.__self__, path, False))
    elif is_of(thing, functools.partial):
        found += _parameters(thing)
    elif is_of(thing, type):
        if not _is_foreign(thing):
            found += [(value, f"{path}.{name}", sure) for name, value in list(vars(thing).items())
                      if not name.startswith("__")]
    elif type(thing) not in _PLAIN and not _is_foreign(thing):
        found += [(value, f"{path}.{name}", sure) for name, value in attributes(thing)]
    return [one for one in found if type(one[0]) not in _PLAIN]


def _referent(thing: Any) -> Any:
    return thing() if is_of(thing, weakref.ref) else thing


def elements(thing: Any) -> list[Any]:
    """Return the elements of a collection, by its own type: a subclass may do anything."""
    base = next(base for base in (list, tuple, set, frozenset, deque) if is_of(thing, base))
    try:
        return list(base.__iter__(thing))
    except RuntimeError:    # another thread changes it
        return []


def attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object that are kept with it."""
    try:
        inside = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        inside = {}
    if is_of(inside, dict):
        yield from ((name, value) for name, value in list(dict.items(inside))
                    if is_of(name, str))
    for base in type(thing).__mro__:
        for name, slot in list(vars(base).items()):
            if is_of(slot, types.MemberDescriptorType):
                with suppress(AttributeError):    # not set
                    yield name, slot.__get__(thing)


def _key(key: Any) -> str:
    """Return how a key is written, if it is written the same in every run; else ""."""
    if type(key) in _PLAIN:
        return repr(key)
    if is_of(key, Enum):
        return f"{type(key).__name__}.{key._name_}"
    if type(key) is tuple and key and all(map(_key, key)):
        return ", ".join(map(_key, key)) + ("," if len(key) == 1 else "")
    return ""
