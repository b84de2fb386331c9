"""What a thing consists of, as a tuple that can be compared, for states (state.py).

No code of the user's runs: attributes are read where they are kept, and a collection by its own
type's functions. What cannot be compared raises `Unknown`. The file is long because it has a line
for each kind of thing there is.
"""

from __future__ import annotations

import dis
import functools
import gc
import itertools
import re
import sys
import threading
import types
import weakref
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ..locks.node import Node
from ..locks.task import Task
from . import thread_patch
from .reach import attributes, is_of

Token = Hashable
_OURS = {"harness", "readerwriterlock", "pytest", "_pytest", "pluggy", "logging", "typing",
         "warnings"}    # whose functions and objects decide nothing of what a role goes on to do
# Modules whose functions say something new each time, or act on what is outside the process.
_CHANGING = {"time", "random", "_random", "datetime", "_datetime", "secrets", "uuid", "os", "posix",
             "nt", "io", "_io", "socket", "_socket", "select", "selectors", "subprocess", "signal",
             "_signal", "asyncio", "_asyncio", "tempfile", "shutil", "glob", "pathlib",
             "multiprocessing", "ssl", "_ssl", "urllib", "http", "gc", "ctypes", "_ctypes",
             "contextvars", "_contextvars", "sqlite3", "mmap", "fcntl", "resource", "psutil"}
_PURE = {"builtins", "math", "cmath", "operator", "_operator", "itertools", "functools",
         "_functools", "_collections", "collections", "bisect", "_bisect", "heapq", "_heapq", "re",
         "_sre", "struct", "_struct", "json", "_json", "copy", "string", "_string", "binascii",
         "zlib", "_thread", "threading", "sys", "statistics", "_statistics", "decimal", "_decimal",
         "array", "enum", "types", "abc", "_abc", "unicodedata", "hashlib", "_hashlib"}
_NOT_PURE = {"open", "input", "exec", "eval", "__import__", "globals", "_current_frames",
             "get_ident", "_count"}
_INSIDE_NODES = {"_name", "_class", "nth", "maker", "origin", "_lock", "_rw", "_new_hold", "_inner",
                 "_hold", "_observed", "_read_guard", "_write_guard", "_by", "_readers"}
_INSIDE_THREADS = {"run", "_harness_family", "_tstate_lock", "_started", "_stderr", "_handle",
                   "_invoke_excepthook", "_ident", "_native_id", "_os_thread_handle"}
_OPAQUE = (types.CodeType, range, slice, type(Ellipsis), type(NotImplemented),
           types.MethodDescriptorType, types.WrapperDescriptorType, types.MemberDescriptorType,
           types.GetSetDescriptorType, types.ClassMethodDescriptorType, types.GenericAlias,
           types.UnionType, re.Pattern, type(vars(namedtuple("_", "a"))["a"]))
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_ITERATORS = tuple(map(type, (
    iter([]), iter(()), iter(range(0)), iter(range(1 << 70)), iter({}), iter({}.values()),
    iter({}.items()), iter(set()), iter(""), reversed([]), iter(b""), enumerate(()), zip(),
    map(len, ()), filter(None, ()))))


class Unknown(Exception):
    """It cannot be told what a thing is: why."""


