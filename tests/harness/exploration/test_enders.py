"""Who is to end a wait is learned from schedules in which somebody did."""

import pytest

from harness import Completion, Mutex, Verdict, explore, force, predict, replay
from harness.methods import confirming
from harness.runtime.enders import Enders
from harness.threading import Event, Lock, Semaphore


def waits_with_what_the_other_needs(make=Completion, wait="wait", end="complete"):
    """Return a world: the waiter has the lock that the other needs first. They go on if it has not
    got it yet.
    """
    def world():
        lock, done = Mutex("lock"), make()

        def waiter():
            with lock:
                getattr(done, wait)()

        def ender():
            with lock:
                getattr(done, end)()

        return {"waiter": waiter, "ender": ender}
    return world


KINDS = {"completion": waits_with_what_the_other_needs(),
         "event": waits_with_what_the_other_needs(Event, end="set"),
         "permits": waits_with_what_the_other_needs(lambda: Semaphore(0), "acquire", "release")}
both_ways = pytest.mark.parametrize("engine", [False, True])


@both_ways
@pytest.mark.parametrize("world", KINDS.values(), ids=KINDS)
def test_a_hang_is_a_deadlock_once_another_schedule_shows_who_ends_the_wait(world, engine):
    """The first schedule hangs: the waiter goes first. In the second the other does."""
    result = explore(world, engine=engine)
    assert (result.verdict, result.finding.text) == (
        Verdict.DEADLOCK, "2 threads wait for each other")
    assert {member["role"]: member["why"] for member in result.members} == {
        "waiter": "ender is to end the wait", "ender": "waiter holds it"}
    assert result.coverage["schedules"] <= 2


@pytest.mark.parametrize("world", KINDS.values(), ids=KINDS)
def test_its_token_says_who(world):
    token = explore(world).replay
    again = replay(token, world)
    assert (again.verdict, again.outcome.notes) == (Verdict.DEADLOCK, [])


@pytest.mark.parametrize("find", [predict, force])
def test_runs_learn_from_runs_before(find):
    def other_way_round():
        roles = KINDS["completion"]()
        return dict(reversed(roles.items()))

    assert find(other_way_round).verdict is Verdict.DEADLOCK


def test_who_has_done_it_as_often_as_ever_will_not_again():
    """The wake-up comes before the wait and is lost; its sender waits for the one who waits."""
    def world():
        done, late = Event(), Event()

        def sender():
            done.set()
            late.wait()

        def waiter():
            done.clear()
            done.wait()
            late.set()

        return {"waiter": waiter, "sender": sender}

    result = explore(world, all=True)
    assert result.verdict is Verdict.HANG and not result.coverage["verdicts"].get("deadlock")
    for report in (str(result), str(replay(result.replay, world))):
        assert "nobody comes to end it: sender has done so before" in report


def test_who_would_have_ended_it_and_has_ended_is_told():
    """The sender goes home if the waiter was there first."""
    def world():
        lock, done, came = Mutex("lock"), Event(), []

        def waiter():
            with lock:
                came.append(True)
            done.wait()

        def sender():
            with lock:
                if came:
                    return
            done.set()

        return {"waiter": waiter, "sender": sender}

    result = explore(world)
    assert result.verdict is Verdict.HANG
    assert "nobody comes to end it: sender, who does so elsewhere, has ended" in " ".join(
        str(result).split())


def test_one_of_two_who_may_end_it_is_enough_to_go_on():
    """a has the lock and waits; b needs the lock to wake a; c wakes it, or waits for what nobody
    brings. So it is no deadlock in any order: c is not of it.
    """
    def world():
        lock, done, never = Mutex("lock"), Event(), Event()
        asked = Lock()

        def a():
            with lock:
                done.wait()

        def b():
            with lock:
                done.set()

        def c():
            if asked.acquire(False):
                never.wait()
            done.set()

        def d():
            asked.acquire()
            asked.release()

        return {"a": a, "b": b, "c": c, "d": d}

    result = explore(world, all=True)
    assert {word for word in result.coverage["verdicts"] if word != "clean"} == {"hang"}


def test_a_search_goes_on_a_hundred_schedules_at_most_for_that(monkeypatch):
    """Nobody ever ends it; five steps of another role make the schedules."""
    def world():
        never, beside = Event(), [Mutex("beside") for _ in range(2)]

        def others():
            for lock in beside:
                with lock:
                    pass

        return {"waiter": never.wait, "one": others, "two": others}

    assert explore(world, engine=False).coverage["schedules"] == 4    # all
    monkeypatch.setattr(confirming, "LEARNS", 2)
    assert explore(world, engine=False).coverage["schedules"] == 3


def test_what_was_seen_counts_by_how_often_in_one_run():
    enders = Enders()
    assert not enders and enders.still("done", []) == set()
    enders.learn([("done", "a"), ("done", "a"), ("other", "b")])
    enders.learn([("done", "a"), ("done", "c")])
    assert enders and "done" in enders and "more" not in enders
    assert [enders.still("done", done) for done in ([], ["a"], ["a", "c"], ["a", "a", "c"])] == [
        {"a", "c"}, {"a", "c"}, {"a"}, set()]
    assert enders.told(["done", "more"]) == [["done", "a", "a", "c"]]
    assert Enders(enders.told(["done"])).still("done", ["a", "a"]) == {"c"}
    assert [enders.why_nobody(lock, done, ended) for lock, done, ended in [
        ("more", ["a"], ["a"]), ("done", ["a"], []), ("done", ["a", "a"], []),
        ("done", [], ["c"])]] == [
        "", "", "nobody comes to end it: a has done so before",
        "nobody comes to end it: c, who does so elsewhere, has ended"]
