"""Random programs: the reduced search, the plain search, the oracle and the fast engine agree; and
this file fails when the explorer is broken on purpose.
"""

import brute
import pytest
from crowded import Case, a_trylock_matters, random_program, world_of
from explored import Explored, meaning

from harness.exploration import dependency, happens_before
from harness.exploration.controlled_run import ControlledRun
from harness.checker.search import search
from harness.runtime.workers import Workers
from harness.exploration.dpor import Reduced
from harness.exploration.strategies import DepthFirst
from harness.locks.waitgraph import deadlock_among

RELEASES = (dependency.UNLOCK, dependency.UP_READ, dependency.UP_WRITE)
MOST = 40     # schedules of a program; more with four threads
SEEDS = (    # chosen so that the programs have at most that many
    1, 4, 6, 12, 13, 15, 20, 22, 25, 31, 32, 44, 52, 56, 57, 59, 61, 62, 72, 73, 74, 75, 76,
    78, 79, 81, 82, 86, 90, 91, 96, 97, 98, 99, 117, 120, 124, 127, 128, 130, 143, 147, 160,
    166, 167, 168, 174, 177, 179, 180, 181, 182, 185, 188, 190, 191, 196, 200, 203, 214,
    215, 216, 220, 221, 222, 224, 225, 228, 232, 235, 240, 243, 245, 246, 258, 259, 262,
    269, 270, 272, 273, 275, 276, 278, 282, 284, 292, 296, 297, 305, 312, 317, 318, 323,
    333, 334, 335, 338, 343, 358, 364, 367)


@pytest.fixture(scope="module")
def cases():
    """The programs, each searched plainly, on real threads."""
    with Workers() as workers:
        made = []
        for program in map(random_program, SEEDS):
            factory = world_of(program)
            plain = Explored(factory, DepthFirst(), workers)
            made.append(Case(program, factory, plain, meaning(program, plain.orders)))
    return made


def test_the_programs_are_worth_it(cases):
    """A quarter deadlocks; in a tenth the failure of a trylock changes what follows."""
    assert sum(bool(case.plain.stuck) for case in cases) >= len(SEEDS) / 4
    assert sum(a_trylock_matters(case) for case in cases) >= len(SEEDS) / 10
    assert {len(case.program.threads) for case in cases} == {2, 3, 4}
    assert max(case.plain.tried for case in cases if len(case.program.threads) < 4) <= MOST


def test_the_plain_search_finds_every_schedule(cases):
    for case in cases:
        assert case.plain.problems == []
        assert len(set(case.plain.orders)) == len(case.plain.orders)
        assert (case.plain.tried, case.plain.stuck) == brute.count_schedules(case.program)


def test_the_plain_search_and_the_engine_find_the_same_deadlocks(cases):
    for case in cases:
        answer = search(case.program)
        assert answer.complete and answer.misuse == ()
        assert {stuck.places for stuck in answer.deadlocks} == {
            places for places, _, _ in case.meaning[1]}
        assert (answer.verdict == "clean") == (not case.plain.stuck)


def test_the_reduced_search_visits_each_class_and_no_more(cases):
    """Same classes, same deadlocked states, same results of trylocks; nothing twice, nothing cut
    short.
    """
    with Workers() as workers:
        for case in cases:
            reduced = Explored(case.factory, Reduced(), workers)
            assert meaning(case.program, reduced.orders) == case.meaning, case.program
            assert (reduced.tried, reduced.problems) == (len(case.meaning[0]), [])


# -- broken on purpose -----------------------------------------------------------------------------


def without(*pairs):
    """Return the dependence without some pairs of kinds."""
    return tuple(frozenset(b for b in depends if (a, b) not in pairs and (b, a) not in pairs)
                 for a, depends in enumerate(dependency.DEPENDS))


def queueing_of_writers_is_independent(monkeypatch):
    everything = range(len(dependency.DEPENDS))
    monkeypatch.setattr(happens_before, "DEPENDS",
                        without(*((dependency.QUEUE_WRITE, kind) for kind in everything)))


def a_failed_trylock_is_independent_of_the_release(monkeypatch):
    failures = (dependency.BUSY, dependency.READ_BUSY, dependency.WRITE_BUSY)
    monkeypatch.setattr(happens_before, "DEPENDS",
                        without(*((a, b) for a in RELEASES for b in failures)))


def requests_pending_at_a_deadlock_are_ignored(monkeypatch):
    monkeypatch.setattr(Reduced, "_pending", lambda self: [])


def schedules_stop_at_the_first_cycle(monkeypatch):
    true_next = ControlledRun._next

    def next_unless_a_cycle(self):
        for task in self.tasks:
            if task.lock is not None and not task.ended and task.kind == 0:
                task.waits_on = task.lock
        deadlock = deadlock_among(self.tasks)
        for task in self.tasks:
            task.waits_on = None
        if deadlock:
            self.stuck = deadlock.cycle
            self._let_all_go()
            return None
        return true_next(self)

    monkeypatch.setattr(ControlledRun, "_next", next_unless_a_cycle)


def a_release_is_merged_into_the_step_before(monkeypatch):
    true_choose = Reduced.choose

    def release_at_once(self, run, moves):
        last = run.steps[-1].label if run.steps else -1
        if last in moves and run.would(last).ask in RELEASES:
            moves = [last]
        return true_choose(self, run, moves)

    monkeypatch.setattr(Reduced, "choose", release_at_once)


@pytest.mark.parametrize("broken", [
    queueing_of_writers_is_independent, a_failed_trylock_is_independent_of_the_release,
    requests_pending_at_a_deadlock_are_ignored, schedules_stop_at_the_first_cycle,
    a_release_is_merged_into_the_step_before])
def test_a_broken_explorer_does_not_agree(broken, cases, monkeypatch):
    broken(monkeypatch)
    with Workers() as workers:
        assert any(not _agrees(case, workers) for case in cases)


def _agrees(case, workers):
    reduced = Explored(case.factory, Reduced(), workers, most=500)
    try:
        return meaning(case.program, reduced.orders) == case.meaning
    except ValueError:
        return False