class Parts:
    """Tells of things what they consist of; *token* returns what stands for one that is met."""

    def __init__(self, token: Callable[[Any], Token]) -> None:
        self.token = token
        self._kinds: dict[int, bool] = {}    # of types: whether their objects are understood

    def of(self, thing: Any) -> tuple[Token, ...]:
        """Return what *thing* is."""
        kind = type(thing)
        if is_of(thing, type):
            return self._of_class(thing)
        if kind is types.FunctionType:
            return self._of_function(thing)
        if kind is types.CellType:
            return "cell", *self._cell(thing)
        if kind is types.MethodType:
            return "method", self.token(thing.__self__), self.token(thing.__func__)
        if kind is types.BuiltinFunctionType:
            return self._of_builtin(thing)
        if kind in _OPAQUE:
            return "same", id(thing) if kind not in (range, slice) else repr(thing)
        if kind is types.ModuleType:
            return self._of_module(thing)
        if is_of(thing, Task):
            return "task", thing.serial
        if is_of(thing, Node):
            who = [task.serial for task in getattr(thing, "_readers", ())]
            return ("lock", self.token(kind), *who, *self._inside(thing, _INSIDE_NODES))
        if is_of(thing, threading.Thread):
            return ("thread", self.token(kind), self.token(thread_patch.end_of(thing)),
                    *self._inside(thing, _INSIDE_THREADS))
        if kind is _RAW_LOCK:
            return "lock", thing.locked()
        if kind is _RAW_RLOCK:
            return "lock", repr(thing)
        if kind in (functools.partial, functools.partialmethod):
            return ("partial", self.token(thing.func), *map(self.token, thing.args),
                    self.token(thing.keywords))
        if kind in (property, staticmethod, classmethod, functools.cached_property):
            return (kind.__name__, *(self.token(getattr(thing, name, None))
                                     for name in ("fget", "fset", "fdel", "__func__", "func")))
        if kind is _CACHED:
            about = thing.cache_info()
            return "cached", self.token(thing.__wrapped__), about.misses, about.currsize
        if kind in _ITERATORS:
            return "iterator", self._flat(thing.__reduce__())
        if kind is itertools.count:
            return "iterator", self._of_count(thing)
        if kind is types.MappingProxyType:
            raise Unknown("a mapping proxy")
        return self._of_object(thing, kind)

    # -- code ---------------------------------------------------------------------------------

    def scope(self, code: types.CodeType, names: Mapping[str, Any],
              variables: Mapping[str, Any]) -> Token:
        """Return the *variables* of a frame, and what its *code* can name beside them."""
        inside = tuple([(name, self.token(value)) for name, value in list(variables.items())])
        if _is_of_others(names.get("__name__")):
            return inside
        modules = [value for value in list(variables.values()) if type(value) is types.ModuleType]
        return inside, self._named(code, names, modules)

    def _named(self, code: types.CodeType, names: Mapping[str, Any],
               modules: list[types.ModuleType]) -> Token:
        """Return what *code*, with what is defined in it, can name; *modules* are its variables."""
        used, attributes_used, imported = _names_in(code)
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
            elif name in builtins and name in _NOT_PURE:
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
            if not _is_of_others(module.__name__) and not _ASKING.isdisjoint(
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
        if _is_of_others(module):
            self._refuse(module, function.__name__)
            return "same", id(function.__code__), *map(self.token, function.__closure__ or ())
        return ("function", id(function.__code__), *map(self.token, function.__closure__ or ()),
                self.token(function.__defaults__), self.token(function.__kwdefaults__),
                self.token(function.__dict__ or None),
                self._named(function.__code__, function.__globals__, []))

    def _cell(self, cell: types.CellType) -> Iterator[Token]:
        with suppress(ValueError):    # not filled yet
            yield self.token(cell.cell_contents)

    def _of_builtin(self, function: Any) -> tuple[Token, ...]:
        owner = function.__self__
        if owner is None or type(owner) is types.ModuleType:
            module = function.__module__ if owner is None else owner.__name__
            name = function.__name__
            if (module, name) != ("time", "sleep") and (module not in _PURE or name in _NOT_PURE):
                raise Unknown(f"`{module}.{name}` is used")
            return "same", id(function)
        return "method", self.token(owner), function.__name__

    def _of_module(self, module: types.ModuleType) -> tuple[Token, ...]:
        if _is_of_others(module.__name__):
            self._refuse(module.__name__, "")
            return "same", id(module)
        return ("module", *((name, self.token(value)) for name, value in list(vars(module).items())
                            if not name.startswith("__")))

    def _of_class(self, cls: type) -> tuple[Token, ...]:
        if not cls.__flags__ & _HEAP or _is_of_others(cls.__module__):
            self._refuse(cls.__module__, cls.__name__)
            return "same", id(cls)
        return ("class", id(cls), *map(self.token, cls.__bases__),
                *((name, self.token(value)) for name, value in list(vars(cls).items())
                  if callable(value) or type(name) is str and not name.startswith("__")
                  and name != "_abc_impl"))

    def _refuse(self, module: Any, name: str) -> None:
        if type(module) is not str or module.partition(".")[0] in _CHANGING:
            raise Unknown(f"`{module}{name and '.'}{name}` is used")

    # -- data ---------------------------------------------------------------------------------

    def _of_object(self, thing: Any, kind: type) -> tuple[Token, ...]:
        if kind.__module__.partition(".")[0] == "logging":
            return "same", id(thing)
        if not self._is_understood(kind):
            raise Unknown(f"a {kind.__module__}.{kind.__qualname__}")
        out: list[Token] = [self.token(kind)]
        if is_of(thing, *_CONTAINERS):
            out += self._elements(thing)
        elif is_of(thing, int):
            out.append(int.__add__(thing, 0))
        elif is_of(thing, str):
            out.append(str.__str__(thing))
        elif is_of(thing, float):
            out.append(float.__repr__(thing))
        elif is_of(thing, bytes):
            out.append(bytes.__getitem__(thing, slice(None)))
        elif is_of(thing, bytearray):
            out.append(bytes(thing) if kind is bytearray else bytearray.__repr__(thing))
        elif is_of(thing, BaseException):
            out += [self.token(thing.args), self.token(thing.__cause__),
                    self.token(thing.__context__)]
        return (*out, *self._inside(thing, ()))

    def _elements(self, thing: Any) -> Iterator[Token]:
        if is_of(thing, OrderedDict):
            keys = list(OrderedDict.__iter__(thing))
            if any(type(key) not in (int, str, bytes) for key in keys):
                raise Unknown("an ordered dict, whose keys may compare themselves")
            yield from keys    # their order; the values follow
        if is_of(thing, dict):
            if is_of(thing, defaultdict):
                yield self.token(thing.default_factory)
            for key, value in list(dict.items(thing)):
                yield self.token(key)
                yield self.token(value)
            return
        base = next(base for base in _CONTAINERS if is_of(thing, base))
        if base is deque:
            yield "maxlen", deque.maxlen.__get__(thing)
        yield from map(self.token, list(base.__iter__(thing)))

    def _inside(self, thing: Any, leave_out: Any) -> Iterator[Token]:
        for name, value in attributes(thing):
            if name not in leave_out:
                yield name, self.token(value)

    def _flat(self, made: Any) -> Token:
        """Return what stands for a tuple that was made just now, and those in it."""
        return tuple(map(self._flat, made)) if type(made) is tuple else self.token(made)

    def _of_count(self, thing: Any) -> str:
        if any(type(each) not in (int, float, type) for each in gc.get_referents(thing)):
            raise Unknown("an itertools.count of something that is no number")
        return repr(thing)

    def _is_understood(self, kind: type) -> bool:
        """Say whether all that an object of type *kind* has can be read."""
        if id(kind) not in self._kinds:
            self._kinds[id(kind)] = all(map(_is_plain, kind.__mro__))
        return self._kinds[id(kind)]


_HEAP = 1 << 9    # Py_TPFLAGS_HEAPTYPE
_RAW_LOCK, _RAW_RLOCK = type(threading.Lock()), type(threading.RLock())
_CACHED = type(functools.lru_cache(lambda: None))
_ASKING = {"getattr", "setattr", "delattr", "vars", "__dict__", "locals"}
_BASES = (*_CONTAINERS, object, int, bool, str, float, bytes, bytearray, complex, OrderedDict,
          defaultdict, types.SimpleNamespace, BaseException)
_WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet, weakref.finalize)
_OF_C = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)


