"""A role, or a thread that one started, as a controlled run knows it."""

from __future__ import annotations

import threading
from typing import Any

from ..locks.task import Task
from ..runtime.workers import Baton


class ControlledTask(Task):
    """A role, or a thread that a role started, under control.

    Attributes:
        key: what it is called in a token.
        label: twice its number in `Names`.
        turn: what it waits for at a stop; None before it is assigned to a worker.
        lock: what it is about to do something to, at a stop.
        ask: what it asks for there.
        kind, give_up: the step it would do next, and the one by which it would give up; 0 if it
            cannot do that now, or does not stand at a stop.
        queued: whether it is in the queue of the semaphore.
        waits: its request waits, and observers know it.
        since: how many steps had been taken when it stopped.
        birth: number of the step in which it was started, -1 if at the start.
        parent: the key of who started it, "" of a role.
        starter: who waits until it has come to its first stop.
        expired: the step it was granted is to give up.
        due: how many locks it must hold at its next stop, -1 if that is not known.
    """

    __slots__ = ("key", "label", "lock", "lock_number", "ask", "kind", "give_up", "queued", "waits",
                 "since", "birth", "parent", "starter", "turn", "expired", "due")

    def __init__(self, name: str, run: Any, thread: threading.Thread | None, key: str,
                 number: int) -> None:
        super().__init__(name, run, thread)
        self.key = key
        self.label = 2 * number
        self.turn: Baton = None   # type: ignore[assignment]
        self.lock: Any = None
        self.lock_number = self.ask = self.kind = self.give_up = self.since = 0
        self.queued = self.waits = self.expired = False
        self.birth, self.parent = -1, ""
        self.starter: ControlledTask | None = None
        self.due = 0
