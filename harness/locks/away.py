"""User code that was called with the guard held, and does not come back.

All such code is called by `Quiet.call` (user_code.py), which notes the call here while it is under
way. Who comes back, and who watches and has lost patience, contend for that note by one atomic
operation. If the watcher gets it, the guard is the watcher's from then on: those who wait for it go
on as ever. The thread that comes back too late waits where it stands, for ever; so nothing that it
left half done is done twice. One that is brought back by a signal waits until the guard is its own
again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from . import afresh, parking, raw
from .task import Task

get_ident = threading.get_ident


class NotAsked(BaseException):
    """Raised in place of a call of user code with the guard held, where some did not come back."""


class Call:
    """One call of user code with the guard held.

    Attributes:
        what: in words.
        task: of whose thread it is.
        ident, native: identifiers of that thread, of the interpreter and of the system.
        renew: called when the thread is given up: what the call used is not to be used again.
        given_up: its thread never comes back.
    """

    def __init__(self, what: str, task: Task, renew: Callable[[], Any]) -> None:
        self.what, self.task, self.renew = what, task, renew
        self.ident, self.native = get_ident(), threading.get_native_id()
        self.given_up = False
        self._note = [None]    # whoever pops it decides
        self._back = raw.Lock()
        self._back.acquire()

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"{self.what}, called in the thread of {self.task.name},"

    def perform(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Return what *function* returns, once the guard is the caller's again; or never return.

        Raises:
            NotAsked: other such code of this run did not come back; else what *function* raises.
        """
        if _taker == self.ident or getattr(self.task.run, "gave_up", False):
            raise NotAsked
        if _under_way:    # it is in the middle of another of this thread
            return function(*args)
        try:
            _under_way.append(self)
            return function(*args)
        finally:
            self._come_back()

    def _come_back(self) -> None:
        interrupt = None
        while True:
            try:
                self._note.pop()
                break
            except IndexError:
                try:
                    self._back.acquire()
                except BaseException as exc:    # of a signal handler: not before the guard is ours
                    interrupt = exc
        if self in _under_way:    # else this process was forked meanwhile
            _under_way.remove(self)
        if interrupt is not None:
            raise interrupt


_under_way: list[Call] = []    # one at most: that of the thread that has the guard
_taker = 0    # identifier of a thread that has the guard in place of another


@afresh.in_child
def _begin_afresh() -> None:
    global _taker
    _under_way.clear()
    _taker = 0


def has_guard() -> bool:
    """Say whether the calling thread has the guard, if only in place of another."""
    me = get_ident()
    return parking._owner == me or _taker == me


def under_way() -> Call | None:
    """Return the call of user code with the guard held that is under way."""
    try:
        return _under_way[0]
    except IndexError:
        return None


class InPlaceOf:
    """A block with the guard held in place of the thread of *call*, which is given up with it.

    It is run in any case; the block gets whether the guard is its own, or the call came back.

    Args:
        lend: the thread is not given up: it has the guard again after the block.
    """

    def __init__(self, call: Call, lend: bool = False) -> None:
        self._call, self._lend = call, lend
        self._mine = False

    def __enter__(self) -> bool:
        global _taker
        call = self._call
        try:
            call._note.pop()
        except IndexError:
            return False
        self._mine = True
        _taker = get_ident()
        if not self._lend:
            _under_way.clear()
            call.given_up = True
            call.renew()
            _assume(sys._getframe(1))
        return True

    def __exit__(self, *exc: object) -> None:
        global _taker
        if not self._mine:
            return
        _taker = 0
        if self._lend:
            self._call._note.append(None)
            if self._call._back.locked():    # else it was lent before, and nobody came
                self._call._back.release()
        else:
            parking.leave()


def _assume(frame: Any) -> None:
    """Make the section that is under way that of *frame*, in the calling thread."""
    me = get_ident()
    parking._depth = 0
    parking._mains[:] = [True] if me == parking._main else []
    parking._section = frame if me == parking._main else None
    parking._special = True
    parking._owner = me


def give_up(task: Task) -> None:
    """Let *task*, whose thread never comes back, be one that has not ended and does not wait.

    Called with the guard held.
    """
    run: Any = task.run
    if task in parking._woken:
        parking._woken.remove(task)
    if task.parked:
        task.parked = False
        if task.baton:
            run.running += 1
        else:
            run.timed -= 1
    if task.ended:
        task.ended = False
        run.unfinished += 1
        run.running += 1
    task.serial = -1    # of no process: no lock is handed to it any more, see `present`
