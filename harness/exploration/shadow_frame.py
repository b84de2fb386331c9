"""The shadow of a frame: which objects its instructions touch, followed as they are executed.

A trace function is called before each instruction and is handed the frame, never its value stack.
So the shadow keeps a stack of its own: what an instruction pushes is known where it is a name, an
attribute, an item, or what a traced function returned; else it is `UNKNOWN`, or `FRESH` if nobody
else can have it. What is done to an unknown object is done to any. An instruction that is not known
empties the stack: what is taken from an empty one is unknown.

The file is long because it is one table: a method for each kind of instruction.
"""

from __future__ import annotations

import builtins
import dis
import functools
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

from ..locks.callsite import is_verb
from ..locks.node import Node
from .shadow_stack import LOST, NEW, NO_SELF, Instruction, ShadowStack
from .stretches import READ, WRITE, Stretches
from .touching import CONTAINERS, IMMUTABLE, NULL, UNKNOWN, Exit, Made, Mark, Trace

KNOWN_PYTHON = sys.implementation.name == "cpython" and (3, 11) <= sys.version_info[:2] <= (3, 13)


# The operands of BINARY_OP that are computed: with them places in containers are known.
_COMPUTED: dict[int, Callable[[int, int], int]] = {
    0: operator.add, 1: operator.and_, 7: operator.or_, 10: operator.sub, 12: operator.xor}


@functools.lru_cache(2048)
def instructions(code: types.CodeType) -> dict[int, Instruction]:
    """Return the instructions of *code* by offset."""
    out: dict[int, Instruction] = {}
    prefixes: list[int] = []
    listed = list(dis.get_instructions(code))
    following = {one.offset: two.offset for one, two in zip(listed, listed[1:], strict=False)}
    for ins in listed:
        if ins.opname == "EXTENDED_ARG":
            prefixes.append(ins.offset)
            continue
        do = getattr(Shadow, f"do_{ins.opname}", Shadow.do_anything)
        target = ins.argval if ins.opcode in dis.hasjrel or ins.opcode in dis.hasjabs else -1
        made = Instruction(do, ins.opname, ins.arg or 0, ins.argval, ins.offset,
                           following.get(ins.offset, -1), target, -1)
        out[ins.offset] = made
        for prefix in prefixes:
            out[prefix] = made._replace(skips=ins.offset)
        prefixes.clear()
    return out


