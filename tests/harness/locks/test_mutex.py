"""Mutex: `threading.Lock` with an owner, alone and inside a run."""

import gc
import threading
import unittest
import weakref

import pytest

from harness import Completion, Mutex, Observer, Verdict, run
from harness.locks.errors import ForeignRelease, LockMisuse, RecursiveAcquire, ReleaseWithoutHold
from harness.locks.task import Task, current

try:
    from test import lock_tests
except ImportError:   # some distributions leave the interpreter's own tests out
    lock_tests = None


@pytest.mark.skipif(lock_tests is None, reason="CPython's own tests are not installed")
class TestAsCPythonTestsItsLock(lock_tests.LockTests if lock_tests else unittest.TestCase):
    """CPython's suite. The two left out rest on a lock that does not know its owner; see below."""

    locktype = staticmethod(Mutex)
    test_reacquire = None
    test_different_thread = None


def in_thread(function):
    """Call *function* in another thread; return what it returned or raised."""
    got = []

    def body():
        try:
            got.append(function())
        except BaseException as exc:
            got.append(exc)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return got[0]


def test_acquiring_again_is_refused_by_name():
    lock = Mutex("door")
    with lock:
        with pytest.raises(RecursiveAcquire, match="door"):
            lock.acquire()
        with pytest.raises(RecursiveAcquire, match="door"):
            lock.__enter__()
    assert not lock.locked()


def test_acquiring_again_with_a_limit_answers_false():
    lock = Mutex("door")
    with lock:
        assert [lock.acquire(False), lock.acquire(timeout=0.001), lock.locked()] \
            == [False, False, True]


def test_release_by_another_thread_is_refused_by_name():
    lock = Mutex("door")
    with lock:
        error = in_thread(lock.release)
        assert (type(error), "door" in str(error), lock.locked()) == (ForeignRelease, True, True)


def test_release_of_a_free_lock_is_refused_by_name():
    lock = Mutex("door")
    with pytest.raises(ReleaseWithoutHold, match="door"):
        lock.release()
    assert lock.acquire(False)
    lock.release()


def test_errors_are_of_one_family_and_runtime_errors_as_of_a_plain_lock():
    assert all(issubclass(error, LockMisuse) and issubclass(error, RuntimeError)
               for error in (RecursiveAcquire, ForeignRelease, ReleaseWithoutHold))


@pytest.mark.parametrize("arguments", [(False, 1), (True, -2), (True, float("inf"))])
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
def test_argument_rules_are_those_of_a_plain_lock(arguments, inside):
    def error_of(lock):
        try:
            lock.acquire(*arguments)
        except (ValueError, OverflowError) as exc:
            return type(exc)

    expected = error_of(threading.Lock())
    got = []
    if inside:
        run(lambda: {"role": lambda: Mutex("a").locked() or got.append(error_of(Mutex("a")))},
            runs=1)
    else:
        got.append(error_of(Mutex("a")))
    assert got == [expected]


def test_a_name_is_the_class_unless_another_is_given():
    locks = Mutex("door"), Mutex("door 7", "door"), Mutex("0000:01:00.0", "&dev->mutex")
    assert [(lock.name, lock.lock_class, str(lock)) for lock in locks] == [
        ("door", "door", "door"), ("door 7", "door", "door 7"),
        ("0000:01:00.0", "&dev->mutex", "&dev->mutex (0000:01:00.0)")]


def test_two_locks_of_one_class_are_told_apart():
    assert str(Mutex("a", "bar")) != str(Mutex("r", "bar"))


def test_a_lock_can_be_weakly_referenced_and_dies_with_its_last_reference():
    lock = Mutex("a")
    with lock:
        pass
    seen = weakref.ref(lock)
    del lock
    gc.collect()
    assert seen() is None


# -- inside a run ---------------------------------------------------------------------------------


def test_a_timed_acquire_in_a_run_expires_and_a_trylock_answers():
    lock, held, tried = Mutex("a"), Completion("held"), Completion("tried")
    story = []

    def holder():
        with lock:
            held.complete()
            tried.wait(by="asker")

    def asker():
        held.wait(by="holder")
        story.extend([lock.acquire(timeout=0.01), lock.acquire(False), lock.acquire(True, 0)])
        tried.complete()
        story.append(lock.acquire(timeout=60))
        story.append(lock.acquire(False))
        lock.release()

    result = run(lambda: {"holder": holder, "asker": asker}, runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, [False, False, False, True, False])


