"""What a meeting names that does not exist: a role, or a lock that nobody asked for.

Threads get their names, and some locks are made, while roles run; so it is known when all orders of
start were tried, not before.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..locks.errors import unknown_name
from ..locks.node import Node
from ..runtime.verdict import Outcome
from .meet import Meet, matches
from .one_by_one import Meetings


class Seen:
    """What was seen in the runs in which meetings were missed.

    Attributes:
        roles: those of the scenario.
        threads: names of those that roles started.
        locks: those that somebody asked for.
    """

    def __init__(self) -> None:
        self.roles: list[str] = []
        self.threads: set[str] = set()
        self.locks: set[Node] = set()

    def add(self, meetings: Meetings, outcome: Outcome) -> None:
        """Take in one run."""
        self.roles = list(meetings.roles)
        self.threads |= meetings.threads
        self.locks |= {lock for _, event, lock, *_ in outcome.log if event == "lock_acquire"}

    def check(self, meets: Iterable[Meet]) -> list[str]:
        """Return a clause for each lock and thread that *meets* name and that was not seen.

        Raises:
            ScenarioError: one names no role, and no thread that was started, but nearly a role.
                Where it is like none it may be a thread that a repaired program does not start.
        """
        meets = list(meets)
        points = [point for meet in meets for point in meet.points]
        said = []
        for role in dict.fromkeys(point.role for point in points):
            if role in self.roles or role in self.threads:
                continue
            if difflib.get_close_matches(role, self.roles, 1):
                raise unknown_name("meet: there is no role", role, self.roles)
            said.append(f"was there a role or a thread {role!r}, only "
                        f"{', '.join([*self.roles, *sorted(self.threads)])}")
        wanted = [what for point in points for what in (point.lock, *point.holding)]
        wanted += [semaphore for meet in meets for semaphore in meet.writers]
        for name in dict.fromkeys(what for what in wanted if isinstance(what, str)):
            if not any(matches(lock, name) for lock in self.locks):
                said.append(f"did anybody ask for a lock or class {name!r}{self._nearest(name)}")
        return said

    def _nearest(self, name: str) -> str:
        known = {word for lock in self.locks for word in (lock.name, lock.lock_class)}
        near = difflib.get_close_matches(name, sorted(known), 1)
        return f" (did you mean {near[0]!r}?)" if near else ""
