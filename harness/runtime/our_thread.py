"""Threads of the harness itself, which are no part of what is looked at.

A signal handler may raise in the middle of the start of one, and nobody knows then whether it will
begin; so whoever is to end it has it from before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..locks import afresh
from ..locks.callsite import frames_of_threads
from ..locks.errors import ScenarioError
from .process_state import begin_aside, is_refused


_main = threading.main_thread()


@afresh.in_child
def _be_main() -> None:
    global _main
    _main = threading.main_thread()


def main_thread() -> threading.Thread:
    """Return the main thread, which is asked for in every run."""
    return _main


class NoThread(ScenarioError):
    """The system gives no more threads."""


def our_thread(body: Callable[[], Any], name: str) -> threading.Thread:
    """Return a thread that does *body* once it begins."""
    begins: list[bool] = []    # the first says whether it does

    def begin() -> None:
        begins.append(True)
        if begins[0]:
            body()

    thread = threading.Thread(target=begin, name=name, daemon=True)
    thread._harness_own = begins    # type: ignore[attr-defined]
    return thread


def begin(thread: threading.Thread) -> None:
    """Start *thread*.

    Raises:
        NoThread: the system gives no more.
    """
    try:
        thread.start()
    except BaseException as exc:
        if is_refused(exc):
            raise NoThread(f"the system gave no thread for the {thread.name}: beside the "
                           f"{threading.active_count()} there are, it is needed") from None
        raise


def see_end(thread: threading.Thread) -> None:
    """Wait until *thread* has ended, if it has started; what has not begun does not begin any more.

    One that the system was slow to let begin is waited for, too: for as long as it is there this
    process has another thread, and the next call would make less of its worlds.
    """
    begins: list[bool] = thread._harness_own    # type: ignore[attr-defined]
    begins.append(False)
    if begins[0] or thread.is_alive():
        thread.join()


def other_threads() -> list[int]:
    """Return who else is in this process, by identity, whether `threading` knows of them or not;
    but for threads of `aside`, which are there for a moment after their step.
    """
    me, others = threading.get_ident(), []
    for ident, frame in frames_of_threads().items():
        outermost: FrameType = frame
        while outermost.f_back is not None:
            outermost = outermost.f_back
        if ident != me and outermost.f_code is not begin_aside.__code__:
            others.append(ident)
    return others
