"""explore: verdicts, bounds, strategies, tokens, and what it leaves behind."""

import _thread
import base64
import functools
import json
import mmap
import os
import queue
import re
import threading
import zlib
from itertools import groupby

import pytest
import small_worlds

from harness import Completion, Mutex, RWSemaphore, Scenario, ScenarioError, Verdict, replay, run
from harness.exploration import cut_off, scheduled_run
from harness.exploration.token import decode
from harness.methods import confirming
from harness.methods.ctrl_c import Interrupted
from harness.exploration.ways import STRATEGIES
from harness.methods.explore import explore
from harness.locks.task import step


@pytest.mark.parametrize("world, verdict, said", [
    (small_worlds.abba, "deadlock", "2 threads wait for each other"),
    (small_worlds.waits_for_nobody, "hang", "1 role waits for ever"),
    (small_worlds.raises, "error", "clumsy raised KeyError"),
    (small_worlds.forgets, "violation", "it ended holding lock"),
    (small_worlds.in_order, "clean", "all 2 schedules")])
def test_each_schedule_is_judged(world, verdict, said):
    result = explore(world)
    assert (str(result.verdict), said in str(result)) == (verdict, True), str(result)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_finds_the_philosophers_deadlock_and_shows_it(strategy):
    result = explore(small_worlds.philosophers, strategy=strategy, seed=1)
    assert (result.verdict, len(result.cycle), result.coverage["replayed"]) == (
        Verdict.DEADLOCK, 3, "10 of 10")
    assert all(state["at"].startswith("small_worlds.py:") or "small_worlds.py:" in state["at"]
               for state in result.cycle)


def test_the_reader_that_left_is_not_blamed():
    """The case the best peer cannot find: reader 1 enters, reader 2 joins, reader 1 leaves."""
    for engine in (True, False):
        result = explore(small_worlds.handoff, engine=engine)
        assert (result.verdict, {state["role"] for state in result.cycle}) == (
            Verdict.DEADLOCK, {"reader2", "writer"})


@pytest.mark.parametrize("policy, verdict", [
    ("writer", Verdict.DEADLOCK), ("fair", Verdict.DEADLOCK), ("reader", Verdict.CLEAN)])
def test_a_policy_decides(policy, verdict):
    assert explore(functools.partial(small_worlds.nested_read, policy)).verdict is verdict


def forks_in_order():
    """Two who take two forks each, in the same order, after one of their own."""
    a, b = Mutex("a"), Mutex("b")

    def role():
        with Mutex("own"):
            pass
        with a, b:
            pass

    return {"one": role, "other": role}


@pytest.mark.parametrize("arguments, said", [
    ({"max_schedules": 1}, "stopped after 1 schedule"),
    ({"seconds": 1e-9}, "stopped after 1e-09 s"),
    ({"strategy": "bounded", "preemptions": 1}, "more than 1 preemption were left out"),
    ({"strategy": "random", "max_schedules": 5}, "drawn at random"),
    ({"strategy": "pct", "max_schedules": 5}, "drawn at random")])
def test_a_bounded_search_that_finds_nothing_is_inconclusive_and_names_the_bound(arguments, said):
    result = explore(forks_in_order, **arguments)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.INCONCLUSIVE, False)
    assert said in result.finding.text


def test_a_preemption_bound_that_leaves_nothing_out_is_no_bound():
    result = explore(small_worlds.in_order, strategy="bounded", preemptions=9)
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.CLEAN, 2)


def test_no_preemption_means_that_roles_are_switched_where_they_wait():
    """A B b a, or B A a b, one role before the other: no deadlock without a preemption."""
    found = [explore(small_worlds.abba, strategy="bounded", preemptions=n).verdict for n in (0, 1)]
    assert found == [Verdict.INCONCLUSIVE, Verdict.DEADLOCK]


