"""From what threads were seen to do to a program: completions that count, waits that had passed,
starts of threads; and what makes no program, in words.
"""

import threading

import pytest

from harness import Completion, Mutex, RWSemaphore, explore, step
from harness.checker.program import Op
from harness.checker.search import search
from harness.exploration.extract_program import program_from, started

CROSSED = "lock a; lock b; unlock b; unlock a", "lock b; lock a; unlock a; unlock b"


def path(text):
    return tuple(Op(*op.split()) for op in text.split("; "))


def verdict(threads, done=None, **more):
    """Return what the engine says of threads that were seen to do this."""
    paths = {name: path(text) for name, text in threads.items()}
    answer = search(program_from(paths, done or {}, {}, **more))
    assert answer.complete
    return answer.verdict


# -- completions ----------------------------------------------------------------------------------


def test_each_wait_needs_a_completion_of_its_own():
    """What the one does between its two calls is over before the other's second wait passes."""
    one, other = CROSSED
    completer = f"complete x; {one}; complete x"
    assert verdict({"T": completer, "U": f"wait x; wait x; {other}"}) == "clean"
    assert verdict({"T": completer, "U": f"wait x; {other}; wait x"}) == "deadlock"


def test_two_completions_for_three_waits_leave_one_waiting():
    assert verdict({"T": "complete x; complete x", "U": "wait x; wait x; wait x"}) == "hang"


def test_what_was_completed_before_the_start_lets_the_first_waits_pass():
    """One call was made before: so the one made here is for the second wait."""
    one, other = CROSSED
    completer, done = f"{one}; complete x", {"x": 1}
    assert verdict({"T": completer, "U": f"wait x; {other}"}, done) == "deadlock"
    assert verdict({"T": completer, "U": f"wait x; wait x; {other}"}, done) == "clean"
    assert verdict({"T": "lock a; unlock a", "U": "wait x"}, {"x": float("inf")}) == "clean"


def test_each_completion_lets_one_wait_pass_whoever_waits_and_whoever_completes():
    assert verdict({"T": "complete x", "U": "wait x", "V": "wait x"}) == "hang"
    assert verdict({"T": "complete x", "V": "complete x", "U": "wait x; wait x"}) == "clean"
    assert verdict({"T": "complete x; complete x; wait x", "U": "wait x"}) == "clean"


@pytest.mark.parametrize("permits, word", [(1, "deadlock"), (2, "clean")])
def test_permit_that_is_given_back_after_a_section_is_waited_for_by_the_next(permits, word):
    """One has the permit and wants a, the other has a and wants the permit; there are two of them,
    or one.
    """
    threads = {"T": "wait x; lock a; unlock a; complete x",
               "U": "lock a; wait x; complete x; unlock a"}
    assert verdict(threads, {"x": permits}) == word


def test_completion_made_new_takes_back_what_was_completed():
    assert verdict({"T": "complete x; complete x; clear x; wait x"}) == "hang"
    assert verdict({"T": "set x; clear x; wait x"}) == "hang"
    assert verdict({"T": "complete x; set x; wait x; wait x; wait x"}) == "clean"
    assert verdict({"T": "set x; complete x; clear x; complete x; wait x"}) == "clean"


def test_wait_with_a_limit_that_passed_uses_a_permit_up_and_never_waits():
    assert verdict({"T": "pass x", "U": "complete x; lock a; wait x; unlock a"}) == "hang"
    assert verdict({"T": "pass x; complete x", "U": "complete x; wait x"}) == "clean"
    assert verdict({"T": "pass x"}) == "clean"    # it has left the path that was recorded


def test_complete_all_lets_every_wait_pass():
    assert verdict({"T": "set x", "U": "wait x; wait x"}) == "clean"


def test_wait_that_nobody_here_ends_has_ended_only_if_others_were_left_out():
    threads = {"U": "wait x; lock a; unlock a"}
    assert (verdict(threads), verdict(threads, others=True)) == ("hang", "clean")
    threads["T"] = "lock a; complete x; unlock a"
    assert verdict({**threads, "U": "lock a; wait x; unlock a"}, others=True) == "deadlock"


