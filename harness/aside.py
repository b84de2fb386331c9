"""Steps that must not be cut short by a signal handler that raises, and so must not run in the
main thread.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 3.0   # seconds that a step gets to end after an interrupt


def aside(step: Callable[[], Any]) -> Any:
    """Return what *step* returns, called once in a thread of its own; raise what it raises.

    A signal handler that raises does so in the main thread, at any instruction: were the guard held
    there, it would never be given up. An interrupt that comes while *step* is under way does not
    cut it short; it is raised when it has ended.
    """
    once, done = threading.Lock(), threading.Semaphore(0)
    answers: list[Any] = []
    errors: list[BaseException] = []

    def body() -> None:
        if once.acquire(False):
            try:
                answers.append(step())
            except BaseException as exc:
                errors.append(exc)
            finally:
                done.release()

    interrupt: BaseException | None = None
    while True:
        try:
            _thread.start_new_thread(body, ())   # again after an interrupt, lest it was not started
            done.acquire(True, None if interrupt is None else PATIENCE)
            break
        except BaseException as exc:
            interrupt = exc
            if answers or errors:
                break
    if interrupt is not None:
        raise interrupt
    if errors:
        raise errors[0]
    return answers[0]