@pytest.mark.parametrize("preemptions, schedules", [(0, 2), (1, 2 + 6), (2, 2 + 6 + 18)])
def test_a_preemption_is_a_switch_from_a_role_that_could_go_on(preemptions, schedules):
    """Two roles of four steps, which do not meet. A schedule of n stretches has n - 2 preemptions:
    the switch where a role has ended costs nothing. Four steps are one stretch in 1 way, two in 3:
    there are 2 * 1 * 1, 2 * 3 * 1, 2 * 3 * 3 schedules of 2, 3, 4 stretches.
    """
    def role(mutex):
        for _ in range(2):
            with mutex:
                pass

    def world():
        return {name: functools.partial(role, Mutex(name)) for name in "ab"}

    result = explore(world, strategy="bounded", preemptions=preemptions)
    assert (result.coverage["schedules"], result.coverage["complete"]) == (schedules, False)


def test_all_goes_on_and_counts():
    """See the_mail and crosswise in test_explore_counts.py."""
    result = explore(small_worlds.abba, strategy="dfs", all=True)
    assert (result.coverage["schedules"], result.coverage["verdicts"],
            result.coverage["distinct_reports"], result.coverage["complete"]) == (
        6, {"clean": 4, "deadlock": 2}, 1, True)


def test_the_graver_finding_is_kept():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def left():
            with a:
                if not b.acquire(False):
                    raise KeyError("busy")
                b.release()
            with a, b:
                pass

        def right():
            with b, a:
                pass

        return {"left": left, "right": right}

    result = explore(world, all=True)
    assert result.verdict is Verdict.DEADLOCK
    assert set(result.coverage["verdicts"]) == {"clean", "error", "deadlock"}


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_draws_the_same_schedules(seed):
    def once():
        return explore(small_worlds.philosophers, strategy="random", seed=seed, all=True,
                       max_schedules=20).coverage["verdicts"]

    assert once() == once()


def test_pct_prints_its_guarantee():
    """Three roles of four steps each: 1 / (3 * 12 ** 2) for a bug of depth 3."""
    def world():
        locks = [Mutex(name) for name in "abc"]

        def role(lock):
            def twice():
                for _ in range(2):
                    with lock:
                        pass
            return twice

        return {lock.name: role(lock) for lock in locks}

    covered = explore(world, strategy="pct", max_schedules=3).coverage
    assert "at least 1/432 (3 roles, 12 steps)" in covered["guarantee"]


@pytest.mark.parametrize("arguments", [
    {"strategy": "best"}, {"max_schedules": 0}, {"seconds": 0}, {"timeout": -1}, {"depth": 0},
    {"preemptions": -1}])
def test_nonsense_is_refused_in_one_line(arguments):
    with pytest.raises(ScenarioError) as caught:
        explore(small_worlds.abba, **arguments)
    assert "\n" not in str(caught.value)


# -- checks, invariants, determinism ---------------------------------------------------------------


def lost_update():
    """Two add one to a variable, which they read and write in two steps."""
    value = [0]

    def adds():
        step("value")
        seen = value[0]
        step("value")
        value[0] = seen + 1

    def check():
        assert value[0] == 2, f"it is {value[0]}"

    return Scenario({"one": adds, "other": adds}, check=check)


def test_a_step_is_a_point_and_the_end_is_checked():
    """Of the six orders two are one role after the other; the other four lose an update."""
    result = explore(lost_update, all=True)
    assert (result.verdict, result.coverage["verdicts"]) == (
        Verdict.VIOLATION, {"clean": 2, "violation": 4})
    assert "it is 1" in str(result)


def never_both():
    """Each holds a mutex of its own; an invariant says that they never do at the same time."""
    a, b, inside = Mutex("a"), Mutex("b"), set()

    def role(lock):
        def enters():
            with lock:
                inside.add(lock.name)
            inside.discard(lock.name)
        return enters

    def not_both():
        assert len(inside) < 2, "both are inside"

    return Scenario({"one": role(a), "other": role(b)}, invariants={"not both": not_both})


def test_an_invariant_is_checked_in_every_order_of_all_steps():
    """Lock and unlock of each: six orders. What is inside stays there until its role goes on, so
    only one role after the other keeps the invariant.
    """
    result = explore(never_both, all=True)
    assert (result.coverage["strategy"], result.coverage["verdicts"]) == (
        "dfs", {"clean": 2, "violation": 4})
    assert "not both" in str(result)


