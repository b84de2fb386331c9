"""Detection: every kind of wait in a cycle, found when it closes or when nothing moves; what is no
deadlock is not called one.
"""

import signal
import threading
from functools import partial

import pytest
import small_worlds

from harness import At, Completion, Meet, Mutex, Observer, RWSemaphore, Scenario, Verdict, \
    force, run
from harness.methods.ctrl_c import Interrupted
from harness.runtime.building import build
from harness.locks.task import Unwind

both_ways = pytest.mark.parametrize("detect", ["block", "timeout"])
HOW = {"block": "observed", "timeout": "timed out"}


def legs(result):
    """Return the cycle as role -> (what it wants, how, what it holds)."""
    return {leg["role"]: (leg["wants"], leg["mode"], [tuple(hold) for hold in leg["holds"]])
            for leg in result.cycle}


# -- each kind of wait in a cycle ------------------------------------------------------------------


def read_in_the_cycle():
    """A reader waits for a writer that holds; the mail's shape upside down."""
    sem, lock = RWSemaphore("sem"), Mutex("lock")

    def reader():
        with lock:
            with sem.down_read():
                pass

    def writer():
        with sem.down_write():
            with lock:
                pass

    return Scenario({"reader": reader, "writer": writer},
                    meet=Meet(At("reader", sem, holding=lock), At("writer", lock, holding=sem)))


def write_in_the_cycle():
    """A writer waits for a reader that holds: the mail's shape."""
    sem, lock = RWSemaphore("sem"), Mutex("lock")

    def reader():
        with sem.down_read():
            with lock:
                pass

    def writer():
        with lock:
            with sem.down_write():
                pass

    return Scenario({"reader": reader, "writer": writer},
                    meet=Meet(At("writer", sem, holding=lock), At("reader", lock, holding=sem)))


def two_writers():
    """Two writers of two semaphores, crosswise."""
    one, two = RWSemaphore("one"), RWSemaphore("two")

    def a():
        with one.down_write(), two.down_write():
            pass

    def b():
        with two.down_write(), one.down_write():
            pass

    return Scenario({"a": a, "b": b},
                    meet=Meet(At("a", two, holding=one), At("b", one, holding=two)))


def reader_behind_queued_writer():
    """A reader that holds a mutex queues behind a writer, which waits for a reader that wants the
    mutex.
    """
    sem, lock = RWSemaphore("sem"), Mutex("lock")

    def holder():
        with sem.down_read():
            with lock:
                pass

    def writer():
        with sem.down_write():
            pass

    def late():
        with lock:
            with sem.down_read():
                pass

    return Scenario({"holder": holder, "writer": writer, "late": late},
                    meet=Meet(At("writer", sem), At("late", sem, holding=lock),
                              At("holder", lock, holding=sem)))


def completion_in_the_cycle():
    """One waits with a lock held for another that needs the lock first."""
    lock, done, held = Mutex("lock"), Completion("done"), Completion("held")

    def waiter():
        with lock:
            held.complete()
            done.wait(by="worker")

    def worker():
        held.wait(by="waiter")
        with lock:
            done.complete()

    return Scenario({"waiter": waiter, "worker": worker})


def join_in_the_cycle():
    """One joins, with a lock held, a thread that needs the lock."""
    lock = Mutex("lock")

    def worker():
        with lock:
            pass

    def boss():
        thread = threading.Thread(target=worker, name="worker")
        with lock:
            thread.start()
            thread.join()

    return Scenario({"boss": boss})


def self_deadlock():
    """One asks again for what it holds."""
    lock = Mutex("lock")

    def role():
        with lock:
            with lock:
                pass

    return Scenario({"role": role})


def upgrade():
    """One asks to write while it reads."""
    sem = RWSemaphore("sem")

    def role():
        with sem.down_read():
            with sem.down_write():
                pass

    return Scenario({"role": role})


