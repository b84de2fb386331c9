"""The fast engine: programs of lock operations, what each operation means, every state of them.

The second opinion is brute.py, which goes through the same programs in the plainest way.
"""

import json
import random
from collections import Counter
from pathlib import Path

import brute
import pytest

from harness import ScenarioError
from harness.checker.answer import Step
from harness.checker.search import search
from harness.checker.program import Op, Program

POLICIES = ("writer", "fair", "reader")
every_policy = pytest.mark.parametrize("policy", POLICIES)

PROBE = [("lock", "dev"), ("down_write", "sem"), ("up_write", "sem"), ("unlock", "dev")]
BARE = {"probe": PROBE,
        "aer": [("down_read", "sem"), ("lock", "dev"), ("unlock", "dev"), ("up_read", "sem")]}
COLLECTED = {"probe": PROBE, "aer": [("down_read", "sem"), ("up_read", "sem"), ("lock", "dev"),
                                     ("unlock", "dev")]}
NESTED_READ = {"reader": [("down_read", "s")] * 2 + [("up_read", "s")] * 2,
               "writer": [("down_write", "s"), ("up_write", "s")]}


def program(threads, flags=(), policy="writer", **kinds):
    return Program(kinds, threads, frozenset(flags), policy)


def philosophers(count, ordered):
    """Each takes the fork on the left, then that on the right; *ordered*: the lower one first."""
    threads = {}
    for i in range(count):
        first, second = i, (i + 1) % count
        if ordered and second < first:
            first, second = second, first
        threads[f"P{i}"] = [("lock", f"f{first}"), ("lock", f"f{second}"),
                            ("unlock", f"f{second}"), ("unlock", f"f{first}")]
    return program(threads)


def verdict(threads, **more):
    """Return the verdict on a program of threads given as "op target, op target n, ..."."""
    return search(parsed(threads, **more)).verdict


def parsed(threads, **more):
    return program({name: [tuple(int(word) if word.isdigit() else word for word in op.split())
                           for op in text.split(", ") if op] for name, text in threads.items()},
                   **more)


# -- programs ---------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, said", [
    (({}, {}), "needs threads"),
    (({}, {"T": 3}), "expected a list of operations"),
    (({}, {"T": "lock"}), "expected a list of operations"),
    (({}, {"T": ["lock A"]}), "is no operation"),
    (({}, {"T": [("lock",)]}), r"is not \[operation, target\]"),
    (({}, {"T": [("lock", 1)]}), r"is not \[operation, target\]"),
    (({}, {"T": [("lock", "")]}), "lock of what"),
    (({}, {"T": [("lock", "A"), ("seize", "A")]}), "operation 1: unknown operation 'seize'"),
    (({"A": "futex"}, {"T": []}), "unknown kind 'futex'"),
    ((["A"], {"T": []}), "mapping from name to kind"),
    (({"A": "rwsem"}, {"T": [("lock", "A")]}), "lock does not go with A, a lock of kind rwsem"),
    (({}, {"T": [("lock", "A"), ("up_read", "A")]}), "up_read does not go with A"),
    (({}, {"T": [("join", "U")]}), "join of 'U', which is no thread"),
    (({}, {"T": [("sync", "-")]}), "sync of '-', which is no thread"),
    (({}, {"T": [("trylock", "A")]}), "needs how many operations to skip"),
    (({}, {"T": [("trylock", "A", -1)]}), "needs how many operations to skip"),
    (({}, {"T": [("jump_if", "F", "1"), ("set", "F")]}), "needs how many operations to skip"),
    (({}, {"T": [("jump_if", "F", 2), ("set", "F")]}), "skips 2 operations where 1 are left"),
    (({}, {"T": [("lock_unless", "A", "F")]}), 'needs "flag:n"'),
    (({}, {"T": [("lock_unless", "A", "F:x")]}), 'needs "flag:n"'),
    (({}, {"T": [("lock_unless", "A", "F:1")]}), "skips 1 operations where 0 are left"),
    (({}, {"T": [("lock", "A", 1)]}), "takes no argument"),
    (({}, {"T": []}, frozenset(), "kind"), "unknown policy 'kind'"),
])
def test_program_that_makes_no_sense_is_refused_in_one_clear_line(arguments, said):
    with pytest.raises(ScenarioError, match=said) as caught:
        Program(*arguments)
    assert "\n" not in str(caught.value)