def test_the_lock_goes_to_the_waiters_in_the_order_in_which_they_came():
    lock = Mutex("a")
    gates = [Completion(f"gate {i}") for i in range(4)]
    story = []

    class OneByOne(Observer):
        """Send the next to ask once the one before is queued; then let the holder go on."""

        def lock_contended(self, task, mutex, mode):
            if mutex is lock:
                ready.append(gates[len(ready) + 1])

        def idle(self):
            if ready:
                ready[-1].finish()
            return bool(ready)

    ready = []

    def role(i):
        def ask():
            gates[i].wait(by=None if i else "holder")
            with lock:
                story.append(i)
        return ask

    def holder():
        with lock:
            gates[0].complete()
            gates[3].wait()

    run(lambda: {"two": role(2), "one": role(1), "zero": role(0), "holder": holder},
        observers=lambda: [OneByOne()], runs=1)
    assert story == [0, 1, 2]


def role_of(function):
    return lambda: {"culprit": function}


def test_misuse_in_a_run_is_a_violation_that_names_role_lock_and_place():
    lock, held, tried = Mutex("door"), Completion("held"), Completion("tried")

    def owner():
        with lock:
            held.complete()
            tried.wait()

    def culprit():
        held.wait(by="owner")
        try:
            lock.release()
        finally:
            tried.complete()

    result = run(lambda: {"owner": owner, "culprit": culprit})
    line = culprit.__code__.co_firstlineno + 3
    assert (result.verdict, result.finding.text) == (
        Verdict.VIOLATION,
        f"culprit broke a rule of locks: ForeignRelease: door is released by culprit, "
        f"but owner holds it, at test_mutex.py:{line}")


def test_release_without_hold_in_a_run_is_a_violation():
    def culprit():
        Mutex("door").release()

    result = run(role_of(culprit))
    assert result.verdict is Verdict.VIOLATION and result.finding.text == (
        "culprit broke a rule of locks: ReleaseWithoutHold: door is released, but nobody holds it, "
        f"at test_mutex.py:{culprit.__code__.co_firstlineno + 1}")


def test_a_lock_held_across_the_end_of_a_role_is_a_violation_and_is_freed():
    lock = Mutex("door 7", "door")

    def culprit():
        lock.acquire()

    result = run(role_of(culprit))
    assert (result.verdict, result.finding.text, lock.locked()) == (
        Verdict.VIOLATION,
        "culprit broke a rule of locks: HeldAtEnd: it ended holding door 7 "
        f"(taken at test_mutex.py:{culprit.__code__.co_firstlineno + 1})", False)


def test_a_lock_held_across_two_runs_knows_its_owner_outside():
    lock = Mutex("a")
    story = []
    with lock:
        result = run(lambda: {"role": lambda: story.append(lock.acquire(False))}, runs=1)
        story.append(lock.locked())
    assert (result.verdict, story, lock.locked()) == (Verdict.CLEAN, [False, True], False)


def test_a_role_may_wait_for_a_thread_outside_the_run_and_gets_the_lock():
    lock, story = Mutex("a"), []
    queued, taken = threading.Event(), threading.Event()

    class Tell(Observer):
        def lock_contended(self, task, mutex, mode):
            queued.set()

    def outsider():
        with lock:
            taken.set()
            queued.wait()

    def role():
        with lock:
            story.append("role has it")

    thread = threading.Thread(target=outsider)
    thread.start()
    taken.wait()
    result = run(lambda: {"role": role}, observers=lambda: [Tell()], runs=1)
    thread.join()
    assert (result.verdict, story) == (Verdict.CLEAN, ["role has it"])


def test_what_interrupts_a_wait_is_raised_though_the_run_is_over_meanwhile():
    class Run:
        on_acquire = ()
        ask_in_turn = None
        running = timed = 0
        over = unwinding = False

        def contended(self, task, again):
            self.over, task.interrupt = True, KeyError("of a signal handler")
            return False

    mutex = Mutex("mutex")
    mutex.acquire()
    with pytest.raises(KeyError):
        mutex._acquire_in_run(Task("role", Run()), True, 5)
    mutex.release()


@pytest.mark.parametrize("take", [
    lambda lock: lock.__enter__(), lambda lock: lock.acquire(), lambda lock: lock.acquire(False),
    lambda lock: lock.acquire(timeout=3600)], ids=["with", "acquire", "try", "limit"])
def test_who_hears_of_something_else_as_it_is_given_a_mutex_has_it_not(take):
    said = []

    def hears(*_):
        raise KeyError("of a signal handler")

    def world():
        lock = Mutex("m")

        def role():
            task = current()
            before = task.run.note, task.run.on_acquired
            task.run.note, task.run.on_acquired = hears, (hears,)
            try:
                with pytest.raises(KeyError):
                    take(lock)
            finally:
                task.run.note, task.run.on_acquired = before
            said.append((lock.locked(), lock._owner, list(task.held)))
            with lock:
                pass

        return {"role": role}

    assert run(world, runs=1).verdict is Verdict.CLEAN
    assert said == [(False, None, [])]
