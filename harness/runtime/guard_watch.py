"""The watch over user code that a run calls with the guard held: see away.py.

Nobody can do anything meanwhile that needs the guard, the watcher of the run neither. So it looks
at such a call before all else, and while it waits for what it does with the guard; what has not
come back for the time limit is given up with its thread, by the same measure as a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..locks import afresh
from ..locks.away import Call, under_way
from ..locks.callsite import frames_of_threads
from .process_state import aside
from .standstill import LONGEST, SLICES, Reading, Standstill, read_thread
from .verdict import Verdict

_helpers: set[int] = set()    # of all runs: threads that do what needs the guard


@afresh.in_child
def _forget() -> None:
    _helpers.clear()


class GuardWatch:
    """What the watcher of *run*, a `PlayedRun`, knows of user code that has the guard.

    Attributes:
        impatient: what does not come back at once is given up.
        slice, helpers, lost: see `Watch` of process_state.py.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self.slice = min(run.timeout / SLICES, LONGEST)
        self.impatient = False
        self.helpers: set[int] = set()
        self.lost: set[int] = set()
        self._call: Call | None = None
        self._looks: Any = None    # a `Standstill`, once there is a call

    def look(self, now: float) -> bool:
        """Look at the call under way, if there is one; say whether it was given up, with which the
        run ends.
        """
        call = under_way()
        if call is None or not self._is_of_run(call):
            self._call = None
            return False
        if call is not self._call:
            self._call, self._looks = call, Standstill(self._run.timeout, now)
        looks = self._looks
        looks.look(now, 0, self._read)
        if not (looks.hangs or looks.still_runs or self.impatient and looks.silence):
            return False
        aside(lambda: self._run.give_up(call, *self._judged(call)))
        if call.given_up:
            self.lost.add(call.ident)
        return call.given_up

    def _is_of_run(self, call: Call) -> bool:
        run = call.task.run
        return run is self._run or call.ident in self.helpers \
            or run is None and call.ident not in _helpers

    def _read(self, before: Mapping[Call, Reading]) -> dict[Call, Reading]:
        call = self._call
        frame = frames_of_threads().get(call.ident) if call is not None else None
        if call is None or frame is None:
            return {}
        return {call: read_thread(call.native, frame, before.get(call), of_the_user=True)}

    def _judged(self, call: Call) -> tuple[Verdict, str]:
        """Return what it comes to that *call* does not come back, and the words for it."""
        looks, who = self._looks, call.task.name
        reading = looks.reading(call)
        what = f"{call.what}, called " \
               f"{'by who watches the run' if call.ident in self.helpers else f'in {who}'},"
        at = f", at {reading.place}" if reading is not None and reading.place else ""
        if looks.hangs:
            return Verdict.HANG, f"{what} has not come back for {looks.limit:g} s{at}"
        if looks.still_runs:
            does = f": it {reading.does}" if reading is not None and reading.does else ""
            return Verdict.INCONCLUSIVE, f"{what} still runs after {looks.limit:g} s{does}{at}"
        return Verdict.INCONCLUSIVE, f"{what} had not come back when the run was to end{at}"
