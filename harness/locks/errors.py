"""What can go wrong with a lock, each case with the lock's name and the place."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from .one_line import printable


class LockMisuse(RuntimeError):
    """A rule of locks was broken; inside a run the verdict is `violation`."""

    headline = ""    # what the kernel's lock validator calls it


class RecursiveAcquire(LockMisuse):
    """A thread asks, without a time limit, for a lock that it holds and that is not recursive."""

    headline = "possible recursive locking detected"


class ForeignRelease(LockMisuse):
    """A thread releases a lock that another thread holds."""

    headline = "bad unlock balance detected!"


class ReleaseWithoutHold(LockMisuse):
    """A thread releases a lock that nobody holds in that mode."""

    headline = "bad unlock balance detected!"


class HeldLockFreed(LockMisuse):
    """A lock is destroyed or initialised again while a thread holds it."""

    headline = "held lock freed!"


class HeldAtEnd(LockMisuse):
    """A role ended while it held a lock."""

    headline = "lock held when returning to user space!"


class LockTaken(LockMisuse):
    """What must take no lock, an invariant say, took one."""


class ProcessExit(BaseException):
    """Code of a scenario was about to end the whole process, past every `except` and `finally`.

    Attributes:
        call: what it called, as one writes it.
        at: where.
        told: a run has taken note of it.
    """

    told = False

    def __init__(self, call: str, at: str = "") -> None:
        super().__init__(f"{call} would end the process")
        self.call, self.at = call, at


class ScenarioError(ValueError):
    """A scenario, or what was asked of it, makes no sense; its text is one clear line.

    What is wrong is often shown in it, and may be anything: see `printable`.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def unknown_name(what: str, name: str, known: Sequence[str]) -> ScenarioError:
    """Return the refusal of *name*, after the words *what*, with the nearest that is known."""
    # "expect" is nearer to "expect_before" than its letters say.
    near = [longer for longer in known if longer.startswith(f"{name}_")] \
        or difflib.get_close_matches(str(name), known, 1)
    if near:
        return ScenarioError(f"{what} {name!r}; did you mean {' or '.join(map(repr, near))}?")
    return ScenarioError(f"{what} {name!r}; there are {', '.join(known)}")
