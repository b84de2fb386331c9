"""The threads of controlled running: one worker a role, and how one is handed the turn.

Writing to a pipe gives up the interpreter before it wakes whoever reads it, the release of a lock
after; so a hand-over through a pipe (an eventfd, where there is one) costs half as much.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any

from ..runtime import thread_patch
from .controlled_task import ControlledTask

_ONE = (1).to_bytes(8, "little")


def wake(task: ControlledTask) -> None:
    """Let *task* go on."""
    task.go = True
    os.write(task.fd[1], _ONE)


def park(task: ControlledTask) -> None:
    """Wait until *task*, the caller's, is woken. A wake-up meant for an earlier wait does not
    count.
    """
    fd = task.fd[0]
    while not task.go:
        os.read(fd, 8)
    task.go = False


def _pipe() -> tuple[int, int]:
    """Return the ends from which one thread reads, when it waits, and to which others write."""
    if hasattr(os, "eventfd"):
        fd = os.eventfd(0, os.EFD_CLOEXEC)
        return fd, fd
    return os.pipe()


def _close(fd: tuple[int, int]) -> None:
    for end in set(fd):
        with suppress(OSError):
            os.close(end)


class _Hand:
    """A daemon thread that performs one role after another until told to end."""

    def __init__(self) -> None:
        self.fd = _pipe()
        self.job: Any = None
        self._quit = False
        self._ending = threading.Lock()    # it must not close what is being written to
        self.thread = threading.Thread(target=self._loop, name="harness worker", daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        fd = self.fd[0]
        while True:
            while self.job is None or not self.job[1].go:
                if self._quit:
                    with self._ending:
                        self._quit = False
                        _close(self.fd)
                    return
                os.read(fd, 8)
            run, task, function = self.job
            self.job = None
            task.go = False
            run.perform(task, function)
            del run, task, function   # keep nothing of the world alive

    def quit(self) -> None:
        with self._ending:
            self._quit = True
            os.write(self.fd[1], _ONE)


class Hands:
    """The workers of one call: reused from schedule to schedule, ended when the call returns or
    raises.
    """

    def __init__(self) -> None:
        self._hands: list[_Hand] = []
        self._busy: list[tuple[ControlledTask, _Hand]] = []
        self._pipes: list[tuple[int, int]] = []
        self._lent: list[tuple[int, int]] = []

    def __enter__(self) -> Hands:
        thread_patch.install()
        return self

    def __exit__(self, *exc: Any) -> None:
        thread_patch.uninstall()
        for hand in self._hands:
            hand.quit()
        for hand in self._hands:
            hand.thread.join()
        for fd in self._pipes:
            _close(fd)

    def assign(self, run: Any, task: ControlledTask, function: Any) -> None:
        """Let a free worker perform *function* as *task*, when *task* is woken."""
        if len(self._busy) == len(self._hands):
            self._hands.append(_Hand())
        hand = self._hands[len(self._busy)]
        task.thread, task.fd = hand.thread, hand.fd
        if run._full:
            hand.thread.name = task.name
        self._busy.append((task, hand))
        hand.job = run, task, function

    def pipe(self) -> tuple[int, int]:
        """Return what a thread that a role starts waits in."""
        fd = self._pipes.pop() if self._pipes else _pipe()
        self._lent.append(fd)
        return fd

    def finish(self, tasks: list[ControlledTask]) -> None:
        """Take back the workers whose roles have ended; give up on the rest."""
        for task, hand in self._busy:
            if not task.ended:
                self._hands.remove(hand)
                hand.quit()   # it ends, should its role ever do so
        self._busy.clear()
        for task in tasks:
            if task.ended and task.thread is not None and thread_patch.adopted(task.thread):
                thread_patch.plain_join(task.thread)
        if all(task.ended for task in tasks):
            self._pipes += self._lent
        self._lent.clear()
