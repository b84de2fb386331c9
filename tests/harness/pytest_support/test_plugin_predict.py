"""--predict: a test that uses harness locks is a test of lock order too."""

import gc
import re
import threading
import weakref

import pytest

from harness import Completion, Mutex, RWSemaphore
from harness.locks import parking, task
from harness.pytest_support.watched_run import WatchedRun
from harness.locks.errors import RecursiveAcquire

IN_TURN = """
from harness.meetings.one_by_one import OneByOne

def in_turn():
    return [OneByOne((0, 1))]     # the roles run one after the other: never a deadlock
"""


# -- what a test hands to lock_harness ------------------------------------------------------------


def test_predict_of_the_fixture_fails_its_test_with_the_report(inner):
    result = inner("""
def test_transfers(lock_harness):
    lock_harness.predict(abba)

def test_known_to_deadlock(lock_harness):
    assert lock_harness.predict(abba, expect="deadlock").predictions[0].status == "forced"

def test_ordered(lock_harness):
    assert lock_harness.predict(ordered).coverage["edges"] == 1
""")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["DEADLOCK: 2 threads wait for each other*",
                                 "WARNING: possible circular locking dependency detected",
                                 "Status: forced: *", "test_it.py::test_transfers: deadlock"])


def test_scenario_of_a_call_that_went_well_is_predicted(inner):
    test = IN_TURN + """
def test_run(lock_harness):
    lock_harness.run(abba, observers=in_turn)

def test_stress_in_a_random_world(lock_harness):
    worlds = []
    def random_world(rng):
        worlds.append(rng.random())
        return ordered()
    lock_harness.stress(random_world, runs=2)
    assert len(set(worlds[2:])) <= 1     # every world of a prediction is the same
    assert PREDICTED == (worlds[2:] != [])
"""
    inner("PREDICTED = False" + test).assert_outcomes(passed=2)
    result = inner("PREDICTED = True" + test, "--predict")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([
        "DEADLOCK: 2 threads wait for each other*", "The call itself, run, came to clean; *",
        "Again: python -m pytest --predict test_it.py::test_run",
        "*= lock harness: to see it again =*", "test_it.py::test_run: deadlock",
        "  python -m pytest --predict test_it.py::test_run"])


def test_nothing_is_predicted_where_a_deadlock_is_expected_or_it_was_done_before(inner):
    inner(IN_TURN + """
@pytest.mark.parametrize("expect", ["deadlock", "hang", "predicted"])
def test_expected(lock_harness, expect):
    lock_harness.run(abba, observers=in_turn, expect=("clean", expect))

@pytest.mark.lock_harness(predict=False)
def test_marked(lock_harness):
    lock_harness.run(abba, observers=in_turn)

def test_once_for_each_scenario(lock_harness):
    built = []
    def counted():
        built.append(1)
        return ordered()
    lock_harness.run(counted, runs=1)
    predicted = len(built) - 1
    lock_harness.run(counted, runs=1), lock_harness.force(counted, expect="not-reached", runs=1)
    assert predicted > 1

def test_after_predict_itself(lock_harness):
    built = []
    def counted():
        built.append(1)
        return ordered()
    lock_harness.predict(counted)
    before = len(built)
    lock_harness.run(counted, runs=1)
    assert len(built) == before + 1
""", "--predict").assert_outcomes(passed=6)


def test_known_cycles_are_silenced_by_the_baseline(inner, pytester):
    pytester.makefile(".txt", known="a -> b -> a  # the halves are never used at once")
    test = IN_TURN + """
def test_call(lock_harness):
    lock_harness.run(abba, observers=in_turn)
    assert lock_harness.predict(abba).predictions[0].status == "known"

def test_body():
    a, b = Mutex("a"), Mutex("b")
    with a, b:
        pass
    thread = threading.Thread(target=lambda: [each.acquire() for each in (b, a)])
    thread.start(), thread.join()
"""
    result = inner(test, "--predict", "--harness-baseline=known.txt")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["lock harness: baseline */known.txt (--harness-baseline), "
                                 "predict yes (--predict)"])


