"""The end of a report and of a command: how to see it again, and what a lost report changes."""

import errno
import io
from pathlib import Path

import pytest
import small_worlds

from harness import Mutex, explore
from harness.cli import main, output


@pytest.fixture(autouse=True)
def beside_the_worlds(monkeypatch):
    monkeypatch.chdir(Path(small_worlds.__file__).parent)


@pytest.mark.parametrize("given, again, force", [
    ([], "", ""),
    (["--timeout", "3"], " --timeout 3", " --timeout 3"),
    (["--timeout", "5"], "", ""),    # as it is without it
    (["--detect", "timeout", "--timeout", "0.2"], " --detect timeout --timeout 0.2",
     " --detect timeout --timeout 0.2"),
    (["--lockdep", "--runs", "2", "--seconds", "60"], " --lockdep", "")])
def test_lines_of_prediction_have_the_options_that_change_what_is_seen(given, again, force, capsys):
    assert main(["predict", "small_worlds:abba_bare", *given]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"Again: python -m harness predict small_worlds:abba_bare{again}" in lines
    assert f"Force: python -m harness force small_worlds:abba_bare{force}" in lines


class Full(io.StringIO):
    """Standard output on a disk that is full."""

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("status, becomes", [
    (0, 2), (1, 1), (2, 2), (3, 2), (129, 129), (130, 130), (143, 143)])
def test_report_that_is_lost_changes_no_finding_and_no_signal(status, becomes, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", Full())
    assert output.settled("harness", status) == becomes
    assert capsys.readouterr().err == \
        "harness: cannot write the report: No space left on device\n"
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert output.settled("harness", status) == status


@pytest.mark.parametrize("command", ["force", "predict", "explore", "replay"])
def test_every_event_is_shown_by_each_command_that_is_asked_for_them(command, capsys):
    """What is still held is shown without it; a lock that was given back before is not."""
    words = [command, "test_last_lines:given_back"]
    if command == "replay":
        words[1:] = [explore(given_back).replay, "test_last_lines:given_back"]
    assert main(words) == main([*words, "--full"]) == 1
    short, full = capsys.readouterr().out.split("DEADLOCK: ")[1:]
    assert "before" not in short.split("Again: ")[0] and "acquire(before)" in full


def given_back():
    """Two who deadlock after they had another lock."""
    before, a, b = Mutex("before"), Mutex("a"), Mutex("b")

    def takes(first, second):
        def role():
            with before:
                pass
            with first, second:
                pass
        return role

    return {"one": takes(a, b), "two": takes(b, a)}
