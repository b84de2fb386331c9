"""The stack of a frame under trace, as far as it is known.

An instruction leads to the next one or jumps: whatever else comes empties the stack, as does an
exception. What is taken from an empty stack is unknown.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from .stretches import ANY, READ, WRITE, Stretches
from .touching import FRESH, NULL, UNKNOWN, Made, Slot, Toucher, Trace

LOST: Slot = UNKNOWN, "?"
NEW: Slot = FRESH, "a new object"
NO_SELF: Slot = NULL, ""
_KEEPS_IF_JUMPING = ("JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP")


class Instruction(NamedTuple):
    """One instruction of a code object: what to do, and where it may lead to."""

    do: Callable[[Any, Instruction], None]
    op: str
    arg: int
    name: Any       # of a variable or an attribute; a constant
    offset: int
    next: int
    target: int     # of a jump, else -1
    skips: int      # the offset of the instruction that an EXTENDED_ARG belongs to, else -1


class ShadowStack(Toucher):
    """What a frame has on its stack, and which instruction it is at; arguments as for `Toucher`."""

    table: dict[int, Instruction]    # the instructions by offset

    def __init__(self, frame: types.FrameType, stretches: Stretches, function: Any,
                 caller: ShadowStack | None, trace: Trace) -> None:
        super().__init__(frame, stretches, function, caller, trace)
        self.stack: list[Slot] = []
        self._last: Instruction | None = None
        self._skip = -1

    # -- following ----------------------------------------------------------------------------

    def step(self, offset: int) -> None:
        """Follow the frame to the instruction at *offset*, which is about to be executed."""
        skip, self._skip = self._skip, -1
        if offset == skip:
            return
        self._arrive(offset)
        ins = self.table.get(offset)
        if ins is None:
            self.stack.clear()
            return
        self.offset, self._last, self._skip = offset, ins, ins.skips
        ins.do(self, ins)

    def _arrive(self, offset: int) -> None:
        """Finish what the last instruction left open."""
        last, self._last = self._last, None
        if self._asked is not None:
            (_, text), self._asked = self._asked, None
            self.touch(ANY, ("item", None), WRITE, text)
        if last is None:
            return
        jumped = offset == last.target and offset != last.next
        if offset not in (last.next, last.target):
            self.stack.clear()
        elif last.op == "FOR_ITER":
            if jumped or offset == last.target:
                self.pop()
            else:
                self.push(LOST)
        elif last.op in _KEEPS_IF_JUMPING and not jumped:
            self.pop()

    def called(self) -> None:
        """Take note that a frame begins which this one called."""
        self._asked = None

    def returned(self, value: Any) -> None:
        """Take note of what the function returned that is being called."""
        if self.callee is not None:
            self.callee = None
            if self.stack:
                self.stack[-1] = value, self.stack[-1][1]

    def raised(self) -> None:
        """Take note of an exception: the stack is unwound to nobody knows where."""
        self.left()
        self.stack.clear()
        self.callee = None

    def left(self) -> None:
        """Take note that the frame is left, or its instruction cut short."""
        if self._asked is not None:
            self.touch(ANY, ("item", None), WRITE, self._asked[1])
        self._last = self._asked = None

    def push(self, slot: Slot) -> None:
        self.stack.append(slot)

    def pop(self) -> Slot:
        return self.stack.pop() if self.stack else LOST

    def pops(self, n: int) -> list[Slot]:
        return [self.pop() for _ in range(n)][::-1]

    # -- instructions that move what is there ---------------------------------------------------

    def do_NOP(self, ins: Instruction) -> None:
        """Do nothing that is to be followed."""

    do_RESUME = do_CACHE = do_PRECALL = do_KW_NAMES = do_MAKE_CELL = do_COPY_FREE_VARS = do_NOP
    do_JUMP_FORWARD = do_JUMP_BACKWARD = do_JUMP_BACKWARD_NO_INTERRUPT = do_DELETE_FAST = do_NOP
    do_RETURN_CONST = do_LIST_TO_TUPLE = do_FORMAT_SIMPLE = do_CONVERT_VALUE = do_NOP

    def do_POP_TOP(self, ins: Instruction) -> None:
        self.pop()

    do_RETURN_VALUE = do_END_FOR = do_POP_TOP

    def do_STORE_FAST(self, ins: Instruction) -> None:
        self.store(ins.name, self.pop())

    def do_STORE_FAST_STORE_FAST(self, ins: Instruction) -> None:
        for name in ins.name:
            self.store(name, self.pop())

    def store(self, name: str, slot: Slot) -> None:
        """Take note of what a variable is given, if it is a function that the frame has made."""
        (self.made.add if isinstance(slot[0], Made) else self.made.discard)(name)

    def do_COPY(self, ins: Instruction) -> None:
        deep = len(self.stack) >= ins.arg
        self.push(self.stack[-ins.arg] if deep else LOST)

    def do_SWAP(self, ins: Instruction) -> None:
        stack, n = self.stack, ins.arg
        if len(stack) < n:
            stack[:0] = [LOST] * (n - len(stack))
        stack[-1], stack[-n] = stack[-n], stack[-1]

    def do_FORMAT_VALUE(self, ins: Instruction) -> None:
        self.pops(2 if ins.arg & 4 else 1)
        self.push(NEW)

    def do_LOAD_ASSERTION_ERROR(self, ins: Instruction) -> None:
        self.push((AssertionError, "AssertionError"))

    def do_IMPORT_NAME(self, ins: Instruction) -> None:
        self.pops(2)
        self.push((sys.modules.get(ins.name, UNKNOWN), ins.name))

    def do_anything(self, ins: Instruction) -> None:
        """Follow an instruction that has no method: what is on the stack may be read by it."""
        for slot in self.stack[-3:]:
            self._operand(slot, READ)
        self.stack.clear()


