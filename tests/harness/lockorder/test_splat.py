"""The report of predictions, as text: lockdep's layout, a column for each role of the real cycle.

Goldens as in test_report.py. What is predicted is tested elsewhere; here it is how it reads.
"""

import pytest
import small_worlds
from golden import compare

from harness import Completion, Mutex, RWSemaphore, run
from harness.methods.predict import predict
from harness.report.result import commands
from harness.lockorder.splat import paragraphs
from harness.runtime.verdict import Verdict


def gated():
    """Opposite orders under one outer lock."""
    a, b, gate = Mutex("a"), Mutex("b"), Mutex("gate")

    def left():
        with gate, a, b:
            pass

    def right():
        with gate, b, a:
            pass

    return {"left": left, "right": right}


def both_ways():
    """One role takes two locks in both orders."""
    c, d = Mutex("c"), Mutex("d")

    def only():
        with c, d:
            pass
        with d, c:
            pass

    return {"only": only}


def triangle():
    """Three roles; where two readers meet, only a queued writer makes one wait for the other."""
    igate, memory = Mutex("&vdev->igate"), RWSemaphore("&vdev->memory_lock")
    sem = RWSemaphore("&pci_bus_sem")

    def set_irqs():
        with igate, memory.down_write():
            pass

    def hot_reset():
        with memory.down_write(), sem.down_read():
            pass

    def aer():
        with sem.down_read(), igate:
            pass

    return {"set_irqs": set_irqs, "hot_reset": hot_reset, "aer": aer}


def flush():
    """A role waits for work that needs what it holds."""
    mutex, work = Mutex("0000:01:00.0", "&dev->mutex"), Completion("(work_completion)(&x)")

    def flusher():
        with mutex:
            work.wait(by="worker")

    def worker():
        with mutex:
            pass
        work.complete()

    return {"flusher": flusher, "worker": worker}


def parent_and_child():
    """Two locks of one class, one inside the other, and nobody said that this is legal."""
    parent, child = Mutex("0000:00:03.0", "&dev->mutex"), Mutex("0000:01:00.0", "&dev->mutex")

    def CPU0():
        with parent, child:
            pass

    return {"CPU0": CPU0}


def opposite_by_class():
    """Two classes in opposite orders, but not the same locks."""
    first, second, bus = Mutex("first", "dev"), Mutex("second", "dev"), Mutex("bus")

    def down():
        with first, bus:
            pass

    def up():
        with bus, second:
            pass

    return {"down": down, "up": up}


def crowd():
    """More philosophers than fit side by side."""
    forks = [Mutex(f"fork {i}", "fork") for i in range(8)]

    def philosopher(i):
        def dine():
            with forks[i], forks[(i + 1) % 8]:
                pass
        return dine

    return {f"philosopher {i}": philosopher(i) for i in range(8)}


def two_and_one():
    """A cycle that can happen, and one that cannot."""
    return {**small_worlds.abba().roles, **both_ways()}


@pytest.mark.parametrize("name", ["abba", "nested_read", "philosophers"])
def test_a_forced_finding_is_a_splat_and_the_deadlock_as_it_happened(name):
    compare(f"predict_{name}", predict(getattr(small_worlds, f"{name}_bare")))


def test_a_finding_that_needs_a_writer_has_a_column_for_it_and_is_not_called_a_deadlock():
    compare("predict_triangle", predict(triangle))


def test_who_is_to_end_a_wait_is_told_apart_from_who_holds_a_lock():
    compare("predict_flush", predict(flush))


def test_an_unconfirmed_recursion_names_both_instances():
    compare("predict_parent_and_child", predict(parent_and_child))


def test_a_class_that_means_two_locks_is_told_by_instance():
    compare("predict_opposite_by_class", predict(opposite_by_class))


def test_more_roles_than_fit_stand_below_each_other():
    compare("predict_crowd", predict(crowd, runs=1))


@pytest.mark.parametrize("world", [gated, both_ways])
def test_what_cannot_happen_is_one_paragraph(world):
    compare(f"predict_{world.__name__}", predict(world))


def test_several_findings_are_counted_by_status_and_the_gravest_comes_first():
    compare("predict_two_and_one", predict(two_and_one))


def test_a_known_finding_is_one_paragraph_with_its_reason():
    result = predict(small_worlds.abba_bare, baseline={"a -> b -> a": "fixed in the next release"})
    assert paragraphs(result) == [
        "Known: a -> b -> a is known: fixed in the next release. left holds a and asks for b at "
        "left\n  small_worlds.py:18; right holds b and asks for a at right small_worlds.py:23."]


def test_what_the_kernel_would_have_said_stands_at_the_end():
    result = predict(small_worlds.abba_bare)
    result.lockdep = ["nothing", "a: exempt"]
    result.predictions[0].lockdep = "silent: a: exempt"
    text = str(result)
    assert text.index("lockdep: silent: a: exempt") > text.index("Status: forced")
    assert text.endswith("What the kernel's validator would have said of the same run:\n"
                         "  nothing\n  a: exempt")


def test_the_same_class_cycle_is_told_once_with_a_count():
    found = predict(small_worlds.abba_bare)
    found.predictions[0].count = 3
    assert "Cycle: a -> b -> a (3 cycles by instance)\n" in str(found)


def test_only_what_was_forced_has_a_command_that_forces_it():
    forced, guarded = predict(small_worlds.abba_bare), predict(gated)
    forced.again = guarded.again = "python -m harness predict m:predict"
    forced.next = guarded.next = "python -m harness force m:predict"
    assert commands(forced) == ["Again: python -m harness predict m:predict",
                                "Force: python -m harness force m:predict"]
    assert commands(guarded) == ["Again: python -m harness predict m:predict"]


def test_a_deadlock_of_a_clean_run_is_drawn_once():
    result = predict(flush)
    assert result.outcome is not result.predictions[0].outcome
    assert str(result).count("<-- waits, flusher holds it") == 1


def test_a_broken_rule_of_locks_has_the_kernels_headline():
    """The rule is as long as the headline: 37 characters, as in print_unlock_imbalance_bug()."""
    lock = Mutex("lock")
    result = run(lambda: {"careless": lock.release})
    assert result.verdict is Verdict.VIOLATION
    assert f"{'=' * 37}\nWARNING: bad unlock balance detected!\n{'-' * 37}\ncareless broke a rule" \
        in str(result)


def test_an_error_has_no_headline_of_the_kernel():
    assert "WARNING" not in str(run(small_worlds.raises))