def test_lock_that_is_not_declared_is_of_the_kind_its_operations_need():
    made = parsed({"T": "lock A, down_read B, kn_get C, srcu_read D, take_write E"}, F="cfg")
    assert made.locks == {"A": "mutex", "B": "rwsem", "C": "kernfs", "D": "srcu", "E": "rwsem",
                          "F": "cfg"}
    assert made.threads["T"][0] == Op("lock", "A")


# -- what the operations mean -----------------------------------------------------------------

@pytest.mark.parametrize("expected, threads, more", [
    # lock, unlock
    ("clean", {"T": "lock A, unlock A, lock A, unlock A"}, {}),
    ("deadlock", {"T": "lock A, lock A"}, {}),
    ("deadlock", {"T": "lock A, lock A"}, {"A": "spin"}),
    ("deadlock", {"T": "lock A, lock A"}, {"A": "cfg"}),
    ("clean", {"T": "lock A, lock A, unlock A, unlock A", "U": "lock A, unlock A"},
     {"A": "mutex_re"}),
    # one release too few: the thread ends with the lock, which is taken from it
    ("violation", {"T": "lock A, lock A, unlock A", "U": "lock A, unlock A"}, {"A": "mutex_re"}),
    ("violation", {"T": "lock A", "U": "lock A, unlock A"}, {}),
    ("violation", {"T": "lock A"}, {}),
    ("violation", {"T": "down_read S, down_read S, up_read S", "U": "down_write S, up_write S"},
     {"policy": "reader"}),
    ("violation", {"T": "trylock A 0"}, {}),
    ("violation", {"T": "jump_if F 1, lock A"}, {}),
    ("clean", {"T": "jump_if F 1, lock A"}, {"flags": ["F"]}),
    ("violation", {"T": "kn_get K, kn_get L, kn_put L, kn_put K", "U": "kn_drain L"}, {}),
    # cancelled while it holds something; while it waits for something, which it never gets
    ("violation", {"T": "sync U", "U": "lock A, begin -, unlock A"}, {}),
    ("clean", {"T": "lock A, sync U, unlock A", "U": "lock A, begin -, unlock A"}, {}),
    ("clean", {"T": "down_write S, sync U, up_write S", "U": "down_read S, begin -, up_read S"},
     {}),
    ("deadlock", {"T": "lock A, lock B, unlock B, unlock A",
                  "U": "lock B, lock A, unlock A, unlock B"}, {}),
    # trylock: its failure skips
    ("clean", {"T": "lock A, trylock B 1, unlock B, unlock A",
               "U": "lock B, lock A, unlock A, unlock B"}, {}),
    ("clean", {"T": "lock A, trylock A 2, wait never, unlock A, unlock A"}, {}),
    ("hang", {"T": "trylock A 1, wait never"}, {}),
    ("clean", {"T": "lock A, trylock A 0, unlock A, unlock A"}, {"A": "mutex_re"}),
    # lock_unless: free, take it; else flag, skip; else either event lets it go on
    ("hang", {"T": "lock_unless A go:1, wait never"}, {"flags": ["go"]}),
    ("clean", {"T": "lock A, lock_unless A go:1, wait never, unlock A"}, {"flags": ["go"]}),
    ("deadlock", {"T": "lock A, lock_unless A go:1, unlock A"}, {}),
    ("clean", {"T": "lock A, set go, join U, unlock A", "U": "lock_unless A go:1, unlock A"}, {}),
    ("deadlock", {"T": "lock A, join U, set go", "U": "lock_unless A go:1, unlock A"}, {}),
    ("clean", {"T": "lock A, unlock A", "U": "lock_unless A go:1, unlock A"}, {}),
    # semaphores
    ("clean", {"T": "down_read S, down_read S, up_read S, up_read S"}, {}),
    ("deadlock", {"T": "down_read S, down_write S"}, {}),
    ("deadlock", {"T": "down_write S, down_read S"}, {}),
    ("deadlock", {"T": "down_write S, down_write S"}, {}),
    ("deadlock", {"T": "down_write S, down_read S"}, {"S": "percpu_ref"}),
    ("clean", {"T": "down_read S, down_read R, up_read R, up_read S",
               "U": "down_read R, down_read S, up_read S, up_read R"}, {}),
    ("clean", {"T": "down_read S, down_write_trylock S 1, wait never, up_read S"}, {}),
    ("clean", {"T": "down_read S, down_read_trylock S 1, up_read S, up_read S"}, {}),
    ("clean", {"T": "down_write S, down_read_trylock S 1, wait never, up_write S"}, {}),
    # active references
    ("clean", {"T": "kn_get K, kn_put K", "U": "kn_drain K"}, {}),
    ("deadlock", {"T": "kn_get K, kn_drain K"}, {}),
    ("violation", {"T": "kn_get K", "U": "kn_drain K"}, {}),
    ("clean", {"T": "kn_drain K, kn_get K, wait never"}, {}),
    ("violation", {"T": "kn_drain K, set go", "U": "wait go, lock A, kn_get K, unlock A",
              "V": "join U, lock A"}, {}),     # its thread ended and released nothing
    ("deadlock", {"T": "kn_get K, lock A, unlock A, kn_put K", "U": "lock A, kn_drain K, unlock A"},
     {}),
    # a drain that still waits refuses already: V then never sets what T waits for
    ("hang", {"T": "kn_get K, set F, wait G, kn_put K", "U": "wait F, kn_drain K",
              "V": "wait F, kn_get K, kn_put K, set G"}, {}),
    # sleepable RCU: readers wait for nobody
    ("clean", {"T": "srcu_read R, srcu_read R, srcu_unread R, srcu_unread R", "U": "srcu_sync R"},
     {}),
    ("deadlock", {"T": "srcu_read R, srcu_sync R"}, {}),
    ("deadlock", {"T": "srcu_read R, lock A, unlock A, srcu_unread R",
                  "U": "lock A, srcu_sync R, unlock A"}, {}),
    # flags
    ("clean", {"T": "wait F", "U": "set F"}, {}),
    ("hang", {"T": "wait F"}, {}),
    ("deadlock", {"T": "wait F, set F"}, {}),    # only it could, and never will
    ("clean", {"T": "wait F"}, {"flags": ["F"]}),
    ("hang", {"T": "wait_clear F"}, {"flags": ["F"]}),
    ("clean", {"T": "wait_clear F", "U": "clear F"}, {"flags": ["F"]}),
    ("hang", {"T": "wait F", "U": "set F, clear F"}, {}),
    ("deadlock", {"T": "lock A, wait F, unlock A", "U": "lock A, set F, unlock A"}, {}),
    ("deadlock", {"T": "lock A, wait_clear F", "U": "lock A, clear F"}, {"flags": ["F"]}),
    ("clean", {"T": "jump_if F 1, wait never"}, {"flags": ["F"]}),
    ("hang", {"T": "jump_if F 1, wait never"}, {}),
    ("clean", {"T": "jump_unless F 1, wait never"}, {}),
    ("hang", {"T": "jump_unless F 1, wait never"}, {"flags": ["F"]}),
    # threads
    ("clean", {"T": "join U", "U": "lock A, unlock A"}, {}),
    ("deadlock", {"T": "join T"}, {}),
    ("deadlock", {"T": "join U", "U": "join T"}, {}),
    ("deadlock", {"T": "lock A, join U, unlock A", "U": "lock A, unlock A"}, {}),
    # sync: cancel what has not begun, wait for what has
    ("clean", {"T": "lock A, sync U, unlock A", "U": "lock A, unlock A"}, {}),
    ("deadlock", {"T": "lock A, sync U, unlock A", "U": "begin -, lock A, unlock A"}, {}),
    ("deadlock", {"T": "lock A, begin U, sync U", "U": "lock A, unlock A"}, {}),
    ("deadlock", {"T": "begin -, sync T"}, {}),
    ("clean", {"T": "sync T, wait never"}, {}),
    ("clean", {"T": "sync U, join U", "U": "wait never"}, {}),
    # one that is cancelled leaves the queue: the reader behind it can go on
    ("clean", {"T": "down_read S, sync W, down_read S, up_read S, up_read S",
               "W": "down_write S, up_write S"}, {}),
])
def test_operation_means_what_the_notation_says(expected, threads, more):
    assert verdict(threads, **more) == expected
    # The oracle knows no misuse at an end: a lock is kept, and who wants it is stuck.
    kept = search(parsed(threads, **more), keep=True).verdict
    assert bool(brute.stuck_states(parsed(threads, **more))) == (kept != "clean")


