"""Meetings: who is held where, in which order they go on, what is said when one cannot come."""

import threading
from functools import partial

import pytest
import small_worlds

from harness import At, Completion, Meet, Mutex, RWSemaphore, Scenario, ScenarioError, \
    Verdict, force, run

X, S, W = "exclusive", "shared", "wait"


def legs(result):
    """Return the cycle as role -> (what it wants, how, what it holds)."""
    return {leg["role"]: (leg["wants"], leg["mode"], [tuple(hold) for hold in leg["holds"]])
            for leg in result.cycle}


# -- the four programs of the project's claim ------------------------------------------------------

CLAIM = {
    "abba": {"left": ("b", X, [("a", X)]), "right": ("a", X, [("b", X)])},
    "philosophers": {f"philosopher {i}": (f"fork {(i + 1) % 3}", X, [(f"fork {i}", X)])
                     for i in range(3)},
    "nested_read": {"reader": ("sem", S, [("sem", S)]), "writer": ("sem", X, [])},
    "handoff": {"reader2": ("lock", X, [("sem", S)]), "writer": ("sem", X, [("lock", X)])},
}
every_program = pytest.mark.parametrize("name", CLAIM)
WORLDS = [*CLAIM, *(f"{name}_bare" for name in CLAIM)]
every_world = pytest.mark.parametrize("name", WORLDS)


def world_of(name):
    return getattr(small_worlds, name)


@every_world
def test_force_finds_it_every_time_with_a_declared_meeting_and_without(name):
    result = force(world_of(name), runs=20)
    assert (result.verdict, result.coverage["verdicts"], legs(result)) == (
        Verdict.DEADLOCK, {"deadlock": 20}, CLAIM[name.removesuffix("_bare")])


@pytest.fixture(scope="module")
def timed_out(at_once):
    """The futures of what forcing comes to by the timeout: all wait for it together."""
    calls = {name: partial(force, world_of(name), detect="timeout", timeout=0.3) for name in WORLDS}
    calls["waits outside"] = partial(force, waits_outside_for_one_held_back, timeout=0.3)
    return dict(zip(calls, at_once(*calls.values())))


@every_world
def test_force_finds_it_by_the_timeout_too(name, timed_out):
    result = timed_out[name].result()
    assert (result.verdict, result.how, legs(result)) == (
        Verdict.DEADLOCK, "timed out", CLAIM[name.removesuffix("_bare")])


@every_program
def test_stress_finds_it_by_chance_and_names_the_same(name, stressed):
    result = stressed[name]
    assert (result.verdict, legs(result), bool(result.replay)) == (
        Verdict.DEADLOCK, CLAIM[name], True)


@every_world
def test_the_report_of_a_forced_run_is_the_same_every_time(name):
    reports = {str(force(world_of(name))) for _ in range(30)}
    assert len(reports) == 1, "\n\n".join(reports)


# -- what a meeting does ---------------------------------------------------------------------------


def test_what_a_role_holds_matters_not_only_what_it_asks_for():
    """A repaired program asks for the same locks with nothing in its hands."""
    a, b, story = Mutex("a"), Mutex("b"), []

    def left():
        with a:
            pass
        with b:
            story.append("left")

    def right():
        with b:
            with a:
                story.append("right")

    result = force(lambda: Scenario({"left": left, "right": right},
                                    meet=Meet(At("left", b, holding=a), At("right", a, holding=b))))
    assert (result.verdict, set(story)) == (Verdict.NOT_REACHED, {"left", "right"})


@pytest.mark.parametrize("mode, verdict", [(None, "clean"), (S, "clean"), (X, "not-reached")])
def test_a_point_can_ask_for_a_mode(mode, verdict):
    sem = RWSemaphore("sem")

    def reader():
        with sem.down_read():
            pass

    result = force(lambda: Scenario({"one": reader, "two": reader},
                                    meet=Meet(At("one", sem, mode), At("two", sem, mode))))
    assert str(result.verdict) == verdict


