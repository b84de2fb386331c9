"""Files that are written whole, or stay as they were.

What is written stands under a name of its own beside the file, `.harness-*.part`, until it is on
the disk; then it takes the file's place, in one step. A file of that name is what a process left
that was killed in between; it may be deleted. A link stays a link, and the file keeps its mode.
What is no file on a disk (a pipe, a terminal, `/dev/null`), or is standard output itself, is
written as it is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..runtime import end_signals

TEMPORARY = ".harness-{}.part"


def check(path: str) -> None:
    """Try whether *path* can be written, and leave it as it is.

    Raises:
        OSError: it cannot.
    """
    place, before = _place(path)
    if place is None:
        return    # to open a pipe is to be its writer
    if before is not None and not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    with end_signals.later(), _beside(place):
        pass


def write(path: str, text: str) -> None:
    """Make *text* what *path* holds.

    Raises:
        OSError: it cannot be written; it holds what it held.
    """
    data = text.encode("utf-8", "backslashreplace")
    place, before = _place(path)
    if place is None:
        _write_as_it_is(path, data)
        return
    with end_signals.later(), _beside(place) as (fd, name):
        if before is not None:
            with suppress(OSError, AttributeError):    # not ours to give away; Windows
                os.fchown(fd, before.st_uid, before.st_gid)
            with suppress(OSError, AttributeError):
                os.fchmod(fd, stat.S_IMODE(before.st_mode))
        _write_all(fd, data)
        os.fsync(fd)
        os.replace(name, place)


def _place(path: str) -> tuple[str | None, os.stat_result | None]:
    """Return where links lead, and what is there; None if that is to be written as it is."""
    if not path or "\0" in path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    try:
        there = os.stat(path)
    except FileNotFoundError:
        if path.endswith(os.sep):
            raise
        return os.path.realpath(path), None
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(there.st_mode) or _standard_stream(there) is not None:
        return None, there
    return os.path.realpath(path), there


def _standard_stream(there: os.stat_result) -> int | None:
    """Return the descriptor of standard output or error, if it is the same file."""
    for fd in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(fd), there):
                return fd
    return None


def _write_as_it_is(path: str, data: bytes) -> None:
    fd = _standard_stream(os.stat(path))
    fd = os.open(path, os.O_WRONLY) if fd is None else os.dup(fd)
    try:
        with suppress(BrokenPipeError):    # its reader has had enough
            _write_all(fd, data)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


@contextmanager
def _beside(place: str) -> Iterator[tuple[int, str]]:
    """Yield a new file in the folder of *place*, and its name; whatever happens, it is gone."""
    fd, name = -1, ""
    while fd < 0:
        name = os.path.join(os.path.dirname(place), TEMPORARY.format(os.urandom(6).hex()))
        with suppress(FileExistsError):
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        yield fd, name
    finally:
        os.close(fd)
        with suppress(FileNotFoundError):
            os.unlink(name)