@pytest.mark.parametrize("arguments", [["--predict"], []])
def test_lines_of_the_baseline_that_no_test_met_are_named_at_the_end(inner, pytester, arguments):
    pytester.makefile(".txt", known="a -> b -> a  # met by a body\nc -> d -> c  # met by a call\n"
                                    "x -> y -> x  # misspelt")
    result = inner("""
def crosswise(first, second):
    a, b = Mutex(first), Mutex(second)
    def takes(one, other):
        with one, other:
            pass
    return {"left": lambda: takes(a, b), "right": lambda: takes(b, a)}

def test_call(lock_harness):
    assert lock_harness.predict(lambda: crosswise("c", "d"))

def test_body():
    for role in crosswise("a", "b").values():
        thread = threading.Thread(target=role)
        thread.start(), thread.join()
""", "--harness-baseline=known.txt", *arguments)
    assert result.ret == 0
    unmatched = [line for line in result.outlines if "matched nothing" in line]
    met_by_none = ["a -> b -> a"] * (not arguments) + ["x -> y -> x"]
    assert unmatched == [f"baseline line '{cycle}' matched nothing in the tests that ran"
                         for cycle in met_by_none]


def test_nothing_is_said_of_a_baseline_where_no_test_is_run(inner, pytester):
    pytester.makefile(".txt", known="x -> y -> x  # nobody looked for it")
    result = inner("def test_plain(): pass", "--harness-baseline=known.txt", "--collect-only")
    result.stdout.no_fnmatch_line("*matched nothing*")


def test_a_line_of_a_call_s_own_baseline_that_matches_nothing_is_a_warning(inner):
    result = inner("""
def test_call(lock_harness):
    lock_harness.predict(abba, baseline={"a -> b -> a": "known", "x -> x": "gone"})
""")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*lock_harness: baseline line 'x -> x' matched nothing"])


# -- a test's own threads -------------------------------------------------------------------------


BODIES = """
def in_thread(*functions):
    threads = [threading.Thread(target=each, name=each.__name__) for each in functions]
    for thread in threads:
        thread.start()
    return threads

def test_opposite_orders():
    a, b, done = Mutex("a"), Mutex("b"), threading.Event()
    def left():
        with a, b:
            pass
        done.set()
    thread, = in_thread(left)
    done.wait()
    with b, a:
        pass
    thread.join()

def test_opposite_orders_one_after_the_other():
    a, b = Mutex("a"), Mutex("b")
    def left():
        with a, b:
            pass
    in_thread(left)[0].join()
    with b, a:
        pass

def test_real_deadlock():
    a, b, both = Mutex("a"), Mutex("b"), threading.Barrier(2)
    def left():
        with a:
            both.wait()
            with b:
                pass
    in_thread(left)
    with b:
        both.wait()
        with a:
            pass

def test_deadlock_of_others():
    a, b, both = Mutex("a"), Mutex("b"), threading.Barrier(2)
    def left():
        with a:
            both.wait()
            b.acquire()
    def right():
        b.acquire(), both.wait(), a.acquire()
    for thread in in_thread(left, right):
        thread.join()
    assert not a.locked() and not b.locked()
    raise ValueError("seen")

def test_free_of_threads():
    assert [each.name for each in threading.enumerate() if each.name in ("left", "right")] == []
"""


def test_body_and_its_threads_are_watched(inner):
    inner(BODIES.partition("def test_real")[0]).assert_outcomes(passed=2)
    result = inner(BODIES, "--predict")
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines([
        "PREDICTED: the lock order may allow a deadlock that did not happen",
        "test is trying to acquire lock:", "-> #1 (b){+.+.}: left",
        "Status: unconfirmed: it can happen, by what was recorded; not forced, *",
        "Again: python -m pytest --predict test_it.py::test_opposite_orders",
        "DEADLOCK: 2 threads wait for each other (found at the moment of blocking, *",
        "test_real_deadlock()*", "test waits for a (exclusive) at *: left holds it",
        "DEADLOCK: 2 threads wait *", "The test itself ended with ValueError: seen"])