def test_an_invariant_of_what_locks_order_is_checked_once_a_class():
    result = explore(never_both, trust_locks=True)
    assert (result.coverage["strategy"], result.coverage["schedules"]) == ("dpor", 1)


def changes_its_mind(every):
    """A role that takes another lock at each *every*-th run."""
    count = [0]

    def world():
        a, b = Mutex("a"), Mutex("b")
        count[0] += 1
        first = b if count[0] % every == 0 else a

        def fickle():
            with first:
                pass

        def other():
            with a:
                pass

        return {"other": other, "fickle": fickle}

    return world


def test_a_role_that_behaves_differently_is_reported_with_the_first_difference():
    result = explore(changes_its_mind(2), check_determinism=True, engine=False)
    assert result.verdict is Verdict.ERROR
    assert re.search(r"step 3 is fickle's lock a at test_explore.py:(\d+) the first time, and "
                     r"fickle's lock b at test_explore.py:\1 the second$", result.finding.text)


def test_a_role_that_differs_before_the_new_step_is_noticed_without_asking():
    """Ways that part at their last step: the steps before are compared anyway."""
    count = [0]

    def world():
        a, b, c = Mutex("a"), Mutex("b"), Mutex("c")
        count[0] += 1
        first = b if count[0] == 2 else c

        def role():
            with first:
                pass
            with a:
                pass

        return {"one": role, "other": lambda: a.acquire() and a.release()}

    result = explore(world, engine=False)
    assert (result.verdict, "behaves differently" in str(result)) == (Verdict.ERROR, True)


def test_the_plain_search_notices_that_others_can_go_on_than_before():
    """In the third run, which tries the second schedule, the first role takes no lock at all."""
    count = [0]

    def world():
        a, b = Mutex("a"), Mutex("b")
        count[0] += 1
        first = count[0] != 3
        return {"one": lambda: first and a.acquire() and a.release(),
                "other": lambda: b.acquire() and b.release()}

    result = explore(world, strategy="dfs")
    assert (result.verdict, "at step 1 one or other could go on before, and now other"
            in result.finding.text) == (Verdict.ERROR, True)


# -- threads, and what is outside our locks --------------------------------------------------------


def joins_what_wants_its_lock():
    """A role starts a thread and joins it with a lock in hand that the thread wants."""
    lock = Mutex("lock")

    def role():
        def helper():
            with lock:
                pass
        thread = threading.Thread(target=helper)
        thread.start()
        with lock:
            thread.join()

    return {"role": role}


def test_a_thread_that_a_role_starts_is_a_role_and_its_join_a_wait():
    """Two ways: the thread takes the lock first, or the role does, for ever."""
    result = explore(joins_what_wants_its_lock, strategy="dfs", all=True)
    assert result.verdict is Verdict.DEADLOCK
    assert {state["role"]: state["mode"] for state in result.cycle} == {
        "role": "wait", "role/1": "exclusive"}
    assert replay(result.replay, joins_what_wants_its_lock).verdict is Verdict.DEADLOCK


def test_a_timed_wait_may_expire_and_may_not():
    """The waiter gives up before the other completes, or waits; the waiter's answer tells."""
    answers = set()

    def world():
        done = Completion("done")
        return {"waits": lambda: answers.add(done.wait(1)), "completes": done.complete}

    assert (explore(world).verdict, answers) == (Verdict.CLEAN, {True, False})


def waits_outside():
    """Two mutexes crosswise, of which one is not ours."""
    ours, other = Mutex("ours"), threading.Lock()

    def one():
        with ours, other:
            pass

    def two():
        with other, ours:
            pass

    return {"one": one, "two": two}


def test_a_role_that_waits_outside_our_locks_is_named():
    """The other needs ours, so nobody can go on: a hang."""
    result = explore(waits_outside, timeout=.1)
    assert result.verdict is Verdict.HANG
    assert "one waits outside our locks" in result.finding.text