def test_each_semaphore_has_its_policy():
    made = program_from({"T": path("down_read s; up_read s; down_read t; up_read t")}, {},
                        {"s": "reader", "t": "fair"})
    assert (made.policy_of("s"), made.policy_of("t"), made.policy_of("u")) == (
        "reader", "fair", "writer")


# -- from a schedule ------------------------------------------------------------------------------


def engine(world):
    return explore(world).coverage["engine"]


def test_thread_does_nothing_before_it_was_started():
    """It locks crosswise with what its starter had done by then: no deadlock, in few states."""
    def world():
        a, b = Mutex("a"), Mutex("b")

        def helper():
            with b, a:
                pass

        def role():
            with a, b:
                pass
            thread = threading.Thread(target=helper)
            thread.start()
            thread.join()

        return {"role": role}

    # The role before each of its operations up to the start, 5; then the thread at each of its
    # places, 7; then the end of both.
    assert engine(world) == "clean (all 13 states)"
    assert started("x") == "start of x"


def test_trylock_that_succeeded_is_in_the_program_but_never_waits():
    """Asked for in earnest, the inner lock would close the circle."""
    def world(blocking):
        def factory():
            a, b = Mutex("a"), Mutex("b")

            def tries():
                with a:
                    if b.acquire(blocking):
                        b.release()

            def waits():
                with b, a:
                    pass

            return {"tries": tries, "waits": waits}
        return factory

    assert engine(world(True)).startswith("deadlock (all ")
    assert engine(world(False)).startswith("clean (all ")


def several_policies():
    one, two = RWSemaphore("one", policy="writer"), RWSemaphore("two", policy="reader")

    def role():
        with one.down_read(), two.down_read():
            pass
    return {"role": role}


def timed():
    done = Completion("done")
    return {"completes": done.complete, "waits": lambda: done.wait(1)}


def failed_trylock():
    a = Mutex("a")

    def role():
        with a:
            a.acquire(False)
    return {"role": role}


SAID = "did what a program cannot say: "


@pytest.mark.parametrize("world, why", [
    (several_policies, "the semaphores have several policies"),
    (timed, f"waits {SAID}a request with a time limit"),
    (failed_trylock, f"role {SAID}'busy'")])
def test_what_a_program_cannot_say_is_said(world, why):
    assert engine(world) == f"not asked: {why}"


@pytest.mark.parametrize("counts", [False, True])
def test_completion_that_is_done_once_and_awaited_once_is_a_flag(counts):
    def world():
        done = Completion("done")
        if counts:
            done.complete()
        return {"completes": done.complete, "waits": done.wait, "steps": lambda: step("there")}

    # Each role is before or after its one operation; with no completion before, the wait is after.
    assert engine(world) == f"clean (all {4 if counts else 3} states)"


def test_completions_that_count_and_are_made_new_are_in_the_program():
    """Two permits for two of three waits, the third after they were taken back: it hangs."""
    def world(third):
        done = Completion("done")
        done.complete()

        def role():
            done.complete()
            done.wait()
            done.wait()
            done.complete()
            done.reinit()
            if third:
                done.wait()
        return {"role": role}

    assert engine(lambda: world(False)) == "clean (all 6 states)"    # before each, and at the end
    assert explore(lambda: world(True)).verdict.value == "hang"


@pytest.mark.parametrize("last, word", [("reinit", "hang"), ("complete", "clean"),
                                        ("complete_all", "clean")])
def test_last_operation_of_all_is_in_the_program_as_what_it_was(last, word):
    """Only a completion that is made new can let somebody wait for ever: before he waits."""
    def world():
        done = Completion("done")
        return {"first": done.complete_all, "waits": done.wait, "last": getattr(done, last)}

    assert engine(world).startswith(f"{word} (all ")
