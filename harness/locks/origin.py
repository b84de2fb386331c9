"""Where a lock was made, and what it is called by that alone.

Kept is what a frame gives for nothing; what it means is found out when somebody asks.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from types import CodeType
from typing import Any, NamedTuple

from .assigned import Assigned, assigned, stem, whose
from .callsite import column_of, place_of

_KEY, _NUMBER = re.compile(r"\[.*?\]"), re.compile(r"#\d+$")


class Origin(NamedTuple):
    """Where a lock was made.

    Attributes:
        number: among those its maker made there.
        more: what there is to know of code without a name or a file: see `assigned`.
    """

    code: CodeType
    lasti: int
    number: int
    more: Any

    @property
    def kept(self) -> Assigned:
        """What the code keeps it in."""
        return assigned(self.code, self.lasti, self.more)

    def text(self, lock: Any) -> str:
        """Return what the expression is called that made *lock*: what holds its value, or its kind
        and place.
        """
        kept, world = self.kept, lock.maker.world
        if not kept.text:
            place = place_of(self.code, self.lasti)
            return f"{type(lock).__name__.lower()}@{place}{column_of(self.code, self.lasti)}"
        function, file = whose(kept.scope)
        if world is not None:    # what its own function, and its own module, call it needs no more
            function, elsewhere = "" if kept.scope == world.scope else function, file != world.file
        else:
            elsewhere = not function
        module = stem(file) if file and elsewhere else ""
        return ".".join(filter(None, [module, function, kept.text]))

    def name(self, lock: Any) -> str:
        """Return what *lock* is called by it, with a number from the second on."""
        nth = f"#{self.number}" if self.number > 1 else ""
        variable = lock.maker.world is None and whose(self.kept.scope)[0] and self.kept.text
        return f"{variable or self.text(lock)}{nth}"

    def place(self) -> Hashable:
        """Return what is equal for the same place, and number, in every world."""
        more = self.more
        if isinstance(more, tuple):
            more = more[0].co_filename, more[0].co_firstlineno, more[1]
        return self.code.co_filename, self.code.co_firstlineno, self.lasti, self.number, more


def made_in(frame: Any, lock: Any) -> tuple[Any, Any]:
    """Return the frame that made *lock*, not one of its own class, and `Origin.more`."""
    if lock._has_own_init:
        inits = [vars(base).get("__init__") for base in type(lock).__mro__]
        codes = [getattr(init, "__code__", None) for init in inits]
        while frame.f_back is not None and any(frame.f_code is code for code in codes):
            frame = frame.f_back
    code = frame.f_code
    if code.co_name[0] == "<" and code.co_name != "<module>":
        back = frame.f_back
        return frame, None if back is None else (back.f_code, back.f_lasti)
    if code.co_name == "__init__" and code.co_filename[0] == "<" and code.co_argcount:
        owner = type(frame.f_locals[code.co_varnames[0]])    # it was generated, as by a dataclass
        return frame, owner.__qualname__.rpartition("<locals>.")[2]
    return frame, None


def of_any(name: str) -> str:
    """Return the name of a lock without what tells it from others in its place."""
    return _NUMBER.sub("", _KEY.sub("[*]", name))