def test_a_standstill_of_the_last_role_outside_our_locks_is_a_hang():
    never, before = threading.Event(), set(threading.enumerate())
    result = explore(lambda: {"ends": lambda: None, "waits": never.wait}, timeout=.1)
    try:
        assert (result.verdict, result.how) == (Verdict.HANG, "timed out")
        assert "waits waits outside our locks" in str(result)
    finally:
        never.set()
        for thread in set(threading.enumerate()) - before:
            thread.join()


def test_a_thread_outside_may_let_a_role_go_on():
    """No hang; and no proof: it has the lock when the role asks, and gives it up then."""
    lock = Mutex("lock")

    def world():
        taken, wanted = threading.Event(), threading.Event()

        def outsider():
            with lock:
                taken.set()
                wanted.wait()

        threading.Thread(target=outsider).start()
        taken.wait()

        def role():
            wanted.set()
            with lock:
                pass

        return {"role": role}

    result = explore(world)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "is outside the run and used lock (once, at" in " ".join(str(result).split())


def test_what_a_thread_outside_never_gives_back_is_a_hang():
    lock = Mutex("lock")
    with lock:
        result = explore(lambda: {"role": lambda: lock.acquire()}, timeout=.1)
    assert (result.verdict, result.how, result.finding.roles[0].wants) == (
        Verdict.HANG, "timed out", "lock")


def test_a_schedule_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(scheduled_run, "MOST_STEPS", 100)

    def world():
        lock, done = Mutex("lock"), Completion("done")

        def holder():
            with lock:
                done.wait(by="spins")

        def spins():
            tries = 0
            while not lock.acquire(False):
                tries += 1
            lock.release()
            done.complete()

        return {"holder": holder, "spins": spins}

    result = explore(world)
    assert (result.verdict, "100 steps" in str(result)) == (Verdict.INCONCLUSIVE, True)


def test_an_account_that_lets_two_have_a_lock_is_an_internal_error(monkeypatch):
    monkeypatch.setattr(Mutex, "blockers", lambda self, task, mode: [])
    result = explore(small_worlds.abba)
    assert (result.verdict, "internal error" in str(result)) == (Verdict.ERROR, True)


def test_an_account_that_refuses_what_is_free_is_an_internal_error(monkeypatch):
    """A trylock is foretold to fail, and does not."""
    def world():
        lock = Mutex("lock")
        return {"tries": lambda: lock.acquire(False) and lock.release()}

    monkeypatch.setattr(Mutex, "is_free_for", lambda self, task, mode: False)
    result = explore(world)
    assert (result.verdict, "internal error" in str(result)) == (Verdict.ERROR, True)


# -- the fast engine -------------------------------------------------------------------------------


@pytest.mark.usefixtures("beside_the_worlds")
@pytest.mark.parametrize("world", [
    small_worlds.abba, small_worlds.philosophers, small_worlds.nested_read, small_worlds.handoff])
def test_the_engine_s_shortest_way_to_a_deadlock_is_confirmed_on_real_threads(world):
    result = explore(world)
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.DEADLOCK, 1)
    assert result.coverage["engine"].endswith("confirmed on real threads")
    assert replay(result.replay).verdict is Verdict.DEADLOCK


def test_the_engine_goes_through_threads_that_roles_start():
    """A role and the thread that it starts and joins lock crosswise."""
    def world():
        a, b = Mutex("a"), Mutex("b")

        def helper():
            with b, a:
                pass

        def role():
            thread = threading.Thread(target=helper)
            thread.start()
            with a, b:
                pass
            thread.join()

        return {"role": role}

    result = explore(world)
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.DEADLOCK, 1)
    assert result.coverage["engine"].endswith("confirmed on real threads")


