"""What happened, in order: the recorder, and what a verdict freezes of the roles.

The recorder is one observer. It takes the calls that led to each request once, when the lock is
about to be asked for; the events that follow from the request share them. A verdict freezes the
state of each role and, where nothing moves, its stack: by `faulthandler`, with the roles' names in
place of thread numbers. The file is long because notes and what is read from them belong together.
"""

from __future__ import annotations

import faulthandler
import re
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..locks.calls import BASE, Chain, capture
from ..locks.callsite import (function_name, is_named, is_verb, place_of, short_path, split)
from ..locks.one_line import one_line
from ..locks.task import EXCLUSIVE, Task, WAIT
from ..locks.waitgraph import AnyOf, blockers, flat
from .observer import Observer

_getframe = sys._getframe
LIMIT = 100_000   # events kept of one run
EVENT, _TAKEN = len(("task", "event", "lock", "mode", "chain")), len(("task", "lock", "chain"))

# Lines that faulthandler writes, and functions of the detector in the thread that found a hang.
_HEAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
_OURS = ("all_stacks", "quiescent", "_let_a_limit_run_out", "_ask_who_goes")


class Event(NamedTuple):
    """One event of a run."""

    task: Task
    event: str
    lock: Any
    mode: str
    chain: Chain

    def __repr__(self) -> str:
        return one_line(self, f"{self.event} of {self.task.name}: {self.lock} ({self.mode})")


_CLEARS = ("reinit", "clear")    # verbs that are told as others are by which waits end


