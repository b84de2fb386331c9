"""What the branches touch that a traced schedule did not take.

A role may branch on what it was told under a lock, and write in that branch what another reads
before its first operation. So the instructions of traced functions that were not executed, and of
functions that they call, are gone through in the order in which they stand, with the variables as
they were when the function was left. What is not known then is left out, other than in a trace:
taking it for anything would make a step of nearly every start.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Sequence
from typing import Any

from .shadow_frame import Shadow
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
        for function, scope, variables in frames[-MOST_FRAMES:]:
            for touches in stretches.each():
                if code in touches.taken:
                    _Untaken(code, function, scope, variables, touches, trace, budget, done) \
                        .go(stretches.all.taken[code], touches.taken[code])


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
    """

    def __init__(self, code: types.CodeType, function: Any, scope: dict[str, Any],
                 variables: dict[str, Any], into: Touches, trace: Trace, budget: list[int],
                 done: set[Any]) -> None:
        frame: Any = _Frame(code, scope, dict(variables))
        where = Stretches("")
        where.open = [into]
        super().__init__(frame, where, function, None, trace)
        self._budget, self._done = budget, done

    def go(self, taken: Collection[int], before: Collection[int]) -> None:
        """Go through what was not *taken* and is led to from *before*, or from what is so."""
        led = {way for offset in before if (ins := self.table.get(offset)) is not None
               for way in (ins.next, ins.target)}
        handlers = bool(before)    # an exception may lead there from anywhere
        reached = not taken        # a function that was not called begins at its beginning
        for offset, ins in self.table.items():
            if offset in taken or ins.skips >= 0:
                self.stack.clear()
                reached = False
                continue
            handlers_here = handlers and ins.op == "PUSH_EXC_INFO"
            if not reached and (offset in led or handlers_here):
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
                and self._trace.traced(code) and self._budget[0] > 0:
            key = code, tuple([id(value) for value, _ in given]), id(self.stretches.open[0])
            if key not in self._done:
                self._done.add(key)
                variables = {name: value for name, (value, _) in zip(code.co_varnames, given,
                                                                     strict=False)
                             if not isinstance(value, Mark)}
                _Untaken(code, called, called.__globals__, variables, self.stretches.open[0],
                         self._trace, self._budget, self._done).go((), ())
        return result
