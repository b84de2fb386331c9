"""Replay: the schedule of a run, the token that carries it, and the same finding every time."""

import base64
import json
import signal
import threading
import zlib
from pathlib import Path

import pytest
import small_worlds

from harness import (Mutex, RWSemaphore, Scenario, ScenarioError, Verdict, explore, replay,
                     stress)
from harness.exploration.token import decode, encode, schedule_of
from harness.locks.task import Task
from harness.methods.ctrl_c import Interrupted
from harness.runtime.recorder import Event

A, B = Task("A"), Task("B")
LOCK, OTHER = Mutex("lock"), Mutex("other")


def events(*lines):
    """Return events from lines as "A acquire lock"."""
    tasks, locks = {"A": A, "B": B}, {"lock": LOCK, "other": OTHER}
    return [Event(tasks[task], f"lock_{event}", locks[lock], "exclusive", ())
            for task, event, lock in map(str.split, lines)]


@pytest.mark.parametrize("lines, schedule", [
    ([], ""),
    (["A acquire lock", "A acquired lock", "A release lock"], "AA"),
    (["A acquire lock", "B acquire lock", "B acquired lock", "A contended lock"], "BA"),
    # B recorded that it must wait before A recorded that it was faster.
    (["A acquire lock", "B acquire lock", "B contended lock", "A acquired lock"], "AB"),
    # The same, with something of A's on another lock after it: B stands behind what it lost to.
    (["A acquire lock", "B acquire lock", "B contended lock", "A acquired lock",
      "A acquire other", "A acquired other"], "ABA"),
    # A trylock that failed leaves no outcome: it stands where its role's next operation begins.
    (["A acquire lock", "A acquired lock", "B acquire lock", "B acquire other", "B acquired other"],
     "ABB"),
    # A request without an outcome at the end of the recording was never passed.
    (["A acquire lock", "A acquired lock", "B acquire other"], "A"),
])
def test_a_schedule_lists_who_passed_an_operation_in_order(lines, schedule):
    assert "".join(schedule_of(events(*lines))) == schedule


@pytest.mark.parametrize("schedule", [[], ["A"], ["A", "B", "A"], ["role with blanks", "ä"] * 50,
                                      [f"role {i}" for i in range(200)]])
def test_a_token_carries_what_was_put_into_it(schedule):
    token = encode(("module:name", {"fix": ["x"]}), "7/3", schedule)
    assert decode(token) == (("module:name", {"fix": ["x"]}), "7/3", schedule)
    assert token.isascii() and all(c.isalnum() or c in "-_" for c in token)


def test_a_token_carries_more_roles_than_a_byte_counts():
    schedule = [f"role {i}" for i in range(300)]
    assert decode(encode(("module:name", {}), "7", schedule))[2] == schedule


def packed(data):
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(data).encode())).decode().rstrip("=")


GOOD = encode(("small_worlds:abba", {}), "1/0", ["left", "right", "left", "right"])


@pytest.mark.parametrize("token", [
    "", "x", "garbage", "é", "----", "A" * 1000, GOOD[:-4], GOOD[1:],
    packed(None), packed([]), packed([1]), packed({"a": 1}), packed([1, "m:n", {}, "1", [], "00"]),
    packed([1, "m:n", {}, "1", ["A"], "zz"]), packed([1, 7, {}, "1", ["A"], "00"]),
    packed([1, "m:n", 7, "1", ["A"], "00"]), packed([1, "m:n", {}, "1", "A", 7]),
    packed([99, "m:n", {}, "1", ["A"], "00"]),
    packed([1, "small_worlds:nothing_of_that_name", {}, "1", ["A"], "00"]),
    packed([1, "no_such_module:x", {}, "1", ["A"], "00"]),
    packed([1, "small_worlds:abba", {"wrong": 1}, "1", ["A"], "00"]),
])
def test_a_token_that_is_none_is_refused_in_one_line(token):
    with pytest.raises(ScenarioError) as caught:
        replay(token)
    assert str(caught.value) and "\n" not in str(caught.value)


def plain(text):
    """Return a token of *text*, whatever it is."""
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode()


DATA = {"version": 1, "name": "m:n", "arguments": {}, "seed": "1/0", "roles": ["A", "B"],
        "order": [0, 1]}


