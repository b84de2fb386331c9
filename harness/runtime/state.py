"""What a role may go on to do, as a value that can be compared: its state, and that of all roles.

A state is taken of roles that stand still. It has the frames of their threads (code, instruction,
variables), what these lead to by value, what the code there can name, and the account of the locks
(who holds what, who waits, how often a completion passes). Two states that are equal have the same
future. What cannot be known is equal to nothing, not even to itself taken again: what a C object,
a file, a generator or an iterator on the stack of the interpreter is at; a clock, a source of
random numbers, whatever else says something new each time; what tells of its end (`__del__`,
`weakref`); and what is too large.

No code of the user's runs meanwhile. Order and sharing count: two lists that are one list are not
two equal ones. What kind of thing says what of itself is in parts.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from types import FrameType
from typing import Any

from ..locks.callsite import frames_of_threads
from ..locks.task import Task
from .parts import Parts, Unknown
from .waiting_frames import frames_of_role, hidden, instruction_at

MOST_THINGS = 10_000    # in one state
Token = Hashable        # a plain value, or a reference to a thing
_REFERENCE = object()   # (_REFERENCE, id) is one


class State:
    """What some roles may go on to do.

    Attributes:
        value: equal for equal states, however often the world was gone through; a new object that
            equals nothing if it is not known.
        why_not: why it is not known, or "".
        roles: by serial number of the task, frames and requests, in which a thing is its `id`.
        things: what each thing that they lead to is, by `id`.

    Ids mean something as long as the things live: within a run, and between two states of which the
    first is not older than the last step.
    """

    __slots__ = ("value", "why_not", "roles", "things", "_kept")

    def __init__(self, tasks: Iterable[Task], most: int = MOST_THINGS) -> None:
        self.roles: dict[int, tuple[Token, ...]] = {}
        self.things: dict[int, tuple[Token, ...]] = {}
        self._kept: list[Any] = []
        self.why_not = ""
        frames = frames_of_threads()
        todo: deque[Any] = deque()
        parts = Parts(lambda thing: self._token(thing, todo))
        try:
            for task in tasks:
                ident = task.thread.ident if task.thread is not None else None
                frame = None if task.ended else frames.get(ident or 0)
                self.roles[task.serial] = _of_task(task, frame, parts)
            while todo:
                thing = todo.popleft()
                if len(self.things) > most:
                    raise Unknown(f"more than {most:,} things are in reach")
                self.things[id(thing)] = parts.of(thing)
        except Unknown as exc:
            self.why_not = str(exc)
            self.roles, self.things = {}, {}
            self.value: Hashable = object()
        else:
            self.value = self._numbered()

    def _token(self, thing: Any, todo: deque[Any]) -> Token:
        """Return what stands for *thing* where it is met."""
        kind = type(thing)
        if kind is int or kind is str or kind is bytes or thing is None:
            return thing    # type: ignore[no-any-return]
        if kind is bool:
            return "bool", int(thing)
        if kind is float or kind is complex:
            return kind.__name__, repr(thing)
        if id(thing) not in self.things:
            self.things[id(thing)] = ()
            self._kept.append(thing)    # or another may have its id
            todo.append(thing)
        return _REFERENCE, id(thing)

    def _numbered(self) -> Hashable:
        """Return all of it with things numbered in the order in which they are met."""
        numbers: dict[int, int] = {}
        todo: deque[int] = deque()

        def renamed(token: Token) -> Token:
            if type(token) is not tuple:
                return token
            if len(token) == 2 and token[0] is _REFERENCE:
                if token[1] not in numbers:
                    numbers[token[1]] = len(numbers)
                    todo.append(token[1])
                return _REFERENCE, numbers[token[1]]
            return tuple(map(renamed, token))

        out = [(serial, *map(renamed, tokens)) for serial, tokens in self.roles.items()]
        while todo:
            out.append(tuple(map(renamed, self.things[todo.popleft()])))
        return tuple(out)


def _of_task(task: Task, frame: FrameType | None, parts: Parts) -> tuple[Token, ...]:
    """Return the state of one role: its frames, what it asks for, and what it holds."""
    if task.ended:
        return ("ended",)
    out: list[Token] = [parts.token(getattr(task, "lock", None)), parts.token(task.waits_on),
                        task.mode, task.timed, task.trylock, getattr(task, "ask", 0),
                        getattr(task, "queued", False)]
    out += [(parts.token(lock), mode) for lock, mode, _ in list(task.held)]
    held = [lock for lock, _, _ in task.held]
    for each, called in frames_of_role(frame):
        code = each.f_code
        why = hidden(each, called, held)
        if why:
            raise Unknown(why)
        out.append((id(code), instruction_at(each),
                    parts.scope(code, each.f_globals, each.f_locals)))
    return tuple(out)
