"""python -m harness: the tools on scenarios of one's own.

A command imports what it needs when it is called: `--version`, `--help` and what is refused do not
wait for the explorer.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from . import options, output
from .commands import add_commands, add_help_command, perform, prepare, show_help

if TYPE_CHECKING:
    from ..report.result import Result

DESCRIPTION = "Race, force, predict and stress scenarios of threads and locks. SCENARIO is " \
              "MODULE:NAME, a callable that builds a fresh world and returns its roles, or " \
              "FILE.json[:CASE[:VERSION]], a lock program as data."


def _parser() -> Any:
    top = options.parser("harness", DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands, "SCENARIO",
                 lambda command: options.add_run_options(command, "patch"))
    command = commands.add_parser("replay", help="show a finding of stress or explore again",
                                  allow_abbrev=False)
    command.add_argument("token", metavar="TOKEN")
    command.add_argument("scenario", metavar="SCENARIO", nargs="?",
                         help="the scenario, if the one that the token names is not to be used")
    options.add_run_options(command, "patch", "timeout", "json", "full")
    command = commands.add_parser("cases", allow_abbrev=False,
                                  help="judge every case of a file against what it expects")
    command.add_argument("file", metavar="FILE.json")
    options.add_run_options(command, "timeout", "json")
    add_help_command(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = _parser().parse_args(argv)
    prepare(args.command)

    def body() -> int:
        if args.command == "help":
            return show_help("harness", args.topic)
        options.check_output(args)
        with output.json_file(args.json) as write:
            if args.command == "cases":
                from .cases import show_cases
                return show_cases(args.file, write, args.timeout)
            with _patched(args.patch):    # before anything of the user's is imported
                result = _replay(args) if args.command == "replay" else _call(args)
            result.full = args.full
            return output.show(result, write)

    return output.guarded("harness", body)


def _patched(on: bool) -> AbstractContextManager[object]:
    if not on:
        return nullcontext()
    from ..patching.patched import patched

    return patched()


def _replay(args: Any) -> Result:
    from ..methods.replay import replay
    from ..programs.loading import load

    scenario = None if args.scenario is None else load(args.scenario)
    return replay(args.token, scenario, timeout=args.timeout)


def _call(args: Any) -> Result:
    from ..programs.loading import load

    words = shlex.quote(args.scenario) + options.given(args, "policy", "patch")
    return perform(args, load(args.scenario, args.policy),
                   lambda command: f"python -m harness {command} {words}")
