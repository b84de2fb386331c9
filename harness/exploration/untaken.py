"""What the branches touch that a traced schedule did not take.

A role may branch on what it was told under a lock, and write in that branch what another reads
before its first operation. So the instructions of traced functions that were not executed, and of
functions that they call, are gone through in the order in which they stand, with the variables as
they were when the function was left: as far as they stand in the file of the role itself. What is
elsewhere, or not known then, is left out, other than in a trace: with it nearly every start of a
larger program would be a step.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Sequence
from typing import Any

from .shadow_frame import Shadow, instructions
from .shadow_stack import LOST, Instruction
from .stretches import ANY, Stretches, Touches
from .touching import Mark, Slot, Trace

MOST_FRAMES = 3          # calls of one function that are looked at, of one role
MOST_INSTRUCTIONS = 30_000    # of one role
_ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD",
         "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")


def add_untaken(stretches: Stretches, trace: Trace) -> None:
    """Add to *stretches* what its role did not do, and might have done."""
    budget = [MOST_INSTRUCTIONS]
    done: set[Any] = set()
    for code, frames in stretches.frames.items():
        if code.co_filename not in stretches.home:
            continue
        taken = stretches.all.taken[code]
        ways = _ways(instructions(code), taken)
        for touches in stretches.each() if ways else ():
            before = touches.taken.get(code, ())
            led = {way for offset, way in ways if offset in before or offset < 0 and before}
            for function, scope, variables in frames[-MOST_FRAMES:] if led else ():
                _Untaken(code, function, scope, variables, touches, trace, budget, done,
                         stretches.home).go(taken, led)


def _ways(table: dict[int, Instruction], taken: Collection[int]) -> list[tuple[int, int]]:
    """Return where code was left that was *taken*: the offset of the branch, and where it leads to;
    -1 and a handler of exceptions, which any instruction may lead to.
    """
    ways = [(offset, way) for offset in taken if (ins := table.get(offset)) is not None
            and (ins.target >= 0 and ins.op not in _ENDS)
            for way in (ins.next, ins.target) if way not in taken]
    handlers = [offset for offset, ins in table.items()
                if ins.op == "PUSH_EXC_INFO" and offset not in taken
                and (after := table.get(ins.next)) is not None and after.op != "WITH_EXCEPT_START"]
    return ways + [(-1, offset) for offset in handlers]


class _Frame:
    """What a shadow asks of a frame that there is not."""

    def __init__(self, code: types.CodeType, scope: dict[str, Any],
                 variables: dict[str, Any]) -> None:
        self.f_code, self.f_globals, self.f_locals = code, scope, variables


class _Untaken(Shadow):
    """One function whose instructions are gone through, and not executed.

    Args:
        into: where touches go.
        budget: how many instructions may be gone through still.
        done: functions that were gone through from their start.
        home: the files that are gone through.
    """

    def __init__(self, code: types.CodeType, function: Any, scope: dict[str, Any],
                 variables: dict[str, Any], into: Touches, trace: Trace, budget: list[int],
                 done: set[Any], home: frozenset[str]) -> None:
        frame: Any = _Frame(code, scope, dict(variables))
        where = Stretches("", home=home)
        where.open = [into]
        super().__init__(frame, where, function, None, trace)
        self._budget, self._done = budget, done

    def go(self, taken: Collection[int], led: set[int]) -> None:
        """Go through what was not *taken* and is *led* to, or is led to from there."""
        reached = not taken        # a function that was not called begins at its beginning
        for offset, ins in self.table.items():
            if offset in taken or ins.skips >= 0:
                self.stack.clear()
                reached = False
                continue
            if not reached and offset in led:
                reached = True
                self.stack.clear()
            if not reached:
                continue
            self._budget[0] -= 1
            if self._budget[0] < 0:
                return
            self.offset = offset
            ins.do(self, ins)
            self._after(ins)
            led.add(ins.target)
            reached = ins.op not in _ENDS

    def _after(self, ins: Instruction) -> None:
        """Do to the stack what going on with the next instruction does."""
        self._asked = None
        if ins.op == "FOR_ITER":
            self.push(LOST)
        elif ins.op.startswith("JUMP_IF_"):
            self.pop()

    def touch(self, owner: Any, key: Any, bits: int, text: str) -> None:
        if owner != ANY:
            super().touch(owner, key, bits, text)

    def store(self, name: str, slot: Slot) -> None:
        super().store(name, slot)
        if isinstance(slot[0], Mark):
            self.frame.f_locals.pop(name, None)
        else:
            self.frame.f_locals[name] = slot[0]

    def call(self, function: Slot, arguments: Sequence[Slot]) -> Slot:
        result = super().call(function, arguments)
        called = self.callee
        given = list(arguments)
        if isinstance(called, types.MethodType):
            given.insert(0, (called.__self__, "self"))
            called = called.__func__
        code = getattr(called, "__code__", None)
        if isinstance(called, types.FunctionType) and code is not None \
                and code.co_filename in self.stretches.home and self._budget[0] > 0:
            key = code, tuple([id(value) for value, _ in given]), id(self.stretches.open[0])
            if key not in self._done:
                self._done.add(key)
                variables = {name: value for name, (value, _) in zip(code.co_varnames, given,
                                                                     strict=False)
                             if not isinstance(value, Mark)}
                _Untaken(code, called, called.__globals__, variables, self.stretches.open[0],
                         self._trace, self._budget, self._done, self.stretches.home) \
                    .go((), set())
        return result
