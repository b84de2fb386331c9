"""Threads as the harness knows them, and what a lock may ask of the run of one.

A *task* is a thread with a serial number of ours (the interpreter recycles `get_ident()` values).
Inside a run a task is a role or a thread that a role started; every other thread is an outsider,
whose task has no run.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import afresh, raw
from .callsite import shown
from .errors import ScenarioError
from .one_line import one_line

EXCLUSIVE, SHARED, WAIT = "exclusive", "shared", "wait"
NOT_NESTED = 0, ""
NOBODY: Any = ()    # those who wait for a lock, until somebody does: an empty queue has 600 bytes

_OURS = f"{__name__.partition('.')[0]}."
_serials = itertools.count(1)


class Unwind(BaseException):
    """Raised in a role to end it after a verdict; no `except Exception` can swallow it."""


class Expired(BaseException):
    """Raised by an observer of `lock_acquire`: the time of a timed request is up."""


class RunOfTask(Protocol):
    """What a lock, or a thread started or joined, asks and tells the run of the task that uses it.

    (guard): called with the guard held.
    """

    # Called with task, lock and mode by the thread of the task, in order; see observer.py.
    on_acquire: tuple[Callable[..., None], ...]
    on_acquired: tuple[Callable[..., None], ...]
    on_release: tuple[Callable[..., None], ...]
    on_refused: tuple[Callable[..., None], ...]    # for the record: it goes on without the lock
    # In place of `on_acquire` if that does nothing else: let *task* wait for its turn to ask for a
    # lock in *mode*; False if its time is up before it does.
    ask_in_turn: Callable[[Any, Any, str], bool] | None
    # With this a plain operation is noted, and nobody else is told; None if somebody must be.
    note: Callable[[tuple[Any, ...]], None] | None
    scheduled: bool    # an order is chosen, whatever a clock says
    in_turns: bool     # whoever is woken waits for his turn: then those that go on must be told
    running: int       # how many tasks are not parked, or in a wait with a time limit
    timed: int         # how many of those are in such a wait
    unwinding: bool    # there was a verdict, and every task is let go
    over: bool         # it has ended, threads of it go on: nobody is told any more, nobody parks
    watched: bool      # it is made of what a test does by itself
    alone: bool        # no role runs: threads that are started are outside

    # *task* begins to wait, *again* if it was told before; False if it must unwind (guard).
    def contended(self, task: Task, again: bool) -> bool: ...
    def quiescent(self) -> None: ...    # no task can go on by itself (guard)
    # *task* looks at *lock* without asking for it: others may change what it sees.
    def look(self, task: Task, lock: Any) -> None: ...
    def step(self, task: Task, on: str) -> None: ...    # *task* is at a point of its own: see below
    # The task of a role name, a thread or a task; None if it is not in this run.
    def find(self, who: Any) -> Task | None: ...
    # Who was seen to end waits for *lock* in other runs, and is to do it here still; in words why
    # nobody is, "" if that is not known (guard).
    def enders(self, lock: Any) -> list[Task]: ...
    def why_nobody(self, lock: Any) -> str: ...
    # What a scenario has us call raised (guard).
    def complain(self, text: str, exc: BaseException) -> None: ...
    def failed(self, task: Task, exc: BaseException) -> None: ...    # *task* raised
    # Make a thread that the caller is about to start part of the run.
    def adopt(self, thread: threading.Thread, name: str) -> Task: ...
    def started(self, task: Task) -> None: ...    # the thread of *task*, which was adopted, runs
    def disown(self, task: Task) -> None: ...     # it could not be started: forget it
    # Run *function* as *task* in the calling thread, to its end.
    def perform(self, task: Task, function: Callable[[], Any]) -> None: ...
    # End the run, and *task* with it: what we did for it in the calling thread raised *exc*.
    def lose(self, task: Task, exc: BaseException) -> None: ...


@dataclass(slots=True, weakref_slot=True, eq=False, repr=False)
class Task:
    """One thread: what it holds, what it waits for.

    States: running (`waits_on` is None), parked at a lock (`waits_on` is that lock), parked by an
    observer (`paused`), ended. `held` lists (lock, mode, chain) in the order of acquisition.
    """

    name: str
    # None outside a run, which is not declared: one test says so where a lock's run code begins.
    run: RunOfTask = None   # type: ignore[assignment]
    thread: threading.Thread | None = None
    serial: int = field(default_factory=_serials.__next__)
    held: list[tuple[Any, str, Any]] = field(default_factory=list)
    regains: list[tuple[Any, Any]] = field(default_factory=list)    # when its wait is over: how
    waits_on: Any = None
    mode: str = ""
    timed: bool = False
    chain: tuple[Any, ...] = ()
    paused: bool = False
    ended: bool = False
    daemon: bool = False         # a thread that the interpreter would not wait for at its end
    request: Any = None          # the semaphore acquisition under way, if any
    trylock: bool = False
    times: int = 1               # how often what it tells counts
    tells: str = ""              # how it ends waits: for one, "complete"; all, "set"; or "clear"
    nested: tuple[int, str] = NOT_NESTED      # subclass of the request under way, and why
    interrupt: BaseException | None = None    # raised once the package below is done
    acquiring: bool = False      # in the package, where a refusal makes it roll back
    parked: bool = False
    until: float = 0.0           # when its wait with a limit is over, by time.monotonic()
    signals: bool = False        # of the thread that gets signals: one may end its wait
    untold: int = 0    # locks that it took without telling its observers
    enough: int = 0    # of these, when it has to tell them again
    seen: Any = None   # where it stands in what was seen of the order of locks: see lockorder/
    gate: threading.Lock = field(default_factory=raw.Lock)    # what it waits in while parked
    baton: bool = False          # a wake-up hands it the guard

    def __post_init__(self) -> None:
        self.gate.acquire()

    def __repr__(self) -> str:
        return one_line(self, f"{self.serial} {self.name}")


class Maker:
    """Who makes locks: what builds a world, a role or a thread of one, or somebody else.

    Attributes:
        key: the role's, the same in every run; "" of what builds a world, None of anybody else.
        world: knows what the locks of the world are called; see `NamesOfWorld`. None outside one.
        made: how many unnamed locks it made at each place.
        named: how many it gave the same name and class; those made outside a world are not counted.
    """

    __slots__ = ("key", "world", "made", "named")

    def __init__(self, key: str | None = None, world: Any = None) -> None:
        self.key, self.world = key, world
        self.made: dict[Any, int] = {}
        self.named: dict[tuple[str, str | None], int] | None = None if key is None else {}


class _Made:
    """An attribute of a thread that is made at its first use.

    No `__init__` of a `threading.local`: what interrupts that finds an object half made. Here what
    interrupts the making makes it, once.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, thread: Any, owner: type) -> Any:
        return vars(thread).setdefault(self._name, self._make())


