"""The line of the verdict, for a reader who does not know the tool: which of them are proofs?"""

import re

import pytest
import small_worlds

from harness import At, Meet, Mutex, Scenario, explore, force, predict, replay, run, stress
from harness.exploration.token import encode


def headline(result):
    """Return the line of the verdict, unbroken."""
    return re.split(r"\n(?! )", str(result))[0].replace("\n  ", " ")


def gated():
    """Crosswise under a third lock."""
    gate, roles = Mutex("gate"), small_worlds.abba().roles

    def inside(role):
        with gate:
            role()

    return {name: lambda role=role: inside(role) for name, role in roles.items()}


def met():
    """Two who meet at one lock, of which nothing comes."""
    lock = Mutex("lock")

    def role():
        with lock:
            pass

    return Scenario({"A": role, "B": role}, meet=Meet(At("A", lock), At("B", lock)))


def crowd():
    """As gated, beside others who make it too much for all schedules to be gone through."""
    lock = Mutex("busy")

    def role():
        for _ in range(10):
            with lock:
                pass

    return gated() | dict.fromkeys(("p", "q", "r"), role)


def alone():
    """One role alone, and so one schedule."""
    return {"first": small_worlds.in_order()["first"]}


KNOWN = {"a -> b -> a": "ticket 12"}
CLEAN = {
    "CLEAN (all 2 schedules, a proof for the locks): no order of the lock operations fails":
        lambda: explore(small_worlds.in_order),
    "CLEAN (all 1 schedule, a proof for the locks): no order of the lock operations fails":
        lambda: explore(alone, strategy="dfs"),
    "CLEAN (7 runs, no proof): nothing found": lambda: run(small_worlds.in_order, runs=7),
    "CLEAN (5 runs, no proof): nothing found": lambda: stress(small_worlds.in_order, runs=5),
    "CLEAN (a single run, no proof): nothing found": lambda: run(small_worlds.in_order, runs=1),
    "CLEAN (3 runs, no proof): nothing found": lambda: force(met, runs=3),
    "CLEAN (judged from 2 runs; then all 2 schedules, a proof for the locks): no cycle in the lock "
    "order":
        lambda: predict(small_worlds.in_order),
    "CLEAN (judged from 2 runs; then all 2 schedules, a proof for the locks): 1 cycle in the lock "
    "order, which cannot happen": lambda: predict(gated),
    "CLEAN (judged from 6 runs, no proof): 1 cycle in the lock order, ruled out by what was seen":
        lambda: predict(crowd),
    "CLEAN (judged from 2 runs, no proof): 1 known deadlock (baseline), nothing new":
        lambda: predict(small_worlds.abba_bare, baseline=KNOWN)}
OPEN = {
    "INCONCLUSIVE: nothing found, but not every schedule was tried: stopped after 1 schedule":
        lambda: explore(small_worlds.in_order, max_schedules=1),
    "INCONCLUSIVE: nothing found, but not every schedule was tried: stopped after 3 schedules; "
    "schedules are drawn at random":
        lambda: explore(small_worlds.in_order, strategy="random", max_schedules=3)}


@pytest.mark.parametrize("said", [*CLEAN, *OPEN])
def test_the_headline_says_what_a_verdict_rests_on(said):
    assert headline((CLEAN | OPEN)[said]()) == said


def test_of_all_clean_headlines_that_of_every_schedule_alone_is_said_to_be_a_proof():
    proofs = [said for said in CLEAN if "no proof" not in said]
    proof = r"CLEAN \((judged from \d+ runs?; then )?all \d+ schedules?, a proof for the locks\): "
    assert proofs and all(re.match(proof, said) for said in proofs)
    assert not [said for said in {**CLEAN, **OPEN} if re.search("proven|proved|bounded", said)]
    assert not [said for said in {**CLEAN, **OPEN} if "fear" in said]


@pytest.mark.usefixtures("beside_the_worlds")
def test_a_replay_that_fails_no_more_is_headed_as_one_schedule():
    token = encode(("small_worlds:in_order", {}), "1", ["first"] * 4 + ["second"] * 4)
    assert headline(replay(token)) == \
        "CLEAN (one schedule replayed, no proof): nothing found"


def test_known_deadlocks_are_counted_and_what_cannot_happen_comes_after_them():
    def world():
        gate, c, d = Mutex("gate"), Mutex("c"), Mutex("d")

        def takes(first, second):
            with gate, first, second:
                pass

        return {**small_worlds.abba_bare(), "under": lambda: takes(c, d),
                "over": lambda: takes(d, c)}

    result = predict(world, baseline=KNOWN)
    assert sorted(prediction.status for prediction in result.predictions) == ["guarded", "known"]
    assert re.sub(r"\d+ runs", "N runs", headline(result)) == (
        "CLEAN (judged from N runs, no proof): 1 known deadlock (baseline), nothing new; 1 further "
        "cycle in the lock order, ruled out by what was seen")


def test_a_known_deadlock_beside_a_new_one_does_not_hide_it():
    def world():
        other = {f"{name}'": role for name, role in small_worlds.philosophers_bare().items()}
        return {**small_worlds.abba_bare(), **other}

    result = predict(world, baseline=KNOWN)
    assert headline(result).startswith("DEADLOCK: 3 threads wait for each other ")
