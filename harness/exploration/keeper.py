"""The processes that `Apart` (forked.py) has beside the caller's: the keeper, and its children.

The keeper forks a child for each schedule that it is sent through a pipe. It reaps it, and kills it
first when it is told to end or the caller is gone. The child runs the schedule in the first world
of its process and tells of it through another pipe, straight to the caller.
"""

from __future__ import annotations

import errno
import gc
import mmap
import os
import pickle
import select
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..locks import afresh, exits
from ..locks.callsite import first_line
from ..locks.errors import ScenarioError
from ..runtime.building import build
from ..runtime.scenario import Scenario
from ..runtime.solo_run import Unfinished
from ..runtime.watcher import alone
from ..runtime.workers import Workers
from .beginning import LOOK, Beginning
from .controlled_run import ControlledRun
from .scheduled_run import TimeUp
from .seen_run import dumps, loads
from .start_points import TracedRun
from .stable_ids import Names

HEAD = struct.Struct("=q")      # the length of what follows; 0 says that nothing will
PAGE = struct.Struct("=qqq")    # shared: who goes (-1: the child has yet to begin), how a child
#                                 ended, whether it told its result
BEGINS = b"!"                   # what the keeper says first
Maker = Callable[[Scenario], Any]    # returns the chooser for a world; can be told as data


def read(fd: int, length: int) -> bytes:
    """Return *length* bytes, or fewer if no more come."""
    parts = []
    while length:
        part = os.read(fd, min(length, 1 << 20))
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def write(fd: int, data: bytes) -> None:
    """Write *data* after its length."""
    view = memoryview(HEAD.pack(len(data)) + data)
    while view:
        view = view[os.write(fd, view):]


@contextmanager
def ending(status: int) -> Iterator[None]:
    """End the process with the block, whatever happens in it."""
    try:
        yield
    finally:
        exits.plain_exit(status)


def keep(requests: int, results: int, page: mmap.mmap, scenario: Callable[..., Any],
         handlers: dict[int, Any]) -> None:
    """Fork a child for each schedule asked for, until told to end.

    Args:
        handlers: what handles signals in a child.
    """
    # What asks to end is the caller's, who tells us. It forked us while that was to come later.
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # a child's, too, and whatever that starts
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.freeze()    # what the caller left is the caller's to end
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    os.write(results, BEGINS)
    head = read(requests, HEAD.size)
    while len(head) == HEAD.size and head != HEAD.pack(0):
        data = read(requests, *HEAD.unpack(head))
        page[:] = PAGE.pack(-1, 0, 0)
        try:
            child = afresh.fork()
        except OSError as exc:
            page[:] = PAGE.pack(0, 0, -(exc.errno or errno.EAGAIN))
            return
        if not child:
            with ending(1):
                os.close(requests)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                _one(results, page, scenario, data)
                exits.plain_exit(0)
        ended, status, beginning = 0, 0, Beginning(child)
        while not ended and not poll.poll(LOOK):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended and PAGE.unpack(page[:])[0] < 0 and beginning.stands():
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                page[:] = PAGE.pack(-1, 0, -errno.EDEADLK)
                return
        label, _, told = PAGE.unpack(page[:])
        if ended and (status or not told):
            page[:] = PAGE.pack(label, status, 0)
            return
        head = read(requests, HEAD.size)
        if not ended:
            if len(head) < HEAD.size or head == HEAD.pack(0):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    exits.plain_exit(0)


def _one(results: int, page: mmap.mmap, scenario: Callable[..., Any], data: bytes) -> None:
    """Do what *data* asks for in the first world of this process, and tell of it."""
    exits.install_forked()
    page[:] = PAGE.pack(0, 0, 0)
    try:
        names, name, timeout, make, *request = loads(data)
        with Workers(timeout) as workers:
            answer = _answer(page, scenario, workers, names, name, timeout, make, *request)
            # What the world has on disk goes with it; a finalizer that stays is ended here. It is
            # cheap: `keep` froze all the rest.
            workers.end_workers()
            alone("a finalizer", gc.collect)
            workers.tell_of_finalizers()
    except BaseException as exc:
        answer = _told(exc)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    page[:] = PAGE.pack(0, 0, 1)    # first: when the caller has read it, its next request comes
    write(results, answer)


def _answer(page: mmap.mmap, scenario: Callable[..., Any], workers: Workers, names: Names,
            name: str, timeout: float, make: Any, *request: Any) -> bytes:
    """Return what is told of the schedule; nothing of its world is kept."""
    try:
        world = build(scenario, name)
        return dumps(_described(world) if make is None else
                     _play(world, workers, page, names, timeout, make, *request))
    except BaseException as exc:
        return _told(exc)


def _told(exc: BaseException) -> bytes:
    """Return what the caller is told of *exc*."""
    if isinstance(exc, pickle.PicklingError):
        return dumps(first_line(exc))
    if isinstance(exc, Unfinished):
        exc.outcome.names = None    # it may be a function that cannot be told
        return dumps(exc)
    if isinstance(exc, ScenarioError):
        return dumps(ScenarioError(str(exc)))
    if isinstance(exc, TimeUp):
        return dumps(exc)
    return dumps("".join(traceback.format_exception(exc)))


def _play(world: Scenario, workers: Workers, page: mmap.mmap, names: Names, timeout: float,
          make: Maker, full: bool, to_the_end: bool, deadline: float | None,
          traced: bool) -> Any:
    chooser = make(world)
    run = (_ToldTraced if traced else _Told)(
        page, world, _Noted(chooser, page), names, timeout, deadline, full=full,
        to_the_end=to_the_end)
    return chooser, run, run.play(workers)


def _described(world: Scenario) -> Scenario:
    return Scenario(dict.fromkeys(world.roles, _nothing),
                    invariants=dict.fromkeys(world.invariants, _nothing),
                    function_name=_no_name if world.function_name else None,
                    title=dict(world.title), program=world.program, inner_locks=world.inner_locks)


def _nothing() -> None:
    """Stand for what another process would call."""


def _no_name(code: Any) -> str:
    return ""


class _Noted:
    """A chooser that leaves word of who goes, for when the process ends with that."""

    def __init__(self, chooser: Any, page: mmap.mmap) -> None:
        self._chooser, self._page = chooser, page
        self.came_to_wait = chooser.came_to_wait

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chooser, name)

    def choose(self, run: Any, moves: list[int]) -> int:
        label: int = self._chooser.choose(run, moves)
        self._page[:] = PAGE.pack(label + 1, 0, 0)
        return label


class _Telling(ControlledRun):
    """A run that leaves word of who begins."""

    def __init__(self, page: mmap.mmap, *args: Any, **more: Any) -> None:
        self._page = page
        super().__init__(*args, **more)

    def begin(self, task: Any) -> None:
        self._page[:] = PAGE.pack(task.label + 1, 0, 0)
        super().begin(task)


class _Told(_Telling, ControlledRun):
    """An ordinary run that does."""


class _ToldTraced(_Telling, TracedRun):
    """A traced one."""
