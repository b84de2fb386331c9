"""Who ends waits for what, as far as it was seen in runs that came to their end.

Where a completion, an event or a semaphore does not say who is to act, other runs of the same
scenario do: whoever ended such waits there, and has not yet done it as often here as there, is
likely to come to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable


class Enders:
    """How often each role ended waits in one run, at most, by what is shown of what they were for.
    """

    def __init__(self, known: Iterable[Iterable[str]] = ()) -> None:
        """Begin with what `told` of another returned."""
        self._most: dict[str, Counter[str]] = {lock: Counter(roles) for lock, *roles in known}

    def __contains__(self, lock: str) -> bool:
        return lock in self._most

    def __bool__(self) -> bool:
        return bool(self._most)

    def learn(self, ended: Iterable[tuple[str, str]]) -> None:
        """Take note of a run: of what a wait was ended, and by whom, each time."""
        for (lock, role), times in Counter(ended).items():
            most = self._most.setdefault(lock, Counter())
            most[role] = max(most[role], times)

    def still(self, lock: str, done: Iterable[str]) -> set[str]:
        """Return who is likely to end a wait for *lock* where those *done* did, once each time."""
        most = self._most.get(lock)
        return {*(most - Counter(done))} if most else set()

    def why_nobody(self, lock: str, done: Iterable[str], ended: Container[str]) -> str:
        """Return, in words, why nobody comes to end a wait for *lock*, "" if nobody ever did.

        Args:
            done: who did here, once each time.
            ended: who does nothing any more.
        """
        here = Counter(done)
        reasons = [f"{role} has done so before" if here[role] >= times else
                   f"{role}, who does so elsewhere, has ended"
                   for role, times in sorted(self._most.get(lock, {}).items())
                   if here[role] >= times or role in ended]
        return f"nobody comes to end it: {' and '.join(reasons)}" if reasons else ""

    def told(self, locks: Iterable[str]) -> list[list[str]]:
        """Return what is known of *locks*, in plain data: of each its name, and who, as often."""
        return [[lock, *self._most[lock].elements()] for lock in sorted(locks)
                if lock in self._most]
