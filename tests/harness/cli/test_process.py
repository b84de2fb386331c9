"""The process of a command: its status whatever becomes of its output, and that it ends.

Commands run as processes side by side, and with buffered streams, as users have them.
"""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from harness import ScenarioError
from harness.cli import output

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
HARNESS, MODEL, BENCHMARKS = (f"{sys.executable} -m {name}"
                              for name in ("harness", "pcimodel", "benchmarks"))
CLEAN, FINDING = (f"{HARNESS} run ending_worlds:{name} --runs 1" for name in ("fine", "fails"))


@pytest.fixture(scope="session")
def commands():
    """Return a function that runs shell commands side by side; for each: status, out, err."""
    def call(lines, folder=HERE, **environment):
        plain = {name: value for name, value in os.environ.items()
                 if name not in ("PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8")}
        path = os.pathsep.join([str(ROOT), str(HERE)])
        children = [subprocess.Popen(["bash", "-c", line], cwd=folder, text=True, errors="replace",
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, start_new_session=True,
                                     env={**plain, "PYTHONPATH": path, **environment})
                    for line in lines]
        done = []
        for child in children:
            try:
                out, err = child.communicate(timeout=120)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
            done.append((child.returncode, out, err))
        return done
    return call


LOST = [    # (what is printed where, status, what the only line on standard error is about)
    (f"{CLEAN} >/dev/full", 2, "No space left on device"),
    (f"PYTHONUNBUFFERED=1 {CLEAN} >/dev/full", 2, "No space left on device"),
    (f"{FINDING} >&-", 1, "standard output is closed"),
    (f"{CLEAN} --json /dev/full >/dev/null", 2, "/dev/full: No space left on device"),
    (f"{FINDING} --json /dev/full >/dev/null", 1, "/dev/full: No space left on device"),
    (f"{HARNESS} run ending_worlds:stdout_closed --runs 1", 2, "closed file"),
    (f"{HARNESS} run ending_worlds:stdout_broken --runs 1", 1, "write"),
    (f"{HARNESS} --help >/dev/full", 2, "No space left on device"),
    (f"{HARNESS} help options >/dev/full", 2, "No space left on device"),
    (f"{MODEL} list >/dev/full", 2, "No space left on device"),
    (f"{MODEL} --version >&-", 2, "standard output is closed"),
    (f"{BENCHMARKS} --check calls --scale 0.001 >/dev/full", 2, "No space left on device"),
]


def test_output_that_is_lost_is_status_2_and_one_line_and_a_finding_is_1_all_the_same(commands):
    for (line, status, about), (got, out, err) in zip(LOST, commands([line for line, *_ in LOST])):
        assert (got, err.count("\n"), about in err, out) == (status, 1, True, ""), (line, err)


NOT_LOST = [
    (f"{HARNESS} nonsense 2>&-", 2), (f"{CLEAN} <&- >&- 2>&-", 2), (f"{CLEAN} 2>/dev/full", 0),
    *((f"{line} | true; exit ${{PIPESTATUS[0]}}", status) for line, status in (
        (f"PYTHONUNBUFFERED=1 {CLEAN}", 0), (FINDING, 1), (f"{MODEL} list --json -", 0),
        (f"{HARNESS} run ending_worlds:prints --runs 1", 0), (f"{BENCHMARKS} --help", 0))),
    (f"{HARNESS} run ending_worlds:stdout_replaced --runs 1", 0),
]


def test_reader_that_is_gone_and_nobody_to_complain_to_change_nothing(commands):
    for (line, status), (got, _, err) in zip(NOT_LOST, commands([line for line, _ in NOT_LOST])):
        assert (got, err) == (status, ""), line


def test_nothing_that_a_command_opens_gets_the_number_of_a_closed_stream(commands, tmp_path):
    """A pipe to a process of its own would have in it what somebody writes there."""
    file = tmp_path / "x.json"
    explores = f"{HARNESS} explore ending_worlds:writes_to_descriptors"
    [(got, _, _)] = commands([f"{explores} --json {file} <&- >&- 2>&-"])
    assert (got, json.loads(file.read_text())["verdict"]) == (2, "clean")


