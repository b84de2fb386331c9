"""Threads that use the locks of a run and are no part of it: started by the factory, or past
`threading`. They are seen and named, nobody is lost while they may act, and a search that they
were not in proves nothing.
"""

import gc
import sys
import threading
from _thread import start_new_thread as begin
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.locks import callsite
from harness import (At, Completion, Meet, Mutex, Observer, RWSemaphore, Scenario, explore, force,
                     predict, replay, run, stress)
from harness.exploration.scheduled_run import ScheduledRun
from harness.locks.outsiders import Member, by_ident
from harness.locks.parking import guarded
from harness.locks.task import Task, current
from harness.meetings.meet import with_writers

TOOLS = {run: "clean", stress: "clean", explore: "inconclusive", predict: "inconclusive"}
each = pytest.mark.parametrize("tool", TOOLS)


def call(tool, world, **more):
    return tool(world, **({"runs": 2} if tool is stress else {}), **more)


over = threading.Event()
JOIN = threading.Thread.join


@pytest.fixture(autouse=True)
def no_helper_is_left():
    """End those of worlds that nobody ran, too."""
    over.clear()
    before = set(threading.enumerate())
    yield
    over.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()


def until(condition):
    """Look again and again: that a thread is parked in a lock, nobody tells."""
    while not condition() and not over.wait(0.0005):
        pass


def taking(lock):
    def takes():
        with lock:
            pass
    return takes


def stands_at(task, lock):
    """Say whether a role waits for *lock*, in a free run or before it asks in a controlled one."""
    return task.waits_on is lock or getattr(task, "lock", None) is lock


def started(way, body):
    """Start *body* outside the run, when *way* says so; return what the role calls first, and what
    ends it.
    """
    ended = threading.Event()

    def whole():
        try:
            body()
        finally:
            ended.set()

    thread = threading.Thread(target=whole, name="helper", daemon=True)
    if way == "a thread of the factory":
        thread.start()
    if way == "a thread of that":
        first = threading.Thread(target=lambda: thread.start())
        first.start()
        first.join()
    if way == "a worker of the factory":
        pool = ThreadPoolExecutor(1)
        pool.submit(whole)
        pool.shutdown(wait=False)
    return (lambda: begin(whole, ())) if way == "_thread" else lambda: None, ended.wait


WAYS = ["a thread of the factory", "a thread of that", "a worker of the factory", "_thread"]


@pytest.mark.parametrize("way", WAYS)
@each
def test_who_waits_for_a_thread_outside_is_not_lost_at_once(tool, way):
    """The role waits before the other thread completes: nobody of the run can go on then."""
    def world():
        ready, who = Completion("ready"), []

        def helper():
            until(lambda: who and stands_at(who[0], ready))
            ready.complete()

        first, end = started(way, helper)

        def role():
            first()
            who.append(current())
            ready.wait()
            end()

        return {"role": role}

    result = call(tool, world)
    assert str(result.verdict) == TOOLS[tool], str(result)
    [note] = [note for note in result.outcome.notes if "is outside the run" in note]
    assert "used ready (once, at test_outsiders.py:" in note
    assert "(started at test_outsiders.py:" in note


@each
def test_who_waits_for_a_lock_that_a_thread_outside_holds_is_not_lost_at_once(tool):
    def world():
        a, taken, who = Mutex("a"), threading.Event(), []

        def helper():
            with a:
                taken.set()
                until(lambda: who and stands_at(who[0], a))

        first, end = started("a thread of the factory", helper)

        def role():
            taken.wait()
            who.append(current())
            with a:
                pass
            end()

        return {"role": role}

    result = call(tool, world)
    assert str(result.verdict) == TOOLS[tool], str(result)
    assert "is outside the run and used a (once, at" in " ".join(str(result).split())


@pytest.mark.parametrize("make", [Mutex, RWSemaphore])
@pytest.mark.parametrize("tool", [run, explore, force, predict, stress])
def test_a_cycle_through_a_thread_outside_is_a_deadlock(tool, make):
    """The role asks last, once the other is seen to wait: so it is known at once."""
    def world():
        a, b = make("a"), make("b")
        holds, others = threading.Event(), []

        def take(lock):
            return lock if make is Mutex else lock.down_write()

        def helper():
            until(holds.is_set)
            with take(b):
                others.append(current())
                with take(a):
                    pass

        _, end = started("a thread of the factory", helper)

        def role():
            with take(a):
                holds.set()
                until(lambda: others and others[0].waits_on is a)
                with take(b):
                    pass

        def waits_for_the_end():
            end()

        return Scenario({"role": role}, check=waits_for_the_end)

    result = call(tool, world)
    assert (str(result.verdict), result.how) == ("deadlock", "observed"), str(result)
    assert [(member["role"], member["wants"]) for member in result.cycle] \
        == [("role", "b"), ("helper", "a")]


