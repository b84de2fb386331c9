"""Ctrl-C, SIGTERM and SIGHUP end a command with 128 + their number and what was found so far, from
its first line on; they leave no process behind. A call from Python keeps its handlers.
"""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from harness.cli import main, output
from harness.runtime import end_signals

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no such processes here")
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PLAIN = (signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL), \
    (signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def command():
    """Return a function that starts a command in a session of its own; all of it ends in the end.
    """
    started, before = [], {number: signal.signal(number, handler) for number, handler in PLAIN}

    def start(*words, module="harness", path=()):
        path = os.pathsep.join(map(str, [*path, ROOT, HERE, HERE.parent]))
        starter = ["-m", module] if "." not in module else [module]
        child = subprocess.Popen([sys.executable, *starter, *words], cwd=HERE, text=True,
                                 env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, start_new_session=True)
        started.append(child)
        return child

    yield start
    for child in started:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    for number, handler in before.items():
        signal.signal(number, handler)


SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def test_signal_ends_a_command_with_what_was_found_so_far_in_the_file_too(command, tmp_path):
    """Sent twice, as terminals and managers of services do."""
    children = {name: command("run", "small_worlds:waits_outside", "--timeout", "50", "--json",
                              str(tmp_path / name)) for name in SIGNALS}
    for name, child in children.items():
        assert child.stderr.readline() == "both are queued\n"
        for _ in range(2):
            child.send_signal(getattr(signal, name))
    for name, child in children.items():
        out, err = child.communicate(timeout=120)
        data = json.loads((tmp_path / name).read_text())
        assert (child.returncode, "one waits for lock (exclusive)" in out, "Traceback" in err,
                data["interrupted"], data["verdict"]) == (
            SIGNALS[name], True, False, True, "inconclusive"), (out, err)


def test_result_on_standard_output_is_one_object_when_interrupted_too(command):
    child = command("run", "small_worlds:waits_outside", "--timeout", "50", "--json", "-")
    assert child.stderr.readline() == "both are queued\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, json.loads(out)["interrupted"], err) == (143, True, "\ninterrupted\n")


SCRIPT = "import sys\nfrom {0} import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


def test_signal_ends_a_command_at_once_while_its_modules_load(command, tmp_path):
    """A module of a dependency, which takes its time here, stands for all of them."""
    (tmp_path / "readerwriterlock.py").write_text(
        "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(30)\n")
    for name, home in (("harness", "harness.cli"), ("pcimodel", "pcimodel.__main__")):
        (tmp_path / f"bin.{name}").mkdir()
        (tmp_path / f"bin.{name}" / name).write_text(SCRIPT.format(home))
    modules = ["harness", "pcimodel", "benchmarks",
               *(str(tmp_path / f"bin.{name}" / name) for name in ("harness", "pcimodel"))]
    children = {(module, name): command("run", "a:b", module=module, path=[tmp_path])
                for module in modules for name in (
                    SIGNALS if module == "harness" else ["SIGINT"])}
    for (_, name), child in children.items():
        assert child.stderr.readline() == "loading\n"
        child.send_signal(getattr(signal, name))
    for (module, name), child in children.items():
        out, err = child.communicate(timeout=120)
        assert (child.returncode, out, err) == (SIGNALS[name], "", "\ninterrupted\n"), module


def test_command_that_was_asked_to_end_waits_for_no_pool(command):
    child = command("run", "ending_worlds:waits_beside_a_pool", "--timeout", "50")
    assert child.stderr.readline() == "waits\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, "INCONCLUSIVE: interrupted" in out, err) == (143, True, ""), out


def test_processes_of_an_exploration_end_with_the_command(command):
    """They have its standard output: who reads it sees the end when all of them have ended."""
    ways = [(os.kill, signal.SIGTERM, 143), (os.kill, signal.SIGINT, 130),
            (os.kill, signal.SIGKILL, -9), (os.killpg, signal.SIGTERM, 143),
            (os.killpg, signal.SIGINT, 130)]
    children = [command("explore", "ending_worlds:blocks_in_a_child", "--fresh", "--timeout", "50")
                for _ in ways]
    for child, (kill, number, status) in zip(children, ways):
        forked = set(map(int, child.stderr.readline().split()))
        kill(child.pid, number)
        out, err = child.communicate(timeout=120)
        assert (child.returncode, "Traceback" in err) == (status, False), (number, kill, out, err)
        assert len(forked - {child.pid}) == 2 and all(map(_is_gone, forked))


def test_process_of_an_exploration_is_ended_by_what_would_end_it_in_a_call(command):
    child = command("explore", "ending_worlds:ends_its_process", "--fresh")
    out, err = child.communicate(timeout=120)
    assert (child.returncode, "(signal 15)" in out, err) == (1, True, ""), out


def _is_gone(pid):
    """Say whether a process has ended; one that nobody has reaped yet has."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 5)[0])
    finally:
        os.close(fd)


def test_call_from_python_leaves_handlers_alone(capsys):
    before = [signal.getsignal(number) for number in end_signals.ENDING]
    assert main(["run", "json:loads"]) == 2
    assert [signal.getsignal(number) for number in end_signals.ENDING] == before


# -- the moments -----------------------------------------------------------------------------------


@pytest.fixture
def handled(monkeypatch):
    """A command's handlers, in this process; what would end it is noted instead."""
    before = {number: signal.getsignal(number) for number in end_signals.ENDING}
    left = []
    monkeypatch.setattr(end_signals, "_handled", [])
    monkeypatch.setattr(end_signals, "_came", 0)
    monkeypatch.setattr(end_signals, "at_once", lambda number, frame: left.append(number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_signals.ends_at_once()
    yield left
    for number, handler in before.items():
        signal.signal(number, handler)


def test_what_is_ignored_stays_ignored(handled):
    signal.raise_signal(signal.SIGHUP)
    assert (handled, signal.getsignal(signal.SIGHUP)) == ([], signal.SIG_IGN)


def test_signal_outside_the_work_ends_at_once_and_breaks_into_it_within(handled):
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), end_signals.broken_into():
        signal.raise_signal(signal.SIGTERM)
    assert (handled, end_signals.status()) == ([signal.SIGTERM], 143)


def test_signal_after_the_work_ends_at_once(handled):
    with end_signals.broken_into():
        pass
    signal.raise_signal(signal.SIGINT)
    assert handled == [signal.SIGINT]


def test_signal_that_a_scenario_swallows_is_the_status_all_the_same(handled):
    def body():
        with suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        return 1
    assert (output.guarded("harness", body), handled) == (143, [])


def test_second_signal_belongs_to_the_first_unless_a_second_has_passed(handled, monkeypatch):
    now = 100.0
    monkeypatch.setattr(end_signals.time, "monotonic", lambda: now)
    with pytest.raises(KeyboardInterrupt), end_signals.broken_into():
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert handled == []
    now += end_signals.AGAIN
    signal.raise_signal(signal.SIGINT)
    assert (handled, end_signals.status()) == ([signal.SIGINT], 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_a_block_that_it_must_not_break_into_comes_after_it(handled, number):
    done = []
    with pytest.raises(KeyboardInterrupt), end_signals.broken_into():
        with end_signals.later():
            signal.raise_signal(number)
            done.append("whole")
        done.append("never")
    assert (done, end_signals.status()) == (["whole"], 128 + number)


def test_child_of_a_command_has_the_handlers_that_one_of_a_call_has(handled):
    with suppress(KeyboardInterrupt), end_signals.broken_into():
        assert end_signals.of_a_child() == {signal.SIGTERM: signal.SIG_DFL,
                                            signal.SIGHUP: signal.SIG_IGN}
        signal.signal(signal.SIGTERM, handler := lambda number, frame: None)
        assert end_signals.of_a_child()[signal.SIGTERM] is handler
