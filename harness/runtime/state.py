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
from collections.abc import Hashable, Iterable, Mapping
from types import CodeType, FrameType, MappingProxyType, ModuleType
from typing import Any, TypeGuard

from ..locks.callsite import frames_of_threads
from ..locks.task import Task
from .parts import Parts, Unknown
from .thing_kinds import OF_THREADS
from .unread import NUMBERS, is_counter, unread
from .waiting_frames import frames_of_role, hidden, instruction_at

MOST_THINGS = 10_000    # in one state
Token = Hashable        # a plain value, or a reference to a thing
QUEUED = 6              # where in what stands for a role it is said whether it is in a queue
REFERENCE = "@"         # (REFERENCE, key of `State.things`) is one


class State:
    """What some roles may go on to do; those that have ended may do nothing.

    Attributes:
        roles: by name of the task, what nobody else can change: frames with the variables
            that are theirs alone, the request, the locks held.
            Under "" those that are *also* looked at, which no role needs to reach.
        things: what each thing that they lead to is, by `id`, or by what stands for it: what the
            code of a frame can name, and its variables that functions in it or around it share.
        why_not: why one of them is not known, or "".

    *codes*: what may run besides, of roles that have ended here and not in the state that this is
    compared with; None if that is not known. A number for which no code asks is left out.

    Ids mean something as long as the states that have them live. A part that is not known is an
    object that equals nothing.
    """

    __slots__ = ("roles", "things", "why_not", "_kept", "_todo", "_parts", "_counts")

    def __init__(self, tasks: Iterable[Task], also: Iterable[Any] = (),
                 most: int = MOST_THINGS,
                 codes: Mapping[int, CodeType] | None = MappingProxyType({})) -> None:
        self.roles: dict[str, tuple[Token, ...]] = {}
        self.things: dict[Hashable, tuple[Token, ...]] = {}
        self.why_not = ""
        self._kept: list[Any] = []
        self._todo: deque[Any] = deque()
        self._parts, self._counts = Parts(self._token), codes is not None
        frames = frames_of_threads()
        for task in tasks:
            if not task.ended:
                ident = task.thread.ident if task.thread is not None else None
                self.roles[task.name] = self._of_task(task, frames.get(ident or 0))
        self.roles[""] = tuple(map(self._token, also))
        while self._todo:
            thing = self._todo.popleft()
            if len(self.things) > most:
                self._unknown(f"more than {most:,} things are in reach")
                self.things = dict.fromkeys(self.things, (object(),))
                break
            try:
                self.things[id(thing)] = self._parts.of(thing)
            except Unknown as exc:
                self.things[id(thing)] = self._unknown(str(exc)),
        if not self.why_not and codes is not None:
            self._leave_out_unread({**codes, **self._parts.codes})

    @property
    def codes(self) -> dict[int, CodeType] | None:
        """The code that is reached, by id; None if some may be that is not known."""
        return None if self.why_not else self._parts.codes

    def _leave_out_unread(self, codes: Mapping[int, CodeType]) -> None:
        """Leave out what is counted and never asked for."""
        names = {part[0] for thing in self._parts.plain for part in self.things[thing]
                 if _is_number(part)}
        names = unread(names, codes.values()) if names else names
        for thing in self._parts.plain if names else ():
            self.things[thing] = tuple([part for part in self.things[thing] if not (
                _is_number(part) and part[0] in names)])

    @property
    def value(self) -> Hashable:
        """The whole state, equal for equal ones, also of two runs in one process, with things
        numbered as they are met; a new object that equals nothing if a part of it is not known.
        """
        if self.why_not:
            return object()
        numbers: dict[Hashable, int] = {}
        todo: deque[Hashable] = deque()

        def renamed(token: Token) -> Token:
            if type(token) is not tuple:
                return token
            if len(token) == 2 and token[0] == REFERENCE:
                if token[1] not in numbers:
                    numbers[token[1]] = len(numbers)
                    todo.append(token[1])
                return REFERENCE, numbers[token[1]]
            return tuple(map(renamed, token))

        out = [(name, *map(renamed, tokens)) for name, tokens in self.roles.items()]
        while todo:
            out.append(tuple(map(renamed, self.things[todo.popleft()])))
        return tuple(out)

    def _unknown(self, why: str) -> object:
        self.why_not = self.why_not or why
        return object()

    def _token(self, thing: Any) -> Token:
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
            self._todo.append(thing)
        return REFERENCE, id(thing)

    def _of_task(self, task: Task, frame: FrameType | None) -> tuple[Token, ...]:
        """Return the frames of one role, what it asks for, and what it holds."""
        token, held = self._token, [lock for lock, _, _ in task.held]
        held += [lock for lock, _ in task.regains]
        out: list[Token] = [token(getattr(task, "lock", None)), token(task.waits_on), task.mode,
                            task.timed, task.trylock, getattr(task, "ask", 0),
                            getattr(task, "queued", False)]
        out += [(token(lock), mode) for lock, mode, _ in list(task.held)]
        out += [(token(lock), token(how)) for lock, how in task.regains]
        inside = {} if task.thread is None else vars(task.thread)    # which code asks for by name
        out += [(name, token(value)) for name, value in list(inside.items())
                if name not in OF_THREADS]
        frames = list(frames_of_role(frame))
        if not frames:
            out += self._to_begin(task)
        for depth, (each, called) in enumerate(reversed(frames)):
            out.append(self._of_frame(each, (task.name, depth)))
            why = hidden(each, called, held, task)
            if why:
                out.append(self._unknown(why))
        return tuple(out)

    def _to_begin(self, task: Task) -> list[Token]:
        """Return what *task*, which has not begun perhaps, runs."""
        run: Any = task.run
        function = run.scenario.roles.get(task.name)
        if function is not None:
            return [self._token(function)]
        thread: Any = task.thread
        return [self._token(type(thread)), *(self._token(vars(thread).get(name)) for name in (
            "_target", "_args", "_kwargs"))] if thread is not None else []

    def _of_frame(self, frame: FrameType, where: Hashable) -> Token:
        code, variables = frame.f_code, frame.f_locals
        shared = {*code.co_cellvars, *code.co_freevars}
        token = self._token
        own = tuple([(name, token(value)) for name, value in list(variables.items())
                     if name not in shared and not (
                         self._counts and type(value) in NUMBERS and is_counter(code, name))])
        cells = where, id(code)
        self.things[cells] = tuple([(name, token(variables[name])) for name in sorted(shared)
                                    if name in variables])
        names = id(code), id(frame.f_globals)
        if names not in self.things:
            modules = [value for value in list(variables.values()) if type(value) is ModuleType]
            try:
                self.things[names] = self._parts.names(code, frame.f_globals, modules)
            except Unknown as exc:
                self.things[names] = self._unknown(str(exc)),
        return id(code), instruction_at(frame), own, (REFERENCE, cells), (REFERENCE, names)


def codes_of(functions: Iterable[Any]) -> dict[int, CodeType] | None:
    """Return the code that *functions* may run, by id; None if that is not known."""
    return State((), functions).codes


def _is_number(part: Any) -> TypeGuard[tuple[str, Any]]:
    """Say whether *part*, of what stands for an object, is an attribute that is a number."""
    return type(part) is tuple and len(part) == 2 and type(part[0]) is str and (
        type(part[1]) is int or type(part[1]) is tuple and part[1][:1] == ("float",))