X, S, W = "exclusive", "shared", "wait"
EXPECTED = {
    small_worlds.abba: {"left": ("b", X, [("a", X)]), "right": ("a", X, [("b", X)])},
    read_in_the_cycle: {"reader": ("sem", S, [("lock", X)]), "writer": ("lock", X, [("sem", X)])},
    write_in_the_cycle: {"reader": ("lock", X, [("sem", S)]), "writer": ("sem", X, [("lock", X)])},
    two_writers: {"a": ("two", X, [("one", X)]), "b": ("one", X, [("two", X)])},
    small_worlds.nested_read: {"reader": ("sem", S, [("sem", S)]), "writer": ("sem", X, [])},
    reader_behind_queued_writer: {"holder": ("lock", X, [("sem", S)]), "writer": ("sem", X, []),
                                  "late": ("sem", S, [("lock", X)])},
    completion_in_the_cycle: {"waiter": ("done", W, [("lock", X)]), "worker": ("lock", X, [])},
    join_in_the_cycle: {"boss": ("thread (worker)", W, [("lock", X)]), "worker": ("lock", X, [])},
    self_deadlock: {"role": ("lock", X, [("lock", X)])},
    upgrade: {"role": ("sem", X, [("sem", S)])},
}


def look(scenario, **more):
    """Force *scenario* if it declares a meeting, else run it."""
    return (force if build(scenario, "world").meet else run)(scenario, **more)


def look_at_stuck(world):
    """Look at *world* with a role more, which waits outside our locks; then let that end."""
    outside, threads = threading.Event(), []

    def stuck():
        threads.append(threading.current_thread())
        outside.wait()

    def more():
        scenario = build(world, "world")
        return Scenario({**scenario.roles, "stuck": stuck}, meet=scenario.meet)

    result = look(more, timeout=0.2)
    outside.set()
    threads[0].join()
    return result


def other():
    """One role that ends by itself."""
    return {"other": lambda: None}


@pytest.fixture(scope="module")
def timed_out(at_once):
    """The futures of what scenarios come to by the timeout: all of them wait for it together."""
    calls = {scenario: partial(look, scenario, detect="timeout", timeout=0.4)
             for scenario in [*EXPECTED, small_worlds.waits_for_nobody]}
    calls |= {("stuck", world): partial(look_at_stuck, world)
              for world in (other, small_worlds.abba)}
    return dict(zip(calls, at_once(*calls.values())))


@pytest.fixture
def looked_at(request):
    """Return a function that returns what a scenario comes to by one of both ways."""
    def looked_at(scenario, detect):
        if detect == "timeout":
            return request.getfixturevalue("timed_out")[scenario].result()
        return look(scenario, timeout=20)

    return looked_at


@both_ways
@pytest.mark.parametrize("scenario", EXPECTED, ids=lambda scenario: scenario.__name__)
def test_every_kind_of_wait_closes_a_cycle_found_in_both_ways(scenario, detect, looked_at):
    result = looked_at(scenario, detect)
    assert (result.verdict, result.how, legs(result)) == (
        Verdict.DEADLOCK, HOW[detect], EXPECTED[scenario])


@both_ways
def test_each_role_of_a_cycle_waits_for_the_next(detect, looked_at):
    result = looked_at(reader_behind_queued_writer, detect)
    cycle = result.finding.cycle
    following = (*cycle[1:], cycle[0])
    assert [after.role in state.waits_for for state, after in zip(cycle, following)] == [True] * 3


def test_a_deadlock_leaves_out_whom_it_only_blocks():
    base = small_worlds.abba

    def world():
        scenario, ready = base(), Completion("ready")
        bystander = {"bystander": lambda: ready.wait(by="left")}
        return Scenario({**scenario.roles, **bystander}, meet=scenario.meet)

    result = force(world)
    assert (set(legs(result)), [state.role for state in result.finding.roles]) == (
        {"left", "right"}, ["left", "right", "bystander"])


# -- what is no deadlock ---------------------------------------------------------------------------


def test_a_hang_without_a_cycle_is_known_at_once():
    result = run(small_worlds.waits_for_nobody, timeout=1e7)   # no timeout can have judged it
    assert (result.verdict, result.how, result.cycle, "waiter" in result.finding.detail) \
        == (Verdict.HANG, "observed", [], True)


def test_a_hang_without_a_cycle_is_a_hang_by_the_timeout_too(timed_out):
    result = timed_out[small_worlds.waits_for_nobody].result()
    assert (result.verdict, result.how, result.cycle) == (Verdict.HANG, "timed out", [])


