"""What an argument that a cycle cannot happen rests on: taken away, it is none any more."""

import pytest
from lock_programs import statuses

from harness import Completion, Mutex, RWSemaphore, predict
from harness.methods import exhaust

GUARDED, UNCONFIRMED = {"a -> b -> a": "guarded"}, {"a -> b -> a": "unconfirmed"}


@pytest.fixture(autouse=True)
def nothing_explored(monkeypatch):
    """Leave prediction with what clean runs showed, as after a test by itself."""
    monkeypatch.setattr(exhaust.Exhaustive, "explore_further", lambda self: False)


def nested(*locks):
    for lock in locks:
        lock.acquire()
    for lock in reversed(locks):
        lock.release()


@pytest.mark.parametrize("first_mode, second_mode, status", [
    ("read", "read", UNCONFIRMED), ("read", "write", GUARDED), ("write", "read", GUARDED),
    ("write", "write", GUARDED)])
def test_gate_excludes_whatever_a_role_tries_unless_both_only_read_it(
        first_mode, second_mode, status):
    """They lock crosswise inside it, one after the other; the second looks about besides."""
    def world():
        a, b, go, gate = Mutex("a"), Mutex("b"), Completion("go"), RWSemaphore("gate")

        def inside(mode, *locks):
            with getattr(gate, f"down_{mode}")():
                nested(*locks)

        def first():
            inside(first_mode, a, b)
            go.complete()

        def second():
            go.wait()
            inside(second_mode, b, a)
            if go.wait(0):
                go.complete()

        return {"first": first, "second": second}

    assert statuses(predict(world)) == status


@pytest.mark.parametrize("first_mode, second_mode, status", [
    ("read", "read", UNCONFIRMED), ("read", "write", GUARDED), ("write", "read", GUARDED),
    ("write", "write", GUARDED)])
def test_gate_of_classes_excludes_unless_both_legs_only_read_it(first_mode, second_mode, status):
    def world():
        gate = RWSemaphore("gate")
        a1, b1, a2, b2 = (Mutex(name, name[0]) for name in ("a1", "b1", "a2", "b2"))

        def role(mode, *locks):
            def inside():
                with getattr(gate, f"down_{mode}")():
                    nested(*locks)
            return inside

        return {"one": role(first_mode, a1, b1), "two": role(second_mode, b2, a2)}

    assert statuses(predict(world)) == status


@pytest.mark.parametrize("without_it, status", [(False, GUARDED), (True, UNCONFIRMED)])
def test_gate_excludes_only_if_each_request_was_made_inside_it(without_it, status):
    """The first locks so twice, perhaps once without the gate; the second waits for its end, and
    looks about besides.
    """
    def world():
        a, b, gate, go = Mutex("a"), Mutex("b"), Mutex("gate"), Completion("go")

        def first():
            nested(gate, a, b)
            nested(*([] if without_it else [gate]), a, b)
            go.complete()

        def second():
            go.wait()
            nested(gate, b, a)
            if go.wait(0):
                go.complete()

        return {"first": first, "second": second}

    assert statuses(predict(world)) == status
