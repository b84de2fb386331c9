"""python -m benchmarks: measure, and print the table of goals; with --check: run the long checks.

Measuring ends with exit status 0 when it could measure, whatever it measured: a slow machine is no
failure. A check that finds something wrong ends with 1.
"""

from __future__ import annotations

from harness.cli import process

if process.is_program("benchmarks"):
    process.begin()    # before the rest is imported, which takes a while

import argparse
import os
import platform
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from harness import ScenarioError
from harness.cli import options, output
from harness.programs.json_file import read_json

from . import (checking, exploring, forcing, growing, honesty, locking, peers, predicting,
               primitives)
from .measure import Row

QUICK = 0.1   # the scale of --quick


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status. The command itself ends with it."""
    return process.perform("benchmarks", argv, _work)


def _work(argv: Sequence[str] | None) -> int:
    parser = options.parser("benchmarks", "Measure what the tools cost, against the goals.")
    parser.add_argument("--json", metavar="FILE",
                        help="write the result as JSON to FILE, or - for stdout")
    parser.add_argument("--quick", action="store_true", help=f"the same as --scale {QUICK}")
    parser.add_argument("--scale", type=_scale, metavar="F", default=1.0,
                        help="how much to measure (default %(default)s); small is quick and rough")
    parser.add_argument("--compare", metavar="OLD.json",
                        help="show beside each row what --json wrote there before")
    parser.add_argument("--check", nargs="*", choices=checking.CHECKS, metavar="NAME",
                        help="run the long checks instead, or those named: "
                             f"{', '.join(checking.CHECKS)}; all take some minutes")
    parser.add_argument("--seed", type=options.whole, metavar="N",
                        help="with --check: where what is drawn begins")
    parser.add_argument("--seconds", type=options.positive_seconds, metavar="S",
                        help="with --check: draw cases until the time is up")
    args = parser.parse_args(argv)
    scale = QUICK if args.quick else args.scale
    if args.check is None and (args.seed is not None or args.seconds is not None):
        parser.error("--seed and --seconds say how much to --check")
    if args.check is not None and args.compare is not None:
        parser.error("--compare is of what is measured, and --check measures nothing")

    def body() -> int:
        before = Before.read(args.compare) if args.compare is not None else None
        with output.json_file(args.json) as write:
            if args.check is not None:
                amount = checking.Amount(scale, args.seed, args.seconds)
                return _check(amount, args.check, write)
            measured = _measure(scale)
            if not write.quiet:
                output.say(_text(measured, before))
            rows = [row.as_dict() for row in measured["rows"]]
            if before is not None:
                rows = [{**row, "before": before.now.get(row["what"])} for row in rows]
            write({**measured, "rows": rows})
        return 0

    return output.guarded("benchmarks", body)


def _check(amount: checking.Amount, names: list[str], write: output.Writer) -> int:
    """Run the checks, and say what each comes to as it ends; return the exit status."""
    done: list[checking.Check] = []

    def sums() -> dict[str, Any]:
        failed = sum(not check.ok for check in done)
        return {**_where(amount.scale), "checks": [check.as_dict() for check in done],
                "passed": len(done) - failed, "failed": failed}

    write.so_far = sums
    for check in checking.checks(amount, names):
        done.append(check)
        if not write.quiet:
            output.say(check)
    write(sums())
    return 0 if all(check.ok for check in done) else 1


@dataclass(frozen=True)
class Before:
    """What was measured at another time.

    Attributes:
        now: by row.
    """

    machine: str
    now: dict[str, float]

    @classmethod
    def read(cls, path: str) -> Before:
        """Return what --json wrote.

        Raises:
            ScenarioError: *path* cannot be read, or is no such file.
        """
        data = read_json(path)
        try:
            rows = [(row["what"], row["now"]) for row in data["rows"]]
            if not all(isinstance(what, str) and isinstance(now, (int, float, NoneType))
                       for what, now in rows):
                raise TypeError
            return cls(_machine(data), {what: now for what, now in rows if now is not None})
        except (KeyError, TypeError, ValueError):
            raise ScenarioError(f"{path} is not what --json of the benchmarks writes") from None


def _machine(measured: dict[str, Any]) -> str:
    pinned = "pinned to one" if measured["pinned"] else "not pinned"
    return f"{measured['implementation']} {measured['python']}, {measured['cpus']} CPUs, " \
           f"{pinned}, scale {measured['scale']:g}"


def _scale(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < number <= 10:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 10")
    return number


def _where(scale: float) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "pinned": hasattr(os, "sched_setaffinity"),
        "scale": scale,
    }


def _measure(scale: float) -> dict[str, Any]:
    parts = locking, primitives, forcing, predicting, exploring, growing
    return {**_where(scale), "rows": [row for part in parts for row in part.rows(scale)],
            "peers": peers.table(scale), "honesty": honesty.table(scale)}


def _text(measured: dict[str, Any], before: Before | None = None) -> str:
    """Return what is printed: the table of goals, and what chance finds."""
    lines = [_machine(measured)]
    if before is not None:
        lines.append(f"before: {before.machine}")
    lines += ["", f"{'':76}{'goal':>8}{'now':>9}  {'':8}{'spread':17}"
                  f"{'' if before is None else 'before, now / before'}".rstrip()]
    for row in measured["rows"]:
        lines.append(_line(row, before))
        if row.note:
            lines += textwrap.wrap(row.note, 120, initial_indent="    ", subsequent_indent="    ")
    gone = before.now.keys() - {row.what for row in measured["rows"]} if before else ()
    lines += [f"no longer measured: {what}" for what in sorted(gone)]
    lines += ["", *peers.text(measured["peers"])]
    lines += ["", "The deadlock of the mail on bare locks: what chance finds",
              f"{'':52}{'tries':>8}{'hits':>8}{'seconds':>10}{'per hit':>12}"
              f"{'of it its timeout':>20}"]
    return "\n".join([*lines, *(_chance(**look) for look in measured["honesty"])])


def _chance(how: str, tries: int, hits: int, seconds: float, timeouts: float) -> str:
    line = f"{how:52}{tries:8,}{hits:8,}{seconds:10.2f}"
    if not hits:
        return f"{line}{'never':>12}"
    return f"{line}{seconds / hits * 1000:9,.2f} ms{timeouts / hits * 1000:17,.2f} ms"


def _line(row: Row, before: Before | None) -> str:
    word = {True: "ok", False: "behind", None: ""}[row.ok]
    spread = " to ".join(map(_number, row.spread)) if row.spread else ""
    what = f"{row.what}, {row.unit}" if row.unit != "x" else row.what
    line = f"{what:76}{_number(row.goal):>8}{_number(row.now):>9}  {word:8}{spread:17}"
    old = before.now.get(row.what) if before is not None else None
    if old and row.now is not None:
        line += f" {_number(old):>9}, {row.now / old:.2f}"
    return line.rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