@pytest.mark.parametrize("policy, expected", list(zip(POLICIES, ("deadlock", "deadlock", "clean"))))
def test_second_read_behind_a_queued_writer_hangs_unless_readers_are_preferred(policy, expected):
    for kind in ("rwsem", "percpu_ref"):
        assert search(program(NESTED_READ, policy=policy, s=kind)).verdict == expected


@pytest.mark.parametrize("policy, goes_first", list(zip(POLICIES, (False, True, True))))
def test_reader_that_queued_before_a_writer_is_overtaken_if_writers_are_preferred(policy,
                                                                                 goes_first):
    """X holds; R queues, then W, then X leaves. Is there a schedule in which R is first then?"""
    made = parsed({"X": "down_write S, up_write S", "R": "down_read S, up_read S",
                   "W": "down_write S, up_write S"}, policy=policy)
    order, found = [("R", "queue"), ("W", "queue"), ("X", "release")], set()
    for schedule, _ in brute.schedules(made):
        told = [(event.thread, event.kind) for event in schedule]
        if [one for one in told if one[1] == "queue" or one == ("X", "release")] == order:
            found.add(told.index(("R", "acquire")) < told.index(("W", "acquire")))
    assert (True in found) == goes_first


@every_policy
def test_semaphore_lets_everyone_in_at_last_in_whatever_order_they_queue(policy):
    use = {"W1": "down_write S, up_write S", "W2": "down_write S, up_write S",
           "R1": "down_read S, up_read S", "R2": "down_read S, up_read S"}
    answer = search(parsed(use, policy=policy))
    assert (answer.verdict, answer.complete) == ("clean", True)
    assert not brute.stuck_states(parsed(use, policy=policy))


