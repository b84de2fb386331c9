"""python -m harness: the tools on scenarios of one's own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from . import options
from ..methods.replay import replay
from ..programs.loading import load
from .cases import show_cases
from .commands import add_commands, perform
from .help_pages import add_help_command, show_help

DESCRIPTION = "Race, force, predict and stress scenarios of threads and locks. SCENARIO is MODULE:NAME, a " \
              "callable that builds a fresh world and returns its roles, or " \
              "FILE.json[:CASE[:VERSION]], a lock program as data."


def _parser() -> Any:
    top = options.parser("harness", DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands, "SCENARIO")
    command = commands.add_parser("replay", help="show a finding of stress again", allow_abbrev=False)
    command.add_argument("token", metavar="TOKEN")
    options.add_run_options(command, "timeout", "json", "full")
    command = commands.add_parser("cases", help="judge every case of a file against what it expects",
                                  allow_abbrev=False)
    command.add_argument("file", metavar="FILE.json")
    options.add_run_options(command, "timeout", "json")
    add_help_command(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = _parser().parse_args(argv)

    def body() -> int:
        if args.command == "help":
            return show_help("harness", args.topic)
        with options.json_file(args.json) as write:
            if args.command == "cases":
                return show_cases(args.file, write, args.json == "-", args.timeout)
            if args.command == "replay":
                result = replay(args.token, timeout=args.timeout)
            else:
                result = _call(args)
            result.full = args.full
            return options.show(result, write, args.json == "-")

    return options.guarded("harness", body)


def _call(args: Any) -> Any:
    scenario = load(args.scenario, args.policy)
    words = [shlex.quote(args.scenario), *([f"--policy {args.policy}"] if args.policy else [])]
    return perform(args, scenario, lambda name: " ".join([f"python -m harness {name}", *words]))
