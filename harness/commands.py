"""The commands on one scenario that `harness` and `pcimodel` share: their options, and the call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from .api import run
from .exploring import add_explore_options, explore, explore_arguments
from .forcing import force
from .options import add_run_options, again_words, detection_words
from .prediction import predict
from .stress_loop import stress
from .verdict import Result


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