@pytest.mark.parametrize("op, verb", [
    ("unlock A", "lock A"), ("up_read S", "down_read S"), ("up_write S", "down_write S"),
    ("kn_put K", "kn_get K"), ("srcu_unread R", "srcu_read R")])
def test_release_of_what_is_not_held_is_reported(op, verb):
    """Nobody holds it; another thread does; the own hold is given up twice."""
    for threads in ({"T": op}, {"U": f"{verb}, set F", "T": f"wait F, {op}"},
                    {"T": f"{verb}, {op}, {op}"}):
        answer = search(parsed(threads), keep=True)
        assert answer.verdict == "violation" and answer.complete
        [misuse] = answer.misuse
        assert misuse.thread == "T" and misuse.op == len(threads["T"].split(", ")) - 1
        assert misuse.schedule[-1] == Step("T", "misuse", misuse.op)
        assert misuse.text == f"T: {op}, which T does not hold so"


def test_release_in_the_wrong_mode_is_misuse():
    assert verdict({"T": "down_read S, up_write S"}) == "violation"
    assert verdict({"T": "down_write S, up_read S"}) == "violation"


def test_deadlock_before_a_misuse_is_found_all_the_same():
    """U misuses a lock in every order; T hangs whether it has done so or not."""
    answer = search(parsed({"T": "lock A, lock A", "U": "unlock B"}))
    assert answer.verdict == "deadlock" and len(answer.misuse) == 1
    assert [stuck.circle for stuck in answer.deadlocks] == [("T",)]


def test_recorded_trylock_that_would_fail_neither_waits_nor_is_waited_for():
    """T: `take` passes only where A is free. Where it is not, the program does not say what T would
    do, so nothing is claimed of those who wait for T; but a circle of others is one.
    """
    answer = search(parsed({"T": "lock B, take A, unlock A, unlock B",
                            "U": "lock A, lock B, unlock B, unlock A"}))
    assert (answer.verdict, answer.left_path, answer.complete) == ("clean", 1, True)
    answer = search(parsed({"T": "take A, unlock A", "U": "lock A, lock B, unlock B, unlock A",
                            "V": "lock B, lock A, unlock A, unlock B"}))
    assert answer.verdict == "deadlock"
    assert {stuck.circle for stuck in answer.deadlocks} == {("U", "V")}


