"""explore: what outlives a world does not hide what only the first world of a process does."""

import _thread
import functools
import gc
import importlib.util
import json
import mmap
import os
import signal
import sys
import tempfile
import threading
import weakref
import types
import warnings

import hanging_worlds
import pytest
import small_worlds
import test_explore_counts as counts
import warm_worlds
from test_explore import never_both

from harness import Mutex, Scenario, ScenarioError, Verdict, explore, replay, run
from harness.exploration.token import decode
from harness.methods import confirming
from harness.methods.ctrl_c import Interrupted
from harness.runtime import building, process_state
from pcimodel.lab.scenarios import scenario as of_model

KINDS = [kind.__name__ for kind in warm_worlds.KINDS]


@pytest.fixture
def nothing_built(monkeypatch):
    """Let no world have been built in this process."""
    monkeypatch.setattr(building, "_built", set())


@pytest.fixture
def cold(nothing_built, monkeypatch):
    """Return `warm_worlds` as a process has it that has built no world. A finding is run again
    twice, not ten times: that is a process each.
    """
    monkeypatch.setattr(confirming, "REPLAYS", 2)
    finders = list(sys.meta_path)
    spec = importlib.util.spec_from_file_location("warm_worlds", warm_worlds.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.meta_path[:] = finders
    sys.modules.pop("made_lazily", None)


@pytest.fixture(autouse=True)
def no_processes_left():
    """Fail if the test leaves a child, ended or not, or a descriptor."""
    fds = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert not fds or set(os.listdir("/proc/self/fd")) == fds


# -- deadlocks that only the first world of a process has ------------------------------------------


@pytest.mark.parametrize("kind, arguments", [*((kind, {}) for kind in KINDS), *(
    ("module_dict", arguments) for arguments in (
        {"engine": False}, {"strategy": "dfs"}, {"all": True}, {"check_determinism": True}))],
    ids=str)
def test_what_is_kept_from_world_to_world_hides_no_deadlock(kind, arguments, cold):
    """The first difference is named: what two does with b held, in the two kinds of worlds."""
    result = explore(getattr(cold, kind), **arguments)
    assert result.verdict is Verdict.DEADLOCK, str(result)
    assert {state["role"]: state["wants"] for state in result.cycle} == {"one": "b", "two": "a"}
    told = " ".join(str(result).split())
    assert "Worlds differ: step " in told
    assert "of a at warm_worlds.py:" in told or "lock a at warm_worlds.py:" in told
    assert "in the first world of a process, and two's unlock b at warm_worlds.py:" in told


@pytest.mark.parametrize("kind", ["lru_cache", "thread_local"])
def test_fresh_has_each_schedule_in_the_first_world_of_a_process(kind, cold):
    result = explore(getattr(cold, kind), fresh=True)
    assert (result.verdict, result.coverage["worlds"]) == (
        Verdict.DEADLOCK, "each the first of its process")


@pytest.mark.parametrize("arguments", [{}, {"engine": False}], ids=str)
@pytest.mark.parametrize("kind", ["filled_by_the_other", "filled_late", "third_order"])
def test_a_deadlock_is_found_that_neither_the_first_schedule_nor_the_engine_s_shows(
        kind, arguments, cold):
    """Asking the engine, or running the first schedule, in a fresh process finds nothing of it."""
    factory = getattr(cold, kind)
    result = explore(factory, **arguments)
    assert result.verdict is Verdict.DEADLOCK, str(result)
    if not arguments:
        assert result.coverage["engine"].startswith("clean")
    assert len({role for role, _ in decode(result.replay)[2].steps}) > 1


def test_threads_of_a_call_before_that_have_yet_to_end_are_no_other_threads(cold, monkeypatch):
    """What is done aside is over before its thread is, by more where the machine is busy."""
    over = threading.Event()

    class Slow:
        def __init__(self):
            self._lock = _thread.allocate_lock()
            self.acquire = self._lock.acquire

        def release(self):
            self._lock.release()
            over.wait()

    monkeypatch.setattr(process_state, "threading",
                        types.SimpleNamespace(**{**vars(threading), "Lock": Slow}))
    try:
        hang = run(hanging_worlds.never_completed)
        result = explore(cold.third_order)
    finally:
        over.set()
    assert (hang.verdict, hang.how) == (Verdict.HANG, "observed")
    assert result.verdict is Verdict.DEADLOCK, str(result)


def test_a_deadlock_that_the_engine_knows_of_is_tried_in_a_first_world(cold):
    """One schedule is all that is left to the search, and in that one nothing differs."""
    result = explore(cold.the_engine_s, max_schedules=1)
    assert (result.verdict, result.coverage["worlds"]) == (
        Verdict.DEADLOCK, "each the first of its process"), str(result)


@pytest.mark.parametrize("kind", ["filled_late", "of_known_operations"])
def test_what_is_kept_in_the_middle_is_seen_at_once(kind, cold):
    """With another thread there is no look at the end. The schedule that keeps is run again: a role
    asks for one lock right after another as in none before.
    """
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    result = explore(getattr(cold, kind))
    over.set()
    thread.join()
    assert (result.verdict, "Worlds differ" in str(result)) == (Verdict.DEADLOCK, True), str(result)


def test_its_report_is_as_good_as_any(cold, monkeypatch):
    """The same program, where every world is alike, has the same report."""
    def alike():
        cold.kept.clear()
        return cold.module_dict()

    found, other = explore(cold.module_dict), explore(alike)
    assert (found.coverage["replayed"], found.cycle, found.trace) == (
        "2 of 2", other.cycle, other.trace)
    told, same = str(found).split("\n\n"), str(other).split("\n\n")
    assert told[1:3] == same[1:3] and "<-- waits, two holds it" in told[1]


def test_its_schedule_is_made_simple_in_processes_of_their_own(cold):
    result = explore(cold.module_dict, strategy="dfs", fresh=True)
    assert decode(result.replay)[2].steps == (("one", False), ("two", False))


def test_its_token_shows_it_in_another_process_and_this_one_says_why_not(cold, in_another_process):
    result = explore(cold.module_dict)
    done = in_another_process("-m", "harness", "replay", result.replay, "--json", "-")
    assert json.loads(done.stdout)["verdict"] == "deadlock"
    again = replay(result.replay, cold.module_dict)
    assert again.verdict is Verdict.NOT_REACHED
    assert "a world of its module was built before" in again.finding.text


@pytest.mark.parametrize("fresh", [False, True])
def test_a_finding_of_the_model_has_the_same_words_in_a_process_of_its_own(fresh):
    """Names of functions as in the kernel, verbs, titles: they go by code, which is told too."""
    here = explore(of_model("probe-vs-aer"), engine=False, max_schedules=50)
    there = explore(of_model("probe-vs-aer"), engine=False, max_schedules=50, fresh=fresh)
    assert here.verdict is Verdict.DEADLOCK
    assert (there.cycle, there.trace) == (here.cycle, here.trace)
    assert str(there).split("\n\n")[1:3] == str(here).split("\n\n")[1:3]


# -- worlds that differ and are clean, or cannot be told -------------------------------------------


@pytest.mark.parametrize("kind", ["correct", "correct_logs"])
def test_a_correct_program_that_keeps_something_is_clean_cold_and_warm(kind, cold):
    result = explore(getattr(cold, kind))
    assert (result.verdict, result.coverage["complete"]) == (Verdict.CLEAN, True), str(result)
    assert result.coverage["worlds"] == "differ; each schedule also as the first of its process (2)"
    assert "Worlds differ: step " in str(result)


def test_a_deadlock_of_later_worlds_alone_is_found_too(cold):
    """The first world takes b alone."""
    kept = {}

    def world():
        a, b = Mutex("a"), Mutex("b")

        def one():
            with a, b:
                pass

        def two():
            with b:
                if "x" in kept:
                    with a:
                        pass
                kept["x"] = 1

        return {"one": one, "two": two}

    result = explore(world, engine=False)
    assert (result.verdict, "Worlds differ" in str(result)) == (Verdict.DEADLOCK, True)


def no_fork(monkeypatch):
    monkeypatch.delattr(os, "fork")
    return "cannot fork"


def no_more_processes(monkeypatch):
    def fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")
    monkeypatch.setattr(os, "fork", fork)
    return "Resource temporarily unavailable"


@pytest.mark.parametrize("broken", [no_fork, no_more_processes])
def test_without_fork_worlds_that_differ_are_inconclusive(broken, cold, monkeypatch):
    why = broken(monkeypatch)
    result = explore(cold.module_dict)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.INCONCLUSIVE, False)
    assert "worlds differ" in result.finding.text and why in result.finding.text
    assert "Worlds differ: step 6 was two's lock a" in str(result)
    assert explore(small_worlds.in_order).verdict is Verdict.CLEAN
    result = explore(small_worlds.in_order, fresh=True)
    assert (result.verdict, why in result.finding.text) == (Verdict.INCONCLUSIVE, True)


