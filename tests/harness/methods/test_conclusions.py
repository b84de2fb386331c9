"""What all schedules prove of a prediction; whose seed stands in the token of a random world."""

import random
from types import SimpleNamespace

import pytest

from harness import At, Meet, Mutex, Scenario, Verdict, force, replay, stress
from harness.exploration.token import decode
from harness.lockorder.finding import STATUSES, Prediction
from harness.methods.exhaust import Exhaustive
from harness.methods.tally import Tally
from harness.runtime.verdict import Finding, Outcome


@pytest.mark.parametrize("status, by_instance, writers, becomes", [
    ("unconfirmed", True, (), "guarded"),
    ("unconfirmed", True, ("sem",), "unconfirmed"),    # in no schedule was there such a writer
    ("unconfirmed", False, (), "unconfirmed"),         # of other locks of those classes
    *((status, True, (), status) for status in STATUSES if status != "unconfirmed")])
def test_all_schedules_settle_what_may_happen_with_these_roles_and_locks_alone(
        status, by_instance, writers, becomes):
    prediction = Prediction(("a", "b"), (), status, "so far", by_instance=by_instance,
                            writers=writers)
    Exhaustive._conclude(SimpleNamespace(predictions=[prediction]), "none of all 7")
    assert prediction.status == becomes
    assert (prediction.reason == "so far") == (becomes == status)


def lottery(rng):
    """Fails in three of ten worlds."""
    unlucky = rng.random() < 0.3

    def role():
        if unlucky:
            raise KeyError("unlucky")

    return {"role": role}


@pytest.mark.parametrize("seed", range(4))
def test_token_of_stress_has_the_seed_of_the_world_that_failed(seed):
    result = stress(lottery, runs=20, seed=seed)
    drawn = [random.Random(f"{seed}/{run}").random() < 0.3 for run in range(20)]
    assert result.verdict is Verdict.ERROR
    assert decode(result.replay)[1] == f"{seed}/{drawn.index(True)}"
    assert replay(result.replay, lottery).verdict is Verdict.ERROR


@pytest.mark.parametrize("before, shown", [
    ([], "cut"), ([Verdict.CLEAN], "cut"), ([Verdict.CLEAN, Verdict.HANG], "before"),
    ([Verdict.ERROR], "before")])
def test_at_an_interruption_the_run_under_way_is_shown_unless_something_was_found(before, shown):
    tally = Tally("it")
    for verdict in before:
        found = [] if verdict is Verdict.CLEAN else [Finding(verdict, "observed", "before")]
        tally.add(Outcome(found, []), None)
    cut = Outcome([Finding(Verdict.INCONCLUSIVE, "observed", "cut")], [])
    assert tally.so_far(cut).finding.text == shown
    assert tally.so_far(None).coverage["runs"] == len(before)


def test_runs_that_it_took_to_get_there_are_those_of_all_that_count():
    tally = Tally("it")
    for tried in (3, 1, 2):
        tally.add(Outcome([], [], tried=tried), None)
    assert tally.result().coverage == {"runs": 3, "runs_to_get_there": 6}
    tally = Tally("it")
    tally.add(Outcome([], []), None)
    assert tally.result().coverage == {"runs": 1}


@pytest.mark.parametrize("roles, missing", [("left right", "right"), ("right left", "left")])
def test_of_a_race_that_could_not_be_set_up_the_first_order_of_start_is_told(roles, missing):
    """Under the gate whoever comes second never gets there."""
    def world():
        a, b, gate = Mutex("a"), Mutex("b"), Mutex("gate")

        def takes(first, second):
            def role():
                with gate, first, second:
                    pass
            return role

        made = {"left": takes(a, b), "right": takes(b, a)}
        return Scenario({role: made[role] for role in roles.split()},
                        meet=Meet(At("left", b, holding=a), At("right", a, holding=b)))

    result = force(world)
    assert result.verdict is Verdict.NOT_REACHED
    assert f"in the first, nobody could go on, and the meeting still waited for: {missing} " in \
        result.finding.text