def test_real_threads_decide_where_roles_branch_on_data():
    """The second locks crosswise, but only if the first has been there: not in the first run."""
    def world():
        a, b, seen = Mutex("a"), Mutex("b"), []

        def looks():
            with a:
                crosswise = bool(seen)
            if crosswise:
                with b, a:
                    pass

        def leaves_word():
            with a:
                seen.append(1)
            with a, b:
                pass

        return {"looks": looks, "leaves word": leaves_word}

    result = explore(world)
    assert (result.verdict, result.coverage["engine"][:5]) == (Verdict.DEADLOCK, "clean")
    assert "the roles branch on data" in str(result)


def test_what_no_program_can_say_is_left_to_real_threads():
    def world():
        done = Completion("done")
        return {"waits": lambda: done.wait(1), "completes": done.complete}

    result = explore(world)
    assert (result.verdict, "time limit" in result.coverage["engine"]) == (Verdict.CLEAN, True)


# -- locks that cannot be told apart ---------------------------------------------------------------


def namesakes():
    """abba, with two mutexes of one name."""
    a, b = Mutex("lock"), Mutex("lock")

    def left():
        with a, b:
            pass

    def right():
        with b, a:
            pass

    return {"left": left, "right": right}


def test_locks_of_one_name_are_told_apart_by_which_was_made_first():
    """Three classes, one deadlock: see crosswise in test_explore_counts.py."""
    result = explore(namesakes, all=True)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.DEADLOCK, True)
    assert result.coverage["verdicts"] == {"clean": 2, "deadlock": 1}


def test_locks_of_one_name_made_by_different_threads_cost_reduction_and_nothing_else():
    """As above, but each role makes the lock it takes first. Six schedules, two deadlocks: not told
    apart, all steps depend on each other.
    """
    def world():
        made = {}

        def role(mine, other):
            def work():
                made[mine] = Mutex("lock")
                step()
                with made[mine], made.get(other) or Mutex("lock"):
                    pass
            return work

        return {"left": role("left", "right"), "right": role("right", "left")}

    result = explore(world, all=True)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.DEADLOCK, True)


# -- the counterexample ----------------------------------------------------------------------------


@pytest.mark.parametrize("world, least", [
    (small_worlds.abba, 1), (small_worlds.philosophers, 2), (small_worlds.nested_read, 2),
    (lost_update, 2), (small_worlds.handoff, 4)])
def test_the_counterexample_has_no_switch_too_many(world, least):
    """abba: one takes a, the other b and asks for a: one switch. philosophers: each comes once.
    nested_read: reader, writer, reader. lost_update: the second reads between the first's steps,
    and goes on; the first writes. handoff: reader 1 enters, reader 2 joins, reader 1 leaves; then
    reader 2 and the writer, one after the other.
    """
    for seed in range(5):
        steps = decode(explore(world, strategy="random", seed=seed).replay)[2].steps
        stretches = [role for role, _ in groupby(role for role, _ in steps)]
        assert len(stretches) - 1 == least, (seed, stretches)


# -- tokens ----------------------------------------------------------------------------------------


def essence(result):
    return result.verdict, sorted(map(str, result.cycle))


@pytest.mark.usefixtures("beside_the_worlds")
@pytest.mark.parametrize("world", [small_worlds.abba, small_worlds.nested_read,
                                   small_worlds.handoff])
@pytest.mark.parametrize("strategy", ["dpor", "random"])
def test_a_token_shows_the_schedule_again(world, strategy):
    result = explore(world, strategy=strategy, seed=2)
    reports = {str(replay(result.replay)) for _ in range(5)}
    assert len(reports) == 1 and essence(replay(result.replay)) == essence(result)
    assert result.replay in str(result) and result.replay.replace("-", "_").isidentifier()


def test_a_token_works_in_another_process(in_another_process):
    result = explore(small_worlds.handoff)
    done = in_another_process("-m", "harness", "replay", result.replay, "--json", "-")
    data = json.loads(done.stdout)
    assert (done.returncode, data["verdict"], sorted(map(str, data["cycle"])), data["replay"]) == (
        1, "deadlock", sorted(map(str, result.cycle)), result.replay)