def test_a_process_that_built_worlds_before_proves_nothing_of_first_ones(cold):
    explore(cold.correct_logs)
    for arguments in ({}, {"fresh": True}):
        cold.polite.clear()
        result = explore(cold.correct, **arguments)
        assert (result.verdict, result.coverage["complete"]) == (Verdict.INCONCLUSIVE, False)
        assert "was built in this one before (python -m harness explore warm_worlds:correct " \
               "--fresh" in result.finding.text


def test_what_differs_by_chance_is_an_error_in_processes_of_their_own_too():
    """Every other world, of whatever process, takes the other lock."""
    count = mmap.mmap(-1, 1)

    def world():
        a, b = Mutex("a"), Mutex("b")
        count[0] += 1
        lock = a if count[0] % 2 else b

        def fickle():
            with lock:
                pass

        return {"fickle": fickle, "other": lambda: a.acquire() and a.release()}

    for fresh in (False, True):
        result = explore(world, fresh=fresh)
        assert (result.verdict, "behaves differently" in str(result)) == (Verdict.ERROR, True)
        assert "fickle's lock a" in str(result) and "fickle's lock b" in str(result)


def test_a_lock_held_at_the_end_is_the_same_failure_with_its_place_and_without(nothing_built):
    """It has its place only where events are recorded: in the last run, for the report."""
    result = explore(small_worlds.forgets)
    assert "(taken at small_worlds.py:" in " ".join(str(result).split())
    assert "worlds" not in result.coverage and "did not come again" not in str(result)