@pytest.mark.parametrize("part, value", [
    ("version", True), ("version", 1.0), ("version", "1"), ("version", [1]), ("version", -1),
    ("version", 10**4000), ("name", None), ("name", ["m:n"]), ("name", "m" * 5001),
    ("arguments", []), ("arguments", None), ("seed", 1), ("seed", None), ("seed", "1" * 5001),
    ("roles", "AB"), ("roles", ["A", 1]), ("roles", ["A", "A"]), ("roles", ["A", "\ud800"]),
    ("roles", {"A": 1}), ("roles", ["r" * 5001, "B"]), ("roles", list(map(str, range(10001)))),
    ("order", [2]), ("order", [-1]), ("order", [True]), ("order", [0.0]), ("order", ["0"]),
    ("order", "01"), ("order", {"0": 1}), ("order", [10**30]), ("order", [[0]]),
    ("order", [float("nan")]), ("order", lambda: [0] * 250_001)])
def test_every_part_of_a_token_is_of_its_type_range_and_size(part, value):
    value = value() if callable(value) else value    # what is long is made when it is needed
    with pytest.raises(ScenarioError) as caught:
        decode(packed([*{**DATA, part: value}.values()]))
    assert str(caught.value).startswith("this ") and len(str(caught.value)) < 100


@pytest.mark.parametrize("part, value", [
    ("seed", "1/0"), ("seed", ""), ("seed", "-1"), ("seed", str(2**32)), ("seed", "\u0663"),
    ("seed", "1" * 5000), ("order", [4]), ("points", "AB"), ("points", [1]), ("points", None),
    ("ends", None), ("ends", ["a"]), ("ends", [["a"]]), ("ends", [["a", 1]]), ("ends", [[]]),
    ("ends", {"a": ["b"]}), ("ends", [["a", "b"]] * 10_001)])
def test_every_part_of_a_token_of_explore_is_so_too(part, value):
    good = {**DATA, "version": 4, "seed": "7", "order": [3], "points": [], "ends": []}
    assert decode(packed([*good.values()]))[2].steps == (("B", True),)
    with pytest.raises(ScenarioError, match="no replay token"):
        decode(packed([*{**good, part: value}.values()]))


@pytest.mark.parametrize("text", [
    "[" * 100_000, "[" * 500 + "]" * 500, "[1,\"m:n\",{\"a\":1,\"a\":2},\"1\",[],[]]",
    "[1,\"m:n\",{\"a\":NaN},\"1\",[],[]]", "[1,\"m:n\",{},\"1\",[],[" + "9" * 5000 + "]]",
    pytest.param(lambda: json.dumps([*DATA.values()]) + " " * 4_000_000, id="spaces"),
    "0", "\"text\"", "{}"])
def test_what_a_token_unpacks_to_is_bounded_json(text):
    with pytest.raises(ScenarioError, match="no replay token"):
        decode(plain(text() if callable(text) else text))


def test_a_token_is_one_string_of_its_letters_and_line_breaks_of_a_mail_do_no_harm():
    assert decode(f" {GOOD[:9]}\n{GOOD[9:]}\n") == decode(GOOD)
    for wrong in (f"{GOOD[:9]}%%%%{GOOD[9:]}", f"{GOOD}AAAA", GOOD.encode(), None, 5):
        with pytest.raises(ScenarioError, match="token"):
            decode(wrong)


def test_a_schedule_that_is_longer_than_a_token_may_be_has_none():
    assert encode(("m:n", {}), "1/0", ["A"] * 250_000)
    assert encode(("m:n", {}), "1/0", ["A"] * 250_001) == ""
    assert encode(("m:n", {}), "1/0", [f"{i:0999}" for i in range(4000)]) == ""


def essence(result):
    """Return what a replay must show again: the cycle, who waits where for what."""
    return result.verdict, sorted(map(str, result.cycle))


@pytest.mark.usefixtures("beside_the_worlds")
@pytest.mark.parametrize("name", ["abba", "philosophers", "nested_read", "handoff"])
def test_a_finding_of_stress_is_shown_again_ten_times_out_of_ten(name, stressed):
    result = stressed[name]
    assert result.verdict is Verdict.DEADLOCK
    again = [replay(result.replay) for _ in range(10)]
    assert [essence(one) for one in again] == [essence(result)] * 10


