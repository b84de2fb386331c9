"""What the kernel's validator would have said of a record, edge by edge; and which locks of it the
validator does not see.
"""

import pytest

from harness import Completion, Mutex, RWSemaphore, Scenario, Verdict
from harness.lockorder.cycles import unseen, validated
from harness.lockorder.graph import LockOrder
from harness.lockorder.lockdep import CIRCULAR, RECURSIVE
from harness.lockorder.record import Record
from harness.locks.node import LockClass
from harness.meetings.one_by_one import OneByOne
from harness.runtime.free_run import FreeRun
from harness.runtime.building import build
from harness.runtime.workers import Workers


def recorded(*roles):
    """Let *roles* run one after the other; return the record."""
    made = build(lambda: Scenario({f"role{i}": role for i, role in enumerate(roles)}), "a scenario")
    order = LockOrder()
    with Workers() as workers:
        outcome = FreeRun(made, [OneByOne(range(len(roles))), order]).play(workers)
    assert outcome.verdict is Verdict.CLEAN, outcome.findings
    return Record([order])


def nested(*locks):
    """Return a role that takes *locks* inside each other."""
    def role():
        for lock in locks:
            lock.acquire()
        for lock in reversed(locks):
            lock.release()
    return role


def test_opposite_orders_are_reported_with_their_classes():
    a, b, c = Mutex("a"), Mutex("b"), Mutex("c")
    record = recorded(nested(a, b), nested(b, c), nested(c, a))
    assert validated(record) == (CIRCULAR, ("c", "a", "b"))
    assert validated(recorded(nested(a, b), nested(b, c), nested(a, c))) is None


def test_lock_inside_its_own_class_is_reported():
    record = recorded(nested(Mutex("c1", "c"), Mutex("c2", "c")))
    assert validated(record) == (RECURSIVE, ("c",))


def test_own_class_is_looked_at_before_any_circle():
    """The last request closes a circle of a and c too, by the lock that is held last."""
    a, first, second = Mutex("a"), Mutex("c1", "c"), Mutex("c2", "c")
    record = recorded(nested(first, a), nested(first, a, second))
    assert validated(record) == (RECURSIVE, ("c",))
    assert validated(recorded(nested(first, a), nested(a, second))) == (CIRCULAR, ("a", "c"))


def test_the_first_report_is_the_only_one():
    a, b, first, second = Mutex("a"), Mutex("b"), Mutex("c1", "c"), Mutex("c2", "c")
    record = recorded(nested(a, b), nested(b, a), nested(first, second))
    assert validated(record) == (CIRCULAR, ("b", "a"))


def test_order_that_makes_it_legal_is_no_report():
    ordered = LockClass("c", order=lambda held, wanted: held.name < wanted.name, why="alphabetical")
    first, second = Mutex("c1", ordered), Mutex("c2", ordered)
    assert validated(recorded(nested(first, second))) is None
    assert validated(recorded(nested(second, first))) == (RECURSIVE, ("c",))


def test_class_that_is_exempt_here_is_not_exempt_in_the_kernel():
    quiet = LockClass("q", exempt="only debugging takes it")
    a, first, second = Mutex("a"), Mutex("q1", quiet), Mutex("q2", quiet)
    assert validated(recorded(nested(first, second))) == (RECURSIVE, ("q",))
    assert validated(recorded(nested(a, first), nested(first, a))) == (CIRCULAR, ("q", "a"))


def test_recursive_read_inside_a_read_is_no_report_though_its_class_is_exempt():
    quiet = LockClass("q", exempt="only debugging takes it")
    sem = RWSemaphore("q1", quiet, policy="reader")

    def reads_twice():
        with sem.down_read(), sem.down_read():
            pass

    assert validated(recorded(reads_twice)) is None


@pytest.mark.parametrize("said", ["", "lockdep_set_novalidate_class()"])
def test_class_that_the_kernel_does_not_validate_is_not_seen(said):
    a, dev = Mutex("a"), Mutex("d", LockClass("d", novalidate=said))
    record = recorded(nested(a, dev), nested(dev, a))
    assert unseen(record, ["a", "d"]) == ([f"d: {said}"] if said else [])
    assert validated(record) == (None if said else (CIRCULAR, ("d", "a")))


def test_wait_for_a_flag_is_not_seen_but_one_for_a_work_item_is():
    for name, lines in (("done", 1), ("(work_completion)(&work)", 0)):
        a, done = Mutex("a"), Completion(name)

        def waits(a=a, done=done):
            with a:
                done.wait()

        def completes(a=a, done=done):
            with a:
                pass
            done.complete()

        record = recorded(completes, waits)
        assert len(unseen(record, ["a", name])) == lines
        assert validated(record) == (None if lines else (CIRCULAR, (name, "a")))
