"""What a frame that waits for a call has beside its variables: values on the interpreter's stack.

Nothing tells what these are: the iterator of a `for` loop, the manager of a `with` block, the left
side of an expression, or what a C function (`map`, `sorted`) that was called is at. So it is found
out from the code whether there can be any, by going through its instructions and keeping count of
the stack. Known is the manager of a `with` block if it is a lock that the role holds.

The file is long because every instruction that leads to a call has its own place for what it calls.
"""

from __future__ import annotations

import dis
import functools
import types
from bisect import bisect_right
from collections.abc import Collection, Iterator
from types import CodeType, FrameType
from typing import Any

from ..locks.calls import call_role
from ..locks.callsite import function_name, is_of_python, is_verb
from ..locks.node import Node
from ..standard.condition import Condition
from ..standard.semaphore import Semaphore
from .reach import is_of

# What is at a place of the stack, as far as it is known: ("local", name), ("global", name),
# ("attr", of what, name), ("item", of what, which), ("const", value), ("call", of what),
# ("with", what).
Known = tuple[Any, ...] | None
_MISSING = object()
_LOADS = {"LOAD_FAST": "local", "LOAD_FAST_CHECK": "local", "LOAD_FAST_BORROW": "local",
          "LOAD_DEREF": "local", "LOAD_CLASSDEREF": "local", "LOAD_GLOBAL": "global",
          "LOAD_NAME": "global"}
_PUSH_NOTHING = ("POP_TOP", "STORE_", "DELETE_", "POP_JUMP_", "JUMP_", "LIST_APPEND", "LIST_EXTEND",
                 "SET_ADD", "SET_UPDATE", "MAP_ADD", "DICT_UPDATE", "DICT_MERGE", "RETURN_",
                 "NOP", "RESUME", "PRECALL", "KW_NAMES", "CACHE", "END_FOR", "COPY_FREE_VARS",
                 "MAKE_CELL", "POP_ITER")
_ONLY_PUSH = ("PUSH_NULL", "LOAD_SMALL_INT", "LOAD_CLOSURE", "LOAD_FAST_LOAD_FAST",
              "LOAD_FAST_AND_CLEAR", "COPY")
_ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD",
         "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")
_ENTERS = "__enter__", "__exit__"


def frames_of_role(frame: FrameType | None) -> Iterator[tuple[FrameType, FrameType | None]]:
    """Yield the frames of a thread from *frame* to where its role begins, but for those of the
    harness, each with the one that it called.
    """
    called = None
    while frame is not None and frame.f_code is not call_role.__code__:
        if not is_verb(frame.f_code) or is_of_python(frame.f_code.co_filename):
            yield frame, called
        called, frame = frame, frame.f_back


def hidden(frame: FrameType, called: FrameType | None, held: Collection[Any],
           task: Any = None) -> str:
    """Say what *frame*, which called *called*, may have on its stack, "" if nothing.

    Args:
        held: the locks that its role holds, or holds again when its wait is over.
        task: of its role: it may have permits.
    """
    code = frame.f_code
    stack, ins = _known_of(code)[2].get(instruction_at(frame), (None, None))
    where = f"what {function_name(code)} is at"
    if stack is None or ins is None:
        return f"{where}: it handles an exception"
    below, callee = _below(stack, ins)
    if below < 0:
        return f"{where}: `{ins.opname.lower()}` calls code"
    for known in stack[:below]:
        if known is None or known[0] != "with" or not _is_of_held(known[1], frame, held, task):
            return f"{where}: a loop, a `with` block or an expression is under way"
    if called is not None and not _is_direct(frame, ins, callee, called):
        return f"{where}: what it calls is not Python, or not known"
    return ""


def instruction_at(frame: FrameType) -> int:
    """Return the offset of the instruction that *frame* is at: `f_lasti` may be of its cache."""
    offsets = _known_of(frame.f_code)[1]
    return offsets[bisect_right(offsets, frame.f_lasti) - 1]