def test_a_scenario_without_an_importable_name_is_replayed_by_call():
    def world():
        return small_worlds.abba()

    result = explore(world)
    assert f"harness.replay({result.replay!r}, scenario)" in str(result)
    assert replay(result.replay, world).verdict is Verdict.DEADLOCK
    with pytest.raises(ScenarioError, match=r"call harness.replay\(token, scenario\)"):
        replay(result.replay)


def in_right_order():
    """abba, with the order put right."""
    a, b = Mutex("a"), Mutex("b")

    def role():
        with a, b:
            pass

    return {"left": role, "right": role}


def read_only():
    """abba, with semaphores read in place of mutexes: the same order, other steps."""
    a, b = RWSemaphore("a"), RWSemaphore("b")

    def role(first, second):
        def reads():
            with first.down_read(), second.down_read():
                pass
        return reads

    return {"left": role(a, b), "right": role(b, a)}


@pytest.mark.parametrize("changed", [in_right_order, read_only, small_worlds.raises])
def test_a_replay_says_that_the_code_has_changed(changed):
    result = replay(explore(small_worlds.abba).replay, changed)
    assert "the code has changed since this was recorded" in str(result)
    assert result.verdict in (Verdict.NOT_REACHED, Verdict.ERROR)


@pytest.mark.parametrize("data", [
    [2, "m:n", {}, "x", ["A"], [0]], [2, "m:n", {}, "1", ["A"], [2]], [2, "m:n", {}, "1", ["A"], 7],
    [2, "m:n", {}, "1", [7], [0]], [2, "m:n", 7, "1", ["A"], [0]], [3, "m:n", {}, "1", ["A"], [0]]])
def test_a_token_that_is_none_is_refused_in_one_line(data):
    packed = zlib.compress(json.dumps(data).encode())
    with pytest.raises(ScenarioError) as caught:
        replay(base64.urlsafe_b64encode(packed).decode())
    assert str(caught.value) and "\n" not in str(caught.value)


# -- what is left behind ---------------------------------------------------------------------------


def test_explored_deadlocks_leave_no_descriptor_behind():
    before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
    result = explore(small_worlds.abba_bare, strategy="random", seed=1, all=True, max_schedules=300)
    after = os.listdir("/proc/self/fd") if before else []
    assert (result.coverage["verdicts"]["deadlock"] > 50, len(after)) == (True, len(before))


def test_ctrl_c_tells_what_was_covered(ctrl_c_interrupts):
    """The fifth world interrupts the caller; the second was the first schedule's once more."""
    count = [0]

    def world():
        count[0] += 1
        roles = dict(small_worlds.philosophers().roles)
        if count[0] == 5:
            never = Completion("never")

            def interrupts():
                _thread.interrupt_main()
                never.wait(by="nobody")
            roles["philosopher 0"] = interrupts
        return roles

    with pytest.raises(Interrupted) as caught:
        explore(world, strategy="dfs")
    result = caught.value.result
    assert (result.verdict, result.coverage["schedules"] >= 3, result.coverage["complete"]) == (
        Verdict.INCONCLUSIVE, True, False)


def test_progress_is_shown(capsys):
    explore(small_worlds.in_order, strategy="random", max_schedules=2, seed=1, progress=True)
    shown = capsys.readouterr().err
    assert "small_worlds:in_order" in shown and "schedules" in shown and shown.endswith("\n")


# -- looks, ends, texts ----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["dpor", "dfs"])
@pytest.mark.parametrize("looked_at", ["mutex", "completion"])
def test_a_look_at_a_lock_is_a_point_where_others_may_go_first(looked_at, strategy):
    """Only if the other has the lock, or has completed, at that time is b{c} taken against c{b}."""
    def world():
        seen = Mutex("seen") if looked_at == "mutex" else Completion("seen")
        b, c = Mutex("b"), Mutex("c")

        def looks():
            if seen.locked() if looked_at == "mutex" else seen.done():
                with b, c:
                    pass

        def acts():
            if looked_at == "mutex":
                with seen:
                    pass
            else:
                seen.complete_all()

        def other():
            with c, b:
                pass

        return {"looks": looks, "acts": acts, "other": other}

    assert explore(world, strategy=strategy).verdict is Verdict.DEADLOCK


