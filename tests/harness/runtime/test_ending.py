"""The interpreter ends whoever is stuck in a run that was made in it; it waits for all others."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import stuck_programs
from stuck_programs import crosswise

from harness import Verdict, explore, force, run
from harness.runtime.workers import Workers

HERE = Path(stuck_programs.__file__).parent
# A thread that a factory started as no daemon keeps the interpreter from 3.13 on, which has the
# list of threads for itself: page "python", and the report says so (below).
KEPT = set() if hasattr(threading, "_shutdown_locks") else {
    "thread_of_a_world_that_came_to_a_deadlock", "pool_of_a_world_that_came_to_a_deadlock"}
LIMIT = 120.0    # seconds: a program that takes longer stays for ever


TEST = '''
from stuck_programs import never, Mutex, ThreadPoolExecutor

def test_pool(lock_harness):
    lock_harness.run(lambda: {"role": lambda: Mutex("a").locked() or ThreadPoolExecutor(1).submit(
        never.wait)}, runs=1, timeout=0.2)
'''


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """What each program came to, all side by side: exit status and output."""
    test = tmp_path_factory.mktemp("stuck") / "test_pool.py"
    test.write_text(TEST)
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
           "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent.parent, HERE)))}
    commands = {name: ["stuck_programs.py", name] for name in set(stuck_programs.CASES) - KEPT}
    commands["pytest"] = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "harness",
                          f"--rootdir={test.parent}", str(test)]
    programs = {name: subprocess.Popen([sys.executable, *command], cwd=HERE, env=env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                for name, command in commands.items()}
    done = {}
    for name, program in programs.items():
        try:
            done[name] = program.communicate(timeout=LIMIT)[0].splitlines(), program.returncode
        except subprocess.TimeoutExpired:
            program.kill()
            done[name] = program.communicate()[0].splitlines(), "it stays"
    return done


@pytest.mark.parametrize("name", stuck_programs.CASES)
def test_a_program_ends_with_its_status(name, ended):
    if name in KEPT:
        pytest.skip("this Python waits for every thread that was started as no daemon")
    lines, status = ended[name]
    assert status == 3, lines


@pytest.mark.parametrize("name", ["worker_of_a_pool", "worker_of_a_loop",
                                  "thread_that_a_role_started", "thread_that_a_schedule_started"])
def test_who_is_stuck_is_named(name, ended):
    assert ended[name][0][0].endswith(" named"), ended[name]


def test_a_session_of_pytest_ends_and_names_who_is_stuck(ended):
    lines, status = ended["pytest"]
    assert (status, "1 failed" in lines[-1]) == (1, True), lines
    assert any("and left running: " in line for line in lines), lines


def test_the_users_own_threads_are_waited_for(ended):
    lines, _ = ended["threads_of_the_users_are_waited_for"]
    assert sorted(lines[1:]) == ["pool", "thread"]


@pytest.mark.parametrize("call", [lambda world: run(world, runs=1), explore, force])
def test_no_thread_is_started_by_a_role_that_is_unwound(call):
    """Nobody would come to end it: it would go on beside whatever is run next."""
    threads = []

    def start():
        threads.append(threading.Thread(target=threading.Event().wait, daemon=True))
        threads[-1].start()

    result = call(lambda: crosswise(on_the_way_out=start))
    assert result.verdict is Verdict.DEADLOCK
    assert threads and not any(thread.is_alive() for thread in threads)


def test_where_a_thread_cannot_be_let_go_that_is_said(monkeypatch):
    """From 3.13 on the interpreter has the list of threads for itself."""
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="of the world", daemon=False)
    daemon = threading.Thread(target=go.wait, daemon=True)
    for each in (thread, daemon):
        each.start()
    monkeypatch.delattr(threading, "_shutdown_locks", raising=False)
    said = Workers().finish([], [thread, daemon])
    monkeypatch.undo()
    go.set()
    for each in (thread, daemon):
        each.join()
    assert said == ["Thread of the world is no daemon, and this Python waits for it when it ends."]
