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

from ..exploration.ways import STRATEGIES
from ..locks.callsite import raised
from ..locks.errors import ScenarioError
from ..locks.rwsem_policy import POLICIES
from ..methods.ctrl_c import Interrupted
from ..methods.tally import DETECT, TIMEOUT
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


# An option means the same everywhere; its name is that of the argument it gives, but for "dest".
OPTIONS: dict[str, dict[str, Any]] = {
    "runs": {"type": positive_int, "metavar": "N", "help": "how many runs"},
    "seconds": {"type": positive_seconds, "metavar": "S", "help": "stop after S seconds"},
    "seed": {"type": int, "metavar": "N", "help": "seed of everything random"},
    "timeout": {"type": positive_seconds, "metavar": "S", "default": TIMEOUT, "help":
                "judge when no lock was taken or released for S seconds (default %(default)s)"},
    "detect": {"choices": DETECT, "default": "block",
               "help": "find a deadlock when a thread blocks, or let the threads hang"},
    "policy": {"choices": tuple(POLICIES), "help": "who goes first at a reader/writer lock"},
    "json": {"metavar": "FILE", "help": "write the result as JSON to FILE, or - for stdout"},
    "lockdep": {"action": "store_true",
                "help": "say what the kernel's own lock validator would have said"},
    "baseline": {"metavar": "FILE",
                 "help": "known cycles, a line each: CLASS -> CLASS -> CLASS  # reason"},
    "full": {"action": "store_true", "help": "report every event, not only what is still held"},
    "strategy": {"choices": tuple(STRATEGIES), "default": "dpor", "metavar": "S",
                 "help": "; ".join(f"{name}: {what}" for name, what in STRATEGIES.items())
                 + " (default %(default)s)"},
    "max-schedules": {"type": positive_int, "metavar": "N", "help": "stop after N schedules"},
    "all": {"action": "store_true", "help": "go on after a finding, and count them by verdict"},
    "check-determinism": {"action": "store_true", "help": "run every schedule twice and compare"},
    "fresh": {"action": "store_true",
              "help": "run each schedule in a process of its own, in which no world came before"},
    "trust-locks": {"action": "store_true",
                    "help": "check invariants once a class: they look at what locks order"},
    "no-engine": {"action": "store_false", "dest": "engine",
                  "help": "do not ask the fast engine first: real threads alone"},
    "preemptions": {"type": int, "metavar": "N", "help":
                    "for bounded: how often a role that could go on waits (default 2)"},
    "depth": {"type": positive_int, "metavar": "N",
              "help": "for pct: how many orderings the bug needs (default 3)"},
}


def add_run_options(command: argparse.ArgumentParser, *wanted: str) -> None:
    """Add the *wanted* ones of `OPTIONS`."""
    for name in wanted:
        command.add_argument(f"--{name}", **OPTIONS[name])


def given(args: argparse.Namespace, *names: str) -> str:
    """Return the options of these *names* that were given, as one writes them after a command."""
    words = ""
    for name in names:
        value = getattr(args, name, None)
        if value and value != OPTIONS[name].get("default"):
            text = f"{value:g}" if isinstance(value, float) else shlex.quote(str(value))
            words += f" --{name}" if value is True else f" --{name} {text}"
    return words


def check_output(args: argparse.Namespace) -> None:
    """Refuse what is asked of a report that is not printed."""
    if args.json == "-" and getattr(args, "full", False):
        raise ScenarioError("--full is of the report, and --json - prints none")


@contextmanager
def json_file(path: str | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Make sure that *path* can be written before the work begins; yield what writes to it.

    What stands in the file stays until there is a result.
    """
    file = None if path == "-" else path
    new = file is not None and not os.path.exists(file)
    if file is not None:
        _save(file, "a", "")

    def write(data: dict[str, Any]) -> None:
        nonlocal new
        if path == "-":
            print(json.dumps(data, indent=1))
        elif file is not None:
            _save(file, "w", json.dumps(data, indent=1) + "\n")
            new = False

    try:
        yield write
    except Interrupted as exc:
        if file is not None:
            write(exc.result.as_dict())
        raise
    finally:
        if new and file is not None:   # and left empty: it would look like a result
            os.unlink(file)


def _save(path: str, mode: str, text: str) -> None:
    try:
        with open(path, mode, encoding="utf-8") as file:
            file.write(text)
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
    except SystemExit as exc:    # nothing of ours ends so: a status of its author's choice is none
        print(f"{prog}: {raised(exc)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python flushes stdout again on its way out; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