@pytest.mark.parametrize("tool", [run, explore])
def test_a_hang_is_known_at_once_when_the_thread_outside_waits_too(tool):
    ways_out = []

    def world():
        never, neither, others = Completion("never"), Completion("neither"), []
        begun = threading.Event()
        ways_out.append(neither)

        def helper():
            until(begun.is_set)
            others.append(current())
            neither.wait()

        started("a thread of the factory", helper)

        def role():
            begun.set()
            until(lambda: others and others[0].waits_on is neither)
            never.wait()

        return {"role": role}

    result = call(tool, world, timeout=20)
    for completion in ways_out:
        completion.complete()
    assert (str(result.verdict), result.how) == ("hang", "observed")


@pytest.mark.parametrize("tool", [run, explore])
def test_a_hang_is_known_at_once_when_the_thread_that_holds_the_lock_has_ended(tool):
    def world():
        a = Mutex("a")
        begun = threading.Event()

        def holder():
            until(begun.is_set)
            a.acquire()

        thread = threading.Thread(target=holder)
        thread.start()

        def role():
            begun.set()
            thread.join()
            with a:
                pass

        return {"role": role}

    result = call(tool, world, timeout=20)
    assert (str(result.verdict), result.how) == ("hang", "observed"), str(result)


def test_a_wait_for_a_thread_that_was_there_before_the_call_is_not_lost_at_once():
    """It has used none of our locks, and nobody knows of it but who names it."""
    done, waited_for = Completion("done"), threading.Event()

    class Tells(Observer):
        def lock_contended(self, task, lock, mode):
            waited_for.set()

    thread = threading.Thread(target=lambda: waited_for.wait() and done.complete())
    thread.start()
    result = run(lambda: {"role": lambda: done.wait(by=thread)}, observers=lambda: [Tells()],
                 runs=1)
    waited_for.set()
    thread.join()
    assert result.verdict == "clean"


@pytest.mark.parametrize("tool", [run, explore])
def test_a_wait_for_a_thread_that_has_ended_is_a_hang_known_at_once(tool):
    def world():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        never = Completion("never")
        return {"role": lambda: never.wait(by=thread)}

    result = call(tool, world, timeout=20)
    assert (str(result.verdict), result.how) == ("hang", "observed")


@pytest.mark.parametrize("tool", [run, explore])
def test_when_the_timeout_judges_who_may_still_act_is_named(tool):
    may_end = threading.Event()

    def world():
        never = Completion("never")

        def helper():
            until(may_end.is_set)

        started("a thread of the factory", helper)
        return {"role": never.wait}

    result = call(tool, world, timeout=0.2)
    may_end.set()
    assert (str(result.verdict), result.how) == ("hang", "timed out")
    assert "helper (started at test_outsiders.py:" in result.finding.text
    assert "outside the run, may still act" in result.finding.text


GIVES = {"a mutex": (Mutex, "acquire", "release"),
         "a mutex by with": (Mutex, "__enter__", "__exit__"),
         "a semaphore read": (RWSemaphore, "down_read", "up_read"),
         "a semaphore written": (RWSemaphore, "down_write", "up_write")}


@pytest.mark.parametrize("make, take, give", GIVES.values(), ids=GIVES)
@each
def test_who_only_gives_a_lock_up_while_the_roles_run_is_seen(tool, make, take, give):
    """The thread took it before anybody listened; the role tries for it before and after."""
    def world():
        a, taken, seen, given = make("a"), *[threading.Event() for _ in range(3)]

        def helper():
            getattr(a, take)()
            taken.set()
            until(seen.is_set)
            getattr(a, give)(*[None] * (3 * (give == "__exit__")))
            given.set()

        started("a thread of the factory", helper)
        taken.wait()
        lock, unlock = (lambda: a.acquire(blocking=False), a.release) if make is Mutex \
            else (a.down_write_trylock, a.up_write)

        def role():
            assert not lock()
            seen.set()
            given.wait()
            assert lock()
            unlock()

        return {"role": role}

    result = call(tool, world)
    assert str(result.verdict) == TOOLS[tool], str(result)
    assert "is outside the run and used a (once, at" in " ".join(str(result).split())