def test_outcome_of_a_test_passes_through(inner):
    result = inner("""
import signal, unittest

def test_error():
    with Mutex("m"):
        raise ValueError("mine")

def test_skipped():
    with Mutex("m"):
        pytest.skip("today")

@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
def test_expected_to_fail():
    with Mutex("m"):
        1 / 0

def test_body_stays_in_the_thread_of_pytest():
    assert threading.current_thread() is threading.main_thread()

def test_mutex_refuses_recursion():
    mutex = Mutex("m")
    with mutex, pytest.raises(RuntimeError, match="is not recursive"):
        mutex.acquire()

class TestOfUnittest(unittest.TestCase):
    def test_deadlock(self):
        a, b, have = Mutex("a"), Mutex("b"), threading.Event()
        def left():
            with a:
                have.set()
                b.acquire()
        with b:
            threading.Thread(target=left, name="left").start()
            have.wait()
            a.acquire()

    def test_failure(self):
        self.fail("mine")
""", "--predict")
    result.assert_outcomes(passed=2, failed=3, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["E*ValueError: mine", "*_ TestOfUnittest.test_deadlock _*",
                                 "DEADLOCK: 2 threads wait for each other*",
                                 "*AssertionError: mine", "SKIPPED [[]1[]] *: today"])


def test_test_without_locks_and_its_threads_are_left_as_they_were(inner):
    inner("""
start, join = threading.Thread.start, threading.Thread.join

def test_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(threading.current_thread().daemon))
    thread.start(), thread.join()
    assert (seen, thread.daemon, "run" in vars(thread)) == ([False], False, False)

def test_exception_of_a_thread(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start(), thread.join()
    assert seen == [ZeroDivisionError]

def test_replaced_start(monkeypatch):
    before = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: before(self))
    threading.Thread(target=int).start()

def test_after_it():
    threading.Thread(target=int).start()
""", "--predict", "-W", "error").assert_outcomes(passed=4)
    assert threading.Thread(target=int).start() is None    # the functions of the interpreter again


def test_calls_of_a_watched_test_are_no_part_of_it(inner):
    inner(IN_TURN + """
import harness
from harness.locks.task import current

def test_call(lock_harness):
    mutex = Mutex("m")
    with mutex:
        result = harness.run(abba, observers=in_turn)
        assert {event["role"] for event in result.trace} == {"left", "right"}
        lock_harness.run(ordered)
        assert current().run is not None
    assert current().run.order.asks.keys() == {("test", "m", "exclusive")}
""", "--predict").assert_outcomes(passed=1)


def test_locks_may_be_held_across_the_border_of_a_body(inner):
    inner("""
@pytest.fixture
def held():
    from harness import RWSemaphore
    mutex, semaphore = Mutex("m"), RWSemaphore("s")
    mutex.acquire(), semaphore.down_read()
    yield mutex, semaphore
    mutex.release(), semaphore.up_write()

def test_takes_and_leaves(held):
    mutex, semaphore = held
    mutex.release(), semaphore.up_read()
    mutex.acquire(), semaphore.down_write()
""", "--predict").assert_outcomes(passed=1)


def test_threads_that_outlive_their_test_go_on(inner):
    """The first test leaves a thread queued for a mutex and one for a semaphore, and a pool; the
    second releases both and uses the pool.
    """
    inner("""
from concurrent.futures import ThreadPoolExecutor
from harness import RWSemaphore

mutex, semaphore, seen, left = Mutex("m"), RWSemaphore("s"), [], []
pool = ThreadPoolExecutor(1)

def test_leaves():
    mutex.acquire(), semaphore.down_write()
    assert pool.submit(int).result() == 0
    def of_mutex():
        with mutex:
            seen.append("mutex")
    def of_semaphore():
        with semaphore.down_read():
            seen.append("semaphore")
    left.extend(threading.Thread(target=each) for each in (of_mutex, of_semaphore))
    for thread in left:
        thread.start()
    while not mutex._waiters or not semaphore.queue:
        pass

def test_goes_on():
    mutex.release(), semaphore.up_write()
    assert pool.submit(mutex.acquire).result() and pool.submit(mutex.release).result() is None
    for thread in left:
        thread.join()
    pool.shutdown()
    assert sorted(seen) == ["mutex", "semaphore"]
""", "--predict").assert_outcomes(passed=2)


