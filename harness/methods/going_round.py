"""What `explore` makes of schedules that go round: is it a hang, or is there a way out of it?

See exploration/again.py for what that means, exploration/rounds.py for how it is found out.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

from ..exploration.controlled_run import ControlledRun
from ..exploration.dpor import Reduced
from ..exploration.forked import Apart
from ..exploration.rounds import ByTurns, Ways, is_hang, way_out
from ..exploration.start_points import TracedRun
from ..exploration.strategies import DepthFirst, Strategy
from ..runtime.building import build
from ..runtime.scenario import Scenario
from ..runtime.verdict import Outcome
from .engine_first import EngineFirst


def _itself(strategy: Strategy, _: Scenario) -> Strategy:
    return strategy


class GoingRound(EngineFirst):
    """The part of an exploration that runs schedules, and heeds that one may go round.

    Attributes:
        rounds: how many schedules went round and were no hang.
        unsettled: why it is not known of one whether it is, or "".
        known: of states that were met in such schedules, whether there is a way out of them.
    """

    _all: bool
    rounds: int
    unsettled: str
    known: dict[Hashable, bool]

    def fresh_world(self) -> Scenario:
        """Return a fresh world, if schedules are run in this process."""
        if self.world is None or not isinstance(self.where, Apart):
            self.world = build(self.scenario, self.name)
        return self.world

    def play_next(self, world: Scenario, strategy: Strategy,
                  traced: bool = False) -> tuple[Any, Any, Outcome]:
        """Run the next schedule of *strategy*; return that as it is after it, too."""
        deadline = self.tally.deadline
        if isinstance(self.where, Apart):
            return self.where.play(self, partial(_itself, strategy), to_the_end=self._all,
                                   deadline=deadline, traced=traced)
        kind = TracedRun if traced else ControlledRun
        run = kind(world, strategy, self.names, self.timeout, deadline, to_the_end=self._all)
        return strategy, run, run.play(self.where)

    def reduce_no_more(self, why: str) -> None:
        """Search without the reduction, from the beginning."""
        self.coverage["reduction"] = f"none: {why}"
        self.strategy = DepthFirst()
        self.schedules = self.rounds = 0
        self.tally.counts.clear()

    def went_round(self, run: Any, outcome: Outcome) -> None:
        """Find out what it means that *run* ended where all was done before in the same state."""
        self.rounds += 1
        if outcome.left:    # a way out of it proves nothing: they may as well go on for ever
            self.unsettled = outcome.findings.pop().text
            run.cut = True
            return
        way_out = self.way_out([step.label for step in run.steps])
        if way_out is False:
            is_hang(outcome)
            return
        del outcome.findings[-1]
        run.cut = True
        if way_out and isinstance(self.strategy, Reduced):
            self._see_that_it_repeats(self.strategy, run)
        elif way_out is None:
            self.unsettled = "of roles that go round it was not found out whether they go on for " \
                             "ever"

    def _see_that_it_repeats(self, strategy: Reduced, run: Any) -> None:
        """See that what was cut off at the end of *run* would have been what was done before."""
        for label in strategy.first:
            prefix = ByTurns([*(step.label for step in run.steps), label])
            again = self.play_next(self.fresh_world(), prefix)[1]
            strategy.hopeless = strategy.hopeless or strategy.differs(label, run, again)

    def way_out(self, labels: list[int]) -> bool | None:
        """Say whether there is a way out at the end of a schedule of these labels, if known."""
        found, self.known = way_out(lambda ways: self.play_next(self.fresh_world(), ways)[:2],
                                    Ways(labels, self.known), self.tally.deadline)
        return found
