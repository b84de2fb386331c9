"""Schedules whose world is the first of its process: each in a child forked from a parent that ran
none.

`Apart` forks that parent, the *keeper*, before the caller builds its first world. It blocks on a
pipe, and forks a child for each schedule that it is sent. What goes there and back is plain data
(seen_run.py): the chooser, the numbers of roles and locks, and of the run what is looked at
afterwards. The keeper ends, and kills and reaps the child under way, when it is told to or the
caller is gone; so none outlives the call.

The file is long because both ends of the pipe are here: what one writes the other reads.
"""

from __future__ import annotations

import mmap
import os
import pickle
import select
import signal
import struct
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..locks.callsite import first_line
from ..locks.errors import ScenarioError
from ..runtime.process_state import settled
from ..runtime.scenario import Scenario, build
from ..runtime.verdict import Outcome
from ..runtime.workers import Workers
from .controlled_run import ControlledRun
from .seen_run import dumps, loads
from .stable_ids import Names

_HEAD = struct.Struct("=q")      # the length of what follows; 0 says that nothing will
_PAGE = struct.Struct("=qqq")    # shared: who goes, how a child ended, whether it told its result
_LOOK = 50                       # milliseconds between looks whether a child has died
Maker = Callable[[Scenario], Any]    # returns the chooser for a world; can be told as data


class World(Protocol):
    """What a schedule is a schedule of."""

    scenario: Callable[..., Any]
    name: str
    names: Names
    timeout: float


class Died(Exception):
    """A process ended in the middle of its schedule; `str()` says how, and who was to go."""


def _read(fd: int, length: int) -> bytes:
    """Return *length* bytes, or fewer if no more come."""
    parts = []
    while length:
        part = os.read(fd, min(length, 1 << 20))
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(_HEAD.pack(len(data)) + data)
    while view:
        view = view[os.write(fd, view):]


# -- the caller's side -----------------------------------------------------------------------------