class Shadow(ShadowStack):
    """One frame under trace; arguments as for `Toucher`."""

    def __init__(self, frame: types.FrameType, stretches: Stretches, function: Any,
                 caller: Shadow | None, trace: Trace) -> None:
        super().__init__(frame, stretches, function, caller, trace)
        self.table = instructions(frame.f_code)

    # -- names --------------------------------------------------------------------------------

    def do_LOAD_FAST(self, ins: Instruction) -> None:
        self.push(self._local(ins.name))

    do_LOAD_FAST_CHECK = do_LOAD_FAST_AND_CLEAR = do_LOAD_FAST

    def do_LOAD_FAST_LOAD_FAST(self, ins: Instruction) -> None:
        for name in ins.name:
            self.push(self._local(name))

    def do_STORE_FAST_LOAD_FAST(self, ins: Instruction) -> None:
        slot = self.pop()
        stored, loaded = ins.name
        self.store(stored, slot)
        self.push((slot[0], loaded) if stored == loaded else self._local(loaded))

    def do_LOAD_CONST(self, ins: Instruction) -> None:
        self.push((ins.name, repr(ins.name)))

    def do_LOAD_CLOSURE(self, ins: Instruction) -> None:
        self.push(NEW)

    def do_LOAD_GLOBAL(self, ins: Instruction) -> None:
        name, scope = ins.name, self.frame.f_globals
        if ins.arg & 1 and sys.version_info < (3, 13):
            self.push(NO_SELF)
        self.touch_of((scope, name), ("name", name), READ, name)
        found = scope[name] if name in scope else getattr(builtins, name, UNKNOWN)
        self.push((found, name))
        if ins.arg & 1 and sys.version_info >= (3, 13):
            self.push(NO_SELF)

    def do_LOAD_NAME(self, ins: Instruction) -> None:
        name, local = ins.name, self.frame.f_locals
        if name in local and local is not self.frame.f_globals:
            self.push((local[name], name))
        else:
            self.do_LOAD_GLOBAL(ins._replace(arg=0))

    def do_LOAD_DEREF(self, ins: Instruction) -> None:
        self.cell(ins.name, READ)
        self.push(self._local(ins.name))

    def do_LOAD_FROM_DICT_OR_DEREF(self, ins: Instruction) -> None:
        self.pop()
        self.do_LOAD_DEREF(ins)

    do_LOAD_CLASSDEREF = do_LOAD_DEREF

    def do_STORE_DEREF(self, ins: Instruction) -> None:
        self.cell(ins.name, WRITE)
        self.store(ins.name, self.pop())

    def do_DELETE_DEREF(self, ins: Instruction) -> None:
        self.cell(ins.name, WRITE)

    def do_STORE_GLOBAL(self, ins: Instruction) -> None:
        self.pop()
        self.do_DELETE_GLOBAL(ins)

    def do_DELETE_GLOBAL(self, ins: Instruction) -> None:
        self.touch_of((self.frame.f_globals, ins.name), ("name", ins.name), WRITE, ins.name)

    def do_STORE_NAME(self, ins: Instruction) -> None:
        self.pop()
        if self.frame.f_locals is self.frame.f_globals:
            self.do_DELETE_GLOBAL(ins)

    # -- attributes and items -----------------------------------------------------------------

    def do_LOAD_ATTR(self, ins: Instruction) -> None:
        method = sys.version_info >= (3, 12) and ins.arg & 1
        slot = self.attribute(self.pop(), ins.name, READ)
        self.push(slot)
        if method:
            self.push(NO_SELF)

    def do_LOAD_METHOD(self, ins: Instruction) -> None:
        self.push(self.attribute(self.pop(), ins.name, READ))
        self.push(NO_SELF)

    def do_LOAD_SUPER_ATTR(self, ins: Instruction) -> None:
        *_, owner = self.pops(3)
        self.touch_of(owner, ("attribute", ins.name), READ, f"{owner[1]}.{ins.name}")
        self.push((UNKNOWN, f"super().{ins.name}"))
        if ins.arg & 1:
            self.push(NO_SELF)

    def do_STORE_ATTR(self, ins: Instruction) -> None:
        self.attribute(self.pop(), ins.name, WRITE)
        self.pop()

    def do_DELETE_ATTR(self, ins: Instruction) -> None:
        self.attribute(self.pop(), ins.name, WRITE)

    def do_BINARY_SUBSCR(self, ins: Instruction) -> None:
        container, key = self.pops(2)
        self.push(self.item(container, key, READ))

    def do_STORE_SUBSCR(self, ins: Instruction) -> None:
        _, container, key = self.pops(3)
        self.item(container, key, WRITE)

    def do_DELETE_SUBSCR(self, ins: Instruction) -> None:
        container, key = self.pops(2)
        self.item(container, key, WRITE)
        self.whole(container, WRITE)    # those behind move

    def do_BINARY_SLICE(self, ins: Instruction) -> None:
        container, *_ = self.pops(3)
        self.whole(container, READ)
        self.push(NEW)

    def do_STORE_SLICE(self, ins: Instruction) -> None:
        _, container, *_ = self.pops(4)
        self.whole(container, WRITE)

    # -- operators ----------------------------------------------------------------------------

    def do_BINARY_OP(self, ins: Instruction) -> None:
        left, right = self.pops(2)
        in_place = ins.arg >= 13    # NB_INPLACE_ADD
        self._operand(left, WRITE if in_place else READ)
        self._operand(right, READ)
        compute = _COMPUTED.get(ins.arg % 13)
        if in_place and isinstance(left[0], CONTAINERS):
            self.push(left)
        elif compute is not None and type(left[0]) is type(right[0]) is int:
            self.push((compute(left[0], right[0]), "a number"))
        else:
            self.push(NEW if type(left[0]) in IMMUTABLE else (UNKNOWN, "a result"))

    def do_COMPARE_OP(self, ins: Instruction) -> None:
        for slot in self.pops(2):
            self._operand(slot, READ)
        self.push(NEW)

    def do_IS_OP(self, ins: Instruction) -> None:
        self.pops(2)
        self.push(NEW)

    def do_CONTAINS_OP(self, ins: Instruction) -> None:
        _, container = self.pops(2)
        self.whole(container, READ)
        self.push(NEW)

    def do_UNARY_NOT(self, ins: Instruction) -> None:
        self._operand(self.pop(), READ)
        self.push(NEW)

    do_TO_BOOL = do_UNARY_NEGATIVE = do_UNARY_INVERT = do_UNARY_POSITIVE = do_UNARY_NOT

    def do_POP_JUMP_IF_TRUE(self, ins: Instruction) -> None:
        self._operand(self.pop(), READ)

    do_POP_JUMP_IF_FALSE = do_POP_JUMP_IF_NONE = do_POP_JUMP_IF_NOT_NONE = do_POP_JUMP_IF_TRUE
    do_POP_JUMP_FORWARD_IF_TRUE = do_POP_JUMP_FORWARD_IF_FALSE = do_POP_JUMP_IF_TRUE
    do_POP_JUMP_BACKWARD_IF_TRUE = do_POP_JUMP_BACKWARD_IF_FALSE = do_POP_JUMP_IF_TRUE
    do_POP_JUMP_FORWARD_IF_NONE = do_POP_JUMP_FORWARD_IF_NOT_NONE = do_POP_JUMP_IF_TRUE
    do_POP_JUMP_BACKWARD_IF_NONE = do_POP_JUMP_BACKWARD_IF_NOT_NONE = do_POP_JUMP_IF_TRUE

    def do_JUMP_IF_TRUE_OR_POP(self, ins: Instruction) -> None:
        slot = self.pop()
        self._operand(slot, READ)
        self.push(slot)

    do_JUMP_IF_FALSE_OR_POP = do_JUMP_IF_TRUE_OR_POP

    # -- containers ---------------------------------------------------------------------------

    def do_GET_ITER(self, ins: Instruction) -> None:
        slot = self.pop()
        self._operand(slot, READ)
        self.push(slot)    # in place of its iterator

    def do_FOR_ITER(self, ins: Instruction) -> None:
        slot = self.pop()
        self._operand(slot, READ)
        self.push(slot)

    def do_UNPACK_SEQUENCE(self, ins: Instruction) -> None:
        slot = self.pop()
        self._operand(slot, READ)
        known = slot[0] if type(slot[0]) in (tuple, list) and len(slot[0]) == ins.arg \
            else (UNKNOWN,) * ins.arg
        for i in reversed(range(ins.arg)):
            self.push((known[i], f"{slot[1]}[{i}]"))

    def do_UNPACK_EX(self, ins: Instruction) -> None:
        self._operand(self.pop(), READ)
        for _ in range((ins.arg & 0xff) + 1 + (ins.arg >> 8)):
            self.push(LOST)

    def do_BUILD_LIST(self, ins: Instruction) -> None:
        self.pops(ins.arg)
        self.push(NEW)

    do_BUILD_SET = do_BUILD_STRING = do_BUILD_SLICE = do_BUILD_LIST

    def do_BUILD_TUPLE(self, ins: Instruction) -> None:
        values = tuple([value for value, _ in self.pops(ins.arg)])
        known = not any(isinstance(value, Mark) for value in values)
        self.push((values, "a tuple") if known else NEW)

    def do_BUILD_MAP(self, ins: Instruction) -> None:
        self.pops(2 * ins.arg)
        self.push(NEW)

    def do_BUILD_CONST_KEY_MAP(self, ins: Instruction) -> None:
        self.pops(ins.arg + 1)
        self.push(NEW)

    def do_LIST_APPEND(self, ins: Instruction) -> None:
        self._operand(self.pop(), READ)

    do_SET_ADD = do_LIST_EXTEND = do_SET_UPDATE = do_DICT_UPDATE = do_DICT_MERGE = do_LIST_APPEND

    def do_MAP_ADD(self, ins: Instruction) -> None:
        self.pops(2)

    # -- calls --------------------------------------------------------------------------------

    def do_PUSH_NULL(self, ins: Instruction) -> None:
        self.push(NO_SELF)

    def do_CALL(self, ins: Instruction) -> None:
        arguments = self.pops(ins.arg)
        lower, upper = self.pops(2)
        if lower[0] is NULL:
            lower, upper = upper, lower
        if upper[0] is not NULL:
            arguments.insert(0, upper)
        self.push(self.call(lower, arguments))

    def do_CALL_KW(self, ins: Instruction) -> None:
        self.pop()
        self.do_CALL(ins)

    def do_CALL_FUNCTION_EX(self, ins: Instruction) -> None:
        named = [self.pop()] if ins.arg & 1 else []
        arguments = self.pop()
        lower, upper = self.pops(2)
        function = upper if lower[0] is NULL else lower
        value = arguments[0]
        given = [(item, f"{arguments[1]}[{i}]") for i, item in enumerate(value)] \
            if type(value) in (tuple, list) else [arguments]
        self.push(self.call(function, [*given, *named]))

    def do_BEFORE_WITH(self, ins: Instruction) -> None:
        manager, text = self.pop()
        enter = getattr(type(manager), "__enter__", None)
        code = getattr(enter, "__code__", None)
        ours = isinstance(manager, (Mark, Node)) or code is not None and (
            self._trace.traced(code) or is_verb(code))
        if not ours:
            self._trace.used(manager, text, self.code, self.offset)
            self._takes((manager, text))
        self.push(NEW if ours else (Exit(manager, text), text))
        self.push((UNKNOWN, text))

    def do_MAKE_FUNCTION(self, ins: Instruction) -> None:
        code, _ = self.pop()
        if sys.version_info < (3, 13):
            self.pops((ins.arg & 0xf).bit_count())
        self.push((Made(code) if isinstance(code, types.CodeType) else UNKNOWN, "a function"))

    def do_SET_FUNCTION_ATTRIBUTE(self, ins: Instruction) -> None:
        _, function = self.pops(2)
        self.push(function)

