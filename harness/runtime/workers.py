"""The threads that perform roles, and how one is handed the turn.

Writing to a pipe gives up the interpreter before it wakes whoever reads it, the release of a lock
after; so a hand-over through a pipe (an eventfd, where there is one) costs half as much. The file
is long because a thread, what it waits in, and who has it just now are looked after in one place.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from ..locks import afresh, exits, in_time, raw
from ..locks.errors import ScenarioError
from ..locks.task import RunOfTask, Task
from . import collector, thread_patch
from .our_thread import NoThread, begin, our_thread, see_end
from .process_state import settled, surely
from .solo_run import Unfinished
from .verdict import counted
from .watcher import Watcher, alone

GRACE = 1.0   # seconds a role gets to end once everything is unwound
_BESIDE = 2   # threads beside those of the roles: the one that called, and its watcher
_ONE = (1).to_bytes(8, "little")


class Baton:
    """What one thread waits for and others hand it."""

    __slots__ = ("go", "_read", "_write")

    def __init__(self) -> None:
        self.go = False    # handed over and not taken yet: wake-ups for earlier waits do not count
        if hasattr(os, "eventfd"):
            self._read = self._write = os.eventfd(0, os.EFD_CLOEXEC)
        else:
            self._read, self._write = os.pipe()
        _batons.add(self)    # not before: there may be no descriptor left for it

    def hand_over(self) -> None:
        """Let the thread that waits, or will wait next, go on."""
        self.go = True
        os.write(self._write, _ONE)

    def wait(self) -> None:
        """Wait until it is handed over."""
        while not self.go:
            os.read(self._read, 8)
        self.go = False

    def pass_to(self, other: Baton) -> None:
        """Hand *other* over, and wait until this is: the same as two calls."""
        other.go = True
        os.write(other._write, _ONE)
        while not self.go:
            os.read(self._read, 8)
        self.go = False

    def close(self) -> None:
        """Give its descriptors back."""
        _batons.discard(self)
        ends = {self._read, self._write}
        self._read = self._write = -1
        for end in ends:
            with suppress(OSError):
                os.close(end)


_batons: set[Baton] = set()    # that are open


@afresh.in_child
def _close_batons() -> None:
    """Leave the batons to the threads of the process that this one was forked from: whoever reads
    here takes what was written there.
    """
    for baton in list(_batons):
        baton.close()


class _Worker:
    """A daemon thread that performs one role after another until told to end."""

    def __init__(self) -> None:
        self.job: tuple[RunOfTask, Task, Callable[[], Any]] | None = None
        self._quit = self._alone = False
        self._ending = raw.Lock()    # it must not close what is being written to
        self.thread = our_thread(self._loop, "harness worker")
        self.baton = Baton()    # last: an interrupt would lose its descriptors

    def _loop(self) -> None:
        # A role stands for a thread that is none: those it starts are not to inherit it. That the
        # interpreter does not wait for this one was settled when it started.
        threading.current_thread()._daemonic = False   # type: ignore[attr-defined]
        while not self._quit:
            try:
                self.baton.wait()
            except (MemoryError, RecursionError):
                continue    # it is looked at again
            job, self.job = self.job, None
            if job is not None:
                run, task, function = job
                try:
                    run.perform(task, function)
                except BaseException as exc:    # a thread of ours is none of the scenario's
                    if task.run is None:
                        raise
                    run.lose(task, exc)
                if task.run is None:
                    return    # of a process that the role forked: with its only thread it ends
                del job, run, task, function   # keep nothing of the world alive
        if self._alone:
            with self._ending:
                self.baton.close()

    def quit(self, alone: bool = False) -> None:
        """Tell it to end when it has no role to perform; *alone*: nobody else closes its baton."""
        with self._ending:
            self._quit, self._alone = True, alone
            self.baton.hand_over()


class Workers:
    """The workers of one call: reused from run to run, ended when the call returns or raises.

    Args:
        timeout, deadline: of what the thread that called does between runs: see `Watcher`.
        switch_interval: see `settled`, in which the block is.
    """

    def __init__(self, timeout: float = 5.0, deadline: float | None = None,
                 switch_interval: float | None = None) -> None:
        self._watcher = Watcher(timeout, deadline)
        in_time.limit[0] = timeout    # for what is asked of the user when the call has ended, too
        self._workers: list[_Worker] = []
        self._busy: list[tuple[Task, _Worker]] = []
        self._batons: list[Baton] = []
        self._lent: list[Baton] = []
        self._process = os.getpid()
        self._switch_interval = switch_interval
        self._ways_out = ExitStack()

    def __enter__(self) -> Workers:
        caller = threading.get_ident()
        with ExitStack() as stack:
            stack.callback(surely, self.end_workers)
            stack.enter_context(settled(
                self._switch_interval, (thread_patch.install, thread_patch.uninstall),
                (partial(exits.install, caller), partial(exits.uninstall, caller)),
                (collector.install, collector.uninstall)))
            stack.enter_context(self._watcher)
            self._ways_out = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            # What is due would else run as the collector is given back, where nobody watches. A
            # call that has not told of finalizers by now ends with a finding as it is.
            with suppress(Unfinished):
                self.tell_of_finalizers()
        self._ways_out.close()

    def tell_of_finalizers(self) -> None:
        """Raise `Unfinished` if one that the thread of the call ran had to be ended; those of what
        the call has dropped so far run now, while it is watched.
        """
        generation = collector.young()
        if generation >= 0:
            alone("a finalizer", partial(collector.collect, generation))
        self._watcher.tell_of_finalizers()

    def end_workers(self) -> None:
        """End them now, and with them what they still hold of a world."""
        for worker in self._workers:
            worker.quit()
        for worker in self._workers:
            see_end(worker.thread)
        # Only now: a role that has ended may still be about to write to the one that it let go on.
        for baton in [*self._batons, *(worker.baton for worker in self._workers)]:
            baton.close()
        self._workers, self._batons = [], []

    def engage(self, roles: int, deadline: float | None) -> int:
        """Start the threads that as many *roles* need; return how many there are now, which are
        fewer only if the *deadline* was met.

        Raises:
            ScenarioError: the system does not give so many.
        """
        if os.getpid() != self._process:
            raise ScenarioError("this process was forked in the middle of a call of harness, which "
                                "goes on in the other process alone")
        while len(self._workers) < roles and (
                deadline is None or len(self._workers) % 16 or time.monotonic() < deadline):
            try:
                self._workers.append(_Worker())
                begin(self._workers[-1].thread)
            except OSError as exc:
                raise ScenarioError(f"{counted(roles, 'role')} need {roles:,} descriptors, one "
                                    f"each; the system gave {len(self._workers):,} "
                                    f"({exc.strerror})") from None
            except NoThread:
                self._workers.pop().baton.close()
                raise ScenarioError(
                    f"{counted(roles, 'role')} need {roles + _BESIDE:,} threads; the system gave "
                    f"{len(self._workers) + _BESIDE:,}") from None
        return len(self._workers)

    def assign(self, run: RunOfTask, task: Task, function: Callable[[], Any], name: str) -> Baton:
        """Let a free worker perform *function* as *task* once it is handed the returned baton.

        As many as there are roles must have been engaged.

        Its thread is called *name* meanwhile; "" leaves the one it has, which costs less.
        """
        worker = self._workers[len(self._busy)]
        worker.baton.go = False    # of the run before, when all were let go
        task.thread = worker.thread
        if name:
            worker.thread.name = name
        self._busy.append((task, worker))
        worker.job = run, task, function
        return worker.baton

    def lend(self) -> Baton:
        """Return what a thread that a role starts waits in, until `finish`."""
        baton = self._batons.pop() if self._batons else Baton()
        baton.go = False
        self._lent.append(baton)
        return baton

    def finish(self, tasks: Sequence[Task],
               beside: Iterable[threading.Thread] = ()) -> list[str]:
        """Take back the workers whose roles have ended; give up on the rest, and on *beside*.

        Returns:
            A sentence on each thread for which the interpreter waits at its end all the same.
        """
        for task, worker in self._busy:
            if not task.ended:
                self._workers.remove(worker)
                worker.quit(alone=True)   # it ends, should its role ever do so
        self._busy.clear()
        threads = []
        all_ended = True
        for task in tasks:
            if not task.ended:
                all_ended = False
                if task.thread is not None:
                    threads.append(task.thread)
            elif task.thread is not None and thread_patch.end_of(task.thread):
                thread_patch.plain_join(task.thread)
        if all_ended:
            self._batons += self._lent
        self._lent.clear()
        threads += beside
        return [f"Thread {thread.name} is no daemon, and this Python waits for it when it ends."
                for thread in threads if not thread_patch.give_up(thread)] if threads else []