def test_an_invariant_is_asked_once_more_when_a_role_has_ended():
    def world():
        lock, state = Mutex("lock"), {"bad": False}

        def role():
            with lock:
                pass
            state["bad"] = True

        def good():
            assert not state["bad"]

        return Scenario({"role": role}, invariants={"good": good})

    assert [explore(world).verdict, run(world).verdict] == [Verdict.VIOLATION] * 2


def test_a_role_that_waits_outside_our_locks_for_one_held_back_is_no_hang():
    queues, before = [], set(threading.enumerate())

    def world():
        lock, ready = Mutex("lock"), queue.Queue()
        queues.append(ready)

        def takes():
            with lock:
                pass
            ready.get()

        def puts():
            with lock:
                pass
            ready.put(1)

        return {"takes": takes, "puts": puts}

    result = explore(world, timeout=.1)
    for ready in queues:
        ready.put(1)
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert (result.verdict, "while puts is held back" in result.finding.text) \
        == (Verdict.INCONCLUSIVE, True)


def test_an_error_whose_text_names_an_address_is_the_same_error_every_time():
    def world():
        def role():
            raise RuntimeError(f"{object()}")
        return {"role": role}

    assert explore(world).coverage["replayed"] == "10 of 10"


def tries(lock):
    return lock.acquire(False)


def looks_and_tries(lock):
    return not lock.locked() and lock.acquire(False) or lock.acquire(False)


@pytest.mark.parametrize("gets", [tries, looks_and_tries])
def test_who_spins_is_named_when_a_schedule_has_no_end(gets, monkeypatch):
    monkeypatch.setattr(scheduled_run, "MOST_STEPS", 300)

    def world():
        lock = Mutex("lock")

        def holds():
            with lock:
                step()

        def spins():
            count = 0
            while not gets(lock):
                count += 1
            lock.release()

        return {"holds": holds, "spins": spins}

    result = explore(world)
    assert (result.verdict, "spins asks for lock again and again" in result.finding.text,
            "replayed" in result.coverage) == (Verdict.INCONCLUSIVE, True, False)


@pytest.mark.parametrize("tool", [explore, run])
def test_a_check_or_an_invariant_that_raises_is_said_so(tool):
    def broken():
        raise KeyError("gone")

    def world(**more):
        return lambda: Scenario({"role": lambda: None}, **more)

    checked, watched = tool(world(check=broken)), tool(world(invariants={"same": broken}))
    assert (checked.verdict, "the check at the end raised KeyError: 'gone'" in str(checked)) \
        == (Verdict.ERROR, True)
    assert "invariant 'same' raised KeyError: 'gone'" in str(watched)


def test_a_role_that_does_nothing_when_called_is_refused():
    def generator():
        yield

    with pytest.raises(ScenarioError, match="role 'lazy' is a generator or a coroutine"):
        explore(lambda: {"lazy": generator})


def crosswise_on(first, second):
    def world():
        a, b = Mutex(first), Mutex(second)

        def nest(outer, inner):
            with outer, inner:
                pass

        return {"left": lambda: nest(a, b), "right": lambda: nest(b, a)}
    return world


def test_replay_says_that_other_locks_are_taken_now():
    token = explore(crosswise_on("a", "b")).replay
    result = replay(token, crosswise_on("c", "d"))
    assert result.verdict is Verdict.DEADLOCK and "the code has changed" in str(result)
    assert "the code has changed" not in str(replay(token, crosswise_on("a", "b")))


def test_schedules_are_counted_anew_when_two_locks_turn_out_to_share_a_name():
    """Six schedules, as in crosswise of test_explore_counts.py; not told apart, all are of their
    own class. The first is tried once more when that has turned out.
    """
    def world():
        made = {}

        def role(mine, other):
            def work():
                with made[mine], made[other]:
                    pass
            return work

        def maker(name):
            made[name] = Mutex("lock")

        makers = [threading.Thread(target=maker, args=(name,)) for name in ("left", "right")]
        for thread in makers:
            thread.start()
            thread.join()
        return {"left": role("left", "right"), "right": role("right", "left")}

    reduced, plain = explore(world, all=True), explore(world, all=True, strategy="dfs")
    assert reduced.coverage["schedules"] == plain.coverage["schedules"] == 6
    assert reduced.coverage["verdicts"] == plain.coverage["verdicts"] == {"clean": 4, "deadlock": 2}


