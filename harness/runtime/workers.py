"""The threads that perform roles: reused from run to run inside one call, ended when it returns or
raises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import thread_patch
from ..locks.parking import Task

GRACE = 1.0   # seconds a role gets to end once everything is unwound


class _Worker:
    """A daemon thread that performs one role after another until told to end."""

    def __init__(self) -> None:
        self._go = threading.Lock()
        self._go.acquire()
        self._job: Any = None
        self.thread = threading.Thread(target=self._loop, name="harness worker", daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        while True:
            self._go.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            run, task, function = job
            self.thread.name = task.name
            run.start_together(task)
            run.perform(task, function)
            del job, run, task, function   # keep nothing of the world alive

    def send(self, job: Any) -> None:
        self._job = job
        self._go.release()


class Crew:
    """The workers of one call: reused from run to run, ended when the call returns or raises."""

    def __init__(self) -> None:
        self._workers: list[_Worker] = []
        self._busy: list[tuple[Task, _Worker]] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: Any) -> None:
        for worker in self._workers:
            worker.send(None)
        for worker in self._workers:
            worker.thread.join()

    def start(self, run: Any, task: Task, function: Callable[[], Any]) -> None:
        """Perform *function* as *task* on a free worker."""
        if len(self._busy) == len(self._workers):
            self._workers.append(_Worker())
        worker = self._workers[len(self._busy)]
        task.thread = worker.thread
        self._busy.append((task, worker))
        worker.send((run, task, function))

    def finish(self, tasks: list[Task]) -> None:
        """Take back the workers whose roles have ended; give up on the rest."""
        for task, worker in self._busy:
            if not task.ended:
                self._workers.remove(worker)
                worker.send(None)   # it ends, should its role ever do so
        self._busy.clear()
        for task in tasks:
            if task.ended and task.thread is not None and thread_patch.adopted(task.thread):
                thread_patch.plain_join(task.thread)
