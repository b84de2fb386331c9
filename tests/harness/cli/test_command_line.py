"""The command line of harness: exit statuses, one line for bad input, JSON."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import small_worlds

from harness import __version__
from harness.cli import main
from harness.runtime.verdict import Verdict


@pytest.fixture(autouse=True)
def beside_the_worlds(monkeypatch):
    monkeypatch.chdir(Path(small_worlds.__file__).parent)


def call(capsys, *argv):
    """Run the command line in this process; return status, standard output and standard error."""
    try:
        status = main(argv)
    except SystemExit as exc:
        status = exc.code
    out, err = capsys.readouterr()
    return status, out, err


# -- exit statuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("argv, status, word", [
    (["force", "small_worlds:abba"], 1, "DEADLOCK"),
    (["run", "small_worlds:waits_for_nobody"], 1, "HANG"),
    (["run", "small_worlds:forgets"], 1, "VIOLATION"),
    (["run", "small_worlds:raises"], 1, "ERROR"),
    (["force", "small_worlds:in_order"], 3, "NOT REACHED"),
    (["run", "small_worlds:in_order", "--runs", "1"], 0, "CLEAN (a single run, no proof)"),
    (["stress", "small_worlds:in_order", "--runs", "5"], 0, "CLEAN (5 runs, no proof)"),
    (["stress", "small_worlds:abba", "--runs", "100", "--seed", "1"], 1, "DEADLOCK"),
])
def test_the_exit_status_says_what_was_found(argv, status, word, capsys):
    got, out, err = call(capsys, *argv)
    assert (got, out.startswith(f"{word}: "), err) == (status, True, "")


def test_each_verdict_has_its_exit_status():
    assert {str(verdict): verdict.exit_status for verdict in Verdict} == {
        "deadlock": 1, "hang": 1, "violation": 1, "error": 1, "predicted": 1,
        "not-reached": 3, "inconclusive": 3, "clean": 0}


def test_version_is_printed(capsys):
    assert call(capsys, "--version") == (0, f"harness {__version__}\n", "")


def test_help_names_the_commands(capsys):
    status, out, err = call(capsys, "--help")
    assert (status, [word in out for word in ("run", "force", "stress", "replay")], err) \
        == (0, [True] * 4, "")


def test_a_report_ends_with_the_command_that_shows_it_again(capsys):
    status, out, err = call(capsys, "force", "small_worlds:abba", "--detect", "timeout",
                            "--timeout", "0.2")
    again = out.strip().splitlines()[-1]
    assert (status, out.startswith("DEADLOCK: "), err,
            again.startswith("Again: python -m harness force small_worlds:abba"),
            "--detect timeout" in again) == (1, True, "", True, True), out


def test_run_is_shown_again_with_as_many_runs_and_seconds_as_were_given(capsys):
    for given in ["--runs 3", "--runs 3 --seconds 60"]:
        out = call(capsys, "run", "small_worlds:in_order", *given.split())[1]
        assert out.endswith(f"\nAgain: python -m harness run small_worlds:in_order {given}\n")


def test_full_reports_more_than_what_is_held(capsys):
    short = call(capsys, "force", "small_worlds:handoff")[1]
    full = call(capsys, "force", "small_worlds:handoff", "--full")[1]
    assert len(full.splitlines()) > len(short.splitlines())


def test_a_token_is_replayed(capsys, stressed):
    status, out, err = call(capsys, "replay", stressed["abba"].replay)
    assert (status, out.startswith("DEADLOCK: "), err) == (1, True, "")


# -- JSON ------------------------------------------------------------------------------------------


def test_json_to_standard_output_is_one_object_and_nothing_else(capsys):
    status, out, err = call(capsys, "force", "small_worlds:abba", "--json", "-")
    data = json.loads(out)
    assert (status, data["verdict"], data["scenario"], len(data["cycle"]), err) == (
        1, "deadlock", "small_worlds:abba", 2, "")


def test_json_to_a_file_comes_beside_the_report(capsys, tmp_path):
    file = tmp_path / "result.json"
    status, out, err = call(capsys, "run", "small_worlds:in_order", "--json", str(file))
    assert (status, out.startswith("CLEAN (100 runs, no proof): ")) == (0, True)
    assert json.loads(file.read_text())["verdict"] == "clean"


def test_a_json_file_with_an_older_result_is_written_over(capsys, tmp_path):
    file = tmp_path / "result.json"
    file.write_text("x" * 100_000)
    call(capsys, "run", "small_worlds:in_order", "--json", str(file))
    assert json.loads(file.read_text())["verdict"] == "clean"


def test_json_is_written_where_the_command_began_though_its_scenario_goes_elsewhere(
        capsys, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "world_that_goes.py").write_text(
        "import os\nfrom harness import Mutex\ndef goes():\n"
        "    os.chdir('elsewhere')\n    return {'role': Mutex('a').locked}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    call(capsys, "run", "world_that_goes:goes", "--runs", "1", "--json", "x.json")
    assert [file.name for file in tmp_path.rglob("*.json")] == ["x.json"]
    assert (tmp_path / "x.json").exists()


@pytest.mark.parametrize("name", ["world.py", "link.json"])
def test_no_result_is_written_over_a_program(name, capsys, tmp_path):
    (tmp_path / "world.py").write_text("a program")
    (tmp_path / "link.json").symlink_to("world.py")
    status, _, err = call(capsys, "run", "small_worlds:in_order", "--json", str(tmp_path / name))
    assert (status, err.count("\n"), name in err) == (2, 1, True)
    assert (tmp_path / "world.py").read_text() == "a program"


def test_bad_input_leaves_an_older_json_file_alone(capsys, tmp_path):
    file = tmp_path / "result.json"
    file.write_text("an older result")
    status, _, _ = call(capsys, "run", "small_worlds:nothing", "--json", str(file))
    assert (status, file.read_text()) == (2, "an older result")


def test_bad_input_makes_no_json_file(capsys, tmp_path):
    file = tmp_path / "result.json"
    status, _, _ = call(capsys, "run", "small_worlds:nothing", "--json", str(file))
    assert (status, file.exists()) == (2, False)


# -- bad input -------------------------------------------------------------------------------------

ABBA = "small_worlds:abba"
BAD = {
    "unknown command": ["guess", ABBA],
    "no scenario": ["force"],
    "unknown module": ["force", "no_such_module:abba"],
    "unknown module in a package": ["force", "json.no_such_module:abba"],
    "unknown name": ["force", "small_worlds:no_such_scenario"],
    "unknown attribute of a name": ["force", "small_worlds:abba.no_such_part"],
    "no colon": ["force", "small_worlds"],
    "no name": ["force", "small_worlds:"],
    "no module": ["force", ":abba"],
    "relative module": ["force", ".small_worlds:abba"],
    "path of no file": ["force", "no_worlds.py:abba"],
    "path outside": ["force", "../no_worlds.py:abba"],
    "relative name": ["force", ".small_worlds:abba"],
    "blanks": ["force", " : "],
    "module that cannot be imported": ["force", "broken_module:abba"],
    "not callable": ["force", "small_worlds:NOT_CALLABLE"],
    "no roles": ["force", "small_worlds:no_roles"],
    "roles that cannot be called": ["force", "small_worlds:dead_roles"],
    "scenario that wants arguments": ["force", "small_worlds:wants_more"],
    "meeting that is none": ["force", "small_worlds:no_meeting"],
    "timeout no number": ["force", ABBA, "--timeout", "soon"],
    "timeout zero": ["force", ABBA, "--timeout", "0"],
    "timeout negative": ["force", ABBA, "--timeout", "-1"],
    "timeout nan": ["force", ABBA, "--timeout", "nan"],
    "timeout infinite": ["force", ABBA, "--timeout", "inf"],
    "timeout missing": ["force", ABBA, "--timeout"],
    "seconds no number": ["run", ABBA, "--seconds", "x"],
    "runs no number": ["run", ABBA, "--runs", "many"],
    "runs not whole": ["run", ABBA, "--runs", "1.5"],
    "runs zero": ["run", ABBA, "--runs", "0"],
    "seed no number": ["stress", ABBA, "--seed", "x"],
    "unknown way to detect": ["run", ABBA, "--detect", "guess"],
    "unknown option": ["run", ABBA, "--colour"],
    "abbreviated option": ["run", ABBA, "--time", "1"],
    "too much": ["run", ABBA, ABBA],
    "json into a folder": ["run", ABBA, "--json", "."],
    "json into a folder that is not there": ["run", ABBA, "--json", "no/such/folder/x.json"],
    "json without a name": ["run", ABBA, "--json", ""],
    "garbage token": ["replay", "garbage"],
    "no token": ["replay"],
}


@pytest.mark.parametrize("argv", BAD.values(), ids=BAD)
def test_bad_input_is_one_clear_line_and_status_2(argv, capsys):
    status, out, err = call(capsys, *argv)
    assert (status, out, err.count("\n"), err.startswith("harness"), "Traceback" in err) == (
        2, "", 1, True, False), err


def test_bad_input_is_told_in_words_of_its_own(capsys):
    assert call(capsys, "force", "no_such_module:x") == (
        2, "", "harness: no module named 'no_such_module' here or on the path\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_json_that_cannot_be_written_in_the_end_is_one_clear_line(capsys):
    status, out, err = call(capsys, "run", "small_worlds:in_order", "--json", "/dev/full")
    assert (status, err.count("\n"), "/dev/full" in err) == (2, 1, True)


@pytest.mark.parametrize("argv, named", [
    ("unknown module", "no_such_module"), ("unknown name", "no_such_scenario"),
    ("module that cannot be imported", "no such device"), ("timeout no number", "soon"),
    ("json into a folder that is not there", "no/such/folder/x.json"), ("no roles", "no_roles")])
def test_the_line_names_the_value_that_is_wrong(argv, named, capsys):
    assert named in call(capsys, *BAD[argv])[2]


# -- as a process ----------------------------------------------------------------------------------


def test_the_module_is_a_command(in_another_process):
    done = in_another_process("-m", "harness", "force", "small_worlds:abba")
    assert (done.returncode, done.stdout.startswith("DEADLOCK: 2 threads"), done.stderr) \
        == (1, True, "")


WAVE = """
from harness import Mutex

