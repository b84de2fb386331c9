"""Schedules that go round: what is said of one, and whether there is a way out of it.

A schedule ends where all that can be done was done before in the same state (again.py). By itself
that decides nothing: two roles that give up and try again go round as long as both do the same.
It is a hang if nothing else can come of that state, whoever goes first; so all that can be done
from there on is gone through, each state once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

from ..runtime.verdict import Outcome, Verdict
from .strategies import DepthFirst

MOST_WAYS = 2_000    # schedules that are tried for a way out


def is_hang(outcome: Outcome) -> None:
    """Take note that there is no way out of the round in which a schedule ended."""
    if outcome.left:    # no program waits for daemon threads
        return
    outcome.findings[-1] = replace(outcome.findings[-1], verdict=Verdict.HANG)


class ByTurns(DepthFirst):
    """Every schedule, depth first, where a role that goes on and on alone keeps none from its end.
    """

    def _options(self, run: Any, moves: list[int]) -> list[int]:
        """Return *moves*, those of the roles after the one that went last first."""
        last = run.steps[-1].label | 1
        return sorted(moves, key=lambda label: (label <= last, label))


class Ways(ByTurns):
    """All that can be done from the end of a schedule on, each state once.

    Args:
        prefix: the steps of the schedule, by label.
        known: of states, whether there is a way out of them; states are added.
    """

    own_rule = True
    looked = MOST_WAYS    # what comes back to a state is ended at once

    def __init__(self, prefix: Sequence[int], known: dict[Hashable, bool]) -> None:
        super().__init__(prefix)
        self.known, self.leads_out = known, False
        self._seen: set[Hashable] = set()
        self._states: list[Hashable] = []    # on the way, from the end of the prefix on

    def choose(self, run: Any, moves: list[int]) -> int:
        depth = len(run.steps)
        if depth >= self.since and depth == len(self._path):
            state = run.again.state()
            self.leads_out = self.known.get(state, False)
            if state in self._seen or state in self.known:
                return -1
            self._seen.add(state)
            self._states.append(state)
        return super().choose(run, moves)

    def advance(self, run: Any) -> bool:
        more = super().advance(run)
        del self._states[len(self._path) - self.since:]
        return more

    def settle(self, leads_out: bool) -> bool:
        """Take note of what was found out, and return it."""
        self.known |= dict.fromkeys(self._states if leads_out else self._seen, leads_out)
        return leads_out


def way_out(play: Callable[[Any], tuple[Any, Any]], ways: Ways,
            deadline: float | None) -> tuple[bool | None, dict[Hashable, bool]]:
    """Say whether one of *ways* comes to an end; None if that could not be found out.

    Args:
        play: runs the next schedule of a strategy; returns that, as it is after it, and the run.
        deadline: by time.monotonic().

    Returns:
        That, and what is known of states now.
    """
    for _ in range(MOST_WAYS):
        ways.begin()
        ways, run = play(ways)
        if run.late or ways.changed:
            break
        if ways.leads_out or not run.cut:
            return ways.settle(True), ways.known
        if not ways.advance(run):
            return ways.settle(False), ways.known
        if deadline is not None and time.monotonic() >= deadline:
            break
    return None, ways.known