def test_signal_ends_a_wait_of_the_body_and_shows_who_waits(inner):
    pytest.importorskip("pytest_timeout")
    # In place of the alarm's clock: the same signal, sent when the body is parked.
    result = inner("""
import signal
from harness.locks.task import current

@pytest.mark.timeout(50, method="signal")
def test_interrupted():
    lock, never, held = Mutex("lock"), Completion("never"), threading.Event()
    body = current()
    def holder():
        with lock:
            held.set()
            while not body.parked:
                pass
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
            never.wait()
    threading.Thread(target=holder, name="holder", daemon=True).start()
    held.wait()
    lock.acquire()

def test_after():
    for _ in range(3):
        with Mutex("m"):
            Completion("done").complete()
""", "--predict", in_process=False, beside="timeout")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Timeout *50.0s*", "*who waited for whom*",
                                 "test waited for lock (exclusive) at test_it.py:*"])


@pytest.mark.parametrize("value, said", [
    ("--harness-baseline=none.txt", "--harness-baseline: cannot read the baseline *none.txt: *"),
    ("HARNESS_PREDICT=so", "environment variable HARNESS_PREDICT: 'so' is neither yes nor no"),
    ("ini harness_predict=2", "ini option harness_predict: '2' is neither yes nor no")])
def test_bad_setting_is_refused_in_one_line(inner, pytester, monkeypatch, value, said):
    if value.startswith("ini "):
        pytester.makeini(f"[pytest]\n{value[4:]}")
    elif value.startswith("HARNESS"):
        monkeypatch.setenv(*value.split("="))
    result = inner("", *[value] * value.startswith("--"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_marker_wins_over_every_other_wish(inner, pytester, monkeypatch):
    pytester.makeini("[pytest]\nharness_predict = yes")
    monkeypatch.setenv("HARNESS_PREDICT", "off")
    inner("""
from harness.locks.task import current

def test_variable_wins_over_ini():
    assert current().run is None

@pytest.mark.lock_harness(predict=True)
def test_marked():
    assert current().run is not None
""").assert_outcomes(passed=2)


# -- without pytest -------------------------------------------------------------------------------


def watch(body):
    """Return the run in which *body* was watched."""
    run = WatchedRun("it")
    run.watch(body)
    return run


def start_all(functions):
    threads = [threading.Thread(target=each, name=f"{each.__name__}{i}")
               for i, each in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("gated, status", [(True, "guarded"), (False, "unconfirmed")])
def test_cycle_among_many_threads_is_judged_by_those_that_matter(gated, status):
    """Fifteen and fifteen threads in opposite orders make 225 cycles by instance, more than would
    be judged one by one; they are of two kinds: which of the two threads was started first.
    """
    def body():
        gate, a, b = (Mutex(name) for name in ("gate", "a", "b"))
        turn = threading.Lock()
        def left():
            with turn, gate if gated else Mutex("own"), a, b:
                pass
        def right():
            with turn, gate if gated else Mutex("own"), b, a:
                pass
        start_all([left, right] * 15)
    found, = watch(body).predict({}, None).predictions
    assert (found.status, found.count) == (status, 225)
    assert not gated or found.reason == "gate"


def test_read_cycle_says_which_writers_it_needs():
    def body():
        a, b = RWSemaphore("a"), RWSemaphore("b")
        turn = threading.Lock()
        def left():
            with turn, a.down_read(), b.down_read():
                pass
        def right():
            with turn, b.down_read(), a.down_read():
                pass
        start_all([left, right])
    result = watch(body).predict({}, None)
    found, = result.predictions
    assert (found.status, sorted(found.writers)) == ("needs-writer", ["a", "b"])
    assert "it can happen with a writer queued for " in found.reason
    assert {"writer of a", "writer of b"} <= set(re.findall(r"writer of \w", str(result)))


def test_nothing_is_judged_where_no_lock_was_asked_for_inside_another():
    assert watch(lambda: start_all([Mutex("m").locked] * 3)).predict({}, None) is None


def test_only_the_circle_is_unwound():
    """A deadlock of two threads; a third and the body go on to use the same run's locks."""
    seen = []

    def body():
        a, b, c, both = Mutex("a"), Mutex("b"), Mutex("c"), threading.Barrier(2)
        def left():
            with a:
                both.wait()
                b.acquire()
        def right():
            with b:
                both.wait()
                a.acquire()
        def other():
            with c, a, b:
                seen.append("other")
        start_all([left, right])
        start_all([other])
        with a, b:
            seen.append("body")
    run = watch(body)
    assert seen == ["other", "body"]
    assert str(run.observed(None)).startswith("DEADLOCK: 2 threads wait for each other")


def test_deadlock_of_the_body_with_a_thread_it_joins_leaves_every_lock_free():
    a = Mutex("a")

    def body():
        a.acquire()
        start_all([a.acquire])
    with pytest.raises(task.Unwind):
        watch(body)
    assert not a.locked() and task.current().run is None and task.current().name == "MainThread"


def test_thread_queued_for_a_mutex_when_its_test_ends_gets_it_outside_any_run():
    mutex, waiter = Mutex("m"), threading.Thread(target=lambda: mutex.acquire() and mutex.release())

    def body():
        waiter.start()
        while not mutex._waiters:
            pass
    with mutex:
        watch(body)
    waiter.join()
    assert not mutex.locked()


def test_thread_that_outlives_its_test_waits_for_a_mutex_as_outside_any_run():
    """The release comes when its first try has failed; one queued in the run would be forgotten."""
    mutex, tried, over, got = Mutex("m"), threading.Event(), threading.Event(), []
    plain = mutex._lock

    class Told:
        release = plain.release

        def acquire(self, blocking=True, timeout=-1):
            answer = plain.acquire(blocking, timeout)
            if not answer:
                tried.set()
            return answer

    def goes_on():
        over.wait()
        with mutex:
            got.append("mutex")
    thread = threading.Thread(target=goes_on, daemon=True)
    mutex.acquire()
    mutex._lock = Told()
    watch(lambda: thread.start())
    over.set(), tried.wait()
    mutex.release()
    thread.join(120)
    assert got == ["mutex"]


def test_misuse_is_refused_as_outside_a_run():
    def body():
        mutex = Mutex("m")
        with mutex, pytest.raises(RecursiveAcquire):
            mutex.acquire()
        assert not mutex.locked()
    assert watch(body).findings == []


def test_watched_runs_nest():
    def outer():
        around = task.current().run
        with Mutex("m"):
            watch(lambda: Mutex("n").acquire())
            assert task.current().run is around
    assert watch(outer).order.asks.keys() == {("test", "m", "exclusive")}


def test_world_of_a_watched_body_is_gone_with_its_run():
    worlds = []

    def body():
        mutex = Mutex("m")
        worlds.append(weakref.ref(mutex))
        start_all([lambda: mutex.acquire() and mutex.release()])
    watch(body)
    gc.collect()
    assert [world() for world in worlds] == [None]


@pytest.mark.parametrize("before_the_release", [True, False])
def test_guard_survives_an_interrupt_of_the_thread_that_has_it(before_the_release):
    """A handler raises while the exposed thread has the guard, or just after it gave it up; who
    comes next finds it, and in the end it is free for all.
    """
    def is_interrupted():
        parking.enter()
        if not before_the_release:
            parking.leave()

    is_interrupted()
    parking.enter()     # as on the way out of what was interrupted
    parking.leave()
    parking.recover()
    done = Completion("done")
    start_all([done.complete, done.wait])
    assert not parking._guard.locked()


# -- tests that take no lock ----------------------------------------------------------------------


def test_tests_that_took_no_lock_of_ours_are_counted(inner):
    """A call of ours, or the fixture, is an operation; a failing test is told of anyway."""
    test = """
import threading
from harness import Mutex, run, step

def test_plain():
    with threading.Lock():
        pass

def test_nothing():
    pass

def test_takes_one():
    with Mutex("a"):
        pass

def test_a_thread_takes_one():
    thread = threading.Thread(target=Mutex("a").locked)
    thread.start()
    thread.join()

def test_call():
    run(ordered)

def test_fixture(lock_harness):
    lock_harness.run(ordered)

def test_fails():
    assert False
"""
    result = inner(test, "--predict")
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["2 tests took no lock of harness, and --predict says nothing of "
                                 "them"])
    result = inner(test)
    assert "took no lock" not in result.stdout.str()


def test_one_test_that_took_no_lock_is_counted_in_the_singular(inner):
    result = inner("def test_nothing():\n    pass\n", "--predict")
    result.stdout.fnmatch_lines(["1 test took no lock of harness, *"])
