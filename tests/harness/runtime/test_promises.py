"""Promises that only an accident of timing would break: each test forces the moment at which a
break of the code shows.
"""

import threading
from collections import deque
from functools import partial

import pytest
import small_worlds

from harness import At, Completion, Meet, Mutex, Observer, RWSemaphore, Scenario, ScenarioError, \
    Verdict, force, run, stress
from harness.runtime.free_run import FreeRun
from harness.locks.parking import enter, leave, pause
from harness.locks.task import current

SHORT = 0.5    # seconds after which a standstill is judged, where every right answer is so judged


class Hooks(Observer):
    """Call the functions given for some of the hooks."""

    def __init__(self, **hooks):
        self.hooks = hooks

    def lock_acquire(self, *what):
        self.hooks.get("acquire", nothing)(*what)

    def lock_contended(self, *what):
        self.hooks.get("contended", nothing)(*what)

    def role_end(self, *what):
        self.hooks.get("end", nothing)(*what)

    def idle(self):
        return bool(self.hooks.get("idle", nothing)())


def nothing(*what):
    """Do nothing."""


def outside(function):
    """Return a started thread of no run that performs *function*."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


# -- the watcher -----------------------------------------------------------------------------------


def stand_still_outside():
    """Run a role that waits outside our locks until an observer hears of a standstill."""
    gone, threads = threading.Event(), []

    class LetsGo(Observer):
        def standstill(self):
            gone.set()

    def outside_our_locks():
        threads.append(threading.current_thread())
        gone.wait()

    result = run(lambda: {"role": outside_our_locks, "other": Mutex("a").locked},
                 observers=lambda: [LetsGo()], timeout=2, runs=1)
    gone.set()
    threads[0].join()
    return result


def ask_again_and_again(how):
    """Run two roles that ask for what this thread holds until they have it."""
    lock = Mutex("lock")

    def stubborn():
        while not (lock.acquire(timeout=0.001) if how == "timed" else lock.acquire(False)):
            pass

    with lock:
        return run(lambda: {"one": stubborn, "other": stubborn}, runs=1, timeout=SHORT,
                   seconds=15)


def leave_one_stuck(call):
    """Ask for three runs whose role waits outside our locks; return how many there were, too."""
    free, threads = threading.Event(), []

    def stuck():
        threads.append(threading.current_thread())
        free.wait()

    result = call(lambda: {"stuck": stuck}, runs=3, timeout=0.1)
    free.set()
    for thread in threads:
        thread.join()
    return result, len(threads)


@pytest.fixture(scope="module")
def judged(at_once):
    """The futures of what the timeout has to judge: all wait for it together."""
    calls = {"standstill": stand_still_outside,
             **{how: partial(ask_again_and_again, how) for how in ("timed", "trylock")},
             **{call: partial(leave_one_stuck, call) for call in (run, stress)}}
    return dict(zip(calls, at_once(*calls.values())))


def test_observers_are_told_of_a_standstill_before_anyone_is_judged(judged):
    result = judged["standstill"].result()
    assert result.verdict is Verdict.CLEAN, str(result)


@pytest.mark.parametrize("how", ["timed", "trylock"])
def test_asking_again_and_again_in_vain_is_judged_by_the_timeout(how, judged):
    result = judged[how].result()
    assert (result.verdict, result.how, result.outcome.stuck) == (
        Verdict.INCONCLUSIVE, "timed out", ())
    assert "one still runs" in result.finding.text


@pytest.mark.parametrize("call", [run, stress])
def test_no_run_follows_one_that_left_a_role_stuck(call, judged):
    result, stuck = judged[call].result()
    assert (result.verdict, result.coverage["runs"], stuck) == (Verdict.HANG, 1, 1)


# -- who runs, and who is told ---------------------------------------------------------------------


def test_a_timed_wait_that_is_over_counts_as_running_again():
    never, ready, go = Completion("never"), Completion("ready"), Completion("go")
    queued, story = threading.Event(), []

    def contended(task, lock, mode):
        if lock is go:
            queued.set()

    def runs():
        never.wait(timeout=0)
        story.append("the timed wait is over")
        ready.complete()
        queued.wait()      # the guard is held until it was asked who is idle
        go.complete()

    def waits():
        ready.wait(by="runs")
        go.wait(by="runs")

    result = run(lambda: {"runs": runs, "waits": waits}, observers=lambda: [
        Hooks(contended=contended, idle=lambda: story.append("idle"))], runs=1)
    after = story[story.index("the timed wait is over"):]
    assert (result.verdict, after) == (Verdict.CLEAN, ["the timed wait is over"])


class LateGate:
    """What a task waits in while parked; the first wake-up comes just after the time was up."""

    def __init__(self, gate, wake):
        self.gate, self.wake, self.release, self.answers = gate, wake, gate.release, []

    def acquire(self, blocking=True, timeout=-1):
        answer = self.gate.acquire(blocking, timeout)
        if blocking:
            self.answers.append(answer)
            if len(self.answers) == 1:
                self.wake()
        return answer


def test_a_wake_up_that_came_too_late_does_not_end_the_next_wait():
    late, never, story = Completion("late"), Completion("never"), []

    def waiter():
        task = current()
        task.gate = gate = LateGate(task.gate, late.complete)
        story.extend([late.wait(timeout=0), never.wait(timeout=0.001), gate.answers])

    outside(waiter).join()
    assert story == [True, False, [False, False]]


def test_complete_wakes_no_more_than_one():
    done, go, story = Completion("done"), Completion("go"), []

    def waiter():
        done.wait()
        story.append(current().name)

    def completer():
        go.wait()
        done.complete()

    def everybody_waits():
        return len(done._waiters) == 3 and not go.done() and (go.finish() or True)

    result = run(lambda: {**dict.fromkeys("ABC", waiter), "completer": completer},
                 observers=lambda: [Hooks(idle=everybody_waits)])
    assert (result.verdict, len(story), len(done._waiters)) == (Verdict.HANG, 1, 0)


def test_a_wait_for_one_who_has_ended_names_nobody():
    done = Completion("done")
    result = run(lambda: {"waiter": lambda: done.wait(by="ended"), "ended": lambda: None})
    assert [(state.role, state.waits_for) for state in result.finding.roles] \
        == [("waiter", ()), ("ended", ())]


# How A, B, C and D take the semaphore. By "fair", D has the first inner lock when B leaves, and
# waits for C at the second.
WAYS = {"writer": "write read read write", "fair": "read write read write",
        "reader": "read write write write"}


class Steps(Observer):
    """Open the next of some gates when nobody can go on; keep whose wait for *lock* was told."""

    def __init__(self, lock, gates):
        self.lock, self.steps, self.told = lock, list(gates), []

    def lock_contended(self, task, lock, mode):
        if lock is self.lock:
            self.told.append(task.name)

    def idle(self):
        while self.steps:
            gate = self.steps.pop(0)
            someone_goes = bool(gate._waiters)
            gate.finish()
            if someone_goes:
                return True
        return False


@pytest.mark.parametrize("policy", ["writer", "fair", "reader"])
def test_a_request_that_waits_at_one_inner_lock_after_another_is_told_once(policy):
    sem = RWSemaphore("sem", policy=policy)
    gates = {f"{name} {step}": Completion(f"{name} {step}")
             for step in ("down", "up") for name in "ABCD"}
    steps = Steps(sem, gates.values())

    def role(name, mode):
        def ask():
            gates[f"{name} down"].wait()
            getattr(sem, f"down_{mode}")()
            gates[f"{name} up"].wait()
            getattr(sem, f"up_{mode}")()
        return ask

    roles = {name: role(name, mode) for name, mode in zip("ABCD", WAYS[policy].split())}
    result = run(lambda: roles, observers=lambda: [steps], runs=1)
    assert (result.verdict, sorted(steps.told)) == (Verdict.CLEAN, ["B", "C", "D"])


def test_a_release_ends_the_latest_of_several_holds():
    sem, lock, story = RWSemaphore("sem"), Mutex("lock"), []

    def role():
        sem.down_read()
        sem.down_read()
        lock.acquire()
        first, second, third = current().held
        sem.up_read()
        story.append([hold is kept for hold, kept in zip(current().held, (first, third))])
        lock.release()
        sem.up_read()

    result = run(lambda: {"role": role}, runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, [[True, True]])


def test_a_thread_of_a_role_is_a_daemon_whatever_it_was_to_be():
    story = []

    def boss():
        worker = threading.Thread(target=lambda: story.append(worker.daemon), daemon=False)
        worker.start()
        worker.join()

    assert (run(lambda: {"boss": boss, "other": Mutex("a").locked}, runs=1).verdict, story) \
        == (Verdict.CLEAN, [True])


# -- a release just as one begins to wait ----------------------------------------------------------


class Looked(deque):
    """A queue that says when someone looked whether anyone is in it."""

    def __init__(self):
        super().__init__()
        self.event = threading.Event()

    def __len__(self):
        self.event.set()
        return super().__len__()


def test_a_mutex_released_just_after_it_was_refused_is_not_missed():
    lock, held, release = Mutex("lock"), threading.Event(), threading.Event()
    raw, lock._waiters = lock._lock, Looked()

    class Watched:
        release, locked, tries = raw.release, raw.locked, 0

        def acquire(self, blocking=True, timeout=-1):
            answer = raw.acquire(blocking, timeout)
            if not blocking:
                self.tries += 1
                if self.tries == 2:    # the look after it was queued
                    release.set()
                    lock._waiters.event.wait()
            return answer

    def outsider():
        with lock:
            held.set()
            release.wait()

    lock._lock = Watched()
    thread = outside(outsider)
    held.wait()
    result = run(lambda: {"role": lambda: lock.acquire() and lock.release()})
    thread.join()
    assert result.verdict is Verdict.CLEAN, str(result)


def test_a_semaphore_released_just_after_it_was_refused_is_not_missed():
    sem, held, go, gone = RWSemaphore("sem"), threading.Event(), threading.Event(), \
        threading.Event()

    def outsider():
        with sem.down_write():
            held.set()
            go.wait()
        gone.set()

    def watch(inner):
        look = inner._try

        def try_(blocking):
            answer = look(blocking)
            if not answer:
                go.set()
                gone.wait()
            return answer

        inner._try = try_

    thread = outside(outsider)
    held.wait()
    for inner in sem._inner:
        watch(inner)
    result = run(lambda: {"role": lambda: sem.down_read() and sem.up_read()})
    thread.join()
    assert result.verdict is Verdict.CLEAN, str(result)


def test_a_mutex_that_a_thread_outside_has_but_has_not_noted_is_no_hang():
    lock, queued = Mutex("lock"), threading.Event()

    def outsider():
        queued.wait()
        enter()      # once the role is parked and everybody was asked who blocks it
        leave()
        lock._lock.release()
        lock._hand_over()

    lock._lock.acquire()
    thread = outside(outsider)
    result = run(lambda: {"role": lambda: lock.acquire() and lock.release()}, timeout=10,
                 observers=lambda: [Hooks(contended=lambda *what: queued.set())])
    queued.set()
    thread.join()
    assert result.verdict is Verdict.CLEAN, str(result)


@pytest.mark.parametrize("policy", ["writer", "fair", "reader"])
@pytest.mark.parametrize("down, up", [("down_read", "up_read"), ("down_write", "up_write")])
def test_a_semaphore_that_a_thread_outside_has_but_has_not_noted_is_no_hang(policy, down, up):
    sem, queued = RWSemaphore("sem", policy=policy), threading.Event()
    hold = sem._rw.gen_wlock()
    hold.acquire()

    def outsider():
        queued.wait()
        enter()
        leave()
        hold.release()

    def role():
        getattr(sem, down)()
        getattr(sem, up)()

    thread = outside(outsider)
    result = run(lambda: {"role": role}, timeout=10,
                 observers=lambda: [Hooks(contended=lambda *what: queued.set())])
    queued.set()
    thread.join()
    assert result.verdict is Verdict.CLEAN, str(result)


class Alarm(BaseException):
    """What a signal handler raises."""


class InterruptedOnce:
    """An inner lock of the package, held by another: the first wait for it is cut short, in the
    second the other leaves it to us.
    """

    def __init__(self):
        self.waits = 0

    def acquire(self, blocking=True, timeout=-1):
        self.waits += 1
        if self.waits == 1:
            raise Alarm
        return True


@pytest.mark.parametrize("policy", ["writer", "fair", "reader"])
@pytest.mark.parametrize("mode", ["read", "write"])
def test_an_interrupted_release_waits_on_and_raises_when_it_is_done(policy, mode):
    waits, expected = [], []
    for number in range(len(RWSemaphore(policy=policy)._inner)):
        sem = RWSemaphore("sem", policy=policy)
        getattr(sem, f"down_{mode}")()
        inner = sem._inner[number]
        if not inner._try(False):
            continue   # the holder has it
        raw, inner._raw = inner._raw, InterruptedOnce()
        try:
            getattr(sem, f"up_{mode}")()
            expected.append(0)
        except Alarm:
            expected.append(2)
        waits.append(inner._raw.waits)
        inner._raw = raw
        if not expected[-1]:
            raw.release()
        assert sem.down_write_trylock(), f"inner lock {number}"
    assert waits == expected


# -- after the verdict -----------------------------------------------------------------------------


def late(what):
    """Return the result of a run in which a role does *what* once another got the verdict."""
    lock, own, fallen = Mutex("lock"), Mutex("own"), threading.Event()

    def doomed():
        with own, own:
            pass

    def acquire(task, mutex, mode):
        if task.name == "late":
            fallen.wait(120)
            what(task)

    def end(task):
        if task.name == "doomed":
            fallen.set()

    with lock:
        return run(lambda: {"late": lock.acquire, "doomed": doomed},
                   observers=lambda: [Hooks(acquire=acquire, end=end)])


def test_a_role_that_comes_to_wait_after_the_verdict_is_not_parked():
    result = late(lambda task: None)
    assert (result.verdict, result.outcome.stuck) == (Verdict.DEADLOCK, ())


def test_a_role_that_comes_to_pause_after_the_verdict_is_not_parked():
    def held_up(task):
        enter()
        pause(task)
        leave()

    result = late(held_up)
    assert (result.verdict, result.outcome.stuck) == (Verdict.DEADLOCK, ())


def test_a_run_that_unwinds_lets_nobody_wait_not_even_for_the_rest_of_a_request():
    game = FreeRun(Scenario({"role": print}), [])
    game.unwinding = True
    (task,), task.waits_on = game.tasks, Completion("done")
    assert [game.contended(task, again) for again in (False, True)] == [False, False]


# -- which finding, which order --------------------------------------------------------------------


def test_of_runs_with_equal_findings_the_first_is_kept():
    numbers = iter("abc")

    def world():
        number = next(numbers)

        def role():
            raise KeyError(number)

        return {"role": role}

    assert run(world, runs=3).finding.text.startswith("role raised KeyError: 'a', at ")


def test_the_gravest_finding_of_a_run_is_its_verdict_though_another_came_first():
    def world():
        def clumsy():
            raise KeyError("spoon")

        scenario = small_worlds.abba()
        return Scenario({"clumsy": clumsy, **scenario.roles}, meet=scenario.meet)

    result = force(world)
    assert (result.outcome.findings[0].verdict, result.verdict, len(result.cycle)) \
        == (Verdict.ERROR, Verdict.DEADLOCK, 2)


def test_a_meeting_that_one_order_of_start_misses_is_tried_in_another():
    def world():
        a, b, said = Mutex("a"), Mutex("b"), []

        def asks():
            with a:
                if said:    # not if it starts first
                    with b:
                        pass

        def says():
            said.append("come")
            with b:
                with a:
                    pass

        return Scenario({"asks": asks, "says": says},
                        meet=Meet(At("asks", b, holding=a), At("says", a, holding=b)))

    assert force(world).verdict is Verdict.DEADLOCK


# -- waits that go wrong ---------------------------------------------------------------------------

ASKING_RAISES = """
import threading
from harness import Completion, Observer, run
done, queued = Completion("done"), threading.Event()
class Tell(Observer):
    def lock_contended(self, task, lock, mode):
        queued.set()
