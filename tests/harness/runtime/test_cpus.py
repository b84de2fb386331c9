"""The threads of the calls of a process run on one CPU, which no other process of ours uses; each
thread gets back the CPUs that it had.
"""

import os
import socket
import threading
from contextlib import ExitStack, suppress

import pytest
import small_worlds

from harness import Mutex, ScenarioError, Verdict, explore, run, stress
from harness.runtime import cpus
from harness.runtime.process_state import settled

LIMIT = 120.0    # seconds
here = threading.get_native_id
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or not hasattr(os, "fork"),
                                reason="no affinity here")


def key(thread):
    """Return what stands for *thread*, 0 the calling one; that of a child is who forked it."""
    return "main" if (thread or here()) == os.getpid() else thread or here()


class Machine:
    """Three CPUs, on each of which any thread may run, and what was said of threads."""

    def __init__(self):
        self.of = {}
        self.forbidden = set()

    def get(self, thread):
        if "get" in self.forbidden:
            raise PermissionError("not in this sandbox")
        return set(self.of.get(key(thread), {4, 5, 6}))

    def set(self, thread, to):
        if "set" in self.forbidden:
            raise PermissionError("not in this sandbox")
        self.of[key(thread)] = set(to)

    def inherit(self, starter):
        """Do what the kernel does as a thread starts."""
        self.of[here()] = self.get(starter)


@pytest.fixture
def machine(monkeypatch):
    fake = Machine()
    monkeypatch.setattr(os, "sched_getaffinity", fake.get)
    monkeypatch.setattr(os, "sched_setaffinity", fake.set)
    # What other processes of this suite claim is no matter of these.
    monkeypatch.setattr(cpus, "_NAME", f"\0test-{os.getpid()}-{{}}-{{}}")
    return fake