def _is_plain(base: type) -> bool:
    """Say whether *base* adds nothing to its objects but attributes."""
    if base in _BASES or base.__module__ == "builtins" and issubclass(base, BaseException):
        return True
    if not base.__flags__ & _HEAP or base.__module__.partition(".")[0] in _CHANGING:
        return False
    for name, value in list(vars(base).items()):
        kind = type(value)
        if name == "__del__" or kind in _OF_C and value.__objclass__ is base:
            return False
        if kind is types.GetSetDescriptorType and name not in ("__dict__", "__weakref__"):
            return False
    return base not in _WEAK


def _is_of_others(module: Any) -> bool:
    """Say whether *module* is the standard library's, or ours: what is in it is not gone into."""
    if type(module) is not str:
        return False
    package = module.partition(".")[0]
    return package in _OURS or package in sys.stdlib_module_names


_Names = tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]
_known: dict[int, tuple[types.CodeType, _Names]] = {}    # by identity: code hashes slowly
_MOST_KNOWN = 5_000
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME")


def _names_in(code: types.CodeType) -> _Names:
    """Return the names of variables that *code* uses, with what is defined in it, those of
    attributes, and those of modules that it imports.
    """
    if id(code) not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        codes = [code]
        for each in codes:
            codes += [const for const in each.co_consts if type(const) is types.CodeType]
        done = [ins for each in codes for ins in dis.get_instructions(each)
                if ins.opcode in dis.hasname]
        variables = dict.fromkeys(ins.argval for ins in done if ins.opname in _GLOBAL)
        others = dict.fromkeys(ins.argval for ins in done if ins.opname not in _GLOBAL)
        imports = frozenset(ins.argval for ins in done if ins.opname == "IMPORT_NAME")
        _known[id(code)] = code, ((*variables,), (*others,), imports)
    return _known[id(code)][1]
