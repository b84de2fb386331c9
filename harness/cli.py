"""python -m harness: the tools on scenarios of one's own."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from . import options
from .api import force, run
from .cases import show_cases
from .replaying import replay
from .scenario import load
from .stress_loop import stress

DESCRIPTION = "Race, force and stress scenarios of threads and locks. SCENARIO is MODULE:NAME, a " \
              "callable that builds a fresh world and returns its roles, or " \
              "FILE.json[:CASE[:VERSION]], a lock program as data."


def _parser() -> Any:
    top = options.parser("harness", DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_, wanted in (
            ("run", "let the roles race",
             ("runs", "seconds", "timeout", "policy", "detect", "json", "full")),
            ("force", "make the roles meet where it hurts",
             ("runs", "seconds", "timeout", "policy", "detect", "json", "full")),
            ("stress", "race with random noise until something breaks",
             ("runs", "seconds", "seed", "timeout", "policy", "detect", "json", "full"))):
        command = commands.add_parser(name, help=help_, allow_abbrev=False)
        command.add_argument("scenario", metavar="SCENARIO")
        options.add_run_options(command, *wanted)
    command = commands.add_parser("replay", help="show a finding of stress again", allow_abbrev=False)
    command.add_argument("token", metavar="TOKEN")
    options.add_run_options(command, "timeout", "json", "full")
    command = commands.add_parser("cases", help="judge every case of a file against what it expects",
                                  allow_abbrev=False)
    command.add_argument("file", metavar="FILE.json")
    options.add_run_options(command, "timeout", "json")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = _parser().parse_args(argv)

    def body() -> int:
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
    common = {"seconds": args.seconds, "timeout": args.timeout, "detect": args.detect}
    if args.command == "stress":
        return stress(scenario, runs=args.runs, seed=args.seed, progress=sys.stderr.isatty(),
                      **common)
    result = (run if args.command == "run" else force)(scenario, runs=args.runs or 1, **common)
    result.again = " ".join([f"python -m harness {args.command} {shlex.quote(args.scenario)}",
                             *options.again_words(args)])
    return result
