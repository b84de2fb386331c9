"""The commands that `harness` and `pcimodel` share: those on one scenario, and help.

help prints pages for which neither --help nor the README has room. A page is a file ``TOPIC.md`` in
the folder `pages` of a package, each command line has those of its own; its first line is
``# TOPIC: what it is about``. It is printed as it stands.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exploration.ways import check_strategy
from ..locks.errors import unknown_name
from .options import OPTIONS, add_run_options, given
from .output import say

if TYPE_CHECKING:
    from ..report.result import Result


class Command(NamedTuple):
    """A command: what it does, the function that does it, the options it takes."""

    help: str
    function: Callable[..., Result]
    options: tuple[str, ...]


def _call(name: str, *args: Any, **more: Any) -> Result:
    """Call the function of `methods` of that name, imported when it is called: it takes a while."""
    result: Result = getattr(import_module(f"..methods.{name}", __package__), name)(*args, **more)
    return result


_NOT_OF_THE_CALL = ("policy", "json", "full")
_COMMON = ("runs", "seconds", "timeout", "policy", "detect", "json", "full")
COMMANDS = {
    "run": Command("let the roles race", partial(_call, "run"), _COMMON),
    "force": Command("make the roles meet where it hurts", partial(_call, "force"), _COMMON),
    "predict": Command("name the deadlocks that the order of the locks allows, and force them",
                       partial(_call, "predict"), (*_COMMON, "lockdep", "baseline")),
    "explore": Command("try every order of the lock operations, until one fails",
                       partial(_call, "explore"),
                       ("seconds", "seed", "timeout", "policy", "json", "full", "strategy",
                        "max-schedules", "all", "check-determinism", "fresh", "trust-locks",
                        "no-engine", "preemptions", "depth")),
    "stress": Command("race with random noise until something breaks",
                      partial(_call, "stress"), ("seed", *_COMMON)),
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


def prepare(command: str) -> None:
    """Import what *command* needs, while a signal still ends the process at once."""
    if command in ("replay", *COMMANDS):
        import_module(f"..methods.{command}", __package__)


def perform(args: Any, scenario: Callable[[], Any], again: Callable[[str], str],
            share: int = 1) -> Result:
    """Do what *args* asks with *scenario*.

    Args:
        again: returns the line of a command without its options, for the end of the report.
        share: among how many scenarios the seconds are shared.
    """
    command = COMMANDS[args.command]
    names = [OPTIONS[name].get("dest", name.replace("-", "_"))
             for name in command.options if name not in _NOT_OF_THE_CALL]
    keywords = {name: getattr(args, name) for name in names}
    if keywords["seconds"] is not None:
        keywords["seconds"] /= share
    if args.command == "explore":    # in Python any seed will do where nothing is drawn
        check_strategy(args.strategy, seed=args.seed)
    if args.command in ("stress", "explore"):
        progress = sys.stderr is not None and sys.stderr.isatty()
        return command.function(scenario, progress=progress, **keywords)
    from ..runtime.scenario import name_of
    from .waiting import told_to_wait

    if args.command == "force":
        keywords["runs"] = keywords["runs"] or 1
    with told_to_wait(f"{args.command} {name_of(scenario)}"):
        result = command.function(scenario, **keywords)
    how_long = ("runs", "seconds") if args.command == "run" else ()    # fewer might show nothing
    result.again = again(args.command) + given(args, *how_long, "detect", "timeout", "lockdep",
                                               "baseline")
    if args.command == "predict":
        result.next = again("force") + given(args, "detect", "timeout")
    return result


def add_help_command(commands: Any) -> None:
    """Add the command to a parser."""
    command = commands.add_parser("help", help="list the pages, or print one", allow_abbrev=False)
    command.add_argument("topic", nargs="?", metavar="TOPIC")


def show_help(package: str, topic: str | None, more: str = "") -> int:
    """Print the page of *package* on *topic*, or the list of its pages; return the exit status.

    Args:
        more: a line for the end of the list.

    Raises:
        ScenarioError: there is no such page.
    """
    from importlib.resources import files

    folder = files(package) / "pages"
    pages = {page.name.removesuffix(".md"): page.read_text(encoding="utf-8")
             for page in sorted(folder.iterdir(), key=lambda page: page.name)
             if page.name.endswith(".md")}
    if topic is None:
        say(f"Pages, printed by `python -m {package} help TOPIC`:\n")
        width = max(map(len, pages))
        for name, text in pages.items():
            title = text.partition("\n")[0].partition(": ")[2]
            say(f"  {name:<{width}}  {title}")
        if more:
            say(f"\n{more}")
    elif topic in pages:
        say(pages[topic], end="")
    else:
        raise unknown_name("there is no page", topic, list(pages))
    return 0