@each
def test_a_thread_that_ended_before_the_roles_begin_does_not_matter(tool):
    def world():
        a = Mutex("a")
        thread = threading.Thread(target=taking(a))
        thread.start()
        thread.join()
        return {"one": taking(a), "two": taking(a)}

    result = call(tool, world)
    assert (str(result.verdict), "outside the run" in str(result)) == ("clean", False)


@each
def test_a_thread_that_is_still_at_work_when_the_roles_have_ended_leaves_no_proof(tool):
    may_end = threading.Event()

    def world():
        def helper():
            until(may_end.is_set)

        started("a thread of the factory", helper)
        return {"role": taking(Mutex("a"))}

    result = call(tool, world)
    may_end.set()
    assert str(result.verdict) == TOOLS[tool]
    assert "still at work, at test_outsiders.py:" in str(result).replace("\n  ", " ")


@each
def test_an_idle_worker_of_a_pool_is_not_at_work(tool):
    pools = []

    def world():
        pools.append(ThreadPoolExecutor(1))
        pools[-1].submit(lambda: None).result()
        return {"role": taking(Mutex("a"))}

    result = call(tool, world)
    for pool in pools:
        pool.shutdown()
    assert (str(result.verdict), "outside the run" in str(result)) == ("clean", False)


@pytest.mark.parametrize("make, use", [
    (Mutex, lambda mutex: mutex.acquire(False)), (RWSemaphore, RWSemaphore.down_read_trylock),
    (RWSemaphore, RWSemaphore.down_write_trylock), (Completion, lambda done: done.wait(0))])
@pytest.mark.parametrize("times, said", [(1, "once, at"), (3, "3 times, first at")])
def test_who_only_tries_in_vain_is_seen_with_how_often(make, use, times, said):
    def world():
        thing, has_it = make("thing"), threading.Event()

        def helper():
            has_it.wait(10)
            answers.extend(use(thing) for _ in range(times))

        thread = threading.Thread(target=helper)
        thread.start()

        def role():
            if make is not Completion:
                getattr(thing, "acquire" if make is Mutex else "down_write")()
            else:
                thing.done()
            has_it.set()
            JOIN(thread)
            if make is not Completion:
                getattr(thing, "release" if make is Mutex else "up_write")()
            else:
                thing.complete()

        return {"role": role}

    answers = []
    result = run(world, runs=1)
    assert answers == [False] * times and result.verdict == "clean"
    assert f"used thing ({said} test_outsiders.py:" in str(result).replace("\n  ", " ")


@each
def test_a_hang_is_known_at_once_when_the_thread_outside_waited_before_the_roles_began(tool):
    """It was seen while the world was built, and uses nothing any more."""
    worlds = []

    def world():
        held, never, tasks = Mutex("held"), Completion("never"), []
        worlds.append(never)

        def helper():
            tasks.append(current())
            with held:
                never.wait()

        threading.Thread(target=helper).start()
        until(lambda: tasks and tasks[0].waits_on is never)
        return {"role": taking(held)}

    result = call(tool, world, timeout=20)
    for never in worlds:
        never.complete_all()
    assert (str(result.verdict), result.how) == ("hang", "observed")


def test_who_waits_for_a_thread_outside_whose_own_wait_has_a_limit_is_not_lost_at_once():
    """Its wait is ended, as by its limit, once the role was judged: by a thread nobody knows of."""
    tasks, never, role_waits = [], Completion("never"), threading.Event()

    class Tells(Observer):
        def lock_contended(self, task, lock, mode):
            role_waits.set()

    def ends_it():
        role_waits.wait(20)
        with guarded:
            never.finish()

    def world():
        held = Mutex("held")

        def helper():
            tasks.append(current())
            with held:
                never.wait(timeout=30)

        threading.Thread(target=helper).start()

        def role():
            until(lambda: tasks and tasks[0].waits_on is never)
            with held:
                pass

        return {"role": role}

    thread = threading.Thread(target=ends_it)
    thread.start()
    result = run(world, runs=1, observers=lambda: [Tells()])
    thread.join()
    assert result.verdict == "clean"