def claimed(cpu, level=0):
    """Return what claims *cpu* as another process does."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(cpus._NAME.format(cpu, level))
    except OSError:
        claim.close()
        raise
    return claim


def where(machine):
    """Return the CPUs of this thread during a call."""
    seen = []
    run(lambda: {"role": Mutex("a").locked} if not seen.append(machine.get(here())) else {},
        runs=1)
    assert machine.get(here()) == {4, 5, 6}
    return seen[0]


def test_a_call_is_on_one_cpu_of_those_allowed_and_another_process_is_on_the_next(machine):
    taken = [where(machine)]
    with ExitStack() as others:
        for cpu, level in [(4, 0), (5, 0), (6, 0), (4, 1)]:
            others.enter_context(claimed(cpu, level))
            taken.append(where(machine))
    assert [*taken, where(machine)] == [{4}, {5}, {6}, {4}, {5}, {4}]    # fewest; all are gone


def test_a_process_that_ends_whatever_way_gives_its_cpu_back(machine):
    with settled():
        assert machine.get(here()) == {4}
        child = os.fork()
        if not child:    # its claim is none: the parent's goes on
            os._exit(0 if cpus._claim is None and machine.get(here()) == {4, 5, 6} else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(OSError):
            claimed(4)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with settled():
            os.write(write, b"x")
            os.kill(os.getpid(), 9)
    os.read(read, 1)
    os.waitpid(child, 0)
    claimed(4).close()
    for end in (read, write):
        os.close(end)


def test_what_a_child_leaves_running_does_not_keep_the_cpu(machine):
    """Processes of explore are forked in the middle of a call, too."""
    (read, write), (has_begun, begun) = os.pipe(), os.pipe()
    with settled():
        child = os.fork()
        if not child:
            os.write(begun, b"x")
            os.read(read, 1)
            os._exit(0)
        os.read(has_begun, 1)
    try:
        claimed(4).close()
    finally:
        os.write(write, b"x")
        os.waitpid(child, 0)
        for end in (read, write, has_begun, begun):
            os.close(end)


def test_calls_of_one_process_share_its_cpu_and_each_thread_gets_back_what_it_had(machine):
    steps = [threading.Event() for _ in range(2)]
    seen = []

    def second():
        machine.of[here()] = {4, 5}
        with settled():
            seen.append(machine.get(here()))
            steps[0].set()
            steps[1].wait(LIMIT)
            claim = None
            with suppress(OSError):
                claim = claimed(4)
            seen.append(claim)    # the first has ended, and the CPU is claimed still
        seen.append(machine.get(here()))

    thread = threading.Thread(target=second)
    with settled():
        thread.start()
        steps[0].wait(LIMIT)
    mine = machine.get(here())
    steps[1].set()
    thread.join()
    assert (seen, mine) == ([{4}, None, {4, 5}], {4, 5, 6})
    claimed(4).close()


def test_threads_that_a_call_leaves_have_the_cpus_that_they_would_have_had(machine):
    free, started, left = threading.Event(), threading.Semaphore(0), {}

    def goes_on(name, starter):
        machine.inherit(starter)
        left[name] = here()
        started.release()
        free.wait(LIMIT)

    def leave(name):
        thread = threading.Thread(target=goes_on, args=(name, here()), daemon=True)
        thread.start()
        started.acquire(timeout=LIMIT)
        return thread

    def own():
        machine.of[here()] = {6}    # a thread of the user's, on a CPU of its own choice
        left["own"] = here()
        started.release()
        free.wait(LIMIT)

    def on_ours():
        machine.of[here()] = {4}    # before the call: the user's choice, too
        left["on ours"] = here()
        started.release()
        free.wait(LIMIT)

    before = [threading.Thread(target=each) for each in (own, on_ours)]
    for thread in before:
        thread.start()
        started.acquire(timeout=LIMIT)
    threads = []

    def factory():
        if not threads:
            threads.append(leave("factory"))
        return {"role": Mutex("a").locked}

    try:
        run(factory, runs=1)
        assert {name: machine.get(thread) for name, thread in left.items()} == {
            "factory": {4, 5, 6}, "own": {6}, "on ours": {4}}
    finally:
        free.set()
        for thread in [*threads, *before]:
            thread.join()


def test_what_the_user_sets_meanwhile_stays(machine):
    def factory():
        machine.set(0, {5})
        return {"role": Mutex("a").locked}

    run(factory, runs=1)
    assert machine.get(0) == {5}


def test_a_thread_that_may_not_run_there_stays_where_it_is(machine):
    with claimed(5), settled():    # on 4
        seen = []

        def elsewhere():
            machine.of[here()] = {5, 6}
            with settled():
                seen.append(machine.get(here()))
            seen.append(machine.get(here()))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert seen == [{5, 6}, {5, 6}]


@pytest.mark.parametrize("forbidden", [{"set"}, {"get"}, {"get", "set"}])
def test_it_works_where_affinity_is_forbidden(forbidden, machine):
    machine.forbidden = forbidden
    assert run(small_worlds.in_order, runs=3).verdict is Verdict.CLEAN


def test_an_affinity_that_cannot_be_put_back_loses_no_result(machine):
    """The CPUs were taken from the process meanwhile."""
    def factory():
        machine.forbidden = {"set"}
        return small_worlds.in_order()

    assert run(factory, runs=1).verdict is Verdict.CLEAN


def test_without_such_sockets_processes_are_spread_by_their_numbers(machine, monkeypatch):
    monkeypatch.delattr(socket, "AF_UNIX")
    number = os.getpid() // 3 * 3 + 2
    monkeypatch.setattr(os, "getpid", lambda: number)
    assert cpus._claimed([4, 5, 6]) == (None, 6)


def test_when_too_many_share_every_cpu_one_more_is_not_counted(machine, monkeypatch):
    monkeypatch.setattr(cpus, "_MOST", 1)
    with claimed(4), claimed(5), claimed(6):
        claim, cpu = cpus._claimed([4, 5, 6])
    assert (claim, cpu in (4, 5, 6)) == (None, True)


def test_schedules_in_processes_of_their_own_are_run_on_the_cpu_of_the_call(machine):
    read, write = os.pipe()

    def world():
        os.write(write, b"%d" % min(machine.get(here())) if len(machine.get(here())) == 1
                 else b"x")
        return {"role": Mutex("a").locked}

    with claimed(4):
        explore(world, fresh=True)
    os.close(write)
    with open(read, "rb") as told:
        assert set(told.read()) == {ord("5")}


@pytest.mark.parametrize("call", [run, stress, explore])
def test_after_a_world_that_cannot_be_built_the_cpus_are_as_before(call, machine):
    def broken():
        raise KeyError("spoon")

    with pytest.raises(ScenarioError):
        call(broken)
    assert machine.get(here()) == {4, 5, 6}
    claimed(4).close()
