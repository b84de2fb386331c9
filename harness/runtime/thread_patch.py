"""Threads that a role starts join its run.

While a run is under way, `threading.Thread.start` and `join` are ours: a thread started by a role
becomes a task of that role's run (and a daemon, so that it can never keep the process alive), and a
role that joins one waits in the wait-for graph. For every other thread they do what they always
did, and with the last run they are put back.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any

from ..locks import afresh
from ..locks.callsite import caller_at, frames_of_threads, is_verb, shown
from ..locks.completion import Completion
from ..locks.exclusive import set_active
from ..locks.outsiders import Member, family
from ..locks.replaced import Replaced
from ..locks.task import Task, Unwind, current


class ThreadEnd(Completion):
    """The end of a thread that a role started; `task` is that thread."""

    __slots__ = ("task",)

    def __init__(self, task: Task) -> None:
        super().__init__(task.name, "thread")
        self.task = task


_install_lock = afresh.module_lock()
_runs = 0
_plain_start = threading.Thread.start
plain_join = threading.Thread.join


def end_of(thread: threading.Thread | None) -> ThreadEnd | None:
    """Return what those wait for who join *thread*; None if no role started it, or it is None."""
    # Kept with the thread: a table of threads would keep the world of each alive.
    return getattr(thread, "_harness_end", None)


def install() -> None:
    """Count one more run under way."""
    global _runs, _plain_start, plain_join
    with _install_lock:
        if not _runs:
            # Ours may be there still: a test may have replaced it, and put it back after the run.
            if threading.Thread.start is not _start:
                _plain_start = threading.Thread.start
                threading.Thread.start = _start   # type: ignore
            if threading.Thread.join is not _join:
                plain_join = threading.Thread.join
                threading.Thread.join = _join     # type: ignore
            _replaced.install()
            set_active(True)
        _runs += 1


def uninstall() -> None:
    """Count one less; with the last one, put the interpreter's own functions back."""
    global _runs
    with _install_lock:
        if not _runs:    # this process was forked in the middle of the call
            return
        _runs -= 1
        if not _runs:
            _put_back()


def _put_back() -> None:
    if threading.Thread.start is _start:
        threading.Thread.start = _plain_start   # type: ignore
    if threading.Thread.join is _join:
        threading.Thread.join = plain_join      # type: ignore
    _replaced.uninstall()
    set_active(False)


@afresh.in_child
def _forget() -> None:
    """Let threads be threads in a process that somebody forked."""
    global _runs
    if not afresh.is_ours() and _runs:
        _runs = 0
        _put_back()


def give_up(thread: threading.Thread) -> bool:
    """Let the interpreter end though *thread*, of a run that could not end it, goes on.

    At its end it joins each thread that is no daemon, and `concurrent.futures` the workers of every
    pool, daemons or not. Other threads stay what they are.

    Returns:
        Whether it will: a thread that was started as no daemon cannot be let go from 3.13 on.
    """
    pools = sys.modules.get("concurrent.futures.thread")
    getattr(pools, "_threads_queues", {}).pop(thread, None)
    lock = getattr(thread, "_tstate_lock", None)
    if lock is not None and hasattr(threading, "_shutdown_locks"):
        threading._shutdown_locks.discard(lock)
        return True
    return thread.daemon or not thread.is_alive()


def is_idle_worker(thread: threading.Thread | None) -> bool:
    """Say whether *thread* is of a pool and waits for work: the interpreter ends it at its end."""
    pools: Any = sys.modules.get("concurrent.futures.thread")
    frame = frames_of_threads().get(thread.ident or 0) if thread is not None else None
    while frame is not None and is_verb(frame.f_code):    # a queue of ours
        frame = frame.f_back
    return frame is not None and thread in getattr(pools, "_threads_queues", {}) \
        and frame.f_code is pools._worker.__code__


def _start(thread: threading.Thread) -> None:
    run = current().run
    if run is not None and run.unwinding and not run.watched:
        raise Unwind    # as at a lock: the thread would be of no run, and nobody come to end it
    # A thread started before is refused by the interpreter, as ever.
    if run is None or run.alone or run.unwinding or run.over or thread.ident is not None:
        members = family() if run is None or run.alone else None
        if members is not None and thread.ident is None:
            thread._harness_family = members    # type: ignore[attr-defined]
            members.append(Member(thread.name, caller_at(sys._getframe(1)), thread))
        _plain_start(thread)
        return
    body = thread.run
    task = run.adopt(thread, thread.name)
    try:
        thread._harness_end = ThreadEnd(task)   # type: ignore[attr-defined]
        thread.run = lambda: run.perform(task, body)   # type: ignore[method-assign]
        thread.daemon = thread.daemon or not run.watched
        _plain_start(thread)
    except BaseException:    # it may be started once more, and has no end to wait for
        thread.run = body    # type: ignore[method-assign]
        vars(thread).pop("_harness_end", None)
        run.disown(task)
        raise
    run.started(task)


def _start_new(function: Callable[..., Any], *how: Any) -> int:
    """Start a thread past `threading`, and keep in mind that the world has it."""
    run = current().run
    members = family() if run is None or run.alone \
        else getattr(getattr(run, "scenario", None), "family", None)
    if members is None or not callable(function):
        return _plain_new(function, *how)
    member = Member(f"running {getattr(function, '__qualname__', shown(function))}",
                    caller_at(sys._getframe(1)))
    members.append(member)
    try:
        return _plain_new(member.body(members, function), *how)
    except BaseException:
        members.remove(member)
        raise


_plain_new = _thread.start_new_thread
_replaced = Replaced({_plain_new: _start_new}, ("threading", __name__))


def _join(thread: threading.Thread, timeout: float | None = None) -> None:
    task, end = current(), end_of(thread)
    if end is None or task.run is None or end.task.run is not task.run \
            or end.wait(None if timeout is None else max(timeout, 0), by=thread):
        plain_join(thread, timeout)
