"""The process of a command: how it begins, and that it ends.

`main(argv)` of a command line, called from Python, returns the exit status. Where it is the program
itself (``python -m harness``, the console script) the process is its own. It then handles the
signals that ask it to end from its first line on (end_signals.py); no file that it opens gets the
number of a standard stream that is closed; and a reader that has had enough of its output changes
nothing, for a role that prints neither. After the report the process ends with its status, whatever
threads are stuck and whatever hangs in an exit handler.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from ..runtime import end_signals

LIMIT = 5.0      # seconds that exit handlers have
_leave = [os._exit]    # in a list no call replaces it: see locks/exits.py
_begun = False


def begin() -> None:
    """Take over the process, which is a command's; before anything heavy is imported."""
    global _begun
    if not _begun:
        _begun = True
        end_signals.ends_at_once()
        _fill_descriptors()
        for name in ("stdout", "stderr"):
            setattr(sys, name, _until_closed(getattr(sys, name)))


def perform(prog: str, argv: Sequence[str] | None,
            work: Callable[[Sequence[str] | None], int]) -> int:
    """Return what *work* does: the exit status; end the process with it, if that is the command's.
    """
    if argv is not None or not is_program(prog):
        return work(argv)
    begin()
    try:
        status = work(None)
    except SystemExit as exc:    # of argparse: it has printed what there is to say
        status = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 2
    except KeyboardInterrupt:    # in the last moment
        status = end_signals.status()
    except BaseException:    # a fault of ours: no finding
        sys.excepthook(*sys.exc_info())
        status = 2
    else:
        end(status)    # it is settled
    from .output import settled    # what is printed by now may still wait in a buffer
    end(settled(prog, status))


def is_program(prog: str) -> bool:
    """Say whether the program of this process is the command, and no code of another is in between
    that wants to go on after it: a profiler, say.
    """
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    script = os.path.basename(sys.argv[0] if sys.argv else "").removesuffix(".exe")
    if script != prog and getattr(spec, "parent", None) != prog or sys.flags.inspect:
        return False
    frames = [sys._getframe()]
    while (below := frames[-1].f_back) is not None:
        frames.append(below)
    return all(at.f_globals is vars(main) or at.f_code.co_filename.startswith("<frozen ")
               or at.f_globals.get("__name__", "").partition(".")[0] in ("harness", prog)
               for at in frames)


def _fill_descriptors() -> None:
    """Open what can be neither read nor written in place of a standard stream that is closed."""
    for fd, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, mode)    # the lowest number that is free


def _until_closed(stream: Any) -> Any:
    """Return a stream as *stream*; what is written to it once its reader is gone is dropped."""
    import io

    class UntilClosed(io.FileIO):
        def write(self, data: Any) -> Any:
            try:
                return super().write(data)
            except BrokenPipeError:
                return len(data)

    if type(stream) is not io.TextIOWrapper or type(stream.buffer) not in (
            io.BufferedWriter, io.FileIO):
        return stream    # closed, or somebody's own
    stream.flush()
    raw = UntilClosed(stream.fileno(), "w", closefd=False)
    unbuffered = isinstance(stream.buffer, io.FileIO)
    return io.TextIOWrapper(raw if unbuffered else io.BufferedWriter(raw),
                            stream.encoding, stream.errors, newline=None,
                            line_buffering=stream.line_buffering,
                            write_through=stream.write_through)


def end(status: int) -> NoReturn:
    """Do what has to be done at the end of a Python program, and end the process with *status*.

    Python waits for threads and pools, then runs exit handlers, each for ever if it must; here all
    that has `LIMIT` seconds. Nor is the interpreter taken down, in which a thread that just prints
    aborts the process.
    """
    import _thread
    import atexit
    import threading

    end_signals.ends_at_once()
    try:
        _thread.start_new_thread(_end_late, (status,))
    except RuntimeError:    # no thread, so nobody to look after exit handlers
        _leave[0](status)
    try:
        if status < 128:    # else somebody wants it to end
            threading._shutdown()    # type: ignore[attr-defined]
    except Exception:    # of what somebody registered for it
        sys.excepthook(*sys.exc_info())
    atexit._run_exitfuncs()
    _flush_files()
    _leave[0](status)
    raise AssertionError("the process has ended")


def _end_late(status: int) -> None:
    """End the process when threads and exit handlers have had their time."""
    import threading
    import time

    time.sleep(LIMIT)
    names = [thread.name for thread in threading.enumerate()
             if not thread.daemon and thread is not threading.main_thread()]
    line = f"ended after {LIMIT:g} s, though {', '.join(names) or 'exit handlers'} had not\n"
    try:
        os.write(2, line.encode("utf-8", "backslashreplace"))
    finally:
        _leave[0](status)


def _flush_files() -> None:
    """Write what waits in the buffers of files that are open, as the interpreter would."""
    import gc
    import io

    for thing in gc.get_objects():
        if type(thing) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
            with suppress(Exception):    # closed, or the disk is full
                thing.flush()
