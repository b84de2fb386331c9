"""What the code that made a lock calls it: the variable, attribute or element that it is kept in.

Read from the bytecode, so it needs no source. From the instruction that made the value on, the
stack is followed until something is stored: only plain moves of the value are understood, and what
is handed to a call is not. A comprehension, a lambda and a generator leave the value to their
caller, whose place is kept with theirs. The file is long because it has a word for each instruction
that moves a value.
"""

from __future__ import annotations

import dis
import os
from types import CodeType
from typing import Any, NamedTuple

from .callsite import function_name

_MOST = 60       # instructions that are followed
_PLACES = 4096   # whose answers are kept
_MAKING = ("CALL", "CALL_KW", "CALL_FUNCTION_EX", "PRECALL", "BINARY_SUBSCR", "BINARY_OP")
_NOTHING = ("NOP", "CACHE", "RESUME", "PRECALL", "KW_NAMES", "EXTENDED_ARG", "NOT_TAKEN", "TO_BOOL")
_MAKES_ONE = ("MAKE_FUNCTION", "GET_ITER", "BINARY_OP", "COMPARE_OP", "IS_OP", "CONTAINS_OP",
              "UNARY_NOT", "UNARY_NEGATIVE", "FORMAT_VALUE", "BUILD_STRING", "BUILD_SLICE")
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>")
_known: dict[tuple[int, int, object], tuple[CodeType, Assigned]] = {}


class Assigned(NamedTuple):
    """What a value is kept in.

    Attributes:
        text: ``lock``, ``Account.lock``, ``locks['x']``; ``locks[*]`` if there are many; "" if it
            cannot be told.
        scope: the function whose variable that is, or the module, after a slash its file; "" for
            what belongs to a class.
    """

    text: str
    scope: str = ""

    @property
    def is_variable(self) -> bool:
        """Whether it is a variable, and nothing in one."""
        return self.text.isidentifier()

    @property
    def is_handed_out(self) -> bool:
        """Whether a function returned it, to whom is not known."""
        return "()" in self.text


UNKNOWN = Assigned("")


class _Value(NamedTuple):
    """The value itself, or what it is in: *within* says where."""

    within: str = ""


class _Left(Exception):
    """The code returned the value."""


def assigned(code: CodeType, lasti: int, more: Any = None) -> Assigned:
    """Return what holds the value that the instruction at *lasti* of *code* made.

    Args:
        more: code and offset of the call to *code*, or the class of whose instances *code* is the
            generated ``__init__``.
    """
    key = id(code), lasti, more
    if key not in _known:
        if len(_known) > _PLACES:
            _known.clear()
        _known[key] = code, _assigned(code, lasti, more)
    return _known[key][1]


def _assigned(code: CodeType, lasti: int, more: Any) -> Assigned:
    try:
        return _Frame(code, more if isinstance(more, str) else "").follow(lasti, _Value())
    except _Left as left:
        value = _Value(str(left))
    except (IndexError, TypeError, ValueError):    # an instruction of another Python
        return UNKNOWN
    try:
        if isinstance(more, tuple):
            return _Frame(more[0]).follow(more[1], value)
    except (_Left, IndexError, TypeError, ValueError):
        pass
    name = function_name(code)
    return UNKNOWN if name.startswith("<") else Assigned(f"{name}(){value.within}", _file(code))


def _file(code: CodeType) -> str:
    return f"/{code.co_filename}"


