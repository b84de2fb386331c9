"""What is in the order of locks and what is not: by policy, by mode, by a limit; what is no cycle.
"""

import pytest
from lock_programs import statuses
from small_worlds import in_order

from harness import Completion, Mutex, RWSemaphore, ScenarioError, predict, run
from harness.checker.program import Op
from harness.lockorder.graph import LockOrder
from harness.lockorder.lockdep import CIRCULAR, validate


@pytest.mark.parametrize("policy, found", [
    ("writer", {"lock -> sem -> lock": "needs-writer"}),
    ("fair", {"lock -> sem -> lock": "needs-writer"}), ("reader", {})])
def test_readers_meet_readers_only_where_a_queued_writer_keeps_them_out(policy, found):
    def world():
        sem, lock = RWSemaphore("sem", policy=policy), Mutex("lock")

        def one():
            with sem.down_read(), lock:
                pass

        def other():
            with lock, sem.down_read():
                pass

        return {"one": one, "other": other}

    assert statuses(predict(world)) == found


@pytest.mark.parametrize("policy", ["writer", "fair", "reader"])
@pytest.mark.parametrize("held", ["read", "write"])
@pytest.mark.parametrize("wanted", ["read", "write"])
def test_two_of_a_class_nest_legally_only_if_both_are_read_whoever_waits(policy, held, wanted):
    def world():
        outer, inner = (RWSemaphore(name, "C", policy=policy) for name in ("outer", "inner"))

        def role():
            with getattr(outer, f"down_{held}")(), getattr(inner, f"down_{wanted}")():
                pass

        return {"role": role}

    legal = policy == "reader" and held == wanted == "read"
    assert statuses(predict(world)) == ({} if legal else {"C -> C": "unconfirmed"})


@pytest.mark.parametrize("limits, operation", [((), "wait"), ((5,), "pass")])
def test_wait_with_a_limit_puts_nothing_in_order_though_it_passed(limits, operation):
    orders = []

    def world():
        done = Completion("done")
        done.complete()
        return {"role": lambda: done.wait(*limits)}

    run(world, runs=1, observers=lambda: orders.append(LockOrder()) or orders)
    assert orders[0].operations == {"role": (Op(operation, "done"),)}
    assert orders[0].choosing == ({"role"} if limits else set())


@pytest.mark.parametrize("cycle", ["a", "a -> b", "a -> b -> c", "a -> b -> a -> b", "a->b->a"])
def test_line_of_a_baseline_that_does_not_end_where_it_begins_is_refused(cycle):
    with pytest.raises(ScenarioError, match="a cycle that ends where it begins, got "):
        predict(in_order, baseline={cycle: "known"})


def test_number_sign_in_a_name_begins_no_reason():
    def world():
        a, b = Mutex("a#1"), Mutex("b #2")

        def takes(outer, inner):
            def role():
                with outer, inner:
                    pass
            return role

        return {"one": takes(a, b), "two": takes(b, a)}

    found, = predict(world).predictions
    assert found.key == "a#1 -> b #2 -> a#1"
    known = predict(world, baseline={found.key: "issue #3"})
    assert statuses(known) == {found.key: "known"}
    assert known.predictions[0].reason == "issue #3"


def test_validator_takes_a_release_for_that_of_the_latest_hold():
    """What is held last then is B: C is inside it, and B inside C closes a circle."""
    told = "RR A; W B; RR A; U A; W C; U C; U B; U A; W C; W B"
    locks = {name: ("rwlock", name) for name in "ABC"}
    assert validate([op.split() for op in told.split("; ")], locks) == CIRCULAR
    assert validate([op.split() for op in told.split("; ")[:-1]], locks) is None