@every_policy
def test_recorded_trylock_of_a_semaphore_passes_when_the_policy_would_let_it(policy):
    """T reads, W is queued: `take_read` by another passes only if readers are preferred."""
    threads = {"T": "down_read S, set F, join U, up_read S",
               "W": "wait F, down_write S, up_write S",
               "U": "wait F, take_read S, up_read S"}
    answer = search(parsed(threads, policy=policy))
    assert answer.verdict == "clean" and answer.left_path == (policy != "reader")
    assert search(parsed({"T": "down_read S, take_write S"}, policy=policy)).left_path == 1
    assert search(parsed({"T": "take_write S, up_write S, take_read S, up_read S"})).left_path == 0


# -- the answer -------------------------------------------------------------------------------

def test_stuck_state_says_who_waits_for_whom_and_how_it_came_about():
    """The mail: probe holds the device, aer the semaphore; probe's write request is queued."""
    answer = search(program(BARE))
    assert (answer.verdict, answer.complete, answer.states) == ("deadlock", True, 25)
    [stuck] = answer.deadlocks
    assert stuck.waits == (
        ("probe", 1, "sem", "exclusive", ("aer",), (("dev", "exclusive"),)),
        ("aer", 1, "dev", "exclusive", ("probe",), (("sem", "shared"),)))
    assert stuck.circle == ("probe", "aer")
    assert stuck.places == {("probe", 1), ("aer", 1)}
    assert stuck.schedule == (("probe", "acquire", 0), ("aer", "acquire", 0), ("probe", "queue", 1))


def test_queued_writer_is_named_as_who_blocks_the_reader():
    [stuck] = search(program(NESTED_READ)).deadlocks
    assert [(wait.thread, wait.mode, wait.blockers) for wait in stuck.waits] == [
        ("reader", "shared", ("writer",)), ("writer", "exclusive", ("reader",))]


def test_wait_names_those_who_could_still_end_it():
    [stuck] = search(parsed({"T": "lock A, wait F, unlock A", "U": "lock A, set F, unlock A",
                             "V": "set G"})).deadlocks
    assert [(wait.thread, wait.wants, wait.mode, wait.blockers) for wait in stuck.waits] == [
        ("T", "F", "wait", ("U",)), ("U", "A", "exclusive", ("T",))]


def test_hang_has_no_circle_and_names_an_owner_that_has_ended():
    [stuck] = search(parsed({"T": "lock A", "U": "lock A"}), keep=True).deadlocks[:1]
    assert stuck.circle == () and stuck.waits[0].blockers in (("T",), ("U",))


def test_each_stuck_state_is_reported_once_nearest_first():
    """A pair that can close its circle (2 steps), another that can (2 more), and both."""
    pair = "lock {0}, lock {1}, unlock {1}, unlock {0}"
    threads = {"T": pair.format("A", "B"), "U": pair.format("B", "A"),
               "V": pair.format("C", "D"), "W": pair.format("D", "C")}
    answer = search(parsed(threads))
    assert [len(stuck.schedule) for stuck in answer.deadlocks] == [4, 10, 10]
    assert sorted(sorted(stuck.places) for stuck in answer.deadlocks) == [
        [("T", 1), ("U", 1)], [("T", 1), ("U", 1), ("V", 1), ("W", 1)], [("V", 1), ("W", 1)]]


@pytest.mark.parametrize("bystander", ["lock C, unlock C", "lock C, unlock C, set F"])
def test_first_stops_at_the_nearest_circle_though_others_can_still_move(bystander):
    threads = {"T": "lock A, lock B, unlock B, unlock A", "U": "lock B, lock A, unlock A, unlock B",
               "V": bystander}
    answer = search(parsed(threads), first=True)
    [stuck] = answer.deadlocks
    assert not answer.complete
    assert stuck.schedule == (("T", "acquire", 0), ("U", "acquire", 0))
    assert stuck.circle == ("T", "U") and [wait.thread for wait in stuck.waits] == ["T", "U"]


