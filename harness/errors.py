"""What can go wrong with a lock, each case with the lock's name and the place."""

from __future__ import annotations


class LockMisuse(RuntimeError):
    """A rule of locks was broken; inside a run the verdict is `violation`."""


class RecursiveAcquire(LockMisuse):
    """A thread asks, without a time limit, for a lock that it holds and that is not recursive."""


class ForeignRelease(LockMisuse):
    """A thread releases a lock that another thread holds."""


class ReleaseWithoutHold(LockMisuse):
    """A thread releases a lock that nobody holds in that mode."""


class HeldAtEnd(LockMisuse):
    """A role ended while it held a lock."""


class ScenarioError(ValueError):
    """A scenario, or what was asked of it, makes no sense; its text is one clear line."""
