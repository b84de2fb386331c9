"""Whether the worlds of one process do the same, and what `explore` does where they do not.

Something that outlives its world (a cache, a lazy import, a logger) may let only the first world of
a process take a lock. Three looks tell, at the price of a few schedules:

- a schedule in which a role does one operation after another as in none before is run again at
  once: it may have filled what was empty;
- a deadlock that the fast engine knows of and threads did not confirm is tried in another process;
- a few schedules, the last one among them, are run again at the end as the first of a process: what
  uses a cache need not be what fills it.

Where two worlds differ under one schedule, the first difference is named, and everything is
explored twice: each schedule as the first of its process, and in worlds that others came before.
The file is long because it is one question, from the first doubt to the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..exploration.follower import follow, play
from ..exploration.forked import Apart, Died
from ..exploration.scheduled_run import TimeUp
from ..exploration.stable_ids import Names, Taken, habits
from ..exploration.start_points import StartPoints
from ..exploration.strategies import Strategy, first_difference
from ..runtime.building import has_built
from ..runtime.scenario import Scenario, reference_of
from ..runtime.solo_run import Unfinished
from ..runtime.verdict import Outcome, Verdict
from ..runtime.workers import Workers
from .tally import Tally
from .what_differs import difference as words_of
from .what_differs import done

ONCE = "One schedule was run: what a role does by chance, or by the clock, was not seen."
_SPOTS = 64      # from this schedule on, each whose number is a power of two is looked at again
_FIRST, _LATER = "in the first world of a process", "in a later one"


class Differ(Exception):
    """Two worlds did not do the same under one schedule.

    Args:
        difference: the first one, in words.
        labels: of the schedule, as far as it is known.
    """

    def __init__(self, difference: str, labels: Sequence[int], outcome: Outcome) -> None:
        super().__init__(difference)
        self.difference, self.labels, self.outcome = difference, labels, outcome


class Worlds:
    """The part of an exploration that looks whether its worlds are alike.

    Attributes:
        scenario, name, names, timeout, deadline: as in `exploration.forked.World`.
        strategy: the way through the schedules; `new_strategy` makes one that has seen nothing.
        schedules, longest, stopped, coverage, failing, kinds, engine_said, watched: see `explore`.
        world: the last one that was built in this process.
        where: where schedules are run: the workers of this process, or processes of their own.
        starts: which starts are points of a schedule.
        final: a difference from here on is one by chance, an error.
        difference: what was seen to differ, in words, or "".
        unseen: why what was seen proves nothing, or "".
    """

    scenario: Callable[[], Any]
    name: str
    names: Names
    timeout: float
    deadline: float | None = None
    strategy: Strategy
    new_strategy: Callable[[], Strategy]
    tally: Tally
    world: Scenario | None
    where: Workers | Apart
    failing: Any
    starts: StartPoints
    final = False
    difference = unseen = ""

    def start_again(self) -> None:
        """Forget every schedule."""
        self.strategy, self.names, self.starts = self.new_strategy(), Names(), StartPoints()
        self.schedules = self.longest = 0    # how many were run to their end; steps
        self.stopped = ""    # why it ended before there was nothing left to try
        self.coverage: dict[str, Any] = {}
        self.failing, self.hung = None, 0    # how many there were at the first hang
        self.kinds: set[Any] = set()
        self.engine_said = ""
        self.rounds, self.unsettled = 0, ""    # schedules that go round; of one it is not known why
        self.known: dict[Any, bool] = {}    # see `GoingRound`
        self.watched = False    # by invariants, which the reduced search cannot do with
        self.tally.counts = Counter()
        self._known: set[int] = set()    # habits
        self._recorded: list[Taken] = []
        self._spots: dict[int, list[Taken]] = {}     # by the number of the schedule

    def differs(self, outcome: Outcome, difference: str) -> None:
        """Take note that a role behaves differently under the same schedule."""
        raise NotImplementedError

    def lost(self, text: str, verdict: Verdict) -> None:
        """Take note that a process ended in the middle of its schedule, which is *verdict*."""
        raise NotImplementedError

    def unfinished(self, outcome: Outcome) -> None:
        """Take note that a schedule could not begin, or its world not be checked."""
        raise NotImplementedError

    def out_of_time(self) -> None:
        """Take note that the time given was up."""
        raise NotImplementedError

    def explore(self, search: Callable[[], None], workers: Workers, apart: Apart,
                fresh: bool) -> None:
        """Let *search* explore: once, or twice more where worlds differ.

        Args:
            fresh: run each schedule *apart*, outright.
        """
        self.where, self._apart, self._is_first = workers, apart, not has_built(self.scenario)
        try:
            if fresh:
                self._explore_apart(search)
                return
            try:
                search()
                self._look_at_spots()
                workers.tell_of_finalizers()
            except Differ as differ:
                self._explore_both(differ, search)
        except Died as died:
            self.lost(str(died), died.verdict)
        except Unfinished as exc:
            self.unfinished(exc.outcome)
        except TimeUp:
            self.out_of_time()

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found and nothing is left to try."""
        return self.failing is None and not self.stopped and self.strategy.complete

    @property
    def traces(self) -> bool:
        """Whether the next schedule is to show which starts are points: it is costly, and where
        schedules of a model are drawn nothing rests on it.
        """
        is_model = self.world is not None and self.world.inner_locks
        return not (self.starts.known or self.strategy.drawn and is_model)

    def learn(self, run: Any) -> bool:
        """Make starts points of schedules if *run*, traced, shows that; say whether any is."""
        starts = getattr(run, "starts", None)
        if starts is None:
            return False
        before, self.starts = self.starts.depends, self.starts.merged(starts)
        self.names.start_at(self.starts.depends)
        return self.starts.depends != before

    def learn_of_threads(self, run: Any) -> bool:
        """Trace the schedule of *run* if it has threads that the traced one had not, as `learn`."""
        known = self.starts.keys
        if not self.starts.known or all([task.key in known for task in run.tasks]):
            return False
        known |= {task.key for task in run.tasks}
        labels = [step.label for step in run.steps]
        again, _ = follow(self, self.where, labels, strictly=False, traced=True)
        return self.learn(again)

    # -- noticing -------------------------------------------------------------------------------

    def record(self, steps: list[Taken]) -> None:
        """Keep what roles did that went one after the other, as in the first schedule of all."""
        self._recorded = steps
        self._known |= habits(steps)
        self.names.learn_enders(steps)

    def look_twice(self, steps: list[Taken], outcome: Outcome) -> bool:
        """Compare a schedule with the same in another world, if it shows new habits; say whether
        they differ for good.

        Raises:
            Differ: they are not the same.
        """
        differs = False
        if self._recorded:
            before, self._recorded = self._recorded, []
            came_to, labels = outcome, [step.label for step in before]
            if labels != [step.label for step in steps]:    # by another rule on limits, perhaps
                again, came_to = follow(self, self.where, labels)
                steps_again = again.steps
            else:
                steps_again = steps
            differs = self._compare(before, steps_again, outcome, came_to)
        elif not (new := habits(steps)) <= self._known:
            self._known |= new
            again, came_to = follow(self, self.where, [step.label for step in steps])
            differs = self._compare(steps, again.steps, outcome, came_to)
        number = self.schedules
        is_spot = number >= _SPOTS and not number & number - 1
        self._spots[number if is_spot else 0] = steps    # 0 is the last
        return differs

    def look_apart(self, run: Any, outcome: Outcome, make: Callable[[Scenario], Any]) -> None:
        """Compare a schedule with the same, by *make*, as the first of its process.

        Raises:
            Differ: they are not the same.
        """
        if not self.final and not self._apart.why_not:
            try:
                _, again, _ = play(self, self._apart, make)
            except Died as died:
                if self._apart.alone:
                    raise
                self.unseen = str(died)
            else:
                self._compare(again.steps, run.steps, outcome, outcome)

    def _look_at_spots(self) -> None:
        if not self.is_clean or self.schedules < 2 or self._apart.why_not:
            return
        if not self._apart.alone:    # roles may rely on the others
            self.coverage["worlds"] = "not compared with the first of a process, which would not " \
                                      "have the other threads of this one"
            return
        for steps in self._spots.values():
            again, outcome = follow(self, self._apart, [step.label for step in steps])
            self._compare(again.steps, steps, outcome, outcome)

    def _compare(self, before: list[Taken], after: list[Taken], outcome: Outcome,
                 other: Outcome) -> bool:
        """Say whether two worlds differ, of which at least one came to nothing; *other* may not."""
        if outcome.left or other.left:    # it may have ended for its state; followed it would go on
            both = min(len(before), len(after))
            before, after = before[:both], after[:both]
        difference = first_difference(self.names, before, after)
        if not difference and other.findings:
            difference = f"in one world it came to nothing, in another to {other.verdict}"
        if difference:
            self.differ(before, outcome, difference)
        return bool(difference)

    def differ(self, steps: list[Taken], outcome: Outcome, difference: str) -> None:
        """Take note that a schedule of these steps was not the same in two worlds.

        Raises:
            Differ: the first time.
        """
        if not self.final:
            raise Differ(difference, [step.label for step in steps], outcome)
        self.differs(outcome, difference)

    # -- where they differ ----------------------------------------------------------------------

    def _explore_both(self, differ: Differ, search: Callable[[], None]) -> None:
        """Explore in processes of their own, then here once more; keep what is gravest."""
        before = self._state()
        try:
            self._explore_cold_and_warm(differ, search)
        except Died as died:
            self.lost(str(died), died.verdict)
        except TimeUp:
            self.out_of_time()
        if before["failing"] is not None and (self.failing is None or before["failing"].graveness
                                              > self.failing.graveness):
            self.tally.counts = before.pop("counts")
            worlds = self.coverage.get("worlds", "differ")
            vars(self).update(before)
            self.coverage["worlds"] = worlds

    def _explore_cold_and_warm(self, differ: Differ, search: Callable[[], None]) -> None:
        workers, why = self.where, self._apart.why_not
        self.final = True
        alike = self._name_difference(differ)
        each, schedules = "", 0
        if why:
            self.unseen = f"worlds differ, and {why}"
        else:
            self._explore_apart(search)
            schedules, each = self.schedules, "each the first of its process"
        if self.failing is None or why:
            if not self.is_clean and not why:
                self.unseen = f"as the first of its process not every schedule was tried: " \
                              f"{self.stopped or self.strategy.bound}"
            self.start_again()
            self.where = workers
            if alike:
                search()
            else:
                self.differs(differ.outcome, self.difference)
            each = f"differ; each schedule also as the first of its process ({schedules:,})" \
                if schedules else "differ"
        self.coverage["worlds"] = each

    def _explore_apart(self, search: Callable[[], None]) -> None:
        """Run each schedule as the first of its process."""
        self.final = True
        self.start_again()
        if self._apart.why_not:
            self.unseen = f"no schedule was run as the first of its process: {self._apart.why_not}"
        elif not self._is_first:
            reference, _ = reference_of(self.scenario) or ("", {})
            again = f" (python -m harness explore {reference} --fresh is another process)" \
                if reference and "::" not in reference else ""
            self.unseen = f"no schedule was the first of its process: a world of its module was " \
                          f"built in this one before{again}"
        if not self._apart.why_not:
            self.where, self.world = self._apart, self._apart.describe(self)
            for role in self.world.roles:
                self.names.role(role)    # else a process that ends takes them with it
        search()
        if not self._apart.why_not:
            self.coverage["worlds"] = "each the first of its process"

    def _state(self) -> dict[str, Any]:
        """Return what `start_again` forgets."""
        return {name: getattr(self, name) for name in _FORGOTTEN} | {"counts": self.tally.counts}

    def _name_difference(self, differ: Differ) -> bool:
        """Find out where worlds differ first, with places, in `difference`; say whether that is no
        chance: those of this process do one thing, and the first of a process another.
        """
        labels, apart = differ.labels, not self._apart.why_not
        here, again = done(self, self.where, labels), done(self, self.where, labels)
        first = done(self, self._apart, labels) if apart else here
        self.difference = words_of(first, here, _FIRST, _LATER) or words_of(
            here, again, "the first time", "the second") or differ.difference
        return here == again and (here != first or not apart)


_FORGOTTEN = ("strategy", "names", "schedules", "longest", "stopped", "coverage", "failing",
              "kinds", "engine_said", "watched", "starts", "rounds", "unsettled")