def test_circle_that_can_still_be_broken_is_none():
    """T and U wait for each other, but U may still be cancelled, or V set the flag as well."""
    threads = {"T": "join U, set F", "U": "wait F", "W": "sync U"}
    answer = search(parsed(threads), first=True)
    assert (answer.verdict, answer.complete) == ("clean", True)
    threads = {"T": "lock A, wait F, unlock A", "U": "lock A, set F, unlock A", "V": "set F"}
    answer = search(parsed(threads), first=True)
    assert (answer.verdict, answer.complete) == ("clean", True)


def test_search_that_met_its_bound_claims_nothing():
    ordered = philosophers(3, ordered=True)
    whole = search(ordered)
    assert (whole.verdict, whole.complete, whole.states) == ("clean", True, 72)
    assert search(ordered, max_states=72).complete
    short = search(ordered, max_states=71)
    assert (short.verdict, short.complete, short.states) == ("inconclusive", False, 71)
    assert search(ordered, seconds=0).verdict == "inconclusive"


def test_deadlock_found_within_the_bound_is_a_deadlock():
    answer = search(philosophers(3, ordered=False), max_states=80, first=True)
    assert answer.verdict == "deadlock" and len(answer.deadlocks[0].schedule) == 3


# -- the counts -------------------------------------------------------------------------------

@pytest.mark.parametrize("threads, schedules, stuck, classes", [
    (BARE, 9, 2, 5), (COLLECTED, 12, 0, 5), (NESTED_READ, 6, 1, 6)],
    ids=["bare", "collected", "nested"])
def test_schedules_of_two_threads_are_those_counted_by_hand(threads, schedules, stuck, classes):
    """L U: lock, unlock of dev; R W r w: read, write and release of sem, ? for being queued; big
    letters before the thread. p: probe, a: aer.

    Bare, probe = L W w U, aer = R L U r:

        pL pW pw pU aR aL aU ar    1    pL pW pw aR pU aL aU ar    1 (pU and aR commute)
        pL pW aR? pw pU aR ...     2    pL pW aR? pw aR pU aL ..   2 (as before)
        pL aR pW? stuck            3    aR pL pW? stuck            3 (pL and aR commute)
        aR aL aU pL pW? ar pW ..   4    aR aL aU pL ar pW ..       5
        aR aL aU ar pL pW ..       5 (pL and ar commute)

    9 schedules, 2 of them stuck, 5 classes. Collected, aer = R r L U; probe first: pL pW pw, then
    aR ar anywhere around pU, before aL: 3 (class 1); the same behind aR? queued after pW: 3 (class
    2); probe queues: pW? between aR and ar, with pL on either side of aR: 2 (class 3); aer has left
    before pW: pL before, between or after aR ar: 3, then aL waits for pU (class 4); aer is through
    before pL: 1 (class 5). 12, none stuck.
    Nested reads R R r r against W w: W first, R? queued or not: 2; W? after the first R: the
    second is queued too, stuck: 1; W? after both, after one r, or W after both r: 3. All differ by
    a queueing's place: 6 classes.
    """
    made = program(threads)
    every = list(brute.schedules(made))
    assert (len(every), sum(world.stuck() for _, world in every)) == (schedules, stuck)
    assert brute.count_schedules(made) == (schedules, stuck)
    assert len(brute.classes(made)) == brute.count_classes(made) == classes
    assert len(search(made).deadlocks) == len(brute.stuck_states(made)) == (stuck > 0)


@pytest.mark.parametrize("count, ordered, schedules, stuck, classes", [
    (3, False, 168, 6, 7), (3, True, 142, 0, 6),
    (4, False, 98_184, 24, 15), (4, True, 64_000, 0, 14)])
def test_philosophers_have_as_many_schedules_as_counted_elsewhere(count, ordered, schedules, stuck,
                                                                  classes):
    """The numbers are an independent sketch's. What can be told by hand: a class says, for each
    fork, which of its two users is first. That is 2^n, less the two in which this goes round: with
    forks taken left first one of these two is the deadlock, when all n have taken their first fork
    (in n! orders), and the other cannot be; ordered, neither can.
    """
    made = philosophers(count, ordered)
    assert brute.count_schedules(made) == (schedules, stuck)
    assert brute.count_classes(made) == classes == 2 ** count - 2 + (not ordered)
    if count == 3:
        assert len(list(brute.schedules(made))) == schedules and len(brute.classes(made)) == classes
    assert len(search(made).deadlocks) == (not ordered)


