"""What the command lines of `harness` and `pcimodel` share: options, output, exit statuses.

Bad input and bad usage end with status 2 and one clear line on standard error; Ctrl-C with the
report so far and 130.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from ..locks.errors import ScenarioError
from ..locks.rwsem_policy import POLICIES
from ..methods.tally import DETECT, Interrupted, TIMEOUT
from ..report.result import Result


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of a command line, with --version."""
    top = _Parser(prog=prog, description=description, allow_abbrev=False)
    try:
        number = version("pci-lock-laboratory")
    except PackageNotFoundError:
        number = "of a checkout: not installed"
    top.add_argument("--version", action="version", version=f"{prog} {number}")
    return top


def positive_int(text: str) -> int:
    """Read a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def positive_seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 < number < 1e8:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return number


def add_run_options(command: argparse.ArgumentParser, *wanted: str) -> None:
    """Add the *wanted* ones of the options that mean the same everywhere."""
    known: dict[str, dict[str, Any]] = {
        "runs": {"type": positive_int, "metavar": "N", "help": "how many runs"},
        "seconds": {"type": positive_seconds, "metavar": "S", "help": "stop after S seconds"},
        "seed": {"type": int, "metavar": "N", "help": "seed of everything random"},
        "timeout": {"type": positive_seconds, "metavar": "S", "default": TIMEOUT,
                    "help": "judge when no lock was taken or released for S seconds (default %(default)s)"},
        "detect": {"choices": DETECT, "default": "block",
                   "help": "find a deadlock when a thread blocks, or let the threads hang"},
        "policy": {"choices": tuple(POLICIES), "help": "who goes first at a reader/writer lock"},
        "json": {"metavar": "FILE", "help": "write the result as JSON to FILE, or - for stdout"},
        "lockdep": {"action": "store_true",
                    "help": "say what the kernel's own lock validator would have said"},
        "baseline": {"metavar": "FILE",
                     "help": "known cycles, a line each: CLASS -> CLASS -> CLASS  # reason"},
        "full": {"action": "store_true", "help": "report every event, not only what is still held"},
    }
    for name in wanted:
        command.add_argument(f"--{name}", **known[name])


def detection_words(args: argparse.Namespace) -> list[str]:
    """Return the options that say how deadlocks are found."""
    words = [] if args.detect == "block" else [f"--detect {args.detect}"]
    return words + ([] if args.timeout == TIMEOUT else [f"--timeout {args.timeout:g}"])


def again_words(args: argparse.Namespace) -> list[str]:
    """Return the options that the command shown at the end of a report needs to show it again."""
    words = detection_words(args) + (["--lockdep"] if getattr(args, "lockdep", False) else [])
    if getattr(args, "baseline", None):
        words.append(f"--baseline {shlex.quote(args.baseline)}")
    return words


@contextmanager
def json_file(path: str | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Make sure that *path* can be written before the work begins; yield what writes to it.

    What stands in the file stays until there is a result.
    """
    new = False
    if path is not None and path != "-":
        new = not os.path.exists(path)
        with _writing(path, "a"):
            pass

    def write(data: dict[str, Any]) -> None:
        nonlocal new
        if path == "-":
            print(json.dumps(data, indent=1))
        elif path is not None:
            with _writing(path, "w") as file:
                print(json.dumps(data, indent=1), file=file)
            new = False

    try:
        yield write
    except Interrupted as exc:
        if path != "-":
            write(exc.result.as_dict())
        raise
    finally:
        if new and path is not None:   # and left empty: it would look like a result
            os.unlink(path)


@contextmanager
def _writing(path: str, mode: str) -> Iterator[Any]:
    try:
        with open(path, mode, encoding="utf-8") as file:
            yield file
    except OSError as exc:
        raise ScenarioError(f"cannot write {path}: {exc.strerror}") from None


def show(result: Result, write: Callable[[dict[str, Any]], None], to_stdout: bool) -> int:
    """Print the report, unless JSON goes to stdout; write the JSON; return the exit status."""
    if not to_stdout:
        print(result)
    write(result.as_dict())
    return result.verdict.exit_status


def guarded(prog: str, body: Callable[[], int]) -> int:
    """Run *body*; turn bad input, Ctrl-C and a closed pipe into their exit statuses."""
    try:
        status = body()
        sys.stdout.flush()
        return status
    except ScenarioError as exc:
        print(f"{prog}: {exc}", file=sys.stderr)
        return 2
    except Interrupted as exc:
        print(f"\n{exc.result}\n\ninterrupted", flush=True)
        return 130
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python flushes stdout again on its way out; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