def test_a_clean_of_one_schedule_says_what_it_did_not_see():
    one, two = (str(explore(world)) for world in (counts.two_readers, small_worlds.in_order))
    assert ["One schedule was run: what a role does by chance" in text for text in (one, two)] == [
        True, False]


# -- what it costs ---------------------------------------------------------------------------------


ORDINARY = {"collected": counts.collected, "crosswise": counts.crosswise,
            "the_mail": counts.the_mail, "nested_read": counts.nested_read,
            "trylock": counts.trylock, "ordered5": counts.philosophers(5, True)}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_worlds_have_the_same_schedules_in_processes_of_their_own(name, nothing_built):
    there, here = (explore(ORDINARY[name], all=True, fresh=fresh).coverage
                   for fresh in (True, False))
    assert there.pop("worlds") == "each the first of its process"
    assert (there, here["complete"]) == (here, True)


def built_here(factory):
    """Return *factory*, and a list with an entry for each world that it builds in this process."""
    built, here = [], os.getpid()

    def world():
        if os.getpid() == here:
            built.append(1)
        return factory()

    return world, built


def test_an_ordinary_call_builds_no_world_more_and_forks_once(monkeypatch):
    """in_order: one world for the engine, and its two schedules. Without the engine the first is
    run again. The process that waits is forked by us; it forks one for the last schedule.
    """
    forks, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: forks.append(1) or fork())
    for engine in (True, False):
        world, built = built_here(small_worlds.in_order)
        explore(world, engine=engine)
        assert len(built) == 3
    assert len(forks) == 2


def test_a_branch_that_was_not_seen_before_is_run_again_once():
    """Who comes first says what follows: two habits of each. Two schedules, the first of them as
    the engine's; the second is run again.
    """
    def world():
        gate, b, c, order = Mutex("gate"), Mutex("b"), Mutex("c"), []

        def role(first, second):
            def body():
                with gate:
                    order.append(1)
                    mine = first if len(order) == 1 else second
                with mine:
                    pass
            return body

        return {"one": role(b, c), "two": role(b, c)}

    world, built = built_here(world)
    result = explore(world)
    assert (result.verdict, result.coverage["schedules"], len(built)) == (Verdict.CLEAN, 2, 4)


# -- processes that end, and calls that do ---------------------------------------------------------


KILLED = "the process ended in the middle of a schedule, when it was ends's turn (signal 9)"


@pytest.mark.parametrize("end, how", [
    (lambda: os._exit(0), "ends called os._exit(0), at test_worlds.py:"),
    (lambda: os._exit(3), "ends called os._exit(3), at test_worlds.py:"),
    (lambda: os.kill(os.getpid(), signal.SIGKILL), KILLED)])
def test_a_process_that_a_role_ends_is_an_error_that_names_the_role(end, how):
    def world():
        lock = Mutex("lock")

        def ends():
            with lock:
                end()

        return {"works": lambda: lock.acquire() and lock.release(), "ends": ends}

    result = explore(world, fresh=True)
    assert result.verdict is Verdict.ERROR
    assert result.finding.text.startswith(how)


