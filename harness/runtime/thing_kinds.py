"""Which kinds of things there are, for parts.py: how each is told of, and what code can name.

The file is long because it has a line for each kind of thing there is.
"""

from __future__ import annotations

import dis
import functools
import itertools
import re
import sys
import threading
import types
import weakref
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any

from ..locks import raw
from ..locks.node import Node
from ..locks.task import Task

LOCK = "a lock"
ACCOUNT = 2    # where in what stands for a lock its account is
_OURS = {"harness", "readerwriterlock", "pytest", "_pytest", "pluggy", "logging", "typing",
         "warnings"}    # whose functions and objects decide nothing of what a role goes on to do
# Modules of the standard library whose functions say the same of the same things; any other may say
# something new each time, or ask what is outside the process.
PURE = {"builtins", "math", "cmath", "operator", "_operator", "itertools", "functools",
         "_functools", "_collections", "collections", "bisect", "_bisect", "heapq", "_heapq", "re",
         "_sre", "struct", "_struct", "json", "_json", "copy", "string", "_string", "binascii",
         "zlib", "_thread", "threading", "sys", "statistics", "_statistics", "decimal", "_decimal",
         "array", "enum", "types", "abc", "_abc", "unicodedata", "hashlib", "_hashlib",
         "contextlib", "dataclasses", "numbers", "fractions", "textwrap", "keyword", "reprlib",
         "copyreg", "queue", "concurrent", "weakref", "_weakref", "_weakrefset"}
NOT_PURE = {"open", "input", "exec", "eval", "__import__", "globals", "_current_frames",
            "get_ident", "_count",
            "getrecursionlimit", "setrecursionlimit", "getswitchinterval", "setswitchinterval",
            "getrefcount", "gettrace", "settrace", "getprofile", "setprofile", "getcontext",
            "setcontext", "localcontext"}
OF_MODULES = {"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__path__",
              "__file__", "__cached__", "__builtins__", "__annotations__", "__annotate__",
              "__conditional_annotations__"}    # what the interpreter keeps there, and of classes
OF_CLASSES = {"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__annotate__",
              "__annotate_func__", "__annotations_cache__", "__abstractmethods__", "_abc_impl",
              "__dataclass_params__", "__dataclass_fields__", "__orig_bases__", "__parameters__",
              "__type_params__", "__protocol_attrs__", "__non_callable_proto_members__"}
INSIDE_NODES = {"_name", "_class", "nth", "maker", "origin", "_lock", "_rw", "_new_hold", "_inner",
                 "_hold", "_observed", "_read_guard", "_write_guard", "_by", "_readers",
                 "_queue", "_wakeups", "acquire", "release", "_release_save", "_acquire_restore",
                 "_is_owned"}
OF_ACCOUNT = {"_owner", "_waiters", "_writer", "queue", "_done", "_took"}
OVER = "over"    # what a condition is over
INSIDE_THREADS = {"run", "_harness_family", "_tstate_lock", "_started", "_stderr", "_handle",
                   "_invoke_excepthook", "_ident", "_native_id", "_os_thread_handle"}
OF_THREADS = INSIDE_THREADS | {"_target", "_args", "_kwargs", "_is_stopped", "_initialized",
                               "_daemonic", "_context"}
_OPAQUE = (types.CodeType, type(Ellipsis), type(NotImplemented),
           types.MethodDescriptorType, types.WrapperDescriptorType, types.MemberDescriptorType,
           types.GetSetDescriptorType, types.ClassMethodDescriptorType, types.GenericAlias,
           types.UnionType, re.Pattern, type(vars(namedtuple("_", "a"))["a"]))
CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_ITERATORS = tuple(map(type, (
    iter([]), iter(()), iter(range(0)), iter(range(1 << 70)), iter({}), iter({}.values()),
    iter({}.items()), iter(set()), iter(""), reversed([]), iter(b""), enumerate(()), zip(),
    map(len, ()), filter(None, ()))))


HEAP = 1 << 9    # Py_TPFLAGS_HEAPTYPE
_CACHED = type(functools.lru_cache(lambda: None))
ASKING = {"getattr", "setattr", "delattr", "vars", "__dict__", "locals"}
_BASES = (*CONTAINERS, object, int, bool, str, float, bytes, bytearray, complex, OrderedDict,
          defaultdict, types.SimpleNamespace, BaseException)
_WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet, weakref.finalize)
_OF_C = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
EXACTLY = {id(kind): name for kind, name in (
    *((kind, "_same") for kind in _OPAQUE), (range, "_shown"), (slice, "_shown"),
    (list, "_of_list"), (tuple, "_of_list"), (dict, "_of_dict"), (object, "_of_object"),
    (types.FunctionType, "_of_function"), (types.CellType, "_of_cell"),
    (types.MethodType, "_of_method"), (types.BuiltinFunctionType, "_of_builtin"),
    (types.ModuleType, "_of_module"), (raw.LOCK, "_of_raw_lock"), (raw.RLOCK, "_shown"),
    (functools.partial, "_of_partial"), (functools.partialmethod, "_of_partial"),
    (property, "_of_descriptor"), (staticmethod, "_of_descriptor"),
    (classmethod, "_of_descriptor"), (functools.cached_property, "_of_descriptor"),
    (_CACHED, "_of_cached"), (itertools.count, "_of_count"),
    (types.MappingProxyType, "_of_unknown"), *((kind, "_of_iterator") for kind in _ITERATORS))}


class _Kind:
    """How objects of one type are told of: by which method, and where they keep attributes."""

    __slots__ = ("of", "tell", "has_dict", "slots")

    def __init__(self, kind: type) -> None:
        self.of = weakref.ref(kind)
        bases = kind.__mro__
        self.slots = [(name, slot) for base in bases for name, slot in list(vars(base).items())
                      if type(slot) is types.MemberDescriptorType
                      and (base.__flags__ & HEAP or issubclass(base, BaseException))]
        self.has_dict = kind.__dictoffset__ != 0
        if type in bases:
            self.tell = "_of_class"
        elif Task in bases:
            self.tell = "_of_task"
        elif Node in bases:
            self.tell = "_of_lock"
        elif types.ModuleType in bases and is_of_others(kind.__module__):
            self.tell = "_of_module"    # ours, of which it is decided what it has
        elif threading.Thread in bases:
            self.tell = "_of_thread"
        elif kind.__module__.partition(".")[0] == "logging":
            self.tell = "_same"
        elif not all(map(_is_plain, bases)):
            self.tell = "_of_unknown"
        elif all(base is object or base not in _BASES for base in bases):
            self.tell = "_of_object"
        else:
            self.tell = "_of_value"


_kinds: dict[int, _Kind] = {}    # by identity: the class of a class may say what equals what


def kind_of_thing(kind: type) -> _Kind:
    known = _kinds.get(id(kind))
    if known is None or known.of() is not kind:
        if len(_kinds) >= _MOST_KNOWN:
            _kinds.clear()
        known = _kinds[id(kind)] = _Kind(kind)
    return known


def _is_plain(base: type) -> bool:
    """Say whether *base* adds nothing to its objects but attributes."""
    if base in _BASES or base.__module__ == "builtins" and issubclass(base, BaseException):
        return True
    if not base.__flags__ & HEAP or not is_decided(base.__module__):
        return False
    for name, value in list(vars(base).items()):
        kind = type(value)
        if name == "__del__" or kind in _OF_C and value.__objclass__ is base:
            return False
        if kind is types.GetSetDescriptorType and name not in ("__dict__", "__weakref__"):
            return False
    return base not in _WEAK


def is_of_others(module: Any) -> bool:
    """Say whether *module* is the standard library's, or ours: what is in it is not gone into."""
    if type(module) is not str:
        return False
    package = module.partition(".")[0]
    return package in _OURS or package in sys.stdlib_module_names


def is_decided(module: str) -> bool:
    """Say whether what *module* has says the same of the same things, as far as can be known."""
    package = module.partition(".")[0]
    return package in _OURS or package in PURE or package not in sys.stdlib_module_names


_Names = tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]
_known: dict[int, tuple[types.CodeType, _Names]] = {}    # by identity: code hashes slowly
_MOST_KNOWN = 5_000
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME")


def codes_in(code: types.CodeType) -> list[types.CodeType]:
    """Return *code* and what is defined in it."""
    codes = [code]
    for each in codes:
        codes += [const for const in each.co_consts if type(const) is types.CodeType]
    return codes


def names_in(code: types.CodeType) -> _Names:
    """Return the names of variables that *code* uses, with what is defined in it, those of
    attributes, and those of modules that it imports.
    """
    if id(code) not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        codes = codes_in(code)
        done = [ins for each in codes for ins in dis.get_instructions(each)
                if ins.opcode in dis.hasname]
        variables = dict.fromkeys(ins.argval for ins in done if ins.opname in _GLOBAL)
        others = dict.fromkeys(ins.argval for ins in done if ins.opname not in _GLOBAL)
        imports = frozenset(ins.argval for ins in done if ins.opname == "IMPORT_NAME")
        _known[id(code)] = code, ((*variables,), (*others,), imports)
    return _known[id(code)][1]
