"""What `explore` asks the fast engine before it tries one schedule after the other.

The roles go one after the other, which is recorded as a lock program. A deadlock that the engine
knows of in it is put on real threads by its shortest way: what they say decides.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..checker.search import search
from ..exploration.extract_program import is_start, program_of
from ..exploration.follower import Follower, follow, play, witness
from ..runtime.scenario import Scenario
from ..runtime.verdict import Outcome, counted
from .tally import OUTSIDE_USED, Tally
from .worlds import Worlds

STATES = 200_000     # that the engine goes through: about a second
MOST_THREADS = 100
CUT_SHORT = "a schedule could not be run to its end"


def _witness(program: Any, schedule: Any, scenario: Scenario) -> Follower:
    """Return what follows *schedule* of *program*, or if that is None of the scenario's own."""
    return witness(scenario, program or scenario.program, schedule, is_start)


class EngineFirst(Worlds):
    """The part of an exploration that asks the engine.

    Attributes:
        engine_said: its verdict, or "".
        stopped: why the exploration ended before there was nothing left to try, or "".
        longest: steps of the longest schedule.
        set_aside: the first schedule that failed and that the search is to meet again; else None.
        world: the last one that was built in this process.
    """

    tally: Tally
    engine_said = ""
    stopped: str
    longest: int
    set_aside: tuple[Any, Outcome] | None
    world: Scenario | None

    def take(self, run: Any, outcome: Outcome) -> None:
        """Keep a failing schedule if it is the gravest so far."""
        raise NotImplementedError

    def set_it_aside(self, run: Any, outcome: Outcome) -> None:
        """Keep what failed: should the search not meet it again, it is found all the same."""
        if outcome.findings and self.set_aside is None:
            self.set_aside = run, outcome

    def ask_engine(self) -> bool:
        """Ask the fast engine; say whether real threads confirm a deadlock that it knows of."""
        run, outcome = follow(self, self.where, (), strictly=False, traced=self.traces)
        if outcome.gravest is not None and outcome.gravest.how == "timed out":
            self.coverage["engine"] = "not asked: a role waits outside our locks"
            self.schedules += 1
            self.take(run, outcome)
            self.stopped = CUT_SHORT
            return True
        if outcome.findings:
            self.set_it_aside(run, outcome)
            return False    # the search begins with it
        if not self.learn(run):    # else schedules have more steps from here on
            self.record(run.steps)
        own = self.world.program if self.world is not None else run.scenario.program
        program = OUTSIDE_USED if outcome.outside else own or program_of(run)
        if not isinstance(program, str) and len(program.threads) > MOST_THREADS:
            program = f"there are more than {MOST_THREADS} threads"    # it would not get to any end
        if isinstance(program, str):
            self.coverage["engine"] = f"not asked: {program}"
            return False
        answer = search(program, max_states=STATES, seconds=self.tally.seconds_left)
        every = "all " if answer.complete else ""
        self.coverage["engine"] = f"{answer.verdict} ({every}{counted(answer.states, 'state')})"
        self.engine_said = str(answer.verdict)
        if not answer.deadlocks:
            return False
        nearest = answer.deadlocks[0]
        way = partial(_witness, None if own else program, nearest.schedule)
        _, run, outcome = play(self, self.where, way)
        self.schedules += 1
        cycle, stuck = ({task.key for task in tasks} for tasks in (run.deadlocked, run.stuck))
        if not (cycle <= set(nearest.members) if cycle else
                stuck and stuck == {wait.thread for wait in nearest.waits}):
            self.coverage["engine"] += ", which real threads did not confirm"
            self.look_apart(run, outcome, way)
            return False
        self.coverage["engine"] += ", confirmed on real threads"
        self.longest = len(run.steps)
        self.take(run, outcome)
        self.stopped = "a deadlock was found"
        return True