def test_no_more_processes_in_the_middle_is_inconclusive(monkeypatch):
    """The process that waits cannot fork any."""
    here, fork = os.getpid(), os.fork

    def only_here():
        if os.getpid() != here:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", only_here)
    result = explore(small_worlds.in_order, fresh=True)
    assert (result.verdict, result.finding.text) == (
        Verdict.INCONCLUSIVE, f"no process could be forked: {os.strerror(11)}")


def test_a_check_that_fails_in_the_first_world_of_a_process_alone_is_found(cold):
    """The steps are the same. Who comes first in the first schedule leaves what the check is of."""
    kept = {}

    def world():
        lock, order = Mutex("lock"), []

        def role(name):
            with lock:
                order.append(name)
                if order[0] == "one":
                    kept["x"] = 1

        def check():
            assert kept, "nothing was kept"

        return Scenario({name: functools.partial(role, name) for name in ("one", "two")},
                        check=check)

    result = explore(world)
    assert (result.verdict, "nothing was kept" in str(result)) == (Verdict.VIOLATION, True)


@pytest.fixture(params=["threading", "_thread"])
def ask(request):
    """Return what asks a thread of this process, and returns when it has answered."""
    asked, said, over, ended = threading.Event(), threading.Event(), [], threading.Event()

    def serve():
        said.set()
        while not over:
            asked.wait()
            asked.clear()
            said.set()
        ended.set()

    def ask():
        asked.set()
        said.wait()
        said.clear()

    start = threading.Thread(target=serve).start if request.param == "threading" else \
        functools.partial(_thread.start_new_thread, serve, ())
    start()
    said.wait()
    said.clear()
    yield ask
    over.append(1)
    asked.set()
    ended.wait()


def test_a_process_with_other_threads_is_not_compared_with_one_that_has_them_not(cold, ask):
    """The role waits for a thread of the module, which a forked process does not have."""
    def world():
        lock = Mutex("lock")

        def asks():
            with lock:
                ask()

        return {"asks": asks, "other": lambda: lock.acquire() and lock.release()}

    result = explore(world)
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.CLEAN, 2)
    assert "would not have the other threads" in result.coverage["worlds"]


@pytest.mark.parametrize("kind, verdict", [
    ("correct", Verdict.INCONCLUSIVE), ("module_dict", Verdict.INCONCLUSIVE),
    ("filled_by_the_other", Verdict.CLEAN)])
@pytest.mark.parametrize("arguments", [{}, {"fresh": True}, {"engine": False}], ids=str)
def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have(
        kind, verdict, arguments, cold, ask):
    """The factory asks one: the forked process would build its world for ever."""
    def world():
        ask()
        return getattr(cold, kind)()

    result = explore(world, timeout=0.05, **arguments)
    assert result.verdict is (Verdict.INCONCLUSIVE if arguments.get("fresh") else verdict)
    assert "does not have the other threads" in str(result) or "worlds" in result.coverage


def test_a_role_that_waits_for_a_thread_its_process_does_not_have_is_no_hang(cold, ask):
    """The program is correct. What it keeps lets the worlds differ."""
    def world():
        roles = cold.correct()
        return {"asks": lambda: ask() or roles["one"](), "two": roles["two"]}

    for fresh in (False, True):
        result = explore(world, timeout=0.2, fresh=fresh)
        assert result.verdict is Verdict.INCONCLUSIVE, str(result)
        assert "does not have the other threads" in " ".join(str(result).split())


def test_what_a_world_keeps_on_disk_goes_with_its_process(tmp_path, nothing_built):
    """The roles refer to themselves: the collector of garbage has to find them."""
    class Directory:
        def __init__(self):
            self.name = tempfile.mkdtemp(dir=tmp_path)
            weakref.finalize(self, os.rmdir, self.name)

    def world():
        directory, roles = Directory(), {}
        lock = Mutex("lock")

        def role():
            with lock:
                assert os.listdir(directory.name) == [] and roles
        roles |= {"one": role, "two": role}
        return roles

    assert [explore(world, fresh=fresh).verdict for fresh in (True, False)] == 2 * [Verdict.CLEAN]
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_garbage_of_the_caller_is_not_ended_by_a_process_of_a_schedule(nothing_built):
    ended, here = mmap.mmap(-1, 1), os.getpid()

    class Garbage:
        def __init__(self):
            self.itself = self

        def __del__(self):
            if os.getpid() != here:
                ended[0] = 1

    gc.collect()
    gc.disable()
    try:
        Garbage()
        assert explore(small_worlds.in_order, fresh=True).verdict is Verdict.CLEAN
    finally:
        gc.enable()
    gc.collect()
    assert ended[0] == 0