def _below(stack: tuple[Known, ...], ins: dis.Instruction) -> tuple[int, Known]:
    """Return how much of the stack *ins* leaves alone, -1 if that is not known, and whom it calls.
    """
    op, arg = ins.opname, ins.arg or 0
    if op in ("CALL", "PRECALL"):
        used = 2 if _CALLS_IN_TWO and op == "CALL" else arg + 2
    elif op == "CALL_KW":
        used = arg + 3
    elif op == "CALL_FUNCTION_EX":
        used = 3 + (arg & 1)
    elif op in ("BEFORE_WITH", "LOAD_ATTR", "LOAD_METHOD"):
        below = len(stack) - 1
        name = "__enter__" if op == "BEFORE_WITH" else ins.argval
        return below, ("attr", stack[below], name)
    else:
        return -1, None
    below = len(stack) - used
    if below < 0:
        return -1, None
    callee = stack[below] or stack[below + 1]
    return below, ("attr", callee, "__exit__") if callee and callee[0] == "with" else callee


_CALLS_IN_TWO = "PRECALL" in dis.opmap    # which has taken the arguments off the stack before


def _is_direct(frame: FrameType, ins: dis.Instruction, callee: Known, called: FrameType) -> bool:
    """Say whether *frame* called *called* with nothing between them that has a state."""
    if callee is None:
        return False
    code = called.f_code
    if callee[0] in ("attr", "local", "global") and callee[-1] == code.co_name:
        return True
    value = _value(callee, frame)
    if is_of(value, types.BuiltinFunctionType):
        return value is next and bool(code.co_flags & _GENERATOR)
    if is_of(value, type):
        return code.co_name in ("__init__", "__new__", "__call__")
    while is_of(value, functools.partial):
        value = value.func
    return value is not _MISSING and any(
        getattr(each, "__code__", None) is code for each in _functions(value))


_GENERATOR = 0x20


def _functions(value: Any) -> Iterator[Any]:
    if is_of(value, types.MethodType):
        value = value.__func__
    if is_of(value, types.FunctionType):
        yield value
    elif value is not _MISSING:
        yield _of_type(type(value), "__call__")


def _is_of_held(known: Known, frame: FrameType, held: Collection[Any], task: Any) -> bool:
    """Say whether the manager of a `with` block is one of the locks *held*, or its guard; or what
    gives one of them up, or a permit of *task*.
    """
    if known is None:
        return False
    if known[0] == "call":
        called = known[1]
        if called is None:
            return False
        value = _value(called, frame)
        if is_of(value, types.FunctionType) and is_verb(value.__code__):
            return True    # a verb, whose guard is that of a lock
        known = called[1] if called[0] == "attr" else None
    value = _value(known, frame)
    if is_of(value, Semaphore):
        return bool(value.is_with(task))
    if is_of(value, Condition):
        value = value.lock
    return is_of(value, Node) and any(value is lock for lock in held)


def _value(known: Known, frame: FrameType) -> Any:
    """Return what *known* is at present, `_MISSING` if that cannot be told."""
    if known is None:
        return _MISSING
    if known[0] == "local":
        return frame.f_locals.get(known[1], _MISSING)
    if known[0] == "global":
        for scope in (frame.f_locals, frame.f_globals, frame.f_builtins):
            if known[1] in scope:
                return scope[known[1]]
    if known[0] == "attr":
        return _attribute(_value(known[1], frame), known[2])
    if known[0] == "item":
        return _item(_value(known[1], frame), _value(known[2], frame))
    return known[1] if known[0] == "const" else _MISSING


def _item(thing: Any, key: Any) -> Any:
    """Return an item of a list, a tuple or a dict; no code of the user's runs."""
    if type(key) is int and type(thing) in (list, tuple) and -len(thing) <= key < len(thing):
        return thing[key]
    if type(key) in (int, str) and type(thing) is dict and all(
            type(each) in (int, str) for each in thing):
        return thing.get(key, _MISSING)
    return _MISSING