def test_a_hang_names_who_waits_for_whom_without_a_circle():
    def world():
        lock, done, held = Mutex("lock"), Completion("done"), Completion("held")

        def holder():
            with lock:
                held.complete()
                done.wait()

        def asker():
            held.wait(by="holder")
            with lock:
                pass

        return {"holder": holder, "asker": asker}

    result = run(world)
    assert (result.verdict, {state.role: (state.wants, state.waits_for)
                             for state in result.finding.roles}) == (
        Verdict.HANG, {"holder": ("done", ()), "asker": ("lock", ("holder",))})


@both_ways
def test_a_cycle_through_a_timed_wait_is_no_deadlock(detect):
    story = []

    def world():
        a, b = Mutex("a"), Mutex("b")

        def patient():
            with a:
                with b:
                    pass

        def impatient():
            with b:
                story.append(a.acquire(timeout=0.05))

        return Scenario({"patient": patient, "impatient": impatient},
                        meet=Meet(At("patient", b, holding=a), At("impatient", a, holding=b)))

    result = force(world, detect=detect, timeout=20)
    assert (result.verdict, story, result.cycle) == (Verdict.CLEAN, [False], [])


def test_a_cycle_that_could_go_on_with_a_trylock_is_no_deadlock():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def left():
            with a:
                with b:
                    pass

        def right():
            with b:
                if a.acquire(False):
                    a.release()

        return {"left": left, "right": right}

    assert run(world, runs=50).verdict is Verdict.CLEAN


def test_a_lock_held_outside_the_run_is_judged_by_the_timeout_alone():
    lock, has_it, may_end = Mutex("lock"), threading.Event(), threading.Event()

    def outsider():
        with lock:
            has_it.set()
            may_end.wait()

    def role():
        with lock:
            pass

    thread = threading.Thread(target=outsider)
    thread.start()
    has_it.wait()
    result = run(lambda: {"role": role}, timeout=0.05)
    may_end.set()
    thread.join()
    assert (result.verdict, result.how, result.cycle, lock.locked()) == (
        Verdict.HANG, "timed out", [], False)


# -- afterwards ------------------------------------------------------------------------------------

WORLD = {"a": Mutex("a"), "b": Mutex("b"), "sem": RWSemaphore("sem"),
         "fair": RWSemaphore("fair", policy="fair"),
         "reader": RWSemaphore("reader", policy="reader")}


def crosswise_in_the_module():
    """All locks of the module's world, in two orders."""
    a, b, sem, fair, reader = WORLD.values()

    def down():
        with a, fair.down_write(), reader.down_read(), sem.down_read():
            with b:
                pass

    def up():
        with b:
            with sem.down_write():
                pass

    return Scenario({"down": down, "up": up},
                    meet=Meet(At("up", sem, holding=b), At("down", b, holding=sem)))


@both_ways
def test_after_many_deadlocks_no_thread_is_left_and_all_locks_are_free(detect):
    before = threading.active_count()
    runs, timeout = {"block": (200, 20), "timeout": (2, 0.2)}[detect]
    result = force(crosswise_in_the_module, runs=runs, detect=detect, timeout=timeout)
    free = [lock.acquire(False) if isinstance(lock, Mutex) else lock.down_write_trylock()
            for lock in WORLD.values()]
    for lock in WORLD.values():
        lock.release() if isinstance(lock, Mutex) else lock.up_write()
    assert (result.coverage["verdicts"], result.coverage["distinct_reports"], free,
            threading.active_count()) == ({"deadlock": runs}, 1, [True] * 5, before)


def test_a_role_that_swallows_exceptions_still_unwinds():
    story = []

    def world():
        a, b = Mutex("a"), Mutex("b")

        def stubborn():
            with a:
                try:
                    with b:
                        pass
                except Exception:
                    story.append("swallowed")
                story.append("went on")

        def right():
            with b:
                with a:
                    pass

        return Scenario({"stubborn": stubborn, "right": right},
                        meet=Meet(At("stubborn", b, holding=a), At("right", a, holding=b)))

    assert (force(world).verdict, story) == (Verdict.DEADLOCK, [])