@pytest.mark.usefixtures("beside_the_worlds")
@pytest.mark.parametrize("name", ["abba", "philosophers", "nested_read", "handoff"])
def test_every_run_of_stress_can_be_shown_again(name):
    """Twelve seeds, the first finding of each: also those whose threads recorded crosswise. At
    least one run in ten finds it: 180 misses in a row do not happen.
    """
    results = [stress(getattr(small_worlds, name), runs=15, seed=seed) for seed in range(12)]
    found = [result for result in results if result.verdict is not Verdict.CLEAN]
    assert found and all(result.replay for result in found)
    for result in found:
        again = replay(result.replay)
        assert essence(again) == essence(result), f"{result}\n\n{again}"


@pytest.mark.usefixtures("beside_the_worlds")
def test_a_replay_gives_the_same_report_every_time(stressed):
    reports = {str(replay(stressed["handoff"].replay)) for _ in range(10)}
    assert len(reports) == 1, "\n\n".join(reports)


@pytest.mark.usefixtures("beside_the_worlds")
@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")])
def test_requests_of_a_deadlock_wait_in_the_order_of_the_token_and_are_counted(order):
    """Both take their first lock, left before right; then they ask in either order."""
    result = replay(encode(("small_worlds:abba", {}), "1/0", ["left", "right", *order]))
    assert (result.verdict, result.coverage["replayed_operations"]) == (Verdict.DEADLOCK, 4)
    assert [event["role"] for event in result.trace
            if event["event"] == "lock_contended"] == list(order)


def test_a_token_works_in_another_process(stressed, in_another_process):
    result = stressed["abba"]
    done = in_another_process("-m", "harness", "replay", result.replay, "--json", "-")
    data = json.loads(done.stdout)
    assert (done.returncode, data["verdict"], sorted(map(str, data["cycle"])), data["replay"]) == (
        1, "deadlock", sorted(map(str, result.cycle)), result.replay)


def test_a_world_made_at_random_is_made_again():
    drawn = []

    def world(rng):
        drawn.append(rng.random())
        return {"A": Mutex("a").locked}

    stress(world, runs=3, seed=5)
    for number in range(3):
        replay(encode(("nowhere:world", {}), f"5/{number}", []), world)
    assert (drawn[:3] == drawn[3:], len(set(drawn))) == (True, 3)


def test_a_scenario_without_an_importable_name_has_no_token():
    result = stress(lambda: small_worlds.abba(), runs=100, seed=1)
    assert (result.verdict, result.replay) == (Verdict.DEADLOCK, "")


# -- the code has changed since --------------------------------------------------------------------


def repaired():
    """abba, with the order put right."""
    a, b = Mutex("a"), Mutex("b")

    def role():
        with a:
            with b:
                pass

    return Scenario({"left": role, "right": role})


def emptied():
    """abba, without any lock operation."""
    return Scenario({"left": lambda: None, "right": lambda: None})


def renamed():
    """abba, with other names for the roles: they deadlock as before, but not as told."""
    return Scenario(dict(zip(("one", "other"), small_worlds.abba().roles.values())))


def another_kind():
    """abba, with semaphores read in place of mutexes: the same operations, no deadlock."""
    a, b = RWSemaphore("a"), RWSemaphore("b")

    def role(first, second):
        def take():
            with first.down_read(), second.down_read():
                pass
        return take

    return Scenario({"left": role(a, b), "right": role(b, a)})


@pytest.mark.parametrize("changed", [repaired, emptied])
def test_a_program_that_cannot_follow_the_schedule_is_reported_as_changed(changed, stressed):
    result = replay(stressed["abba"].replay, changed)
    assert (result.verdict, "the code has changed since this was recorded" in result.finding.text) \
        == (Verdict.NOT_REACHED, True), str(result)


def test_what_is_found_after_the_schedule_was_left_says_that_it_was_left(stressed):
    report = str(replay(stressed["abba"].replay, renamed))
    assert "the code has changed since this was recorded" in report


def test_a_program_that_follows_the_schedule_to_another_end_is_judged_by_it(stressed):
    assert replay(stressed["abba"].replay, another_kind).verdict is Verdict.CLEAN