def _attribute(thing: Any, name: str) -> Any:
    """Return an attribute that is kept with *thing* or its class; no code of the user's runs."""
    if thing is _MISSING:
        return _MISSING
    try:
        inside = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        inside = {}
    if type(inside) in (dict, types.MappingProxyType) and name in inside:
        return inside[name]
    value = _of_type(type(thing), name)
    return value.__get__(thing) if is_of(value, types.MemberDescriptorType) else value


def _of_type(kind: type, name: str) -> Any:
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), _MISSING)


# -- what is on the stack --------------------------------------------------------------------------

Stacks = dict[int, tuple[tuple[Known, ...], dis.Instruction]]
_known: dict[int, tuple[CodeType, list[int], Stacks]] = {}    # by identity: code hashes slowly
_MOST_KNOWN = 5_000


def _known_of(code: CodeType) -> tuple[CodeType, list[int], Stacks]:
    """Return *code*, where its instructions are, and the stack before each of those that are come
    to without an exception.
    """
    if id(code) not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        table = {ins.offset: ins for ins in dis.get_instructions(code)}
        _known[id(code)] = code, [*table], _gone_through(table)
    return _known[id(code)]


def _gone_through(table: dict[int, dis.Instruction]) -> Stacks:
    offsets = [*table]
    follows = dict(zip(offsets, offsets[1:]))
    found: Stacks = {}
    todo: list[tuple[int, tuple[Known, ...]]] = [(0, ())]
    while todo:
        offset, stack = todo.pop()
        ins = table[offset]
        if offset in found:
            before = found[offset][0]
            both = tuple(a if a == b else None for a, b in zip(before, stack))
            if len(before) != len(stack):
                return {}    # we do not understand this code
            if both == before:
                continue
            stack = both
        found[offset] = stack, ins
        arg = ins.arg if ins.opcode >= dis.HAVE_ARGUMENT else None
        if ins.opname not in _ENDS and offset in follows:
            todo.append((follows[offset], _after(stack, ins, arg, False)))
        if ins.opcode in dis.hasjrel or ins.opcode in dis.hasjabs:
            todo.append((ins.argval, _after(stack, ins, arg, True)))
    return found


def _after(stack: tuple[Known, ...], ins: dis.Instruction, arg: int | None,
           jumps: bool) -> tuple[Known, ...]:
    """Return the stack after *ins*."""
    op = ins.opname
    effect = dis.stack_effect(ins.opcode, arg, jump=jumps)
    size = max(len(stack) + effect, 0)
    if op in _LOADS:
        loaded: Known = (_LOADS[op], ins.argval)
        extra = effect - 1    # a NULL for a call: before it up to 3.12, after it from 3.13 on
        return stack + ((None,) * extra + (loaded,) if not _NULL_AFTER else
                        (loaded,) + (None,) * extra)
    if op in ("LOAD_ATTR", "LOAD_METHOD") and stack:
        return (*stack[:-1], ("attr", stack[-1], ins.argval), *(None,) * effect)
    if op == "LOAD_CONST":
        return (*stack, ("const", ins.argval if type(ins.argval) in (int, str) else None))
    if op == "BINARY_SUBSCR" and len(stack) > 1:
        return (*stack[:-2], ("item", *stack[-2:]))
    if op == "BEFORE_WITH" and stack:
        return (*stack[:-1], ("with", stack[-1]), None)
    if op in ("CALL", "CALL_KW", "CALL_FUNCTION_EX"):
        below, callee = _below(stack, ins)
        return (*stack[:below], ("call", callee)) if below >= 0 else (None,) * size
    if op.startswith(_PUSH_NOTHING) or op in _ONLY_PUSH:
        return stack[:size] + (None,) * (size - len(stack))
    kept = max(min(len(stack), size) - 1, 0)
    return stack[:kept] + (None,) * (size - kept)


_NULL_AFTER = "PRECALL" not in dis.opmap and "CALL_KW" in dis.opmap