def test_a_role_that_swallows_even_the_unwinding_is_unwound_at_its_next_lock():
    story = []

    def world():
        a, b, c = Mutex("a"), Mutex("b"), Mutex("c")

        def stubborn():
            with a:
                try:
                    b.acquire()
                except BaseException as exc:
                    story.append(type(exc))
                with c:
                    story.append("went on")

        def right():
            with b:
                with a:
                    pass

        return Scenario({"stubborn": stubborn, "right": right},
                        meet=Meet(At("stubborn", b, holding=a), At("right", a, holding=b)))

    assert (force(world).verdict, story) == (Verdict.DEADLOCK, [Unwind])


def test_errors_of_roles_are_collected_with_tracebacks_from_the_role_on():
    def first():
        raise KeyError("spoon")

    def deeper():
        raise OSError("fork")

    def second():
        deeper()

    result = run(lambda: {"first": first, "second": second})
    details = {found.text.partition(", at ")[0]: found.detail for found in result.outcome.findings}
    code = first.__code__
    assert set(details) == {"first raised KeyError: 'spoon'", "second raised OSError: fork"}
    assert details["first raised KeyError: 'spoon'"] == (
        "Traceback (most recent call last):\n"
        f'  File "{code.co_filename}", line {code.co_firstlineno + 1}, in first\n'
        '    raise KeyError("spoon")\nKeyError: \'spoon\'')
    assert details["second raised OSError: fork"].count("File") == 2


def test_an_error_with_a_lock_held_frees_the_lock_and_is_an_error_not_a_broken_rule():
    lock = Mutex("lock")

    def role():
        lock.acquire()
        raise KeyError("spoon")

    result = run(lambda: {"role": role})
    assert (result.verdict, len(result.outcome.findings), lock.locked()) \
        == (Verdict.ERROR, 1, False)


def test_the_graver_finding_gives_the_verdict():
    def world():
        scenario = small_worlds.abba()

        def clumsy():
            raise KeyError("spoon")

        return Scenario({"clumsy": clumsy, **scenario.roles}, meet=scenario.meet)

    result = force(world)
    assert [found["verdict"] for found in result.findings] == ["deadlock", "error"]


def test_the_stack_of_a_role_goes_down_to_its_own_function_and_no_further():
    def world():
        never = Completion("never")

        def waiter():
            never.wait()

        return {"waiter": waiter}

    head, *frames = run(world).finding.detail.splitlines()
    assert head == "Thread waiter (most recent call first):"
    assert frames[-1].endswith(" in waiter")


def test_a_role_stuck_outside_our_locks_is_named_and_never_clean(timed_out):
    result = timed_out["stuck", other].result()
    assert (result.verdict, result.how, [who.partition(" ")[0] for who in result.outcome.stuck],
            "Outside our locks" in str(result)) == (Verdict.HANG, "timed out", ["stuck"], True)


def test_a_role_stuck_outside_is_named_beside_a_deadlock_too(timed_out):
    result = timed_out["stuck", small_worlds.abba].result()
    assert (result.verdict, len(result.outcome.stuck)) == (Verdict.DEADLOCK, 1)


def test_two_runs_go_on_side_by_side_and_do_not_see_each_other():
    inside, results = threading.Barrier(2, timeout=120), {}

    def world():
        scenario = small_worlds.abba()

        def left():
            inside.wait()   # both runs are under way before either goes on
            scenario.roles["left"]()

        return Scenario({**scenario.roles, "left": left}, meet=scenario.meet)

    def call(name):
        results[name] = force(world, timeout=20)

    threads = [threading.Thread(target=call, args=(name,)) for name in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: legs(result) for name, result in results.items()} \
        == dict.fromkeys("AB", EXPECTED[small_worlds.abba])


def test_a_lock_held_by_a_role_of_another_run_is_no_cycle_and_no_hang_at_once():
    lock, held, queued, results = Mutex("lock"), threading.Event(), threading.Event(), {}

    class Tell(Observer):
        def lock_contended(self, task, mutex, mode):
            queued.set()

    def holder():
        with lock:
            held.set()
            queued.wait()

    def waiter():
        held.wait()
        with lock:
            pass

    def call(name, role):
        results[name] = run(lambda: {name: role}, observers=lambda: [Tell()], timeout=20).verdict

    threads = [threading.Thread(target=call, args=args) for args in (("A", holder), ("B", waiter))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"A": Verdict.CLEAN, "B": Verdict.CLEAN}