@dataclass
class Apart:
    """Worlds of one scenario, each the first of its process, in place of `Workers`.

    Attributes:
        why_not: why there are none, or "".
    """

    scenario: Callable[..., Any]
    why_not: str = ""
    _keeper: int = 0
    _requests: int = -1
    _results: int = -1
    _page: Any = field(default=None, repr=False)

    def __enter__(self) -> Apart:
        """Fork the keeper."""
        if not hasattr(os, "fork"):
            self.why_not = "this platform cannot fork a process"
            return self
        for stream in (sys.stdout, sys.stderr):    # lest a child writes it once more
            with suppress(Exception):
                stream.flush()
        page = mmap.mmap(-1, _PAGE.size)
        requests, results = os.pipe(), os.pipe()
        try:
            with warnings.catch_warnings():    # that other threads may hold locks: not ours
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as exc:
            self.why_not = f"no process could be forked: {exc.strerror}"
            page.close()
            for fd in (*requests, *results):
                os.close(fd)
            return self
        if not pid:
            with _ending(1):
                os.close(requests[1])
                os.close(results[0])
                _keep(requests[0], results[1], page, self.scenario)
        self._keeper, self._page = pid, page
        self._requests, self._results = requests[1], results[0]
        os.close(requests[0])
        os.close(results[1])
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._keeper:
            return
        try:
            with suppress(OSError):
                os.write(self._requests, _HEAD.pack(0))
            with suppress(OSError):
                os.waitpid(self._keeper, 0)
        except BaseException:    # interrupted: the keeper knows already
            with suppress(OSError):
                os.waitpid(self._keeper, 0)
            raise
        finally:
            os.close(self._requests)
            os.close(self._results)
            self._page.close()
            self._keeper = 0

    def play(self, world: World, make: Maker, *, full: bool = False, to_the_end: bool = False,
             deadline: float | None = None) -> tuple[Any, Any, Outcome]:
        """Run the schedule of the chooser that *make* returns in a process of its own.

        The numbers in *world.names* become those that the other process knows.

        Returns:
            The chooser as it is after it, the run as a `SeenRun`, and the outcome.

        Raises:
            Died: the process ended before the schedule did.
            ScenarioError: its world could not be built.
        """
        chooser, run, outcome = self._ask(world, make, full, to_the_end, deadline)
        world.names = run.names
        return chooser, run, outcome

    def describe(self, world: World) -> Scenario:
        """Return what there is to know of the scenario, of a world that is built in a process of
        its own: roles, invariants and the rest do nothing but be there.

        Raises:
            Died, ScenarioError: as `play`.
        """
        described: Scenario = self._ask(world, None)
        return described

    def _ask(self, world: World, *request: Any) -> Any:
        try:
            data = dumps((world.names, world.name, world.timeout, *request))
        except Exception as exc:
            raise Died(f"a schedule could not be told to a process of its own: "
                       f"{first_line(exc)}") from exc
        try:
            _write(self._requests, data)
            length, = _HEAD.unpack(self._receive(_HEAD.size))
            answer = loads(self._receive(length))
        except (EOFError, BrokenPipeError, struct.error):
            raise Died(self._how(world.names)) from None
        if isinstance(answer, ScenarioError):
            raise answer
        if isinstance(answer, str):
            raise Died(f"a schedule could not be run in a process of its own: {answer}")
        return answer

    def _receive(self, length: int) -> bytes:
        poll, parts = select.poll(), []
        poll.register(self._results, select.POLLIN)
        while length:
            while not poll.poll(_LOOK):
                # A process that a role has left behind may keep the pipe open.
                if self._has_ended() and not poll.poll(0):
                    raise EOFError
            part = os.read(self._results, min(length, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _has_ended(self) -> bool:
        try:
            return os.waitpid(self._keeper, os.WNOHANG)[0] != 0
        except OSError:    # the process does not care for its children
            return True

    def _how(self, names: Names) -> str:
        """Say how the child ended."""
        with suppress(OSError):
            os.waitpid(self._keeper, 0)
        label, status, _ = _PAGE.unpack(self._page[:])
        role = label - 1 >> 1
        who = f"{names.roles[role]}'s" if 0 <= role < len(names.roles) else "a new thread's"
        when = f"when it was {who} turn" if label else "before it began"
        how = f"exit status {os.waitstatus_to_exitcode(status)}" if os.WIFEXITED(status) \
            else f"signal {os.WTERMSIG(status)}"
        return f"the process ended in the middle of a schedule, {when} ({how})"


# -- the other processes ---------------------------------------------------------------------------


class _ending:
    """Ends the process with the block, whatever happens in it."""

    def __init__(self, status: int) -> None:
        self.status = status

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        os._exit(self.status)


def _keep(requests: int, results: int, page: mmap.mmap, scenario: Callable[..., Any]) -> None:
    """Fork a child for each schedule asked for, until told to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # the caller's, who tells us
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    head = _read(requests, _HEAD.size)
    while len(head) == _HEAD.size and head != _HEAD.pack(0):
        data = _read(requests, *_HEAD.unpack(head))
        page[:] = _PAGE.pack(0, 0, 0)
        child = os.fork()
        if not child:
            with _ending(1):
                os.close(requests)
                _one(results, page, scenario, data)
                os._exit(0)
        ended, status = 0, 0
        while not ended and not poll.poll(_LOOK):
            ended, status = os.waitpid(child, os.WNOHANG)
        label, _, told = _PAGE.unpack(page[:])
        if ended and (status or not told):
            page[:] = _PAGE.pack(label, status, 0)
            return
        head = _read(requests, _HEAD.size)
        if not ended:
            if len(head) < _HEAD.size or head == _HEAD.pack(0):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    os._exit(0)


def _one(results: int, page: mmap.mmap, scenario: Callable[..., Any], data: bytes) -> None:
    """Do what *data* asks for in the first world of this process, and tell of it."""
    context = settled(), Workers()    # never left: the process ends first
    try:
        names, name, timeout, make, *request = loads(data)
        context[0].__enter__()
        workers = context[1].__enter__()
        world = build(scenario, name)
        if make is None:
            answer = dumps(_described(world))
        else:
            answer = dumps(_play(world, workers, page, names, timeout, make, *request))
    except pickle.PicklingError as exc:
        answer = dumps(first_line(exc))
    except ScenarioError as exc:
        answer = dumps(ScenarioError(str(exc)))
    except BaseException:
        answer = dumps(traceback.format_exc())
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    page[:] = _PAGE.pack(0, 0, 1)    # first: when the caller has read it, its next request comes
    _write(results, answer)


def _play(world: Scenario, workers: Workers, page: mmap.mmap, names: Names, timeout: float,
          make: Maker, full: bool, to_the_end: bool, deadline: float | None) -> Any:
    chooser = make(world)
    run = _Told(page, world, _Noted(chooser, page), names, timeout, deadline, full=full,
                to_the_end=to_the_end)
    return chooser, run, run.play(workers)


def _described(world: Scenario) -> Scenario:
    return Scenario(dict.fromkeys(world.roles, _nothing),
                    invariants=dict.fromkeys(world.invariants, _nothing),
                    function_name=_no_name if world.function_name else None,
                    title=dict(world.title), program=world.program)


def _nothing() -> None:
    """Stand for what another process would call."""


def _no_name(code: Any) -> str:
    return ""


class _Noted:
    """A chooser that leaves word of who goes, for when the process ends with that."""

    def __init__(self, chooser: Any, page: mmap.mmap) -> None:
        self._chooser, self._page = chooser, page
        self.came_to_wait = chooser.came_to_wait

    def choose(self, run: Any, moves: list[int]) -> int:
        label: int = self._chooser.choose(run, moves)
        self._page[:] = _PAGE.pack(label + 1, 0, 0)
        return label


class _Told(ControlledRun):
    """A run that leaves word of who begins."""

    def __init__(self, page: mmap.mmap, *args: Any, **more: Any) -> None:
        self._page = page
        super().__init__(*args, **more)

    def begin(self, task: Any) -> None:
        self._page[:] = _PAGE.pack(task.label + 1, 0, 0)
        super().begin(task)
