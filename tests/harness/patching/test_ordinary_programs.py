"""Ordinary programs of threads, as they are: each found wrong where it is, and clean mended."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness


@pytest.fixture(scope="module", autouse=True)
def patch():
    with harness.patched():
        yield


def crossed(one, other, mended):
    def first():
        with one, other:
            pass

    def second():
        with (one if mended else other), (other if mended else one):
            pass
    return {"first": first, "second": second}


PROGRAMS = {
    "a lock and a condition used as one": lambda mended: crossed(
        threading.RLock(), threading.Condition(), mended),
    "a permit and a lock": lambda mended: crossed(
        threading.BoundedSemaphore(1), threading.Lock(), mended)}


@pytest.mark.parametrize("method", [harness.explore, harness.predict])
@pytest.mark.parametrize("what", PROGRAMS)
def test_two_orders_are_a_deadlock_and_one_order_is_clean(what, method):
    assert method(lambda: PROGRAMS[what](False)).verdict.value == "deadlock"
    assert method(lambda: PROGRAMS[what](True)).verdict.value == "clean"


def test_a_pool_makes_locks_of_ours_for_itself_and_its_futures():
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(int)
        assert type(pool._shutdown_lock).__module__ == "harness.standard.lock"
        assert type(future._condition).__module__ == "harness.standard.condition"
        assert future.result() == 0
