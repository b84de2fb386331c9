"""The pool of workers: what it hands out is open for as long as somebody may write to it."""

import threading
from types import SimpleNamespace

import pytest
import small_worlds

from harness import Mutex, Verdict, explore, run
from harness.exploration.controlled_run import ControlledRun
from harness.locks.task import Task
from harness.runtime.our_thread import begin, our_thread, see_end
from harness.runtime import thread_patch
from harness.runtime.workers import Workers

RUN = SimpleNamespace(perform=lambda task, function: function())


def test_a_role_may_wake_another_whose_worker_has_ended_already():
    """The heir sees that it may go on before the one that lets it go has written so."""
    errors = []

    def late():
        heir_thread.join()    # the pool was left, and the heir's worker has ended
        try:
            heir.hand_over()
        except OSError as exc:
            errors.append(exc)

    with Workers() as workers:
        workers.engage(2, None)
        one = workers.assign(RUN, Task("late"), late, "")
        task = Task("heir")
        heir = workers.assign(RUN, task, lambda: None, "")
        heir_thread = task.thread
        heir.hand_over()
        one.hand_over()
    assert errors == []


def test_a_role_that_has_ended_keeps_no_turn_for_the_run_that_comes_next(monkeypatch):
    """After a verdict all are let go, whether they wait or not.

    Looked at when the last role has ended and the caller does not know it yet: the next run has
    handed over nothing.
    """
    turns, last_has_ended = [], ControlledRun.name_completion

    def look(run):
        turns.extend(task.turn.go for task in run.tasks)
        last_has_ended(run)

    monkeypatch.setattr(ControlledRun, "name_completion", look)
    assert explore(small_worlds.abba, engine=False).verdict is Verdict.DEADLOCK
    assert len(turns) >= 4 and not any(turns)


def test_what_a_thread_waits_in_that_could_not_be_ended_is_lent_to_nobody_else():
    with Workers() as workers:
        ended, stuck = Task("ended"), Task("stuck")
        ended.ended = True
        first = workers.lend()
        workers.finish([ended])
        again = workers.lend()
        workers.finish([ended, stuck])
        assert again is first and workers.lend() is not first
        first.close()


def test_a_thread_of_ours_that_was_slow_to_begin_has_ended_too_when_a_call_returns():
    """The system let it start, and no further, before the call was over."""
    may_begin, done = threading.Event(), []
    thread = our_thread(lambda: done.append("its body"), "slow")
    begins, joins = thread.run, thread.join
    thread.run = lambda: may_begin.wait() and begins()
    thread.join = lambda: (may_begin.set(), joins())
    begin(thread)
    try:
        see_end(thread)
        assert (thread.is_alive(), done) == (False, [])
    finally:
        thread.join()


@pytest.mark.parametrize("ends, given_up", [(True, []), (False, ["helper"])])
def test_a_thread_of_the_factory_is_given_up_only_if_roles_were_unwound(
        monkeypatch, ends, given_up):
    may_end, seen = threading.Event(), []
    monkeypatch.setattr(thread_patch, "give_up", lambda thread: seen.append(thread.name) or True)

    def world():
        helpers.append(threading.Thread(target=may_end.wait, name="helper"))
        helpers[0].start()
        lock = Mutex("lock")
        return {"role": lambda: [lock.acquire() for _ in range(1 if ends else 2)]
                and lock.release()}

    helpers = []
    result = run(world, runs=1)
    may_end.set()
    helpers[0].join()
    assert (str(result.verdict), seen) == ("clean" if ends else "deadlock", given_up)


def test_a_worker_that_is_assigned_a_role_has_not_been_handed_the_turn_for_it():
    """Though somebody let it go for the role before, and it has not seen that yet."""
    with Workers() as workers:
        workers.engage(1, None)
        [worker] = workers._workers
        worker.baton.go = True
        baton = workers.assign(RUN, Task("role"), lambda: None, "")
        assert not baton.go
        baton.hand_over()
