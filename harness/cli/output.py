"""What a command prints and writes, and its exit status.

Bad input and bad usage end with status 2 and one clear line on standard error; Ctrl-C, SIGTERM and
SIGHUP with the report so far, and 128 + the signal's number. A finding is status 1 whatever becomes
of the output; otherwise it is 2, with one line, if anything could not be printed or written. A
reader that closes the pipe has had what it wanted: that changes nothing. What a terminal has no
letters for is printed as `\\u....`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..locks.errors import ScenarioError
from ..methods.ctrl_c import Interrupted
from ..report import whole_file
from ..runtime import end_signals

if TYPE_CHECKING:
    from ..report.result import Result

FINDING = 1

_lost: list[str] = []    # what could not be written since `guarded` began, and why


def say(text: object = "", end: str = "\n") -> None:
    """Print *text* on standard output, at once. That it could not be is told at the end."""
    stream = sys.stdout
    if stream is None:
        _lost.append("the report: standard output is closed")
        return
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        print(str(text).encode(encoding, "backslashreplace").decode(encoding), end=end,
              file=stream, flush=True)
    except Exception as exc:    # it may be a scenario's own
        _is_lost(stream, exc)


def complain(text: object) -> None:
    """Print a line on standard error, if there is one."""
    if sys.stderr is not None:    # else print() would take standard output
        with suppress(Exception):
            print(text, file=sys.stderr, flush=True)


def _is_lost(stream: Any, exc: Exception) -> None:
    """Take note of what became of *stream*, unless its reader has closed it."""
    if not isinstance(exc, BrokenPipeError):
        from ..locks.callsite import first_line

        _lost.append(f"the report: {getattr(exc, 'strerror', None) or first_line(exc)}")
    with suppress(Exception):
        # Python flushes it again on its way out; give it somewhere to go.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Writer:
    """Writes the JSON object of a command; called with it once, at the end.

    Attributes:
        so_far: returns what there is of it when the command is interrupted before that.
        quiet: it goes to standard output, and nothing else does.
    """

    def __init__(self, path: str | None) -> None:
        self.so_far: Callable[[], dict[str, Any]] | None = None
        self.quiet = path == "-"
        self._path = path

    def __call__(self, data: dict[str, Any]) -> None:
        self.so_far = None
        text = json.dumps(data, indent=1)
        if self.quiet:
            say(text)
        elif self._path is not None:
            try:
                whole_file.write(self._path, f"{text}\n")
            except OSError as exc:
                _lost.append(f"{self._path}: {exc.strerror}")

    def interrupted(self, exc: KeyboardInterrupt) -> None:
        """Write what there is, if anything."""
        if self.so_far is not None:
            self({**self.so_far(), "interrupted": True})
        elif isinstance(exc, Interrupted):
            self({**exc.result.as_dict(), "interrupted": True})
        if self.quiet and isinstance(exc, Interrupted):
            raise KeyboardInterrupt from None    # there is no report to print


@contextmanager
def json_file(path: str | None) -> Iterator[Writer]:
    """Make sure that *path* can be written before the work begins; yield what writes to it.

    Raises:
        ScenarioError: it cannot be, or is a program.
    """
    if path is not None and path != "-":
        if os.path.isfile(path) and os.path.realpath(path).endswith(".py"):
            raise ScenarioError(f"--json {path} would write over a file of Python")
        try:
            whole_file.check(path)
            path = os.path.abspath(path)    # a scenario may go to another directory
        except OSError as exc:
            raise ScenarioError(f"cannot write {path}: {exc.strerror}") from None
    write = Writer(path)
    try:
        yield write
    except KeyboardInterrupt as exc:
        write.interrupted(exc)
        raise


def show(result: Result, write: Writer) -> int:
    """Print the report, unless JSON goes to stdout; write the JSON; return the exit status."""
    if not write.quiet:
        say(result)
    write(result.as_dict())
    return result.verdict.exit_status


def guarded(prog: str, body: Callable[[], int]) -> int:
    """Run *body*; return the exit status, bad input, Ctrl-C and lost output included."""
    _lost.clear()
    try:
        with end_signals.broken_into():
            status = body()
        if end_signals.came():    # and somebody's code has swallowed it
            status = end_signals.status()
    except ScenarioError as exc:
        complain(f"{prog}: {exc}")
        return 2
    except Interrupted as exc:
        say(f"\n{exc.result}\n\ninterrupted")
        status = end_signals.status()
    except KeyboardInterrupt:
        complain("\ninterrupted")
        status = end_signals.status()
    except MemoryError:
        complain(f"{prog}: there is no more memory")
        return 2
    except SystemExit as exc:    # nothing of ours ends so: a status of its author's choice is none
        from ..locks.callsite import raised

        complain(f"{prog}: {raised(exc)}")
        return 2
    return settled(prog, status)


def settled(prog: str, status: int) -> int:
    """Flush what was printed; return the exit status, given that of what was found."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except Exception as exc:
            _is_lost(sys.stdout, exc)
    if not _lost:
        return status
    complain(f"{prog}: cannot write {_lost[0]}")
    _lost.clear()
    return status if status == FINDING or status > 128 else 2