@pytest.mark.parametrize("what", ["the lock", "its name", "its class", "both"])
def test_a_lock_is_meant_by_itself_its_name_its_class_or_both(what):
    locks = [Mutex("door 1", "door"), Mutex("door 2", "door")]
    meant = {"the lock": locks, "its name": [lock.name for lock in locks],
             "its class": ["door", "door"], "both": [str(lock) for lock in locks]}[what]

    def role(mine, other):
        def take():
            with locks[mine]:
                with locks[other]:
                    pass
        return take

    result = force(lambda: Scenario(
        {"A": role(0, 1), "B": role(1, 0)},
        meet=Meet(At("A", meant[1], holding=[meant[0]]), At("B", meant[0], holding=[meant[1]]))))
    assert result.verdict is Verdict.DEADLOCK


def test_everything_named_in_holding_must_be_held():
    a, b, c, d = map(Mutex, "abcd")

    def first():
        with a, c:   # too early: b is missing
            pass
        with a, b, c:
            pass

    def second():
        with d:
            pass

    result = force(lambda: Scenario({"first": first, "second": second},
                                    meet=Meet(At("first", c, holding=(a, b)), At("second", d))))
    got = [event["lock"] for event in result.trace if event["event"] == "lock_acquired"]
    assert (result.verdict, got) == (Verdict.CLEAN, ["a", "c", "a", "b", "c", "d"])


@pytest.mark.parametrize("order", ["ABC", "CAB", "BCA"])
def test_roles_go_on_in_the_order_of_the_points(order):
    def world():
        lock = Mutex("lock")

        def role():
            with lock:
                pass

        return Scenario(dict.fromkeys("ABC", role), meet=Meet(*(At(name, lock) for name in order)))

    for _ in range(10):
        result = force(world)
        asked = [event["role"] for event in result.trace
                 if event["event"] in ("lock_contended", "lock_acquired")]
        assert (result.verdict, "".join(dict.fromkeys(asked))) == (Verdict.CLEAN, order)


def test_several_meetings_are_held_one_after_another():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def role():
            with a:
                pass
            with b:
                pass

        return Scenario({"A": role, "B": role},
                        meet=[Meet(At("A", a), At("B", a)), Meet(At("B", b), At("A", b))])

    for _ in range(10):
        result = force(world)
        got = [(event["role"], event["lock"]) for event in result.trace
               if event["event"] in ("lock_contended", "lock_acquired")]
        assert (result.verdict, list(dict.fromkeys(got))) == (
            Verdict.CLEAN, [("A", "a"), ("B", "a"), ("B", "b"), ("A", "b")])


def test_a_thread_that_a_role_starts_can_be_met():
    a, b = Mutex("a"), Mutex("b")

    def worker():
        with b:
            with a:
                pass

    def boss():
        thread = threading.Thread(target=worker, name="worker")
        thread.start()
        with a:
            with b:
                pass
        thread.join()

    result = force(lambda: Scenario({"boss": boss}, meet=Meet(At("boss", b, holding=a),
                                                              At("worker", a, holding=b))))
    assert (result.verdict, set(legs(result))) == (Verdict.DEADLOCK, {"boss", "worker"})


def test_a_trylock_is_not_held_at_a_meeting():
    a = Mutex("a")

    def trier():
        if a.acquire(False):
            a.release()

    result = force(lambda: Scenario({"A": trier, "B": trier}, meet=Meet(At("A", a), At("B", a))))
    assert result.verdict is Verdict.NOT_REACHED


def test_a_completion_can_be_a_meeting_point():
    done = Completion("done")

    def waiter():
        done.wait(by="B")

    def completer():
        with Mutex("own"):
            done.complete()

    result = force(lambda: Scenario({"A": waiter, "B": completer},
                                    meet=Meet(At("A", done, W), At("B", "own"))))
    events = [(event["role"], event["event"]) for event in result.trace]
    queued, went_on = events.index(("A", "lock_contended")), events.index(("B", "lock_acquired"))
    assert (result.verdict, queued < went_on) == (Verdict.CLEAN, True)


# -- when it cannot be set up ----------------------------------------------------------------------


def test_a_meeting_opens_when_a_partner_ended_and_says_who():
    a, story = Mutex("a"), []

    def comes():
        with a:
            story.append("went on")

    result = force(lambda: Scenario({"comes": comes, "stays away": lambda: None},
                                    meet=Meet(At("comes", a), At("stays away", a, holding="b"))))
    assert (result.verdict, set(story), result.finding.text.endswith(
        "stays away ended without being where it should meet the others: "
        "stays away about to take a while holding b")) == (Verdict.NOT_REACHED, {"went on"}, True)