def _outsider() -> Task:
    # Not current_thread(): it would leave a dummy behind for a thread of `_thread`.
    thread = threading._active.get(threading.get_ident())   # type: ignore[attr-defined]
    return Task(thread.name if thread is not None else "a thread", thread=thread)


class _ThisThread(threading.local):
    """The task of the calling thread; a thread that never entered a run gets an outsider's.

    `maker` is who makes the locks that the thread makes now. There is another for each world and
    for each role of it, so that every run counts them alike.
    """

    in_call = False       # one of `run`, `explore`, ... that this thread made is under way
    family: Any = None    # threads that this one starts are noted here: see outsiders.py
    maker: Maker = _Made(Maker)      # type: ignore[assignment]
    task: Task = _Made(_outsider)    # type: ignore[assignment]


this_thread = _ThisThread()


def current() -> Task:
    """Return the task of the calling thread."""
    return this_thread.task


_first = 0    # serial number of the first task of this process


@afresh.in_child
def _leave_run() -> None:
    """Be outside any run, in a process that the calling thread, of a role perhaps, forked."""
    global _first
    task = this_thread.task
    task.serial = _first = next(_serials)
    this_thread.in_call = False
    if task.run is not None:
        task.run = None    # type: ignore[assignment]
        for lock, _, _ in task.held:
            lock.held_outside()
        task.held, task.waits_on, task.signals = [], None, False
        trace = sys.gettrace()
        if getattr(trace, "__module__", "").startswith(_OURS):
            sys.settrace(None)
    if not afresh.is_ours():
        this_thread.maker, this_thread.family = Maker(), None


def present(waiters: deque[Task]) -> deque[Task]:
    """Return *waiters* without those that another process has, from which this one was forked."""
    while waiters and waiters[0].serial < _first:
        del waiters[0]
    return waiters


def become(task: Task) -> Task:
    """Make *task* the task of the calling thread; return the one before."""
    before, this_thread.task = this_thread.task, task
    return before


def step(on: str = "") -> None:
    """Let another role go first here, in some schedule, though no lock is asked for.

    A thread that reads or writes what others write calls it just before; in an exploration the
    operations that follow are then tried in every order. Outside one it does nothing.

    Args:
        on: name of what is about to be used, the same in every world. Steps on different things
            need not be tried in both orders; one on no name may be on any.

    Raises:
        ScenarioError: *on* is no string.
    """
    if not isinstance(on, str):
        raise ScenarioError(f"step: on is {shown(on)}, expected the name of what is used, a string")
    task = current()
    if task.run is not None:
        task.run.step(task, on)