def spoon():
    raise KeyError("spoon")
def completer():
    queued.wait()
    done.complete()
result = run(lambda: {"waiter": lambda: done.wait(by=spoon), "completer": completer},
             observers=lambda: [Tell()])
print(result.verdict.value, "KeyError: 'spoon'" in result.finding.text)
print(run(lambda: {"role": done.complete}).verdict.value)
"""


def test_asking_who_ends_a_wait_may_raise_and_is_an_error(in_another_process):
    done = in_another_process("-c", ASKING_RAISES)
    assert (done.stdout.split(), done.stderr) == (["error", "True", "clean"], "")


def test_two_runs_that_deadlock_with_each_other_both_end():
    a, b, has_a, has_b = Mutex("a"), Mutex("b"), threading.Event(), threading.Event()
    results = []

    def role(first, second, mine, other):
        def cross():
            with first:
                mine.set()
                other.wait()
                with second:
                    pass
        return cross

    def call(name, cross):
        results.append(run(lambda: {name: cross}))

    calls = [outside(lambda: call("left", role(a, b, has_a, has_b))),
             outside(lambda: call("right", role(b, a, has_b, has_a)))]
    for thread in calls:
        thread.join(120)
    found = next(result for result in results if result.verdict is Verdict.DEADLOCK)
    assert (len(results), {leg["role"]: leg["wants"] for leg in found.cycle},
            a.locked(), b.locked()) == (2, {"left": "b", "right": "a"}, False, False)


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
def test_a_time_limit_below_zero_is_no_wait_at_all(inside):
    sem, story = RWSemaphore("sem"), []

    def asks():
        for ask in (sem.down_read_timeout, sem.down_write_timeout, Completion("done").wait):
            story.append(ask(-5))

    with sem.down_write():
        if inside:
            run(lambda: {"asks": asks}, runs=1)
        else:
            outside(asks).join(120)
    assert story == [False, False, False]


# -- what the user hands in ------------------------------------------------------------------------


@pytest.mark.parametrize("call", [run, force, stress])
def test_a_world_that_cannot_be_built_is_one_clear_line_with_the_place(call):
    def world():
        raise KeyError("spoon\nfork")

    with pytest.raises(ScenarioError) as caught:
        call(world)
    text = str(caught.value)
    where = f"test_promises.py:{world.__code__.co_firstlineno + 1}"
    assert ("KeyError" in text, where in text, "\n" in text) == (True, True, False)


@pytest.mark.parametrize("call", [run, force, stress])
def test_a_timeout_without_end_is_refused(call):
    with pytest.raises(ScenarioError, match="timeout is inf"):
        call(small_worlds.abba, timeout=float("inf"))


CLOSURE = """
from harness import Mutex
def make():
    def world():
        lock = Mutex("lock")
        def role():
            with lock, lock:
                pass
        return {"role": role}
    return world
bound = make()
"""


def test_a_scenario_made_by_a_function_is_found_again_by_its_token(tmp_path, in_another_process):
    (tmp_path / "closures.py").write_text(CLOSURE)
    first = in_another_process("-m", "harness", "stress", "closures:bound", "--runs", "1",
                               cwd=tmp_path)
    token = first.stdout.partition("harness replay ")[2].split()[:1]
    again = in_another_process("-m", "harness", "replay", *token, cwd=tmp_path)
    assert (first.returncode, again.returncode, "DEADLOCK" in again.stdout, again.stderr) \
        == (1, 1, True, "")


def test_a_project_in_a_directory_of_the_packages_name_keeps_its_functions(tmp_path):
    file = tmp_path / "readerwriterlock" / "closures.py"
    names = {}
    exec(compile(CLOSURE, str(file), "exec"), names)
    result = run(names["bound"])
    assert (result.trace[0]["function"], result.cycle[0]["at"].partition("closures")[2]) \
        == ("role", ".py:7")
