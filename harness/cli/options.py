"""The options that the command lines of `harness` and `pcimodel` share."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any

from ..exploration.ways import STRATEGIES
from ..locks.errors import ScenarioError
from ..locks.policies import POLICIES
from ..methods.defaults import DETECT, TIMEOUT
from .output import say
from .parser import Parser


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of a command line, with --version."""
    top = Parser(prog=prog, description=description, allow_abbrev=False)
    top.add_argument("--version", action=_Version, nargs=0, help="show its number and exit")
    return top


class _Version(argparse.Action):
    """Says which version is installed: to find that out takes longer than all else."""

    def __call__(self, command: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("pci-lock-laboratory")
        except PackageNotFoundError:
            number = "of a checkout: not installed"
        say(f"{command.prog} {number}")
        command.exit()


def whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def positive_int(text: str) -> int:
    """Read a whole number of at least 1."""
    number = whole(text)
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
    "seed": {"type": whole, "metavar": "N", "help": "seed of everything random"},
    "timeout": {"type": positive_seconds, "metavar": "S", "default": TIMEOUT, "help":
                "judge when no lock was taken or released for S seconds (default %(default)s)"},
    "detect": {"choices": DETECT, "default": "block",
               "help": "find a deadlock when a thread blocks, or let the threads hang"},
    "patch": {"action": "store_true", "help":
              "have locks, events and queues of the standard library be ours: no line is changed"},
    "policy": {"choices": POLICIES, "help": "who goes first at a reader/writer lock"},
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
    "preemptions": {"type": whole, "metavar": "N", "help":
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
    """Refuse what is asked of a report that is not printed, and to write over what is read."""
    path = args.json
    if path == "-" and getattr(args, "full", False):
        raise ScenarioError("--full is of the report, and --json - prints none")
    if path is None or path == "-":
        return
    for key, value in vars(args).items():
        for word in value if isinstance(value, list) else [value]:
            parts = str(word).split(":")    # FILE, or FILE:NAME
            for name in [":".join(parts[:n]) for n in range(1, len(parts) + 1)]:
                if key != "json" and _is_same(name, path):
                    raise ScenarioError(f"--json {path} would write over {name}, which is read")


def _is_same(name: str, path: str) -> bool:
    try:
        return os.path.isfile(name) and os.path.samefile(name, path)
    except OSError:
        return False
