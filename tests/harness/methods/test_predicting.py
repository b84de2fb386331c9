"""predict: each status with its reason, verdicts, exit statuses, and force on what was predicted.

Most worlds are programs as text (lock_programs.py) that do not say so: prediction knows of them
what it saw in clean runs, no more.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import small_worlds
from lock_programs import bare, program, reasons, statuses

from harness import (At, Completion, Meet, Mutex, RWSemaphore, Scenario, ScenarioError, Verdict,
                     force, run)
from harness.locks.node import LockClass
from harness.lockorder.finding import read_baseline
from harness.methods.predict import predict


def seen(text, flags=(), policy="writer", **locks):
    return bare(program(text, flags, policy, **locks))


def only(result):
    """Return the one finding."""
    [prediction] = result.predictions
    return prediction


def in_cycle(outcome):
    """Return who waits for what in the deadlock that was made to happen."""
    return {state.role: state.wants for state in outcome.gravest.cycle}


# -- forced ----------------------------------------------------------------------------------------

FORCED = {
    "two mutexes": (
        "one: lock a; lock b; unlock b; unlock a\ntwo: lock b; lock a; unlock a; unlock b",
        "a -> b -> a", {"one": "b", "two": "a"}),
    "a ring of three": (
        """one: lock a; lock b; unlock b; unlock a
        two: lock b; lock c; unlock c; unlock b
        three: lock c; lock a; unlock a; unlock c""",
        "a -> b -> c -> a", {"one": "b", "two": "c", "three": "a"}),
    "a ring of four": (
        """one: lock a; lock b; unlock b; unlock a
        two: lock b; lock c; unlock c; unlock b
        three: lock c; lock d; unlock d; unlock c
        four: lock d; lock a; unlock a; unlock d""",
        "a -> b -> c -> d -> a", {"one": "b", "two": "c", "three": "d", "four": "a"}),
    "the mail's two paths": (
        """aer: down_read bus; lock dev; unlock dev; up_read bus
        probe: lock dev; down_write bus; up_write bus; unlock dev""",
        "bus -> dev -> bus", {"aer": "dev", "probe": "bus"}),
    "two semaphores": (
        """one: down_write a; down_read b; up_read b; up_write a
        two: down_write b; down_read a; up_read a; up_write b""",
        "a -> b -> a", {"one": "b", "two": "a"}),
    "readers with their own writers": (
        """one: down_read a; down_read b; up_read b; up_read a
        two: down_read b; down_read a; up_read a; up_read b
        three: down_write a; up_write a\nfour: down_write b; up_write b""",
        "a -> b -> a", {"one": "b", "two": "a", "three": "a", "four": "b"}),
    "a nested read with its own writer": (
        "reader: down_read a; down_read a; up_read a; up_read a\nwriter: down_write a; up_write a",
        "a -> a", {"reader": "a", "writer": "a"}),
    "flush_work under the lock that the work takes": (
        "flush: lock a; join work; unlock a\nwork: lock a; unlock a",
        "a -> work -> a", {"flush": "work", "work": "a"}),
    "a flag awaited under the lock that its setter takes first": (
        "waits: lock a; wait done; unlock a\nsets: lock a; unlock a; set done",
        "a -> done -> a", {"waits": "done", "sets": "a"}),
    "a flag awaited under a semaphore that its setter writes": (
        "waits: down_read a; wait done; up_read a\nsets: down_write a; up_write a; set done",
        "a -> done -> a", {"waits": "done", "sets": "a"}),
    "a wait, a lock and a wait": (
        """one: lock a; wait done; unlock a
        two: lock b; lock a; unlock a; unlock b
        three: lock b; unlock b; set done""",
        "a -> done -> b -> a", {"one": "done", "two": "a", "three": "b"}),
    "lead-in sections that no order of start allows": (
        """one: lock x; unlock x; lock a; lock x; unlock x; unlock a
        two: lock a; unlock a; lock x; lock a; unlock a; unlock x""",
        "a -> x -> a", {"one": "x", "two": "a"}),
    "the second time": (
        """one: lock a; lock b; unlock b; unlock a; set go; lock a; lock b; unlock b; unlock a
        two: wait go; lock b; lock a; unlock a; unlock b""",
        "a -> b -> a", {"one": "b", "two": "a"}),
    "the second time, after another section": (
        "one: lock a; lock b; unlock b; unlock a; set go; lock c; unlock c; lock a; lock b; "
        """unlock b; unlock a
        two: wait go; lock b; lock a; unlock a; unlock b""",
        "a -> b -> a", {"one": "b", "two": "a"}),
}
every_forced = pytest.mark.parametrize("text, key, cycle", FORCED.values(), ids=FORCED)


@every_forced
def test_what_can_hang_is_forced_by_its_own_roles(text, key, cycle):
    result = predict(seen(text))
    prediction = only(result)
    assert (prediction.key, prediction.status, prediction.reason, prediction.writers) == (
        key, "forced", "it happened on real threads", ())
    assert (result.verdict, result.how, in_cycle(prediction.outcome)) == (
        Verdict.DEADLOCK, "observed", cycle)


@every_forced
def test_force_without_a_declared_meeting_predicts_it_first(text, key, cycle):
    result = force(seen(text))
    assert (result.verdict, {leg["role"]: leg["wants"] for leg in result.cycle}) == (
        Verdict.DEADLOCK, cycle)


def test_flag_known_as_a_completion_is_forced_too():
    """The waiter says who is to complete it; the record says what that one needs first."""
    def world():
        a, done = Mutex("a"), Completion("done")

        def waits():
            with a:
                done.wait(by="brings")

        def brings():
            with a:
                pass
            done.complete()

        return {"brings": brings, "waits": waits}

    result = predict(world)
    assert (result.verdict, statuses(result)) == (Verdict.DEADLOCK, {"a -> done -> a": "forced"})


def test_joined_thread_is_named_in_the_cycle():
    def world():
        a = Mutex("a")

        def work():
            with a:
                pass

        def flush():
            thread = threading.Thread(target=work, name="work")
            thread.start()
            with a:
                thread.join()

        return {"flush": flush}

    prediction = only(predict(world))
    assert (prediction.status, in_cycle(prediction.outcome)) == (
        "forced", {"flush": "thread (work)", "work": "a"})


@pytest.mark.parametrize("name", ["abba", "philosophers", "nested_read", "handoff"])
def test_declared_meeting_and_predicted_one_end_in_the_same_deadlock(name):
    declared = getattr(small_worlds, name)
    result = predict(declared)
    assert result.coverage["declared_meeting"] == "ends in a deadlock that was predicted"
    [forced] = [each for each in result.predictions if each.status == "forced"]
    assert in_cycle(forced.outcome) == {leg["role"]: leg["wants"] for leg in force(declared).cycle}


# -- every run hangs -------------------------------------------------------------------------------


@pytest.mark.parametrize("text, verdict", [
    ("one: wait f; set g\ntwo: wait g; set f", Verdict.DEADLOCK),
    ("one: lock a; lock a; unlock a; unlock a", Verdict.DEADLOCK),
    ("one: down_read a; down_write a; up_write a; up_read a", Verdict.DEADLOCK),
    ("one: lock a; join two; unlock a\ntwo: wait f; lock a; unlock a\nthree: set f",
     Verdict.DEADLOCK),
    ("one: wait f", Verdict.HANG), ("one: lock a; wait f; unlock a\ntwo: lock a; unlock a",
                                    Verdict.HANG)])
def test_what_hangs_in_the_clean_runs_is_reported_as_it_is(text, verdict):
    result = predict(seen(text))
    assert (result.verdict, result.how) == (verdict, "observed")


def test_lock_taken_again_by_its_holder_is_a_finding_with_the_kernels_words():
    prediction = only(predict(seen("one: lock a; lock a; unlock a; unlock a")))
    assert (prediction.headline, prediction.key, prediction.status) == (
        "possible recursive locking detected", "a -> a", "forced")


# -- needs-writer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text, writers", [
    ("one: down_read a; down_read a; up_read a; up_read a", ["a"]),
    ("""one: down_read a; lock m; unlock m; up_read a
     two: lock m; down_read a; up_read a; unlock m""", ["a"]),
    ("""one: down_read a; down_read b; up_read b; up_read a
     two: down_read b; down_read a; up_read a; up_read b""", ["a", "b"]),
    ("""one: down_read a; down_read b; up_read b; up_read a
     two: down_read b; down_read a; up_read a; up_read b
     three: down_write a; up_write a""", ["b"]),
    ("""one: down_read a; down_read b; up_read b; up_read a
     two: down_read b; down_read c; up_read c; up_read b
     three: down_read c; down_read a; up_read a; up_read c""", ["a", "b", "c"]),
    ("""one: down_read a; down_read b; up_read b; up_read a
     two: down_read b; down_write c; up_write c; up_read b
     three: down_read c; down_read a; up_read a; up_read c""", ["a", "b"])])
def test_readers_that_only_queued_writers_keep_out_need_them_and_they_are_named(text, writers):
    result = predict(seen(text))
    prediction = only(result)
    assert (result.verdict, result.verdict.exit_status, result.how) == (
        Verdict.PREDICTED, 1, "predicted")
    assert (prediction.status, sorted(prediction.writers)) == ("needs-writer", writers)
    assert prediction.reason == (f"it happened with a writer queued for "
                                 f"{' and '.join(prediction.writers)}; without one, "
                                 f"readers let each other in")


def test_what_needed_a_writer_was_done_with_it():
    prediction = only(predict(seen("one: down_read a; down_read a; up_read a; up_read a")))
    assert in_cycle(prediction.outcome) == {"one": "a", "writer of a": "a"}


def test_force_does_not_pass_off_what_needs_a_writer_as_a_deadlock():
    result = force(seen("one: down_read a; down_read a; up_read a; up_read a"), runs=3)
    assert (result.verdict, "writer is queued for a" in result.finding.text) \
        == (Verdict.PREDICTED, True)
    assert result.coverage["verdicts"] == {"predicted": 3}


def test_reader_policy_needs_no_writer_for_nothing():
    result = predict(seen("one: down_read a; down_read a; up_read a; up_read a", policy="reader"))
    assert (result.verdict, result.predictions) == (Verdict.CLEAN, [])


@pytest.mark.parametrize("other", ["writer", "fair", "reader"])
def test_policy_of_one_semaphore_says_nothing_of_another(other):
    def world():
        sem, elsewhere = RWSemaphore("sem"), RWSemaphore("elsewhere", policy=other)

        def reads_twice(lock):
            def role():
                with lock.down_read(), lock.down_read():
                    pass
            return role

        def writes(lock):
            def role():
                with lock.down_write():
                    pass
            return role

        return {"reader": reads_twice(sem), "writer": writes(sem),
                "other reader": reads_twice(elsewhere), "other writer": writes(elsewhere)}

    result = predict(world)
    assert statuses(result) == {"sem -> sem": "forced", **(
        {} if other == "reader" else {"elsewhere -> elsewhere": "forced"})}


# -- guarded ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, guard", [
    ("""one: lock gate; lock a; lock b; unlock b; unlock a; unlock gate
     two: lock gate; lock b; lock a; unlock a; unlock b; unlock gate""", "gate"),
    ("""one: lock other; lock gate; lock a; lock b; unlock b; unlock a; unlock gate; unlock other
     two: lock gate; lock b; lock a; unlock a; unlock b; unlock gate""", "gate"),
    ("""one: down_read gate; lock a; lock b; unlock b; unlock a; up_read gate
     two: down_write gate; lock b; lock a; unlock a; unlock b; up_write gate""", "gate"),
    ("""one: lock a; lock b; unlock b; unlock a
     two: join one; lock b; lock a; unlock a; unlock b""", "two waits for one"),
    ("""one: lock a; lock b; unlock b; unlock a; set go
     two: wait go; lock b; lock a; unlock a; unlock b""", "two waits for go")])
def test_what_makes_it_impossible_is_named(text, guard):
    result = predict(seen(text))
    assert (result.verdict, result.verdict.exit_status) == (Verdict.CLEAN, 0)
    assert (statuses(result), reasons(result)) == (
        {"a -> b -> a": "guarded"}, {"a -> b -> a": guard})


def started_by(parent_first):
    """Return a world whose parent takes one order before or after it starts the child with the
    other.
    """
    def world():
        a, b = Mutex("a"), Mutex("b")

        def child():
            with b, a:
                pass

        def parent():
            thread = threading.Thread(target=child, name="child")
            if not parent_first:
                thread.start()
            with a, b:
                pass
            if parent_first:
                thread.start()

        return {"parent": parent}
    return world


def test_order_of_start_is_named():
    result = predict(started_by(parent_first=True))
    assert (result.verdict, reasons(result)) == (
        Verdict.CLEAN, {"a -> b -> a": "parent starts child"})
    assert predict(started_by(parent_first=False)).verdict is Verdict.DEADLOCK


def test_force_says_why_what_is_guarded_cannot_be_reached():
    result = force(seen("""one: lock gate; lock a; lock b; unlock b; unlock a; unlock gate
                        two: lock gate; lock b; lock a; unlock a; unlock b; unlock gate"""))
    assert result.verdict is Verdict.NOT_REACHED
    assert "a -> b -> a is guarded (gate)" in result.finding.text


# -- one-role --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, key, reason", [
    ("one: lock a; lock b; unlock b; unlock a; lock b; lock a; unlock a; unlock b", "a -> b -> a",
     "2 of its 2 legs are one's, which never runs beside itself"),
    ("""one: lock a; lock b; unlock b; unlock a; lock b; lock c; unlock c; unlock b
     two: lock c; lock a; unlock a; unlock c""", "a -> b -> c -> a",
     "2 of its 3 legs are one's, which never runs beside itself")])
def test_both_orders_of_one_role_are_listed_and_no_more(text, key, reason):
    result = predict(seen(text))
    assert (result.verdict, statuses(result), reasons(result)) == (
        Verdict.CLEAN, {key: "one-role"}, {key: reason})


# -- unconfirmed -----------------------------------------------------------------------------------


def crossed(one, two, lock_class=str):
    """Return the world in which each of two roles takes two locks; a class is the first letter."""
    def world():
        made = {name: Mutex(name, lock_class(name[0])) for name in {*one, *two}}

        def role(outer, inner):
            def take():
                with made[outer], made[inner]:
                    pass
            return take

        return {"one": role(*one), "two": role(*two)}
    return world


def test_opposite_orders_of_classes_on_different_locks_are_unconfirmed():
    """As lockdep: of all locks of a kind these may be two that happened not to meet."""
    result = predict(crossed(("a1", "b1"), ("b2", "a2")))
    assert (result.verdict, result.verdict.exit_status, statuses(result)) == (
        Verdict.PREDICTED, 1, {"a -> b -> a": "unconfirmed"})
    assert reasons(result)["a -> b -> a"].startswith(
        "the roles met the classes in opposite orders, but not the same locks")


@pytest.mark.parametrize("why, told", [("", "nothing says that it is legal"),
                                       ("by age", "the order of the class forbids it (by age)")])
def test_two_locks_of_one_class_in_one_order_are_unconfirmed(why, told):
    def lock_class(name):
        return LockClass(name, order=lambda held, wanted: False, why=why) if why else name

    result = predict(crossed(("c1", "c2"), ("c1", "c2"), lock_class))
    prediction = only(result)
    assert (result.verdict, prediction.headline, prediction.status) == (
        Verdict.PREDICTED, "possible recursive locking detected", "unconfirmed")
    assert prediction.reason.endswith(told)


def test_two_locks_of_one_class_in_both_orders_are_forced():
    result = predict(crossed(("c1", "c2"), ("c2", "c1")))
    assert (result.verdict, statuses(result), only(result).headline) == (
        Verdict.DEADLOCK, {"c -> c": "forced"}, "possible recursive locking detected")


def opposite_once_done(more=0):
    """The second takes the opposite order only when it sees that the first is done: what it sees is
    no lock operation. *more* roles make it too much for all schedules to be gone through.
    """
    def world():
        a, b, mind, done = Mutex("a"), Mutex("b"), Mutex("mind"), []

        def first():
            with a, b:
                pass
            with mind:
                done.append(True)

        def second():
            with mind:
                late = bool(done)
            if late:
                with b, a:
                    pass

        def other():
            for _ in range(3):
                with mind:
                    pass

        return {"first": first, "second": second, **dict.fromkeys("xyz"[:more], other)}
    return world


def test_roles_that_go_by_what_they_see_are_guarded_if_no_schedule_shows_otherwise():
    result = predict(opposite_once_done())
    assert (result.verdict, statuses(result)) == (Verdict.CLEAN, {"a -> b -> a": "guarded"})
    assert reasons(result)["a -> b -> a"].startswith(
        "what the roles do depends on each other: none of all ")
    assert "a -> b -> a cannot happen: what" in str(result)


def test_roles_that_go_by_what_they_see_are_unconfirmed_where_not_all_can_be_gone_through():
    result = predict(opposite_once_done(3))
    assert (result.verdict, statuses(result)) == (Verdict.PREDICTED, {"a -> b -> a": "unconfirmed"})
    assert reasons(result)["a -> b -> a"].startswith("the roles could not be made to meet so")
    assert result.coverage["explored"].endswith(" schedules, not all")


def test_roles_that_go_by_what_they_see_are_forced_where_that_can_be():
    """The second takes the opposite order when it sees that the first has begun: it is learned from
    the run in which the first goes first.
    """
    def world():
        a, b, mind, begun = Mutex("a"), Mutex("b"), Mutex("mind"), []

        def first():
            with mind:
                begun.append(True)
            with a, b:
                pass

        def second():
            with mind:
                late = bool(begun)
            with b if late else a, a if late else b:
                pass

        return {"second": second, "first": first}

    result = predict(world)
    assert (result.verdict, statuses(result)) == (Verdict.DEADLOCK, {"a -> b -> a": "forced"})
    # With the second first no clean run shows that order: exploring does.
    result = predict(world, runs=1)
    assert (result.verdict, statuses(result)) == (Verdict.DEADLOCK, {"a -> b -> a": "forced"})


# -- several ---------------------------------------------------------------------------------------


def pairs_of_classes(guarded, free):
    """Return the world of two roles that take as many pairs of locks a, b in opposite orders: first
    the *guarded* ones under a gate, then the *free* ones.
    """
    def world():
        gate = Mutex("gate")
        pairs = [(Mutex(f"a{i}", "a"), Mutex(f"b{i}", "b")) for i in range(guarded + free)]

        def one():
            for i, (a, b) in enumerate(pairs):
                if i < guarded:
                    gate.acquire()
                with a, b:
                    pass
                if i < guarded:
                    gate.release()

        def two():
            for a, b in pairs:
                with gate, b, a:
                    pass

        return {"one": one, "two": two}
    return world


@pytest.mark.parametrize("guarded, free, status", [(0, 5, "forced"), (5, 0, "guarded"),
                                                   (2, 1, "forced"), (20, 1, "forced")])
def test_one_cycle_of_classes_is_one_finding_with_a_count_and_its_gravest_status(
        guarded, free, status):
    prediction = only(predict(pairs_of_classes(guarded, free)))
    assert (prediction.key, prediction.status, prediction.count) == (
        "a -> b -> a", status, guarded + free)


MIXED = """one: lock a; lock b; unlock b; unlock a; down_read s; down_read s; up_read s; up_read s
two: lock g; lock c; lock d; unlock d; unlock c; unlock g
three: lock g; lock d; lock c; unlock c; unlock d; unlock g
four: lock b; lock a; unlock a; unlock b; lock e; lock f; unlock f; unlock e
five: lock f; lock e; unlock e; unlock f"""


def test_all_findings_are_given_the_gravest_first():
    result = predict(seen(MIXED))
    assert [each.status for each in result.predictions][0] == "forced"
    assert statuses(result) == {"a -> b -> a": "forced", "s -> s": "needs-writer",
                                "c -> d -> c": "guarded", "e -> f -> e": "forced"}


INVERSION = "one: lock a; lock b; unlock b; unlock a\ntwo: lock b; lock a; unlock a; unlock b"
NESTED = "reader: down_read s; down_read s; up_read s; up_read s"
GATED = """three: lock g; lock c; lock d; unlock d; unlock c; unlock g
four: lock g; lock d; lock c; unlock c; unlock d; unlock g"""
TWICE = "five: lock e; lock f; unlock f; unlock e; lock f; lock e; unlock e; unlock f"
IN_ORDER = "six: lock h; lock i; unlock i; unlock h"


@pytest.mark.parametrize("parts, verdict, exit_status", [
    ([IN_ORDER], "clean", 0), ([GATED], "clean", 0), ([TWICE], "clean", 0),
    ([IN_ORDER, GATED, TWICE], "clean", 0), ([GATED, NESTED], "predicted", 1),
    ([INVERSION, NESTED], "deadlock", 1), ([GATED, TWICE, INVERSION], "deadlock", 1)])
def test_verdict_is_that_of_the_gravest_finding(parts, verdict, exit_status):
    result = predict(seen("\n".join(parts)))
    assert (str(result.verdict), result.verdict.exit_status) == (verdict, exit_status)


def test_clean_result_says_what_was_looked_at():
    coverage = predict(seen(f"{IN_ORDER}\n{GATED}")).coverage
    looked_at = [coverage[what] for what in ("runs", "locks", "edges", "cycles")]
    assert looked_at == [6, 5, 5, 1]


def test_more_runs_are_not_made_than_asked_for():
    assert predict(seen(IN_ORDER), runs=1).coverage["runs"] == 1


def test_finding_as_json_says_all_there_is():
    found = only(predict(seen(NESTED))).as_dict()
    assert found["text"].startswith("possible recursive locking detected: s -> s (needs-writer: it")
    assert {key: found[key] for key in ("verdict", "how", "status", "cycle", "count", "writers",
                                        "legs")} == {
        "verdict": "predicted", "how": "predicted", "status": "needs-writer", "cycle": "s -> s",
        "count": 1, "writers": ["s"],
        "legs": [{"role": "reader", "holds": "s", "held_mode": "shared", "wants": "s",
                  "mode": "shared"}]}


# -- known -----------------------------------------------------------------------------------------


def test_known_cycle_is_listed_with_its_reason_and_changes_no_verdict():
    result = predict(seen(INVERSION), baseline={"a -> b -> a": "ticket 12"})
    assert (result.verdict, statuses(result), reasons(result)) == (
        Verdict.CLEAN, {"a -> b -> a": "known"}, {"a -> b -> a": "ticket 12"})


def test_another_cycle_is_not_known():
    result = predict(seen(f"{INVERSION}\n{NESTED}"), baseline={"a -> b -> a": "ticket 12"})
    assert (result.verdict, statuses(result)) == (
        Verdict.PREDICTED, {"a -> b -> a": "known", "s -> s": "needs-writer"})


def test_baseline_file_gives_each_cycle_its_reason(tmp_path):
    """The cycle may begin anywhere."""
    path = tmp_path / "known.txt"
    path.write_text("# what we live with\n\nb -> a -> b  # ticket 12\ns -> s  # no writer, ever\n")
    assert read_baseline(str(path)) == {"a -> b -> a": "ticket 12", "s -> s": "no writer, ever"}
    result = predict(seen(f"{INVERSION}\n{NESTED}"), baseline=str(path))
    assert result.verdict is Verdict.CLEAN


@pytest.mark.parametrize("line", ["a -> b -> a", "a -> b # open", "a  # short", "a -> b -> a #"])
def test_baseline_line_without_a_closed_cycle_or_a_reason_is_refused(tmp_path, line):
    path = tmp_path / "known.txt"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ScenarioError, match="known.txt:2: "):
        predict(seen(INVERSION), baseline=str(path))
    with pytest.raises(ScenarioError, match="cannot read the baseline"):
        read_baseline(str(tmp_path / "none.txt"))


# -- misuse ----------------------------------------------------------------------------------------


def misused(role):
    return lambda: {"clumsy": lambda: role(Mutex("a"), RWSemaphore("s"))}


@pytest.mark.parametrize("role, said", [
    (lambda a, s: a.release(), "ReleaseWithoutHold"),
    (lambda a, s: s.up_read(), "ReleaseWithoutHold"),
    (lambda a, s: (s.down_read(), s.up_write()), "ForeignRelease"),
    (lambda a, s: a.acquire(), "ended holding a"),
    (lambda a, s: s.down_write(), "ended holding s"),
    (lambda a, s: (a.acquire(), a.destroy()), "HeldLockFreed"),
    (lambda a, s: (s.down_read(), s.destroy()), "HeldLockFreed")])
def test_misuse_of_a_lock_is_a_violation(role, said):
    result = predict(misused(role))
    assert (result.verdict, result.verdict.exit_status) == (Verdict.VIOLATION, 1)
    assert said.removeprefix("Foreign") in result.finding.text


@pytest.mark.parametrize("role", [
    lambda a, s: (a.acquire(), a.release(), a.destroy()),
    lambda a, s: (s.down_write(), s.up_write(), s.destroy())])
def test_freeing_what_nobody_holds_is_fine(role):
    assert predict(misused(role)).verdict is Verdict.CLEAN


def test_deadlock_is_graver_than_the_misuse_beside_it():
    def world():
        roles = dict(seen(INVERSION)().roles)
        lock = Mutex("lock")
        return {**roles, "clumsy": lock.acquire}

    assert predict(world).verdict is Verdict.DEADLOCK


def test_error_of_a_role_is_an_error():
    assert predict(small_worlds.raises).verdict is Verdict.ERROR


# -- the kernel's validator on the same runs -------------------------------------------------------


@pytest.mark.parametrize("novalidate, said", [
    ("", "possible circular locking dependency detected: "),
    ("exempt as device_lock is", "nothing")])
def test_lockdep_says_what_the_kernel_would_have_said(novalidate, said):
    def world():
        dev, bus = Mutex("dev", LockClass("dev", novalidate=novalidate)), RWSemaphore("bus")

        def aer():
            with bus.down_read(), dev:
                pass

        def probe():
            with dev, bus.down_write():
                pass

        return {"aer": aer, "probe": probe}

    result = predict(world, lockdep=True)
    assert (result.verdict, statuses(result)) == (Verdict.DEADLOCK, {"bus -> dev -> bus": "forced"})
    assert result.lockdep[0].startswith(said)
    assert only(result).lockdep.startswith("silent: " if novalidate else "reported")
    assert novalidate in only(result).lockdep


# -- the declared meeting --------------------------------------------------------------------------


def test_declared_meeting_of_what_prediction_did_not_see_is_told():
    """The roles take a second lock only if both are there: one after the other they never are."""
    def world():
        a, b, there = Mutex("a"), Mutex("b"), []

        def role(outer, inner):
            def take():
                there.append(outer)
                with outer:
                    if len(there) == 2:
                        with inner:
                            pass
                    there.remove(outer)
            return take

        return Scenario({"one": role(a, b), "two": role(b, a)}, meet=[
            Meet(At("one", a), At("two", b)),
            Meet(At("one", b, holding=a), At("two", a, holding=b))])

    result = predict(world)
    assert (result.predictions, result.verdict, result.coverage["declared_meeting"]) == (
        [], Verdict.DEADLOCK, "ends in a deadlock that was NOT predicted")


def test_fixed_scenario_keeps_its_meeting_and_is_clean():
    def world():
        fixed = small_worlds.in_order()
        return Scenario(fixed, meet=Meet(At("first", "b", holding="a"),
                                         At("second", "a", holding="b")))

    result = predict(world)
    assert (result.verdict, result.coverage["declared_meeting"]) == (
        Verdict.CLEAN, "ends in no deadlock")


# -- arguments and what is left behind -------------------------------------------------------------


@pytest.mark.parametrize("arguments", [{"runs": 0}, {"seconds": 0}, {"timeout": 0},
                                       {"detect": "luck"}])
def test_arguments_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ScenarioError):
        predict(seen(INVERSION), **arguments)


def test_both_ways_to_detect_agree():
    """Every deadlock is let happen and judged when nothing moves."""
    by_block = predict(seen(INVERSION))
    by_time = predict(seen(INVERSION), detect="timeout", timeout=0.1)
    assert (statuses(by_time), by_time.verdict, by_time.how) == (
        statuses(by_block), by_block.verdict, "timed out")


def test_locks_are_free_and_usable_after_all_that_was_forced():
    """The world is kept by the test, so that its locks can be looked at afterwards."""
    kept = []

    def world():
        a, b = Mutex("a"), Mutex("b")
        kept.append((a, b))

        def one():
            with a, b:
                pass

        def two():
            with b, a:
                pass

        return {"one": one, "two": two}

    assert predict(world).verdict is Verdict.DEADLOCK
    assert not any(lock.locked() for pair in kept for lock in pair)
    assert run(world).verdict in (Verdict.CLEAN, Verdict.DEADLOCK)


# -- threads that nobody named, and what goes on outside our locks ---------------------------------


def _started_without_a_name(joined_first):
    def scenario():
        a, b = Mutex("a"), Mutex("b")

        def nest(outer, inner):
            with outer, inner:
                pass

        def starts():
            thread = threading.Thread(target=nest, args=(a, b))
            thread.start()
            if joined_first:
                thread.join()
            nest(b, a)
            thread.join()

        return {"starts": starts}
    return scenario


@pytest.mark.parametrize("joined_first, status", [(True, "guarded"), (False, "forced")])
def test_thread_that_nobody_named_is_the_same_role_in_every_run(joined_first, status):
    result = predict(_started_without_a_name(joined_first))
    assert [each.status for each in result.predictions] == [status]


def test_worker_of_a_pool_may_run_beside_another_whatever_the_clean_runs_did():
    """The tasks are handed out by a queue of the interpreter's, which nobody here sees."""
    def scenario():
        a, b = Mutex("a"), Mutex("b")

        def nest(outer, inner):
            with outer, inner:
                pass

        def submits():
            with ThreadPoolExecutor(2) as pool:
                for order in ((a, b), (b, a)):
                    pool.submit(nest, *order)

        return {"submits": submits}

    result = predict(scenario, timeout=.1, runs=1)
    assert [each.status for each in result.predictions] in (["unconfirmed"], ["forced"])
    assert result.verdict is not Verdict.CLEAN