class _Frame:
    """The stack of one call, from the point on where the value is on top of it."""

    def __init__(self, code: CodeType, owner: str = "") -> None:
        name = function_name(code)
        self.code = code
        self.owner = owner or name.rpartition(".")[0]    # of a method: its class
        self.function = f"{name}{_file(code)}"
        self.stack: list[Any] = []

    def follow(self, lasti: int, value: _Value) -> Assigned:
        """Return what *value*, made at *lasti*, is stored in."""
        every = list(dis.get_instructions(self.code))
        # A call under way may stand at the cache behind its instruction.
        at = max(i for i, step in enumerate(every) if step.offset <= lasti)
        if every[at].opname not in _MAKING:
            return UNKNOWN
        if every[at].opname == "PRECALL":    # which did the call
            at += 1
        self.stack = [value]
        for _ in range(_MOST):
            at += 1
            step = every[at]
            if step.opname in ("JUMP_FORWARD", "LIST_APPEND", "SET_ADD", "MAP_ADD", "FOR_ITER"):
                target = self._elsewhere(step, every, at)
                if target is None:
                    return UNKNOWN
                at = target - 1
                continue
            found = self._do(step)
            if found is not None:
                return found
        return UNKNOWN

    def _elsewhere(self, step: dis.Instruction, every: list[dis.Instruction],
                   at: int) -> int | None:
        """Return the index of the instruction that follows a jump, or the end of a loop."""
        if step.opname in ("JUMP_FORWARD", "FOR_ITER"):
            after = next(i for i, other in enumerate(every) if other.offset == step.argval)
            if step.opname == "JUMP_FORWARD":
                return after
            # A comprehension beside the value, in the same code since Python 3.12.
            if isinstance(self._pop(), _Value):
                return None
            return after + 1 + (every[after + 1].opname in ("POP_TOP", "POP_ITER"))
        value = self._pop()
        if not isinstance(value, _Value):
            return None
        if self.code.co_name in _COMPREHENSIONS:
            raise _Left(f"[*]{value.within}")
        end = next(i for i in range(at, len(every)) if every[i].opname == "END_FOR") + 1
        # The list, above the loop's variable as it was before, below the iterator in some versions.
        self.stack = [None, _Value(f"[*]{value.within}")]
        if every[end].opname in ("POP_TOP", "POP_ITER"):
            self.stack.append(None)
        return end

    def _pop(self) -> Any:
        return self.stack.pop() if self.stack else None

    def _pops(self, count: int) -> list[Any]:
        return [self._pop() for _ in range(count)][::-1]

    def _do(self, step: dis.Instruction) -> Assigned | None:
        """Follow one instruction; return what the value was stored in, if it was."""
        name, arg = step.opname, step.arg or 0
        if name in _NOTHING:
            return None
        if name.startswith("STORE_"):
            return self._store(step)
        if name.startswith("LOAD_"):
            self.stack += self._loaded(step)
        elif name == "PUSH_NULL":
            self.stack.append(None)
        elif name in ("COPY", "SWAP"):
            self.stack[:0] = [None] * (arg - len(self.stack))
            if name == "COPY":
                self.stack.append(self.stack[-arg])
            else:
                self.stack[-arg], self.stack[-1] = self.stack[-1], self.stack[-arg]
        elif name in _MAKES_ONE or name in ("CALL", "CALL_KW"):
            taken = 1 - dis.stack_effect(step.opcode, step.arg) if name in _MAKES_ONE else arg + 2
            if any(isinstance(item, _Value) for item in self._pops(taken)):
                return UNKNOWN
            self.stack.append(None)
        elif name.startswith("BUILD_"):
            return self._build(name, arg)
        elif name == "UNPACK_SEQUENCE":
            whole = self._pop()
            within = whole.within if isinstance(whole, _Value) else ""
            self.stack += [_Value(within[len(f"[{i}]"):]) if within.startswith(f"[{i}]") else None
                           for i in reversed(range(arg))]
            return UNKNOWN if within and not any(self.stack) else None
        elif name == "RETURN_VALUE" or name == "YIELD_VALUE":
            value = self._pop()
            if isinstance(value, _Value):
                raise _Left(("[*]" if name == "YIELD_VALUE" else "") + value.within)
            return UNKNOWN
        elif name == "POP_TOP" or name.startswith("POP_JUMP_"):
            self._pop()
        elif name == "BINARY_SUBSCR":
            container, key = self._pops(2)
            self.stack.append(_element(container, key))
        else:
            return UNKNOWN
        return None if any(isinstance(item, _Value) for item in self.stack) else UNKNOWN

    def _loaded(self, step: dis.Instruction) -> list[Any]:
        """Return what a load puts on the stack."""
        name, arg, what = step.opname, step.arg or 0, step.argval
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            owner = self._pop()
            attribute = owner._replace(text=f"{owner.text}.{what}") \
                if isinstance(owner, Assigned) else None
            both = name == "LOAD_METHOD" or arg & 1 and _NEW_ATTR
            return [attribute, None] if both else [attribute]
        if name in ("LOAD_CONST", "LOAD_SMALL_INT"):
            return [_Constant(what)]
        if name == "LOAD_GLOBAL":
            return [*([None] if arg & 1 else []), Assigned(what, _file(self.code))]
        return [self._variable(each, name) for each in (what if isinstance(what, tuple)
                                                        else (what,))]

    def _variable(self, name: str, how: str) -> Assigned:
        code = self.code
        if self.owner and code.co_argcount and name == code.co_varnames[0]:
            return Assigned(self.owner)
        return Assigned(name, _file(code) if how == "LOAD_NAME" else self._scope(name))

    def _scope(self, variable: str) -> str:
        """Return the function whose variable that is: this one, or the one around it."""
        if variable not in self.code.co_freevars:
            return self.function
        around = getattr(self.code, "co_qualname", "").rpartition(".<locals>.")[0]
        return f"{around.rpartition('<locals>.')[2]}{_file(self.code)}"

    def _store(self, step: dis.Instruction) -> Assigned | None:
        name, what = step.opname, step.argval
        kept: Assigned | None
        if name == "STORE_ATTR":
            owner = self._pop()
            kept = owner._replace(text=f"{owner.text}.{_plain(owner.text, what)}") \
                if isinstance(owner, Assigned) else None
        elif name == "STORE_SUBSCR":
            container, key = self._pops(2)
            kept = _element(container, key)
        elif isinstance(what, tuple):    # two at once
            first = self._store_one(what[0], name)
            return first if first is not None or "LOAD" in name else self._store_one(what[1], name)
        else:
            return self._store_one(what, name)
        value = self._pop()
        if not isinstance(value, _Value):
            return None
        return kept._replace(text=kept.text + value.within) if kept else UNKNOWN

    def _store_one(self, variable: str, how: str) -> Assigned | None:
        value = self._pop()
        if not isinstance(value, _Value):
            return None
        scope = self._scope(variable)
        if how == "STORE_GLOBAL" or self.code.co_name == "<module>":
            scope = _file(self.code)
        elif how == "STORE_NAME":    # the body of a class
            variable, scope = f"{function_name(self.code)}.{variable}", ""
        return Assigned(variable + value.within, scope)

    def _build(self, name: str, count: int) -> Assigned | None:
        keys: list[Any] = [_Constant(i) for i in range(count)]
        if name == "BUILD_CONST_KEY_MAP":
            constant = self._pop()
            keys = list(map(_Constant, constant.value))
        if name == "BUILD_MAP":
            both = self._pops(2 * count)
            if any(isinstance(key, _Value) for key in both[::2]):
                return UNKNOWN
            keys, items = both[::2], both[1::2]
        elif name in ("BUILD_LIST", "BUILD_TUPLE", "BUILD_SET", "BUILD_CONST_KEY_MAP"):
            items = self._pops(count)
        else:
            return UNKNOWN
        self.stack.append(next((_Value(f"[{_key(key)}]{item.within}")
                                for key, item in zip(keys, items, strict=True)
                                if isinstance(item, _Value)), None))
        return None if any(isinstance(item, _Value) for item in self.stack) else UNKNOWN


class _Constant(NamedTuple):
    """A constant on the stack."""

    value: Any


_NEW_ATTR = "LOAD_METHOD" not in dis.opmap    # then a bit of LOAD_ATTR says so


def _key(key: Any) -> str:
    return repr(key.value) if isinstance(key, _Constant) and isinstance(
        key.value, (str, int, bytes, bool, type(None))) else "*"


def _element(container: Any, key: Any) -> Assigned | None:
    if not isinstance(container, Assigned):
        return None
    return container._replace(text=f"{container.text}[{_key(key)}]")


def _plain(owner: str, attribute: str) -> str:
    """Return the name of an attribute as it is written in a class: there is one that mangles it."""
    return attribute.removeprefix(f"_{owner.rpartition('.')[2].lstrip('_')}") \
        if attribute.startswith("_") and "__" in attribute[1:] else attribute


def whose(scope: str) -> tuple[str, str]:
    """Return the function ("" for a module) and the file of a scope."""
    function, _, file = scope.partition("/")
    return function, file


def stem(file: str) -> str:
    """Return what a module is called by its file; "" for code without one."""
    return "" if file.startswith("<") else os.path.splitext(os.path.basename(file))[0]