def test_a_meeting_opens_when_nobody_can_go_on_and_says_what_it_still_waited_for():
    """The partner is blocked behind the one who waits for it."""
    def world():
        a, b = Mutex("a"), Mutex("b")

        def role():
            with a:
                with b:
                    pass

        return Scenario({"A": role, "B": role},
                        meet=Meet(At("A", b, X, holding=a), At("B", b, X, holding=a)))

    result = force(world)
    assert (result.verdict, "nobody could go on, and the meeting still waited for: "
            in result.finding.text, "about to take b (exclusive) while holding a"
            in result.finding.text) == (Verdict.NOT_REACHED, True, True)


def test_an_unmet_meeting_with_a_deadlock_behind_it_is_a_deadlock():
    def world():
        scenario = small_worlds.abba()
        return Scenario({**scenario.roles, "away": lambda: None},
                        meet=[scenario.meet, Meet(At("left", "c"), At("away", "c"))])

    assert force(world).verdict is Verdict.DEADLOCK


def test_a_met_race_that_comes_to_nothing_is_clean_and_says_so():
    lock = Mutex("lock")

    def role():
        with lock:
            pass

    result = force(lambda: Scenario({"A": role, "B": role},
                                    meet=Meet(At("A", lock), At("B", lock))))
    assert (result.verdict, "the roles met as asked and nothing came of it" in str(result)) \
        == (Verdict.CLEAN, True)


def test_without_a_meeting_and_without_a_deadlock_the_verdict_is_not_reached():
    result = force(small_worlds.in_order)
    assert (result.verdict, "no meeting is declared" in result.finding.text) \
        == (Verdict.NOT_REACHED, True)


def test_without_a_meeting_a_later_nested_request_is_tried_too():
    """Both pass their first nested request; only the second pair is crosswise."""
    def world():
        names = "abcd"
        a, b, c, d = map(Mutex, names)

        def left():
            with a, b:
                pass
            with c, d:
                pass

        def right():
            with a, b:
                pass
            with d, c:
                pass

        return {"left": left, "right": right}

    assert legs(force(world)) == {"left": ("d", X, [("c", X)]), "right": ("c", X, [("d", X)])}


# -- wrong use -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong, text", [
    (lambda: Meet(), "at least two points"),
    (lambda: Meet(At("A", "a")), "at least two points"),
    (lambda: Meet(At("A", "a"), At("A", "b")), "each of another role"),
    (lambda: At("A", "a", mode="read"), "mode is 'read'"),
    (lambda: force(lambda: Scenario({"A": print}, meet="A")), "expected a Meet or several"),
    (lambda: force(lambda: Scenario({"A": print}, meet=["A"])), "expected a Meet or several"),
    (lambda: force(lambda: Scenario({"A": print}, meet=7)), "expected a Meet or several"),
    (lambda: Meet("A", "B"), "At"),
    (lambda: force(small_worlds.abba, runs=0), "runs is 0"),
    (lambda: force(small_worlds.abba, timeout=0), "timeout is 0"),
    (lambda: force(small_worlds.abba, timeout=float("nan")), "timeout is nan"),
    (lambda: run(small_worlds.abba, detect="guess"), "detect is 'guess'"),
    (lambda: run(small_worlds.no_roles), "returned no roles"),
    (lambda: run(lambda: {}), "returned no roles"),
    (lambda: run({"A": print}), "expected a callable"),
    (lambda: run(lambda: {"A": 7}), "role 'A' is 7"),
    (lambda: run(lambda: {7: print}), "role 7 is"),
])
def test_wrong_arguments_are_refused_in_one_clear_line(wrong, text):
    with pytest.raises(ScenarioError) as caught:
        wrong()
    assert (text in str(caught.value), "\n" in str(caught.value)) == (True, False)


def waits_outside_for_one_held_back():
    """The poller runs, so nobody is idle, and the setter would never start: the watcher notices."""
    lock, gone = Mutex("lock"), threading.Event()

    def poller():
        assert gone.wait(120)
        with lock:
            pass

    def setter():
        with lock:
            pass
        gone.set()

    return Scenario({"poller": poller, "setter": setter},
                    meet=Meet(At("poller", "lock", holding="never"), At("setter", "lock")))


def test_a_role_that_waits_outside_our_locks_for_one_held_back_lets_everybody_go(timed_out):
    result = timed_out["waits outside"].result()
    assert result.verdict is Verdict.NOT_REACHED, result
