"""python -m harness: the tools on scenarios of one's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from . import options
from .api import force, run
from .replaying import replay
from .scenario import load
from .stress_loop import stress

DESCRIPTION = "Race, force and stress scenarios of threads and locks. MODULE:NAME names a callable " \
              "that builds a fresh world and returns its roles."


def _parser() -> Any:
    top = options.parser("harness", DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_, wanted in (
            ("run", "let the roles race", ("runs", "seconds", "timeout", "detect", "json", "full")),
            ("force", "make the roles meet where it hurts",
             ("runs", "seconds", "timeout", "detect", "json", "full")),
            ("stress", "race with random noise until something breaks",
             ("runs", "seconds", "seed", "timeout", "detect", "json", "full"))):
        command = commands.add_parser(name, help=help_, allow_abbrev=False)
        command.add_argument("scenario", metavar="MODULE:NAME")
        options.add_run_options(command, *wanted)
    command = commands.add_parser("replay", help="show a finding of stress again", allow_abbrev=False)
    command.add_argument("token", metavar="TOKEN")
    options.add_run_options(command, "timeout", "json", "full")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = _parser().parse_args(argv)

    def body() -> int:
        with options.json_file(args.json) as write:
            if args.command == "replay":
                result = replay(args.token, timeout=args.timeout)
            else:
                result = _call(args)
            result.full = args.full
            return options.show(result, write, args.json == "-")

    return options.guarded("harness", body)


def _call(args: Any) -> Any:
    scenario = load(args.scenario)
    common = {"seconds": args.seconds, "timeout": args.timeout, "detect": args.detect}
    if args.command == "stress":
        return stress(scenario, runs=args.runs, seed=args.seed, progress=sys.stderr.isatty(),
                      **common)
    result = (run if args.command == "run" else force)(scenario, runs=args.runs or 1, **common)
    result.again = " ".join([f"python -m harness {args.command} {args.scenario}",
                             *options.again_words(args)])
    return result