def written_out(notes: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the events of *notes*, in order: of a plain operation on a mutex there is one note,
    (task, mutex, calls), or (task, hold) for the release.
    """
    if all(map(EVENT.__eq__, map(len, notes))):
        return list(notes)
    events: list[tuple[Any, ...]] = []
    add = events.append
    for note in notes:
        if len(note) == EVENT:
            add(note)
        elif len(note) == _TAKEN:
            task, lock, chain = note
            add((task, "lock_acquire", lock, EXCLUSIVE, chain))
            add((task, "lock_acquired", lock, EXCLUSIVE, chain))
        else:
            task, (lock, _, chain) = note
            add((task, "lock_release", lock, EXCLUSIVE, chain))
    return events[-LIMIT:]


class Recorder(Observer):
    """Keep the events of a run, with the calls that led to each request.

    Attributes:
        notes: what was kept of them; see `written_out`.
    """

    spares = True

    def __init__(self) -> None:
        # Plain tuples with the fields of `Event`, which cost a fraction.
        self.notes: deque[tuple[Any, ...]] = deque(maxlen=LIMIT)
        self._append = self.notes.append
        self._taken = self._waits = 0
        self.is_short = False    # there may be notes that are not of one event

    @property
    def log(self) -> list[tuple[Any, ...]]:
        """What happened, in order, as far as it is kept; tuples with the fields of `Event`."""
        return written_out(list(self.notes))

    def moves(self, tasks: Iterable[Task]) -> int:
        """Return how often *tasks* took or released a lock, passed a wait or let others pass.

        A request that is refused again and again moves nothing. What is not held any more was
        released.
        """
        return self._waits + 2 * self._taken + sum([
            2 * task.untold - len(task.held) for task in tasks])

    def ends_of_waits(self) -> list[tuple[str, str]]:
        """Return what a wait was ended for, as reports call it, and by whom, each time."""
        return [(str(note[2]), note[0].name) for note in list(self.notes)
                if len(note) == EVENT and note[1] == "lock_release" and note[3] == WAIT
                and verb(Event(*note)) not in _CLEARS]

    def latest(self, most: int) -> list[tuple[Any, ...]]:
        """Return the last events: those of so many notes."""
        notes = self.notes
        return written_out([notes[i] for i in range(-min(len(notes), most), 0)])

    @property
    def events(self) -> int:
        """How many events are kept."""
        notes = list(self.notes) if self.is_short else []
        return min(len(self.notes) + sum(len(note) == _TAKEN for note in notes), LIMIT)

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        task.chain = chain = capture(_getframe(2))    # from the lock on: past `ask`
        self._append((task, "lock_acquire", lock, mode, chain))

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        self._append((task, "lock_contended", lock, mode, task.chain))

    def lock_acquired(self, task: Task, lock: Any, mode: str) -> None:
        if mode is WAIT:
            self._waits += 1
        else:
            self._taken += 1
        self._append((task, "lock_acquired", lock, mode, task.chain))

    def lock_refused(self, task: Task, lock: Any, mode: str) -> None:
        """See *task* go on without *lock*: it was not free, or the time was up."""
        event = "lock_timed_out" if task.timed else "lock_refused"
        self._append((task, event, lock, mode, task.chain))

    def point(self, task: Task, event: str, what: Any) -> None:
        """See *task* pass a point where it asks for nothing: ``step`` or ``look``, at *what*."""
        self._append((task, event, what, "", capture(_getframe(1))))

    def lock_release(self, task: Task, lock: Any, mode: str) -> None:
        self._waits += mode is WAIT
        frame: Any = _getframe(1)
        held, _, chain = task.held[-1] if task.held else (None, "", ())
        # A `with` block ends in the frame where it began: its calls are known. It may be the block
        # of a verb, whose guard calls `release`.
        caller = frame.f_back
        ends_block = caller.f_code.co_name == "__exit__" or (
            (outer := caller.f_back.f_code).co_name == "__exit__" and is_verb(outer))
        if held is not lock or not ends_block:
            chain = capture(frame)
        self._append((task, "lock_release", lock, mode, chain))


@dataclass(frozen=True)
class Hold:
    """A lock that a role held when the run was frozen."""

    lock: str
    mode: str
    chain: Chain

    @property
    def at(self) -> str:
        """Where it was taken: "file:line"."""
        return place(self.chain)

    def __repr__(self) -> str:
        return one_line(self, f"{self.lock} ({self.mode}), taken at {self.at}")


@dataclass(frozen=True)
class RoleState:
    """Where a role was when the run was frozen."""

    role: str
    # ``waits``, ``waits with a time limit``, ``held at the meeting``, ``runs``, ``ended``
    state: str
    wants: str = ""      # what it waits for, if it does
    mode: str = ""       # and how
    chain: Chain = ()    # the calls that led to where it is, if it waits or is held
    holds: tuple[Hold, ...] = ()
    waits_for: tuple[str, ...] = ()    # the roles that must act first
    any_is_enough: bool = False        # any one of them
    asks_who: bool = False             # it is not known who is to act
    why_nobody: str = ""               # does, in words, if that is known

    @property
    def at(self) -> str:
        """Where it waits or is held: "file:line"."""
        return place(self.chain)

    def __repr__(self) -> str:
        wants = f" for {self.wants} ({self.mode})" if self.wants else ""
        holds = f", holds {' and '.join(hold.lock for hold in self.holds)}" if self.holds else ""
        return one_line(self, f"{self.role} {self.state}{wants}{holds}")

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON output."""
        return {"role": self.role, "wants": self.wants, "mode": self.mode,
                "holds": [[hold.lock, hold.mode] for hold in self.holds], "at": self.at}


def place(chain: Chain) -> str:
    """Return "file:line" of the function that called the verb."""
    _, calls = split(chain)
    return place_of(*calls[0]) if calls else ""


def function(chain: Chain, names: Any = None) -> str:
    """Return the name of the function that called the verb, as *names* (if given) calls it."""
    _, calls = split(chain)
    return next(filter(None, [(names or function_name)(code) for code, _ in calls]), "")


def verb(event: Event) -> str:
    """Return the verb a reader knows for what was done: the outermost one of the vocabulary."""
    if event.event == "lock_release" and event.mode != WAIT:
        return str(event.lock.release_verb(event.mode))
    verbs, _ = split(event.chain)
    name = next((code.co_name for code, _ in reversed(verbs) if is_named(code)), "")
    if name == "__enter__" or not name and event.mode == EXCLUSIVE:    # a note of a mutex has none
        return "acquire"
    return name.lstrip("_") or event.mode


def freeze(task: Task) -> RoleState:
    """Take down where *task* is. Called with the guard held."""
    holds = tuple([Hold(str(lock), mode, chain) for lock, mode, chain in task.held])
    if task.ended:
        return RoleState(task.name, "ended", holds=holds)
    if task.paused:
        return RoleState(task.name, "held at the meeting", chain=task.chain, holds=holds)
    if task.waits_on is None:
        return RoleState(task.name, "runs", holds=holds)
    wait = blockers(task)
    asks_who = not wait and getattr(task.waits_on, "ended_by_any", False)
    return RoleState(task.name, "waits with a time limit" if task.timed else "waits",
                     str(task.waits_on), task.mode, task.chain, holds,
                     tuple(dict.fromkeys([blocker.name for blocker in flat(wait)])),
                     isinstance(wait, AnyOf), asks_who,
                     task.run.why_nobody(task.waits_on) if asks_who and task.run else "")


def all_stacks(tasks: Sequence[Task]) -> str:
    """Return the stack of each of *tasks* that has not ended, innermost call first.

    faulthandler writes at most 100 threads and needs a real file; it takes no lock of ours.
    """
    try:
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            dump = file.read()
    except OSError as exc:
        return f"(no stacks: {exc})"
    names = {task.thread.ident: task.name for task in tasks if task.thread and not task.ended}
    parts: list[str] = []
    keep = False
    for line in dump.splitlines():
        head = _HEAD.match(line)
        if head:
            name = names.get(int(head[1], 16))
            keep = name is not None
            if keep:
                parts.append(f"Thread {name} (most recent call first):")
        elif keep and (frame := _FRAME.match(line)) and frame[3] not in _OURS:
            keep = frame[3] != BASE.co_name    # what called the role is of no interest
            if keep:
                parts.append(f"  {short_path(frame[1])}:{frame[2]} in {frame[3]}")
    return "\n".join(parts)
