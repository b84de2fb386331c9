"""Threads that are no part of a run and use its locks: who they are, what they used, whether they
may still act.

Such a thread was started by the factory of the scenario, by `_thread` or by a library written in C;
nothing orders what it does. A run that listens (`Outsiders`) is told of each use of a lock by a
thread without a run. The thread then is a task of the wait-for graph as any other: what it waits
for is noted, so that it is known when it can go on no more than the roles can.

It *may act* as long as it lives, unless it waits without a limit for one of our locks. Whoever
waits for what it holds, or for a completion, is not lost before.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from types import FrameType
from typing import Any

from . import afresh
from .calls import capture
from .callsite import caller_at, frames_of_threads, function_name, is_installed, is_verb
from .errors import LockTaken
from .task import Task, this_thread
from .waitgraph import flat

SHOWN = 4      # locks that are named of one thread
MOST = 1000    # pairs of a thread and a lock that are kept of one run

listeners: list[Outsiders] = []
by_ident: dict[int, Task] = {}    # those that used a lock while somebody listened


@afresh.in_child
def _forget() -> None:
    listeners.clear()
    by_ident.clear()


class Member:
    """A thread that the factory started, or one of these; or a role, past `threading`.

    Attributes:
        name: what reports call it.
        at: where it was started.
        thread: it, unless it was started past `threading`.
    """

    def __init__(self, name: str, at: str, thread: threading.Thread | None = None) -> None:
        self.name, self.at = name, at
        self.thread = thread
        self._ident: int | None = None
        self._ended = False

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended; it need not have begun."""
        return self.thread.is_alive() if self.thread is not None else not self._ended

    @property
    def task(self) -> Task | None:
        """The task of it, once it used a lock; not that of one that had its identifier before."""
        task = by_ident.get(self.ident) if self.ident is not None else None
        if task is not None and task.thread is not None and not task.thread.is_alive() \
                and self.is_alive:
            return None
        return task

    @property
    def ident(self) -> int | None:
        """Its identifier, once it has begun."""
        return self._ident if self.thread is None else self.thread.ident

    def body(self, members: list[Member], function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what does what *function* does, in a thread of which nobody else keeps track."""
        return _Body(self, members, function)

    def run(self, members: list[Member], call: Callable[[], Any]) -> None:
        """Be the thread, which is about to end."""
        self._ident, this_thread.family = threading.get_ident(), members
        try:
            call()
        finally:
            self._ended = True


class _Body:
    def __init__(self, member: Member, members: list[Member],
                 function: Callable[..., Any]) -> None:
        self._member, self._members, self._function = member, members, function

    def __call__(self, *args: Any, **more: Any) -> None:
        self._member.run(self._members, lambda: self._function(*args, **more))

    def __repr__(self) -> str:    # the interpreter shows it if it raises
        return repr(self._function)


def family() -> list[Member] | None:
    """Return the threads of the world to which the calling thread belongs, and is no role of."""
    found: list[Member] | None = this_thread.family
    if found is not None:
        return found
    thread = threading._active.get(threading.get_ident())   # type: ignore[attr-defined]
    return getattr(thread, "_harness_family", None)


class Outsiders:
    """What threads outside do while the roles of one run are under way.

    Args:
        members: threads of the world that are no roles.
        limit: seconds that a thread which called, and so watches, may wait for a lock; what
            interrupts it (a signal handler) would wait for ever while nobody watches.
        of_run: not of a call, which may make several.
    """

    def __init__(self, members: list[Member], limit: float = 5.0, of_run: bool = True) -> None:
        self._members, self.limit, self._of_run = members, limit, of_run
        # (thread, lock) -> how often, and where first
        self.uses: dict[tuple[Task, Any], list[Any]] = {}

    def __enter__(self) -> Outsiders:
        listeners.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if self in listeners:    # not in a process that was forked meanwhile
            listeners.remove(self)
        if by_ident and not any([listener._of_run for listener in listeners]):
            # Identifiers are used again; but what the world's threads do while it is built counts.
            for ident, task in list(by_ident.items()):
                if not listeners or task.thread is None or not task.thread.is_alive():
                    by_ident.pop(ident, None)

    def note(self, task: Task, lock: Any, frame: FrameType) -> None:
        """Take note of one use."""
        use = self.uses.get((task, lock))
        if use is not None:
            use[0] += 1
        elif len(self.uses) < MOST:
            self.uses[task, lock] = [1, caller_at(frame)]

    def may_act(self, run: Any, waiting: Iterable[Task]) -> list[str]:
        """Return who may let a role go on, now that no task of *run* can by itself.

        Called with the guard held.

        Args:
            waiting: tasks of the run: those for whom they wait may act, if they are not of it.
        """
        idents = set(frames_of_threads())    # no frame: `is_able` knows itself, and lasts
        seen: set[Task] = set()

        def is_able(task: Task) -> bool:
            if task.run is run or task.ended or task in seen:
                return False
            seen.add(task)
            if task.run is None and not _lives(task, idents):
                return False
            lock = task.waits_on
            if lock is None or task.timed or lock.is_free_for(task, task.mode):
                return True
            return any(map(is_able, flat(lock.blockers(task, task.mode))))

        found = [f"{member.name} (started at {member.at})" for member in self._members
                 if member.is_alive and (member.task is None or is_able(member.task))]
        others = [task for task, _ in list(self.uses)]
        others += [blocker for task in waiting if task.waits_on is not None
                   for blocker in flat(task.waits_on.blockers(task, task.mode))]
        return found + [task.name for task in others if is_able(task)]

    def who_used(self, lock: Any) -> str:
        """Return the names of those that used *lock*."""
        return " and ".join(task.name for task, used in list(self.uses) if used is lock)

    def used(self, locks: Callable[[], Iterable[Any]]) -> dict[str, str]:
        """Return a sentence on each thread that used some of *locks*, or is still at work now that
        every role has ended, by where it was started.
        """
        if not self.uses and not self._members:
            return {}
        known = {member.task: member for member in self._members}
        ours = set(locks())
        told: dict[Task, list[str]] = {}
        for (task, lock), (times, at) in list(self.uses.items()):
            if lock in ours:
                often = "once, at" if times == 1 else f"{times:,} times, first at"
                told.setdefault(task, []).append(f"{lock} ({often} {at})")
        said = {}
        for task, used in told.items():
            name, at = task.name, ""
            if task in known:
                name, at = known[task].name, known[task].at
            some = [*used[:SHOWN], *([f"{len(used) - SHOWN} more"] if used[SHOWN:] else [])]
            said[at or name] = (
                f"Thread {name}{at and f' (started at {at})'} is outside the run and used "
                f"{' and '.join(some)}: {_SAID}")
        idents = frames_of_threads()
        for member in self._members:
            at = caller_at(idents.get(member.ident or 0), of_the_user=True)
            if at and member.is_alive and member.at not in said:
                said[member.at] = (f"Thread {member.name} (started at {member.at}) is outside the "
                                   f"run and still at work, at {at}, when every role had ended: "
                                   f"{_SAID}")
        return said


_SAID = "what it does is in no schedule and in no order of locks."


def _lives(task: Task, idents: Collection[int]) -> bool:
    if task.thread is not None:
        return task.thread.is_alive()
    mine = [ident for ident, known in by_ident.items() if known is task]
    return not mine or mine[0] in idents    # of a thread that is not known nothing is


def saw(task: Task, lock: Any, releases: bool = False) -> None:
    """Tell whoever listens that *task*, the caller's, which has no run, uses *lock*.

    Args:
        releases: no new use, unless it took *lock* before anybody listened.
    """
    frame = sys._getframe(1)
    by_ident[threading.get_ident()] = task
    for listener in listeners[:]:
        if not releases or (task, lock) not in listener.uses:
            listener.note(task, lock, frame)


def wait_outside(task: Task, lock: Any, mode: str, timed: bool, wait: Callable[..., Any],
                 *args: Any) -> Any:
    """Return what *wait* returns; *task*, the caller's, is seen to wait for *lock* meanwhile.

    Its `interrupt` is set if it interrupts a call under way, and that has waited too long.

    Args:
        timed: the wait has a limit; which is in any case the last of *args*.
    """
    saw(task, lock)
    task.chain, task.mode, task.timed, task.waits_on = \
        capture(sys._getframe(1)), mode, timed, lock
    watches = this_thread.in_call and not timed
    if watches:
        limit = min(listener.limit for listener in listeners)
        args = *args[:-1], limit
    try:
        answer = wait(*args)
    finally:
        task.waits_on = None
    if watches and not answer and task.interrupt is None:
        task.interrupt = LockTaken(
            f"what interrupts a call of harness (a signal handler) has waited {limit:g} s for "
            f"{lock} at {caller_at(sys._getframe(1))}; nobody watches the run meanwhile")
    return answer


def handlers() -> list[str]:
    """Return which signal handlers of the user's there are: one may let a role go on."""
    found = []
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        code = getattr(getattr(handler, "func", handler), "__code__", None)
        if code is not None and not is_verb(code) and not is_installed(code.co_filename):
            found.append(f"{function_name(code)}, a signal handler")
    return found
