"""The commands on one scenario that `harness` and `pcimodel` share: their options, and the call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from ..methods.exploration import STRATEGIES
from ..methods.explore import explore
from ..methods.force import force
from ..methods.predict import predict
from ..methods.run import run
from ..methods.stress import stress
from ..report.result import Result
from .options import add_run_options, again_words, detection_words, positive_int


def add_explore_options(command: argparse.ArgumentParser) -> None:
    """Add the options that `explore` alone has; those it shares are in options.py."""
    words = "; ".join(f"{name}: {what}" for name, what in STRATEGIES.items())
    command.add_argument("--strategy", choices=tuple(STRATEGIES), default="dpor", metavar="S",
                         help=f"{words} (default %(default)s)")
    command.add_argument("--max-schedules", type=positive_int, metavar="N",
                         help="stop after N schedules")
    command.add_argument("--all", action="store_true",
                         help="go on after a finding, and count them by verdict")
    command.add_argument("--check-determinism", action="store_true",
                         help="run every schedule twice and compare")
    command.add_argument("--trust-locks", action="store_true",
                         help="check invariants once a class: they look at what locks order")
    command.add_argument("--no-engine", action="store_true",
                         help="do not ask the fast engine first: real threads alone")
    command.add_argument("--preemptions", type=int, default=2, metavar="N",
                         help="for bounded: how often a role that could go on waits (default 2)")
    command.add_argument("--depth", type=positive_int, default=3, metavar="N",
                         help="for pct: how many orderings the bug needs (default 3)")


def explore_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `explore` that the options give."""
    return {"strategy": args.strategy, "max_schedules": args.max_schedules,
            "seconds": args.seconds, "seed": args.seed, "all": args.all, "timeout": args.timeout,
            "check_determinism": args.check_determinism, "trust_locks": args.trust_locks,
            "engine": not args.no_engine, "preemptions": args.preemptions, "depth": args.depth}


class Command(NamedTuple):
    """A command: what it does, the function that does it, the options it takes."""

    help: str
    function: Callable[..., Result]
    options: tuple[str, ...]


_NOT_OF_THE_CALL = ("policy", "json", "full")
_COMMON = ("runs", "seconds", "timeout", "policy", "detect", "json", "full")
COMMANDS = {
    "run": Command("let the roles race", run, _COMMON),
    "force": Command("make the roles meet where it hurts", force, _COMMON),
    "predict": Command("name the deadlocks that the order of the locks allows, and force them",
                       predict, (*_COMMON, "lockdep", "baseline")),
    "explore": Command("try every order of the lock operations, until one fails", explore,
                       ("seconds", "seed", "timeout", "policy", "json", "full")),
    "stress": Command("race with random noise until something breaks", stress, ("seed", *_COMMON)),
}


def add_commands(commands: Any, metavar: str, prepare: Callable[[Any], None] = lambda command: None,
                 **helps: str) -> None:
    """Add every command to a parser.

    Args:
        metavar: what the scenario is called.
        prepare: called with each command's parser, to add options of one's own.
        helps: command -> another help.
    """
    for name, command in COMMANDS.items():
        parser = commands.add_parser(name, help=helps.get(name, command.help), allow_abbrev=False)
        parser.add_argument("scenario", metavar=metavar)
        prepare(parser)
        add_run_options(parser, *command.options)
        if name == "explore":
            add_explore_options(parser)


def perform(args: Any, scenario: Callable[[], Any], again: Callable[[str], str],
            share: int = 1) -> Result:
    """Do what *args* asks with *scenario*.

    Args:
        again: returns the line of a command without its options, for the end of the report.
        share: among how many scenarios the seconds are shared.
    """
    command = COMMANDS[args.command]
    keywords = explore_arguments(args) if args.command == "explore" else {
        name: getattr(args, name) for name in command.options if name not in _NOT_OF_THE_CALL}
    if keywords["seconds"] is not None:
        keywords["seconds"] /= share
    if args.command in ("stress", "explore"):
        return command.function(scenario, progress=sys.stderr.isatty(), **keywords)
    if args.command in ("run", "force"):
        keywords["runs"] = keywords["runs"] or 1
    result = command.function(scenario, **keywords)
    result.again = " ".join([again(args.command), *again_words(args)])
    if args.command == "predict":
        result.next = " ".join([again("force"), *detection_words(args)])
    return result
