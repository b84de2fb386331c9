"""Refusing what roles try, or want within a time limit: what they do then belongs to them, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from ..locks.calls import calls_of
from ..locks.node import unique_name
from ..locks.task import Expired, Task
from ..runtime.observer import Observer

MOST_REFUSED = 100    # requests at one place


class Refusal(Observer):
    """Let every trylock of some locks fail, and the time of every request with a limit be up.

    At each place `MOST_REFUSED` times: whoever tries until he succeeds would do so for ever.
    """

    def __init__(self, locks: Collection[str]) -> None:
        self._locks = locks
        self._refused: Counter[Any] = Counter()

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        if (task.trylock or task.timed) and unique_name(lock) in self._locks:
            place = task, lock, *calls_of(task.chain)
            self._refused[place] += 1
            if self._refused[place] <= MOST_REFUSED:
                raise Expired