class CtrlC(Observer):
    """Press Ctrl-C once *count* roles wait."""

    def __init__(self, count):
        self.count = count

    def lock_contended(self, task, lock, mode):
        self.count -= 1
        if not self.count:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to single threads here")
def test_ctrl_c_while_roles_wait_raises_with_a_report_of_who_waited_for_whom(ctrl_c_interrupts):
    lock, held, outside = Mutex("lock"), threading.Event(), threading.Event()

    def holder():   # outside the run, so that no hang is found first
        with lock:
            held.set()
            outside.wait()

    def asker():
        with lock:
            pass

    thread = threading.Thread(target=holder)
    thread.start()
    held.wait()
    with pytest.raises(Interrupted) as caught:
        run(lambda: {"asker": asker, "second": asker}, observers=lambda: [CtrlC(2)], timeout=4)
    outside.set()
    thread.join()
    result = caught.value.result
    assert (result.verdict, {state.role: (state.wants, state.waits_for)
                             for state in result.finding.roles}) == (
        Verdict.INCONCLUSIVE, {"asker": ("lock", ("a thread outside the run",)),
                               "second": ("lock", ("a thread outside the run",))})
    assert "asker waits for lock (exclusive)" in str(result), str(result)


def test_a_run_out_of_time_is_inconclusive_and_leaves_nothing():
    lock, held, outside = Mutex("lock"), threading.Event(), threading.Event()

    def holder():
        with lock:
            held.set()
            outside.wait()

    def asker():
        with lock:
            pass

    thread = threading.Thread(target=holder)
    thread.start()
    held.wait()
    result = run(lambda: {"asker": asker}, seconds=0.05, timeout=25)
    outside.set()
    thread.join()
    assert result.verdict is Verdict.INCONCLUSIVE


def test_an_invariant_that_breaks_is_a_violation_at_once_and_names_itself():
    def world():
        lock, count = Mutex("lock"), []

        def role():
            with lock:
                count.append(1)
            with lock:
                count.append(2)

        def at_most_one():
            assert len(count) < 2, f"count is {count}"

        return Scenario({"role": role}, invariants={"at most one": at_most_one})

    result = run(world)
    assert (result.verdict, result.finding.text, result.trace[-1]["event"]) == (
        Verdict.VIOLATION, "invariant 'at most one' is broken: count is [1, 2]", "lock_release")


def test_the_check_at_the_end_sees_the_world_and_its_failure_is_a_violation():
    def check():
        raise AssertionError("one spoon is missing")

    result = run(lambda: Scenario({"role": lambda: None}, check=check))
    assert (result.verdict, result.finding.text) == (
        Verdict.VIOLATION, "the check at the end failed: one spoon is missing")


BROKEN = """
import sys
from harness import Completion, Mutex, Observer, run
def broken(self, *args):
    raise KeyError("spoon")
class LetGo(Observer):
    def idle(self):
        going = bool(go._waiters)
        go.finish()
        return going
def first():
    with lock:
        held.complete()
        go.wait()
def second():
    held.wait(by="first")
    with lock:
        pass
for hook in sys.argv[1:]:
    lock, held, go = Mutex("lock"), Completion("held"), Completion("go")
    observers = [type("Broken", (Observer,), {hook: broken})(), LetGo()]
    result = run(lambda: {"first": first, "second": second}, observers=lambda: observers, timeout=2)
    again = run(lambda: {"first": lambda: lock.acquire() and lock.release()}, timeout=2)
    print(hook, "KeyError: 'spoon'" in str(result), again.verdict, flush=True)
"""
HOOKS = ["lock_acquire", "lock_contended", "lock_acquired", "lock_release",
         "role_start", "role_end", "idle"]


@pytest.fixture(scope="module")
def broken_hooks(in_another_process):
    """What another process says of each hook, and what it wrote to standard error."""
    done = in_another_process("-c", BROKEN, *HOOKS)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines()), done.stderr


@pytest.mark.parametrize("hook", HOOKS)
def test_an_exception_in_any_hook_is_reported_and_the_next_run_works(hook, broken_hooks):
    said, err = broken_hooks
    assert (said[hook], err) == ("True clean", "")