def meet_outside():
    """abba, but one role waits for the other outside our locks before it asks for any."""
    ready, roles = threading.Event(), small_worlds.abba().roles
    return Scenario({"left": lambda: ready.wait() and roles["left"](),
                     "right": lambda: ready.set() or roles["right"]()})


def test_roles_may_wait_for_each_other_outside_our_locks_before_their_first_operation():
    token = encode(("nowhere:world", {}), "1/0", ["left", "right", "left", "right"])
    result = replay(token, meet_outside)
    assert (result.verdict, result.coverage["replayed_operations"]) == (Verdict.DEADLOCK, 4)


def test_a_role_that_does_nothing_any_more_is_noted_and_what_is_found_all_the_same_is_shown():
    order = ["left", "third", "right", "left", "third", "right"]
    token = encode(("nowhere:world", {}), "1/0", order)
    roles = dict(small_worlds.abba().roles)
    clean = replay(token, lambda: Scenario({"left": roles["left"], "third": print, "right": print}))
    assert clean.verdict is Verdict.NOT_REACHED and "is third's" in str(clean)
    result = replay(token, lambda: Scenario({**small_worlds.abba().roles, "third": lambda: None}))
    assert result.verdict is Verdict.DEADLOCK
    assert "the code has changed since this was recorded: operation 2 is third's" in str(result)


def test_ctrl_c_before_the_run_begins_is_inconclusive(ctrl_c_interrupts):
    def world():
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        replay(encode(("nowhere:world", {}), "1/0", ["left"]), world)
    assert caught.value.result.verdict is Verdict.INCONCLUSIVE


# Made by the tree before harness had packages, where programs stood in harness.notation.
OLD_EXPLORED = (
    "eNodzE0KgzAQQOG7zHriT4SWehVxMcaRpoaMZIJSSu_epNvHx5sswpNSZNUmSqbsJY7qOFLyAviBzQeGETJr1nalTO3hvFmZ1iBu1"
    "-alEgHBkVZGnMxFYTenGi2H0xxJFi7g5KTlXczCm6SaDgnevUu5ks-c4Itgh9vw6O-97QCneqvsf5hx6tCinecf6XQ7KA")
OLD_STRESSED = (
    "eNo1jEsOgzAMBe_itcNn0wVXiViYYNSUKEZ2BKqq3r1mUb3daN7EEeFJWtmsq9KoZamTJa6kWQA_sOXCMEFja9av1Kg_Ug4r01ok7da"
    "9TCogJLJbI9ZwUdnDacG8cIZDZWEXTlbztjsLb6I3OqTk9HZyaW6s8EUY-wdghP_JczBjHHD0DfP8A9FkOhU")


@pytest.mark.parametrize("token", [OLD_EXPLORED, OLD_STRESSED])
def test_a_token_made_before_harness_had_packages_shows_the_same_deadlock(token, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])    # a token names the file of its program
    result = replay(token)
    assert result.verdict is Verdict.DEADLOCK
    assert {(role.role, role.wants) for role in result.finding.cycle} == {
        ("probe", "pci_bus_sem"), ("aer", "dev(PF)")}


def test_turns_that_cannot_come_are_passed_over_in_linear_time():
    """A stranger's schedule has 50,000 turns of a role that takes two locks: minutes, if each turn
    that is left out costs what all that are left cost.
    """
    token = encode(("nowhere:world", {}), "1/0", ["left"] * 50_000)
    result = replay(token, repaired)
    assert (result.verdict, "operation 5 is left's" in str(result)) == (Verdict.NOT_REACHED, True)


@pytest.mark.usefixtures("beside_the_worlds")
def test_what_is_no_character_in_the_name_of_a_role_is_not_printed():
    report = str(replay(encode(("small_worlds:abba", {}), "1/0", ["\x1b[2J", "left"])))
    assert "\x1b" not in report and r"\x1b[2J" in report


def test_name_with_half_a_character_is_as_good_as_another_but_in_no_token():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def role(first, then):
            with first, then:
                pass
        return {"\ud800": lambda: role(a, b), "two": lambda: role(b, a)}

    assert [(tool(world, **how).verdict, tool(world, **how).replay) for tool, how in (
        (explore, {}), (stress, {"runs": 1000, "seed": 1}))] == [(Verdict.DEADLOCK, "")] * 2