# -- the corpus -------------------------------------------------------------------------------

def corpus():
    """Give every before, after and variant of the deadlocks around the PCI core."""
    path = Path(__file__).parents[2] / "data" / "pci-deadlocks.json"
    for case in json.loads(path.read_text())["cases"]:
        kinds = {name: lock["kind"] for name, lock in case["locks"].items()}
        yield (f"{case['id']}:before", kinds, case["threads_before"],
               case.get("init_flags_before", ()), case.get("expect_before", "deadlock"))
        yield (f"{case['id']}:after", kinds | case.get("kinds_after", {}), case["threads_after"],
               case.get("init_flags_after", ()), case.get("expect_after", "ok"))
        for variant in case.get("variants", ()):
            yield (f"{case['id']}:{variant['name']}", kinds | variant.get("kinds", {}),
                   variant["threads"], variant.get("init_flags", ()), variant["expect"])


@pytest.mark.parametrize("kinds, threads, flags, expected",
                         [pytest.param(*case[1:], id=case[0]) for case in corpus()])
def test_case_of_the_pci_core_hangs_as_it_is_known_to(kinds, threads, flags, expected):
    made = Program(kinds, threads, frozenset(flags))
    answer = search(made)
    assert answer.complete and not answer.misuse
    assert answer.verdict == ("deadlock" if expected == "deadlock" else "clean")
    assert search(made, first=True).verdict == answer.verdict


# -- random programs --------------------------------------------------------------------------

@every_policy
def test_engine_and_brute_force_agree_on_random_programs(policy):
    """The same stuck states, the same misuse, a schedule to each that is one and is a shortest."""
    rng = random.Random(7)
    found = Counter()
    for number in range(30):
        made = brute.random_program(rng, policy, every_op=number % 3 == 2, most=500)
        answer = search(made, keep=True)
        found[answer.verdict] += 1
        assert answer.complete
        steps, misuse = distances(made)
        assert {(one.thread, one.op) for one in answer.misuse} == misuse
        for stuck in answer.deadlocks:
            world = replayed(made, stuck.schedule)
            assert steps[world.key] == len(stuck.schedule)
            assert stuck.places == {(name, at) for name, at in world.at.items()
                                    if not world.ended(name) and world.step(name) is None}
        final = [stuck for stuck in answer.deadlocks
                 if not replayed(made, stuck.schedule).events()]
        assert {brute.account(replayed(made, stuck.schedule))
                for stuck in final} == brute.stuck_states(made)
        if not answer.misuse:
            assert final == list(answer.deadlocks)
    assert found["deadlock"] >= 7 and found["clean"] >= 7


def distances(made):
    """Return how many steps each state is away, and which operations are misused somewhere."""
    start = brute.World(made)
    steps, misuse, level = {start.key: 0}, set(), [start]
    while level:
        further = []
        for world in level:
            for event, after in world.events():
                if after is None:
                    misuse.add((event.thread, event.op))
                elif after.key not in steps:
                    steps[after.key] = steps[world.key] + 1
                    further.append(after)
        level = further
    return steps, misuse


def replayed(made, schedule):
    """Return the state that a schedule of the engine leads to, by brute force's account."""
    world = brute.World(made)
    for step in schedule:
        event, world = world.step(step.thread)
        assert (event.kind, event.op) == (step.kind, step.op)
    return world


