"""What a role must have before it ends a wait, which is an edge of the order like any other."""

import threading

import pytest
from lock_programs import statuses

from harness import Completion, Mutex, predict


def nested(*locks):
    for lock in locks:
        lock.acquire()
    for lock in reversed(locks):
        lock.release()


def tried(lock, done):
    if lock.acquire(False):
        lock.release()
    done.complete()
    nested(lock)


def asked_within_a_limit(lock, done):
    if lock.acquire(timeout=5):
        lock.release()
    done.complete()
    nested(lock)


def asked_after(lock, done):
    done.complete()
    nested(lock)


def asked_before(lock, done):
    nested(lock)
    done.complete()


def asked_between(lock, done):
    done.complete()
    nested(lock)
    done.complete()


@pytest.mark.parametrize("ends, found", [
    (tried, {}), (asked_within_a_limit, {}), (asked_after, {}),
    (asked_before, {"done -> m -> done": "forced"}),
    (asked_between, {"done -> m -> done": "guarded"})])    # the first call lets the wait pass
def test_lock_leads_to_an_end_if_it_is_asked_for_before_without_a_way_out(ends, found):
    """The other waits with the lock in hand."""
    def world():
        lock, done = Mutex("m"), Completion("done")

        def waits():
            with lock:
                done.wait()

        return {"ends": lambda: ends(lock, done), "waits": waits}

    assert statuses(predict(world)) == found


def test_paragraph_of_a_cycle_says_who_waits_who_asks_and_who_is_to_end_the_wait():
    def world():
        lock, done = Mutex("m"), Completion("done")

        def waits():
            with lock:
                done.wait()

        return {"ends": lambda: asked_between(lock, done), "waits": waits}

    text = " ".join(str(predict(world)).split())
    assert "waits holds m and waits for done at " in text
    assert "ends, which is to end done, needs m before, at " in text


def test_end_of_a_thread_comes_after_what_it_asked_for():
    """It is joined with the lock in hand that it has had by then, as it has said."""
    def world():
        lock, done = Mutex("m"), Completion("done")

        def child():
            nested(lock)
            done.complete()

        def parent():
            thread = threading.Thread(target=child, name="child")
            thread.start()
            done.wait()
            with lock:
                thread.join()

        return {"parent": parent}

    result = predict(world)
    assert statuses(result) == {"end of child -> m -> end of child": "guarded"}
    assert "child, whose end is waited for, needs m before, at " in " ".join(str(result).split())