def world():
    return {"mine": Mutex("a").locked}
"""


def test_the_current_directory_is_looked_at_first(in_another_process, tmp_path):
    (tmp_path / "wave.py").write_text(WAVE)
    done = in_another_process("-m", "harness", "run", "wave:world", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0, "CLEAN (100 runs, no proof): nothing found\nwave:world: 100 runs\n\n"
           "Again: python -m harness run wave:world\n")


def test_the_current_directory_is_looked_at_first_by_the_console_script_too(
        in_another_process, tmp_path):
    """A script's own folder, not the current one, is first on its path; and `wave` is in the
    library.
    """
    (tmp_path / "wave.py").write_text(WAVE)
    script = tmp_path / "bin" / "harness-script"
    script.parent.mkdir()
    script.write_text("import sys\nfrom harness.cli import main\nsys.exit(main())\n")
    done = in_another_process(str(script), "run", "wave:world", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_asks_for_no_run_loads_neither_locks_nor_calls(in_another_process):
    """It is most of what a command takes to begin."""
    done = in_another_process("-c", """
import sys
from contextlib import suppress
from harness.cli import main
for words in ["--version"], ["explore", "--help"], ["help"], ["run", "--no-such"]:
    with suppress(SystemExit):
        main(words)
heavy = "harness.locks.task", "harness.methods.tally", "readerwriterlock"
print("loaded", [name for name in heavy if name in sys.modules])
""")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "loaded []"), done.stderr


def test_reader_that_closes_the_pipe_changes_nothing(in_another_process):
    done = in_another_process("-c", "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); "
                                    "from harness.cli import main; "
                                    "sys.exit(main(['run', 'small_worlds:in_order']))")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to processes here")
def test_ctrl_c_ends_with_status_130_and_a_report_of_who_waited_for_whom(ctrl_c_interrupts):
    """A thread outside the run holds what the roles want, so nothing is judged before Ctrl-C."""
    here = Path(small_worlds.__file__).parent
    path = os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "small_worlds:waits_outside", "--timeout", "50"],
        cwd=here, env={**os.environ, "PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert child.stderr.readline() == "both are queued\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert (child.returncode, "one waits for lock (exclusive)" in out,
            "other waits for lock (exclusive)" in out, "Traceback" in err) \
        == (130, True, True, False), out