def test_locks_that_no_role_uses_are_not_of_the_run():
    def world():
        own, may_go = Mutex("own"), threading.Event()

        def helper():
            until(may_go.is_set)
            taking(own)()

        _, end = started("a thread of the factory", helper)

        def role():
            may_go.set()
            end()
            taking(Mutex("a"))()

        return {"role": role}

    assert not any("used" in note for note in run(world).outcome.notes)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_lock_taken_outside_in_the_middle_of_a_step_is_no_error_of_ours(monkeypatch, blocking):
    """It is taken between the choice of a role that may have it and its request."""
    plain = ScheduledRun._next

    def world():
        a, go, taken, may_end = Mutex("a"), *(threading.Event() for _ in range(3))

        def helper():
            until(go.is_set)
            with a:
                taken.set()
                until(may_end.is_set)

        _, end = started("a thread of the factory", helper)

        def next_(run):
            stood_at = {task: task.lock for task in run.tasks}
            heir = plain(run)
            if stood_at.get(heir) is a:
                go.set()
                taken.wait()
            return heir

        monkeypatch.setattr(ScheduledRun, "_next", next_)

        def role():
            try:
                if a.acquire(blocking):
                    a.release()
            finally:
                may_end.set()
                end()

        return {"role": role}

    result = explore(world)
    assert (str(result.verdict), result.finding.text) == (
        "inconclusive", "helper, outside the run, had a when role was to take it")


def test_a_replayed_schedule_names_them_too():
    def world():
        ready, go = Completion("ready"), threading.Event()

        def helper():
            until(go.is_set)
            ready.complete()

        _, end = started("a thread of the factory", helper)

        def role():
            go.set()
            ready.wait()
            end()
            raise KeyError("spoon")

        return {"role": role}

    found = explore(world)
    again = replay(found.replay, world)
    assert (str(found.verdict), str(again.verdict)) == ("error", "error")
    assert any("used ready (once" in note for note in again.outcome.notes)


def test_a_standstill_is_judged_while_a_role_stands_at_a_semaphore():
    """To look whether it could go on takes the guard of the account."""
    may_end = threading.Event()

    def world():
        semaphore = RWSemaphore("s")

        def reads():
            with semaphore.down_read():
                pass

        def waits():
            with semaphore.down_read():
                until(may_end.is_set)

        return {"waits": waits, "reads": reads}

    result = explore(world, timeout=0.2)
    may_end.set()
    assert str(result.verdict) == "inconclusive"
    assert "waits still runs" in result.finding.text
    assert "while reads is held back; such waits cannot be explored" in result.finding.text


def test_what_was_replaced_while_a_run_was_under_way_is_put_back():
    plain = begin
    run(lambda: {"role": lambda: None})
    assert begin is plain is __import__("_thread").start_new_thread


def test_a_world_with_further_writers_keeps_its_threads():
    world = Scenario({"role": print})
    meet = Meet(At("role", "s"), writers=("s",))
    assert with_writers(world, meet).family is world.family


def test_a_thread_that_only_one_of_several_runs_saw_is_named():
    """The first run is the one that is reported; the helper acts in the second."""
    runs = []

    def world():
        a, go = Mutex("a"), threading.Event()

        def helper():
            until(go.is_set)
            taking(a)()

        runs.append(None)
        end = started("a thread of the factory", helper)[1] if len(runs) == 2 else None

        def role():
            if end is not None:
                go.set()
                end()
            taking(a)()

        return {"role": role}

    [note] = [note for note in run(world, runs=3).outcome.notes if " used a (" in note]
    assert "used a (once, at test_outsiders.py:" in note


def test_nothing_is_collected_while_it_is_looked_where_threads_are(monkeypatch):
    """A collection in there may wait for what the look itself has (CPython 3.11, gh-106883)."""
    seen = []
    monkeypatch.setattr(sys, "_current_frames", lambda: seen.append(gc.isenabled()) or {})
    callsite.frames_of_threads()
    assert (seen, gc.isenabled()) == ([False], True)


def test_a_thread_is_not_taken_for_one_that_had_its_identifier_before():
    """That one has ended, and can let nobody go; the other one lives, and has used no lock yet."""
    before, member = threading.Thread(target=int), Member("now", "here")
    before.start()
    before.join()
    member._ident = before.ident
    by_ident[before.ident] = Task("before", thread=before)
    try:
        assert member.task is None
    finally:
        del by_ident[before.ident]
