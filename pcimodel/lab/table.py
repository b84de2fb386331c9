"""The table of the comparison, and what is said below it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness import Result, Verdict
from harness.locks.policies import POLICIES
from harness.report.diagram import WIDTH, diagram
from harness.report.proof import blocked_by, by_name
from harness.runtime.verdict import counted

from .compare import SCHEDULES, Cell
from .machines import DEFAULT

NOT_FILLED = "-"       # what stands in a cell where the table was interrupted
REFUSED = "refused"    # what stands in the column of a fix that does not fit


def render(cells: Sequence[Cell], refused: Mapping[str, str] | None = None,
           finished: bool = True) -> str:
    """Return the table, the diagram of the first deadlock, and why each fix that left one did.

    Args:
        finished: ask for what other policies change, too; else there may be cells that were not
            filled.
        refused: fix -> why it has no cells.
    """
    refused = refused or {}
    parts = [_table(cells, refused)]
    parts += ["\n".join(map(wrapped, refused.values()))]
    first = next((cell for cell in cells if cell.result.verdict is Verdict.DEADLOCK), None)
    if first is not None:
        result = first.result
        picture = diagram(result.outcome, result.names, result.titles)
        parts.append(f"{first.scenario} on {_column(first)}:\n\n{picture}")
    parts.append(_what_fixes_leave(cells))
    parts.append(_found_elsewhere(cells))
    if finished:
        parts.append(_what_policies_change(cells))
    parts.append(_legend(cells))
    return "\n\n".join(filter(None, parts))


def wrapped(text: str, indent: str = "") -> str:
    """Break *text* into lines as wide as a report."""
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ",
                         break_long_words=False, break_on_hyphens=False)


def _column(cell: Cell) -> str:
    kernel = cell.question.kernel
    return f"{kernel} {cell.fix}" if cell.fix else kernel


def _table(cells: Sequence[Cell], refused: Mapping[str, str]) -> str:
    columns = list(dict.fromkeys(cell.fix for cell in cells))
    heads = [fix or cells[0].question.kernel for fix in columns] + list(refused)
    names = list(dict.fromkeys(cell.scenario for cell in cells))
    elsewhere = [cell for cell in cells if cell.elsewhere]
    words = {(cell.scenario, cell.fix): _word(cell, elsewhere) for cell in cells}
    rows = [[words.get((name, fix), NOT_FILLED) for fix in columns]
            + [REFUSED for _ in refused] for name in names]
    first = max(map(len, names)) + 2
    widths = [max(len("inconclusive"), *map(len, column)) + 2
              for column in zip(heads, *rows, strict=True)]
    lines = [" " * first + "".join(map(str.ljust, heads, widths)).rstrip(),
             "-" * (first + sum(widths))]
    for name, row in zip(names, rows, strict=True):
        lines.append(name.ljust(first) + "".join(map(str.ljust, row, widths)).rstrip())
    return "\n".join(lines)


def _word(cell: Cell, elsewhere: Sequence[Cell]) -> str:
    on_the_way = " *" if cell.on_the_way else ""
    number = f" [{elsewhere.index(cell) + 1}]" if cell in elsewhere else ""
    return f"{cell.result.verdict}{on_the_way}{number}"


def _found_elsewhere(cells: Sequence[Cell]) -> str:
    """Say of each cell with a number how and where it was found, and how to see it again."""
    lines = []
    hows = {"force": "forced", "explore": "under a drawn schedule", "compare": "before it began"}
    for number, cell in enumerate((cell for cell in cells if cell.elsewhere), 1):
        how = hows[cell.method]
        lines += [f"[{number}] {cell.scenario} on {_column(cell)}: {how}, on machine "
                  f"{cell.machine}", f"    Again: {cell.again}"]
    return "\n".join(lines)


def _what_fixes_leave(cells: Sequence[Cell]) -> str:
    """Say which fixes leave something in which scenario, and why; the same reason is told once."""
    where: dict[tuple[str, ...], list[str]] = {}
    for cell in cells:
        if cell.fix is not None and cell.found:
            where.setdefault(_why(cell.result), []).append(f"{cell.scenario} with {cell.fix}")
    lines = []
    for legs, names in where.items():
        lines += [f"  {name}:" for name in names]
        lines += [wrapped(leg, "    ") for leg in legs]
    return "\n".join(["What the fixes leave, and why:", *lines]) if lines else ""


def _why(result: Result) -> tuple[str, ...]:
    """Say what was found, two lines for each role of a deadlock."""
    finding = result.finding
    assert finding is not None
    if not finding.cycle:
        return (f"{result.verdict}: {finding.text}",)
    legs = []
    for state in finding.cycle:
        asked = [row["function"] for row in result.trace if row["role"] == state.role]
        held = ", ".join(hold.lock for hold in state.holds) or "nothing"
        legs.append(f"{state.role} waits in {asked[-1].rpartition('.')[2]}() for {state.wants}: "
                    f"{blocked_by(state, by_name(finding.roles))}")
        legs.append(f"  and holds {held}")
    return tuple(legs)


def _what_policies_change(cells: Sequence[Cell]) -> str:
    """Say which forced races end otherwise where pci_bus_sem prefers others."""
    used = cells[0].question.policy
    lines = []
    for policy in POLICIES:
        for cell in cells:
            if policy != used and cell.forced is not None:
                other = replace(cell.question, policy=policy).ask(
                    "force", cell.machines[0]).verdict
                if other is not cell.forced:
                    lines.append(f"  {policy}: {cell.scenario} on {_column(cell)}: {other}, "
                                 f"not {cell.forced}")
    return "\n".join([f"What another policy of &pci_bus_sem than {used} changes:",
                      *(lines or ["  nothing"])])


def _legend(cells: Sequence[Cell]) -> str:
    words = {str(cell.result.verdict) for cell in cells}
    machines = next((cell.result.coverage["machines"] for cell in cells
                     if "machines" in cell.result.coverage), 0)
    drawn = f"{counted(SCHEDULES * machines, 'drawn schedule')} " \
            f"({counted(machines, 'machine')}) found nothing"
    said = {
        "deadlock": "deadlock     a cycle of threads that wait for each other, on real threads",
        "hang": "hang         threads that wait for ever, and no cycle explains it",
        "violation": "violation    a rule was broken, or what the scenario is for was not done",
        "error": "error        the kernel oopsed or did not boot, or a role failed otherwise",
        "inconclusive": "inconclusive a run could not be brought to its end",
        "not-reached": f"not-reached  the race cannot be set up here; {drawn}",
        "clean": f"clean        {drawn} (no proof)",
    }
    lines = [text for word, text in said.items() if word in words]
    if any(cell.on_the_way for cell in cells):
        lines.append("*            another one than the scenario is about, met on the way there")
    if any(cell.elsewhere for cell in cells):
        lines.append("[N]          not by forcing it on the first machine: see there")
    first = cells[0].machines[0]
    machine = f" --machine {first}" if first != DEFAULT else ""
    fix = " --fix FIX" if any(cell.fix for cell in cells) else ""
    lines.append(f"Again: python -m pcimodel force SCENARIO{fix}{machine}; where it is clean, and "
                 f"for all that was tried,")
    lines.append(f"       python -m pcimodel compare --scenario SCENARIO{fix}{machine}")
    return "\n".join(lines)