@pytest.mark.parametrize("differs", [False, True], ids=["goes round", "is never where it was"])
def test_schedules_are_counted_anew_where_the_search_begins_again(differs, monkeypatch):
    """x has a first, or y: then x comes later, or waits, or its limit runs out and it waits again.
    That it can is seen after the first schedule, and that x is then never where it was later still:
    the reduction is given up.
    """
    monkeypatch.setattr(cut_off, "MOST_AGAIN", 4)

    def world():
        a = Mutex("a")

        def goes_round():
            while not a.acquire(timeout=1):
                pass
            a.release()

        def never_there_again():
            made = []
            while not a.acquire(timeout=1):
                made = [[]]
            a.release()
            return made

        def y():
            with a:
                pass

        def check():
            raise KeyError("always")

        return Scenario({"x": never_there_again if differs else goes_round, "y": y}, check=check)

    for strategy in ("dpor", "dfs"):
        covered = explore(world, strategy=strategy, all=True, engine=False).coverage
        assert (covered["schedules"], covered["verdicts"]) == (4, {"error": 4})
        assert ("reduction" in covered) == (differs and strategy == "dpor")


def test_a_role_may_be_called_like_a_thread_that_another_starts():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def nest(outer, inner):
            with outer, inner:
                pass

        def starts():
            threading.Thread(target=nest, args=(a, b)).start()

        return {"starts": starts, "starts/1": lambda: nest(b, a)}

    assert explore(world).verdict is Verdict.DEADLOCK


def test_the_time_given_bounds_the_minimising_too(monkeypatch):
    """The time is up when minimising begins: what was found is shown as it is, run again once."""
    minimise = confirming.shrink

    def late(world, workers, labels, failure):
        world.deadline = world.tally.deadline = 0.0
        return minimise(world, workers, labels, failure)

    monkeypatch.setattr(confirming, "LAST", 600)
    monkeypatch.setattr(confirming, "shrink", late)
    result = explore(small_worlds.philosophers, engine=False)
    assert (result.verdict, result.coverage["minimised"], result.coverage["replayed"]) == (
        Verdict.DEADLOCK, "not to the end: the time was up", "1 of 1")


def fails_once():
    """A world whose check fails the first time it is asked in any process, and never again."""
    asked = mmap.mmap(-1, 1)

    def world():
        def check():
            before, asked[0] = asked[0], 1
            assert before, "the first time"
        return Scenario({"role": lambda: None}, check=check)
    return world


def test_a_failure_that_does_not_come_again_is_kept_and_said_so():
    result = explore(fails_once(), engine=False)
    assert (result.verdict, result.coverage["replayed"]) == (Verdict.VIOLATION, "0 of 10")
    assert "It did not come again under the same schedule" in str(result)


def test_the_determinism_check_compares_what_it_comes_to():
    result = explore(fails_once(), engine=False, check_determinism=True)
    assert result.verdict is Verdict.VIOLATION    # graver than that it differs
    assert "it came to violation the first time, to clean the second" in str(result)


def test_the_run_that_is_reported_has_every_event_of_each_role():
    def world():
        a, b, c = Mutex("a"), Mutex("b"), Mutex("c")

        def left():
            with c:
                pass
            with a, b:
                pass

        def right():
            with b, a:
                pass

        return {"left": left, "right": right}

    events = explore(world).outcome.events
    by_role = {role: " ".join(f"{event.event[5:]} {event.lock}," for event in events
                              if event.task.name == role) for role in ("left", "right")}
    assert by_role == {
        "left": "acquire c, acquired c, release c, acquire a, acquired a, acquire b, contended b,",
        "right": "acquire b, acquired b, acquire a, contended a,"}
