"""What goes on for ever: the bounds of one free run, and the words for who still runs.

None of them is a proof, so what they end is `inconclusive`. A role may do the same a million times
and then end; so there is a small bound where all that are not daemon threads have ended (the
interpreter would not wait for those), and a large one else.
"""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from typing import Any

from ..locks.calls import Chain, calls_of
from ..locks.callsite import caller_at, frames_of_threads
from ..locks.task import Task
from .verdict import counted

LEFT = 10_000          # operations, with nothing new, of daemon threads that are left
MOST = 2_000_000       # locks taken and released in one run
SAME = 10              # timeouts in which nothing new happens while locks are taken and released
LOOKED_AT = 1000      # events, the last at each look
_KEPT = 100_000        # kinds of events


class Endless:
    """Keeps the bounds of one run.

    Args:
        timeout: seconds that a standstill has.
        patience: the part of the bounds that holds.

    Attributes:
        met: whether one was.
        left: only daemon threads go on.
        limits: only time limits change anything, and the clock decides over them.
    """

    def __init__(self, timeout: float, patience: float) -> None:
        self.met = self.left = self.limits = False
        self._timeout, self._most, self._bound = \
            timeout * patience, MOST * patience, int(LEFT * patience)
        self._known: set[Any] = set()
        self._operations = 0    # of threads that are left, since something new happened
        # For how many seconds nothing new happened; with threads left; with limits alone.
        self._same = self._same_left = self._same_limits = 0.0
        self._moves, self._last = 0, time.monotonic()

    def _is_new(self, chain: Chain, *what: Any) -> bool:
        """Say whether *what* happens for the first time at *chain*; no, once too much is known."""
        what = *what, *calls_of(chain)
        if what in self._known or len(self._known) >= _KEPT:
            return False
        self._known.add(what)
        return True

    @property
    def nothing_new(self) -> bool:
        """Whether locks were taken or released since the last look, and nothing new happened."""
        return self._same > 0

    def too_many(self, task: Task, lock: Any) -> str:
        """Take in an operation of a thread that is left; say, in words, that it is one too many."""
        self._operations = 0 if self._is_new(task.chain, task, lock) else self._operations + 1
        self.met = self._operations > self._bound
        return f"after {counted(self._bound, 'operation')}" if self.met else ""

    def look(self, now: float, most: float, log: Sequence[tuple[Any, ...]], moves: int) -> str:
        """Look at what there is *now*; say, in words, that it goes on for too long, or "".

        Args:
            most: seconds that count for one look, however late it comes.
            log: of events, as far as they are kept.
            moves: how many there were that moved something.
        """
        passed, self._last = min(now - self._last, most), now
        last = [log[i] for i in range(-min(len(log), LOOKED_AT), 0)]
        if any([self._is_new(chain, task, event, lock) for task, event, lock, _, chain in last]):
            self._same = self._same_left = self._same_limits = 0.0
        self._same += passed * (moves > self._moves)    # what stands still is for another to judge
        self._moves = moves
        self._same_left += passed * self.left
        self._same_limits = self._same_limits + passed if self.limits else 0.0
        text = ""
        if self._same_left >= self._timeout:
            text = f"after {self._same_left:.0f} s with nothing new"
        elif self._same_limits >= self._timeout:
            text = "as only time limits run out, again and again"
        elif moves >= self._most:
            text = f"after {moves:,} times that a lock was taken or released"
        elif self._same >= self._timeout * SAME:
            text = f"after {self._same:.0f} s with nothing new"
        self.met = bool(text)
        return text


def goes_on(roles: Container[str], tasks: Sequence[Task]) -> str:
    """Say which of *roles* have ended, and who of *tasks* has not and may go on, and where."""
    ended = [task.name for task in tasks if task.ended and task.name in roles]
    what = f"{ended[0]} has ended; " if len(ended) == 1 else ended and "roles have ended; "
    frames = frames_of_threads()
    said = []
    for task in tasks:
        if not task.ended and (task.waits_on is None or task.timed):
            frame = frames.get((task.thread and task.thread.ident) or 0)
            where = caller_at(frame, of_the_user=True)
            said.append(f"{task.name}{where and f' (at {where})'}")
    return f"{what or ''}{' and '.join(said)} still run{'s' if len(said) == 1 else ''}"
