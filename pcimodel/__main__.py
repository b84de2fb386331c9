"""python -m pcimodel: compare the fixes; run, force, predict or stress one scenario."""

from __future__ import annotations

from harness.cli import process

if process.is_program("pcimodel"):
    process.begin()    # before the rest is imported, which takes a while

import shlex
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Any

from harness import Result, ScenarioError
from harness.cli import options, output
from harness.cli.commands import add_commands, add_help_command, perform, prepare, show_help
from harness.cli.output import say
from harness.locks.errors import unknown_name
from harness.methods.ctrl_c import Interrupted

from .fixes import FIXES
from .lab.docstrings import docstring
from .lab.compare import Cell, compare
from .lab.machines import MACHINES, setup_of
from .lab.scenarios import SCENARIOS, scenario, tree_with
from .lab.table import render
from .trees import TREES

DESCRIPTION = "A model of Linux's PCI core with real locks on real threads. Without a command: " \
              "compare every scenario on the plain kernel and with each fix."


def _parser() -> Any:
    top = options.parser("pcimodel", DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands, "SCENARIO", _add_kernel_options,
                 stress="race with random noise on random machines; SCENARIO may be 'all'")
    command = commands.add_parser("compare", help="the table of scenarios and fixes",
                                  allow_abbrev=False)
    command.add_argument("--scenario", action="append", metavar="NAME", dest="scenarios",
                         help="only this scenario (may be given again)")
    _add_kernel_options(command)
    options.add_run_options(command, "timeout", "policy", "json")
    command = commands.add_parser("list", help="the scenarios, kernels and fixes",
                                  allow_abbrev=False)
    options.add_run_options(command, "json")
    add_help_command(commands)
    return top


def _add_kernel_options(command: Any) -> None:
    command.add_argument("--kernel", default="v4.14", metavar="TREE", help="default %(default)s")
    command.add_argument("--fix", action="append", default=[], dest="fixes", metavar="NAME",
                         help="a fix on top of it, also FILE.py:NAME (may be given again)")
    command.add_argument("--machine", metavar="NAME",
                         help="a machine of the list (compare: this one alone)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status. The command itself ends with it."""
    return process.perform("pcimodel", argv, _work)


def _work(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    # The comparison is the main job: its name may be left out.
    if not words or words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        words.insert(0, "compare")
    args = _parser().parse_args(words)
    prepare(args.command)
    body = {"list": _list, "compare": _compare, "help": _help}.get(args.command, _one)
    return output.guarded("pcimodel", lambda: body(args))


def _help(args: Any) -> int:
    return show_help("pcimodel", args.topic,
                     "Verdicts, options, results and the rest: python -m harness help")


def _list(args: Any) -> int:
    known = {"scenarios": {name: entry.summary for name, entry in SCENARIOS.items()},
             "kernels": {name: _first_line(tree) for name, tree in TREES.items()},
             "fixes": {name: _first_line(fix) for name, fix in FIXES.items()},
             "machines": {name: setup.summary for name, setup in MACHINES.items()}}
    with output.json_file(args.json) as write:
        for title, entries in () if write.quiet else known.items():
            say(f"{title}:")
            width = max(map(len, entries)) + 2
            for name, summary in entries.items():
                say(textwrap.fill(summary, 100, initial_indent=f"  {name.ljust(width)}",
                                  subsequent_indent=" " * (width + 2)))
        write(known)
    return 0


def _first_line(cls: type) -> str:
    return docstring(cls).strip().partition("\n")[0]


def _known(args: Any, names: Sequence[str]) -> None:
    """Refuse unknown names in one line, with the nearest that there is."""
    fixes = [name for name in args.fixes    # others name a file
             if ":" not in name and not name.endswith(".py")]
    for what, wanted, known in (("scenario", names, SCENARIOS), ("kernel", [args.kernel], TREES),
                                ("fix", fixes, FIXES)):
        for name in wanted:
            if name not in known:
                raise unknown_name(f"unknown {what}", name, list(known))
    setup_of(args.machine)


def _compare(args: Any) -> int:
    names = args.scenarios or list(SCENARIOS)
    fixes = list(dict.fromkeys(args.fixes)) or list(FIXES)
    _known(args, names)
    refused: dict[str, str] = {}
    for fix in fixes:
        try:
            tree_with(args.kernel, [fix])
        except ValueError as exc:
            refused[fix] = str(exc)
    began = time.perf_counter()
    cells: list[Cell] = []

    def done() -> dict[str, Any]:
        return {"kernel": args.kernel, "fixes": fixes, "refused": refused,
                "seconds": round(time.perf_counter() - began, 3),
                "cells": [cell.as_dict() for cell in cells]}

    with output.json_file(args.json) as write:
        write.so_far = done
        try:
            compare(names, args.kernel, [fix for fix in fixes if fix not in refused],
                    timeout=args.timeout, policy=args.policy or "writer", machine=args.machine,
                    options=options.given(args, "timeout"), cells=cells)
            table = render(cells, refused)
        except KeyboardInterrupt:
            if cells and not write.quiet:    # what was done is not lost
                say(f"{render(cells, refused, finished=False)}\n\ninterrupted")
            raise KeyboardInterrupt from None
        sums = done()
        if not write.quiet:
            say(table)
        write(sums)
    for why in refused.values():
        output.complain(f"pcimodel: {why}")
    return 2 if refused else 0


def _one(args: Any) -> int:
    every = args.command == "stress" and args.scenario == "all"
    names = list(SCENARIOS) if every else [args.scenario]
    _known(args, names)
    options.check_output(args)
    try:
        tree_with(args.kernel, args.fixes)
    except ValueError as exc:
        raise ScenarioError(str(exc)) from None
    with output.json_file(args.json) as write:
        results: list[Result] = []

        def so_far() -> dict[str, Any]:
            gravest = max(results, key=lambda result: result.verdict.graveness)
            return {**gravest.as_dict(), "results": [result.as_dict() for result in results]}

        try:
            for name in names:
                results.append(_result(args, name, len(names)))
        except KeyboardInterrupt as exc:
            if results and not write.quiet:    # what was done is not lost
                say("\n\n".join(map(str, results)))
            results += [exc.result] if every and isinstance(exc, Interrupted) else []
            write.so_far = so_far if every and results else None
            raise
        if not every:
            return output.show(results[0], write)
        sums = so_far()
        if not write.quiet:
            say("\n\n".join(map(str, results)))
        write(sums)
        return max(results, key=lambda result: result.verdict.graveness).verdict.exit_status


def _result(args: Any, name: str, of: int) -> Result:
    factory = scenario(name, args.kernel, args.fixes, args.policy or "writer", args.machine)
    words = [name, *_kernel_words(args)]
    result = perform(args, factory,
                     lambda command: " ".join([f"python -m pcimodel {command}", *words]), of)
    result.full = args.full
    return result


def _kernel_words(args: Any) -> list[str]:
    words = [] if args.kernel == "v4.14" else [f"--kernel {args.kernel}"]
    words += [f"--fix {shlex.quote(fix)}" for fix in args.fixes]
    words += [f"--policy {args.policy}"] if args.policy else []
    return words + ([f"--machine {args.machine}"] if args.machine else [])


if __name__ == "__main__":
    sys.exit(main())