@every_policy
def test_steps_that_are_independent_commute_and_neither_lets_nor_hinders_the_other(policy):
    """What brute.py calls independent is so, in every state of random programs: after one the other
    is the same step as before, or was none before and is none after; in either order the state is
    the same.
    """
    rng = random.Random(11)
    independent = 0
    cancelled = parsed({"T": "down_read S, sync W", "W": "down_write S", "R": "down_read S"},
                       policy=policy)
    for made in [cancelled, *(brute.random_program(rng, policy, number % 2 == 1, most=300)
                              for number in range(12))]:
        for world in brute.states(made):
            events = [(event, after) for event, after in world.events() if after is not None]
            now = {event.thread: event for event, _ in world.events()}
            for event, after in events:
                then = {other.thread: (other, last) for other, last in after.events()}
                for other in now.keys() | then.keys():
                    before, (later, last) = now.get(other), then.get(other, (None, None))
                    if other == event.thread or before == later is None:
                        continue
                    if before == later and not brute.dependent(event, later):
                        independent += 1
                        if last is not None:
                            swapped = world.step(other)[1].step(event.thread)
                            assert swapped[0] == event and swapped[1].key == last.key
                    else:
                        assert brute.dependent(event, later or before)
                        assert before is None or brute.dependent(event, before)
    assert independent > 200


def test_random_programs_deadlock_often_and_depend_on_trylocks():
    """Else the random tests that use them would be weak: at least a quarter can hang, and in a
    tenth a trylock fails in some orders and succeeds in others.
    """
    rng = random.Random(3)
    hang = both = 0
    for _ in range(30):
        made = brute.random_program(rng)
        hang += bool(brute.stuck_states(made))
        answers = {(event.thread, event.op, event.kind) for world in brute.states(made)
                   for event, _ in world.events()
                   if made.threads[event.thread][event.op].op.endswith("trylock")}
        both += len(answers) > len({answer[:2] for answer in answers})
    assert hang >= 8 and both >= 3


def test_what_is_completed_once_every_wait_passes_is_nothing_more_to_know():
    """Set and completed, in whatever order, it is set: of four states the last is one."""
    answer = search(program({"one": [("set", "f")], "two": [("complete", "f")]}))
    assert (answer.verdict, answer.states) == ("clean", 4)


def test_of_the_ways_to_a_misuse_the_shortest_is_told():
    threads = {"other": [("set", "f"), ("set", "g")], "one": [("unlock", "m")]}
    [misuse] = search(program(threads)).misuse
    assert (misuse.thread, misuse.op, misuse.schedule) == ("one", 0, (Step("one", "misuse", 0),))


def test_a_circle_through_a_lock_that_a_flag_may_stand_for_is_none_while_somebody_may_set_it():
    threads = {"holder": [("lock", "m"), ("join", "other"), ("unlock", "m")],
               "other": [("lock_unless", "m", "go:1"), ("unlock", "m")]}
    assert search(program(threads), first=True).verdict == "deadlock"
    threads["setter"] = [("jump_if", "never", 0), ("set", "go")]
    assert search(program(threads), first=True).verdict == "clean"


@pytest.mark.parametrize("expected, threads, start", [
    ("clean", {"T": "wait F", "U": "complete F"}, {}),
    ("hang", {"T": "wait F"}, {"F": 0}),
    ("clean", {"T": "wait F"}, {"F": 1}),
    ("hang", {"T": "wait F, wait F"}, {"F": 1}),
    ("clean", {"T": "wait F, wait F"}, {"F": 2}),
    ("clean", {"T": "wait F, wait F", "U": "complete F, complete F"}, {}),
    ("clean", {"T": "wait F, wait F", "U": "complete F"}, {"F": 1}),
    ("hang", {"T": "wait F, wait F", "U": "complete F"}, {}),
    ("hang", {"T": "wait F", "V": "wait F", "U": "complete F"}, {}),
    ("clean", {"T": "wait F", "V": "wait F", "U": "complete F, complete F"}, {}),
    ("clean", {"T": "wait F, wait F, wait F", "U": "set F"}, {"F": 1}),    # set: all pass
    ("clean", {"T": "set F, complete F, wait F, wait F"}, {}),
    ("hang", {"T": "complete F, clear F, wait F"}, {}),                    # cleared: none passes
    ("hang", {"T": "clear F, wait F"}, {"F": 2}),
    ("clean", {"T": "clear F, complete F, wait F"}, {"F": 2}),
    ("hang", {"T": "clear F, complete F, wait F, wait F"}, {"F": 2}),
    ("hang", {"T": "set F, clear F, complete F, wait F, wait F"}, {}),
])
def test_a_completion_lets_as_many_waits_pass_as_it_was_completed(expected, threads, start):
    made = parsed(threads)
    assert search(Program(made.locks, made.threads, passes=start)).verdict == expected