def test_result_that_goes_where_the_report_goes_comes_after_it(commands, tmp_path):
    files = [tmp_path / name for name in ("by device", "by name", "read")]
    files[2].write_text("[]")
    done = commands([f"{CLEAN} --json /dev/stdout > '{files[0]}'",
                     f"{FINDING} --json '{files[1]}' > '{files[1]}'",
                     f"{HARNESS} cases '{files[2]}' --json '{files[2]}'"])
    for file, word in zip(files, ("CLEAN", "ERROR")):
        text = file.read_text()
        assert (text.startswith(word), json.loads(text[text.index("\n{"):])["verdict"]) == (
            True, word.lower())
    assert ([status for status, *_ in done], done[2][2].count("would write over"),
            files[2].read_text()) == ([0, 1, 2], 1, "[]")


def test_command_finds_on_a_terminal_without_the_letters_what_it_finds_elsewhere(commands):
    [(status, out, err)] = commands([FINDING], PYTHONIOENCODING="ascii:strict")
    assert (status, err, r"Gr\xfc\xdfe, \u4e16\u754c" in out) == (1, "", True), out


class Full(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("found, status", [(0, 2), (3, 2), (1, 1), (2, 2), (130, 130), (143, 143)])
def test_lost_report_changes_no_status_of_a_finding_or_a_signal(
        found, status, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full())
    assert output.guarded("harness", lambda: output.say("a report") or found) == status
    assert capsys.readouterr().err == \
        "harness: cannot write the report: No space left on device\n"


def test_what_one_command_lost_is_not_told_by_the_next(monkeypatch, capsys):
    def refused():
        output.say("a report")
        raise ScenarioError("no")

    with monkeypatch.context() as full:
        full.setattr(sys, "stdout", Full())
        assert output.guarded("harness", refused) == 2
    assert output.guarded("harness", lambda: 0) == 0
    assert capsys.readouterr().err == "harness: no\n"


@pytest.mark.parametrize("encoding, shown", [
    ("ascii", rb"\xe9 \u03bb"), ("cp1252", b"\xe9 \\u03bb"), ("latin-1", b"\xe9 \\u03bb"),
    ("utf-8", "\xe9 \u03bb".encode()), ("utf-16-le", "\xe9 \u03bb".encode("utf-16-le"))])
def test_what_a_stream_has_no_letters_for_is_printed_escaped(monkeypatch, encoding, shown):
    bare = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bare, encoding, "strict"))
    output.say("\xe9 \u03bb", end="")
    assert bare.getvalue() == shown


def test_command_works_in_a_directory_that_was_deleted(commands, tmp_path):
    gone = tmp_path / "gone"
    inside = f"mkdir -p {gone}{{}}; cd {gone}{{}}; rmdir {gone}{{}}; "
    lines = [FINDING, f"{HARNESS} run no_such:x", f"{CLEAN} --json x.json",
             f"{MODEL} compare --fix a.py:X --scenario probe-vs-aer"]
    done = commands([inside.replace("{}", str(i)) + line for i, line in enumerate(lines)])
    assert [status for status, *_ in done] == [1, 2, 2, 2]
    assert [err.count("\n") for *_, err in done] == [0, 1, 1, 1], done


STUCK = {    # scenario -> what its process says beside the report
    "pool_hangs": "though ThreadPoolExecutor-0_0 had not", "thread_hangs": "though Thread-1 (wait)",
    "handler_hangs": "though exit handlers had not", "child_hangs": "though exit handlers had not",
    "finalizer_hangs": "", "file_left_open": "", "thread_prints": None, "thread_works": "",
}


def test_command_ends_with_its_status_whatever_is_stuck(commands, tmp_path):
    file = tmp_path / "left"
    lines = [f"{HARNESS} run ending_worlds:{name} --runs 1 --timeout 0.3" for name in STUCK]
    for (name, said), (status, out, err) in zip(STUCK.items(), commands(
            lines, LEFT=str(file))):
        assert (status, "ending_worlds" in out) == (0, True), (name, out, err)
        assert said is None or said in err and bool(said) == bool(err), (name, out, err)
    assert file.read_text() == "whole"
    assert (tmp_path / "left by a thread").read_text() == "whole"    # it is waited for