def test_a_world_that_cannot_be_built_is_refused_in_one_line():
    with pytest.raises(ScenarioError) as caught:
        explore(lambda: 1 / 0, fresh=True)
    assert "\n" not in str(caught.value)


def test_a_bound_holds_for_processes_of_their_own():
    for arguments in ({"max_schedules": 1}, {"seconds": 1e-9}):
        result = explore(small_worlds.in_order, fresh=True, engine=False, **arguments)
        assert (result.verdict, "stopped after" in str(result)) == (Verdict.INCONCLUSIVE, True)


def test_ctrl_c_ends_the_process_of_the_schedule_under_way(ctrl_c_interrupts):
    """The process of the second schedule interrupts its caller, and would never end. The first that
    was forked has a look at the world.
    """
    here, count = os.getpid(), mmap.mmap(-1, 1)

    def world():
        if os.getpid() != here:
            count[0] += 1
            if count[0] == 3:
                os.kill(here, signal.SIGINT)
                threading.Event().wait()
        return small_worlds.in_order()

    with pytest.raises(Interrupted) as caught:
        explore(world, fresh=True, engine=False)
    result = caught.value.result
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.INCONCLUSIVE, 1)


@pytest.mark.parametrize("call", ["fork", "waitpid"])
def test_ctrl_c_as_the_process_that_waits_begins_or_ends_leaves_nothing(
        call, ctrl_c_interrupts, monkeypatch):
    """The interrupt comes when there is a process that nobody knows of yet, or is about to wait."""
    here, plain = os.getpid(), getattr(os, call)

    def interrupted(*args):
        result = plain(*args) if call == "fork" else None
        if os.getpid() == here:
            monkeypatch.undo()
            os.kill(here, signal.SIGINT)
        return result if call == "fork" else plain(*args)

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(Interrupted) as caught:
        explore(small_worlds.in_order)
    assert caught.value.result.coverage["schedules"] == (0 if call == "fork" else 2)


def test_other_threads_are_no_reason_to_warn(nothing_built, monkeypatch):
    """As Python 3.12 does where it forks a process with several threads."""
    here, fork = os.getpid(), os.fork

    def warns():
        if os.getpid() == here:
            warnings.warn("multi-threaded, use of fork() may lead to deadlocks in the child",
                          DeprecationWarning, stacklevel=2)
        return fork()

    monkeypatch.setattr(os, "fork", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert explore(small_worlds.in_order, fresh=True).verdict is Verdict.CLEAN


def test_the_account_is_nobody_s_in_a_forked_process():
    """Another thread holds the guard of the account while the process is forked."""
    from harness.locks import parking
    held, done = threading.Event(), threading.Event()

    def holds():
        parking.enter()
        held.set()
        done.wait()
        parking.leave()

    thread = threading.Thread(target=holds)
    thread.start()
    held.wait()
    pid = os.fork()
    if not pid:
        os._exit(0 if parking._guard.acquire(timeout=1) else 1)
    status = os.waitpid(pid, 0)[1]
    done.set()
    thread.join()
    assert status == 0


def test_what_was_printed_before_is_printed_once(in_another_process):
    """Four worlds are built: to look at, the first schedule's, the same again, the second's."""
    script = ("import small_worlds, sys\nfrom harness import explore\n"
              "sys.stdout = open(1, 'w', buffering=4096, closefd=False)\n"
              "def world():\n"
              "    print('built')\n"
              "    return small_worlds.in_order()\n"
              "print('before')\n"
              "print(explore(world, fresh=True, engine=False).coverage['schedules'])\n")
    done = in_another_process("-W", "error", "-c", script)
    assert (done.stderr, sorted(done.stdout.split())) == (
        "", sorted(["before", *4 * ["built"], "2"]))


@pytest.mark.parametrize("strategy", ["dpor", "dfs", "bounded", "random", "pct"])
def test_every_strategy_goes_to_a_process_of_its_own_and_comes_back(strategy, nothing_built):
    def seen(fresh):
        result = explore(small_worlds.philosophers, strategy=strategy, all=True, fresh=fresh,
                         max_schedules=8, seed=1, engine=False)
        return {key: value for key, value in result.coverage.items() if key != "worlds"}

    assert seen(True) == seen(False)


def test_an_invariant_is_looked_at_in_processes_of_their_own():
    result = explore(never_both, fresh=True)
    assert (result.verdict, result.coverage["strategy"]) == (Verdict.VIOLATION, "dfs")
