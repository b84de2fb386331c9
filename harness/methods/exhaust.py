"""What clean runs do not show, in prediction: all states of a program, else schedules.

A role may branch on what others did, and wait for what nobody was seen to bring. The engine goes
through all states of a scenario that is a program, and what it finds is made to happen. Any other
is explored on real threads, as far as a bound on steps goes. If that leaves nothing out, what it
did not meet cannot happen, whatever roles branch on: the third argument beside those of
lockorder/feasibility.py.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from ..checker.answer import Answer, Step, Stuck
from ..checker.search import search
from ..exploration.controlled_run import ControlledRun
from ..exploration.follower import Follower, witness
from ..exploration.stable_ids import Names
from ..lockorder.cycles import Candidate
from ..lockorder.feasibility import Judgement, as_cycle
from ..lockorder.finding import GUARDED, KNOWN, UNCONFIRMED, waits_of
from ..lockorder.record import Cycle
from ..lockorder.reproduce import Confirmer
from ..report.result import Result
from ..runtime.process_state import no_call_inside
from ..runtime.scenario import Scenario
from ..runtime.verdict import Finding, Outcome, Verdict, counted
from ..runtime.workers import Workers
from .explore import explore
from .judging import Judge
from .ctrl_c import Interrupted
from .tally import Call, Tally

MOST_STATES = 500_000    # of a program
MOST_EVENTS = 8_000      # of real threads, in all schedules: a fraction of a second


class Exhaustive(Judge):
    """What judges a scenario that can be run again and again.

    Attributes:
        states: the engine's answer, if the scenario is a program.
        explored: what exploring came to, if it is none.
    """

    def __init__(self, call: Call, tally: Tally, workers: Workers,
                 baseline: Mapping[str, str]) -> None:
        super().__init__(tally, baseline)
        self.call, self.workers = call, workers
        self.play = functools.partial(call.play, workers)
        self.confirmer = Confirmer(self.build, self.play, self.obey, lambda: self.late)
        self.states: Answer | None = None
        self.explored: Result | None = None

    def build(self) -> Scenario:
        """Make a fresh world, whose locks are called as in every other."""
        world = self.call.build()
        if world.lock_names is not None:
            world.lock_names.look()
        return world

    def obey(self, world: Scenario, follower: Follower) -> Outcome:
        """Let the roles of *world* do what *follower* says."""
        return ControlledRun(world, follower, Names(), self.call.timeout, self.call.deadline,
                             full=True, numbered=True).play(self.workers)

    @property
    def knows_all(self) -> bool:
        if self.states is not None:
            return self.states.complete
        return self.explored is not None and self.explored.verdict is Verdict.CLEAN \
            and not self.unlike

    @property
    def forced_waits(self) -> set[frozenset[tuple[str, str]]]:
        """Who waits for what in the deadlocks that were predicted and happened."""
        return {waits_of(prediction.outcome.gravest) for prediction in self.predictions
                if prediction.outcome}

    # -- all states of a program ------------------------------------------------------------------

    def search_states(self) -> None:
        """Go through the states of the scenario, if it is a program."""
        program = self.build().program
        if program is not None and not self.late:
            self.states = search(program, max_states=MOST_STATES, seconds=self.tally.seconds_left)

    def judge(self, candidate: Candidate) -> Judgement:
        judgement = super().judge(candidate)
        if self.states is None or not self.states.complete or not judgement.guard:
            return judgement
        stuck = self.meets(self.states, candidate.legs)
        if stuck is None:
            return judgement._replace(doubt="")
        return Judgement(stuck, program=self.build().program)

    def meets(self, answer: Answer, legs: Cycle) -> Stuck | None:
        """Return the nearest state in which the roles of *legs* wait for each other so, if any."""
        cycles = (as_cycle(self.record, legs, stuck) for stuck in answer.deadlocks)
        return next(filter(None, cycles), None)

    def force_states(self) -> None:
        """Make happen what the engine found in the states and no cycle told of."""
        answer = self.states
        if answer is None:
            return
        known_waits = self.forced_waits
        hangs = any(outcome.verdict is Verdict.HANG for outcome in self.observed)
        for stuck in answer.deadlocks:
            waits = frozenset((waiting.thread, waiting.wants) for waiting in stuck.waits
                              if waiting.thread in stuck.circle)
            if waits in known_waits or not waits and hangs or self.late:
                continue
            finding = self._follow(stuck.schedule)
            if finding is not None:
                known_waits |= {waits, waits_of(finding)}
                hangs = hangs or finding.verdict is Verdict.HANG
        violated = any(outcome.verdict is Verdict.VIOLATION for outcome in self.observed)
        for misuse in answer.misuse:
            if not violated and not self.late:
                finding = self._follow(misuse.schedule)
                violated = finding is not None and finding.verdict is Verdict.VIOLATION
        if answer.verdict not in ("clean", "inconclusive") and not known_waits \
                and not any(outcome.findings for outcome in self.observed):
            self.unsettled = f"{answer.verdict}, which real threads did not confirm"

    def _follow(self, schedule: tuple[Step, ...]) -> Finding | None:
        """Put a schedule of the engine's on real threads; return what came of it, and keep that."""
        world = self.build()
        outcome = self.confirmer.obey(world, witness(world, world.program, schedule))
        if outcome.gravest is not None:
            self.observed.append(self.tally.add(outcome, world))
        return outcome.gravest

    # -- schedules --------------------------------------------------------------------------------

    def explore_further(self) -> bool:
        """Explore a scenario that is no program, unless something was found in it already, or is
        known: it would be all that is found. Say whether that was done.
        """
        world = self.build()
        found = self.forced_waits or any(outcome.findings or outcome.stuck
                                         for outcome in self.observed)
        known = any(prediction.status == KNOWN for prediction in self.predictions)
        if found or known or self.outside or self.late or world.program is not None:
            return False
        events = max(len(outcome.log) for outcome in self.observed)
        try:
            with no_call_inside(part=True):
                self.explored = explored = explore(
                    self.call.factory, timeout=self.call.timeout,
                    max_schedules=MOST_EVENTS // max(events, 10) + 1,
                    seconds=self.tally.seconds_left)
        except Interrupted as exc:
            raise KeyboardInterrupt from exc
        # An error that no token shows again is that of a role which does not do the same twice.
        if explored.verdict in (Verdict.DEADLOCK, Verdict.HANG, Verdict.VIOLATION) \
                or explored.verdict is Verdict.ERROR and explored.replay:
            self.observed.append(self.tally.add(explored.outcome, world))
        if self.knows_all:
            self._conclude(f"none of all {counted(explored.coverage['schedules'], 'schedule')} is "
                           f"this deadlock")
        return True

    def _conclude(self, proof: str) -> None:
        """Say of what could not be settled that no schedule is it."""
        for prediction in self.predictions:
            if prediction.status == UNCONFIRMED and prediction.by_instance \
                    and not prediction.writers:
                prediction.status = GUARDED
                guard = prediction.guard or "what the roles do depends on each other"
                prediction.reason = f"{guard}: {proof}"
