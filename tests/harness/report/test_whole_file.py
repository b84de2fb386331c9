"""Files are whole or as they were: whatever step of the writing fails, or is the last one."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from harness.report import whole_file

OLD, NEW = "an older result\n", "a new result\n" * 100
STEPS = ("open", "fchown", "fchmod", "write", "fsync", "replace", "close", "unlink")
FULL = OSError(errno.ENOSPC, "full")


class Interrupt(BaseException):
    """Stands for what a signal raises."""


class Steps:
    """The calls that the writing makes of the system, counted; the one of that number ends in
    *fails*, "before" it is done or "after".
    """

    def __init__(self, monkeypatch, at=0, when="before", fails=FULL):
        self.made = []
        for name in STEPS:
            monkeypatch.setattr(os, name, self.step(name, getattr(os, name), at, when, fails))

    def step(self, name, plain, at, when, fails):
        def stepping(*arguments, **more):
            self.made.append(name)
            if len(self.made) == at and when == "before":
                raise fails
            if len(self.made) == at and when == "signal":
                signal.raise_signal(signal.SIGINT)
            done = plain(*arguments, **more)
            if len(self.made) == at and when == "after":
                raise fails
            return done
        return stepping


def litter(folder):
    return [name for name in os.listdir(folder) if name.startswith(".harness-")]


def test_writing_takes_these_steps(monkeypatch, tmp_path):
    file = tmp_path / "x"
    file.write_text(OLD)
    steps = Steps(monkeypatch)
    whole_file.write(str(file), NEW)
    assert steps.made == ["open", "fchown", "fchmod", "write", "fsync", "replace", "close",
                          "unlink"]


@pytest.mark.parametrize("fails", [FULL, Interrupt()], ids=repr)
@pytest.mark.parametrize("old", [OLD, None], ids=["older", "none"])
def test_failure_at_any_step_leaves_a_whole_file_and_nothing_beside_it(
        monkeypatch, tmp_path, old, fails):
    at_each = {}
    for at in range(1, len(STEPS) + 1):
        for when in ("before", "after"):
            folder = tmp_path / f"{at} {when}"
            folder.mkdir()
            file = folder / "result.json"
            if old is not None:
                file.write_text(old)
            with monkeypatch.context() as patch:
                steps = Steps(patch, at, when, fails)
                with suppress(OSError, Interrupt):
                    whole_file.write(str(file), NEW)
            got = file.read_text() if file.exists() else None
            at_each[at, when] = (got in (old, NEW), bool(litter(folder)))
            if len(steps.made) >= at and steps.made[at - 1] == "write":
                assert got == old
    # What is opened and not given back cannot be removed; nor can what refuses to be.
    left = {key for key, (_, some) in at_each.items() if some}
    assert ({whole for whole, _ in at_each.values()}, left - {(1, "after")}) == ({True}, set())


@pytest.mark.parametrize("at", range(1, len(STEPS) + 1))
def test_signal_at_any_step_comes_when_the_file_is_whole(monkeypatch, tmp_path, at):
    file = tmp_path / "x"
    file.write_text(OLD)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
            Steps(patch, at, "signal")
            whole_file.write(str(file), NEW)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (file.read_text(), litter(tmp_path)) == (NEW, [])


def test_short_write_goes_on(monkeypatch, tmp_path):
    plain = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: plain(fd, data[:7]))
    whole_file.write(str(tmp_path / "x"), NEW)
    assert (tmp_path / "x").read_text() == NEW


def test_link_stays_a_link_and_the_mode_stays_and_a_new_file_has_that_of_the_umask(tmp_path):
    file, link, dangling = tmp_path / "x", tmp_path / "link", tmp_path / "dangling"
    file.write_text(OLD)
    file.chmod(0o640)
    link.symlink_to("x")
    dangling.symlink_to("y")
    whole_file.write(str(link), NEW)
    before = os.umask(0o027)
    try:
        whole_file.write(str(dangling), NEW)
    finally:
        os.umask(before)
    assert (link.is_symlink(), file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (
        True, NEW, 0o640)
    assert (dangling.is_symlink(), stat.S_IMODE((tmp_path / "y").stat().st_mode)) == (True, 0o640)


def test_check_leaves_everything_as_it_is_and_refuses_what_cannot_be_written(tmp_path):
    file = tmp_path / "x"
    file.write_text(OLD)
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    whole_file.check(str(file))
    whole_file.check(str(tmp_path / "new"))
    whole_file.check(os.devnull)
    assert (file.read_text(), sorted(os.listdir(tmp_path))) == (OLD, ["loop", "x"])
    for wrong in ("", "a\0b", str(tmp_path), f"{tmp_path}/new/", f"{tmp_path}/no/x", f"{file}/x",
                  str(loop), str(tmp_path / ("x" * 300))):
        with pytest.raises(OSError):
            whole_file.check(wrong)


def test_file_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "x"
    file.write_text(OLD)
    monkeypatch.setattr(os, "access", lambda path, mode: False)    # root may do everything
    with pytest.raises(PermissionError):
        whole_file.check(str(file))


def test_pipe_is_written_as_it_is_and_one_who_has_had_enough_of_it_is_no_failure(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []

    def read(much):
        with open(pipe) as file:
            got.append(file.read(much))

    whole_file.check(str(pipe))    # is not its writer
    for much, text in ((-1, NEW), (3, "x" * 1_000_000)):
        reader = threading.Thread(target=read, args=(much,))
        reader.start()
        whole_file.write(str(pipe), text)
        reader.join()
    assert (got, pipe.is_fifo(), litter(tmp_path)) == ([NEW, "xxx"], True, [])


def test_two_at_once_leave_one_of_both(tmp_path):
    """Each has a name of its own, and takes the file's place in one step."""
    file = tmp_path / "x"
    texts = [json.dumps([i] * 5_000) for i in range(2)]
    writers = [threading.Thread(target=lambda text=text: [whole_file.write(str(file), text)
                                                          for _ in range(20)]) for text in texts]
    whole_file.write(str(file), texts[0])
    for writer in writers:
        writer.start()
    seen = [file.read_text() in texts for _ in range(100)]
    for writer in writers:
        writer.join()
    assert (all(seen), file.read_text() in texts, litter(tmp_path)) == (True, True, [])


def test_full_disk_leaves_the_older_file(tmp_path):
    file = tmp_path / "x"
    file.write_text(OLD)
    code = "import resource, sys; from harness.report import whole_file\n" \
           "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n" \
           "try: whole_file.write(sys.argv[1], 'x' * 10_000)\n" \
           "except OSError as exc: print(exc.strerror)"
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert (done.stdout, file.read_text(), litter(tmp_path)) == ("File too large\n", OLD, [])
