"""The comparison: every scenario on a tree and on the tree with each fix, side by side.

What a cell says is what runs showed: the race is forced, and where that finds nothing it is also
run with noise. Nothing is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import Result, Verdict, force, stress
from harness.methods.force import ON_THE_WAY
from harness.report.diagram import blocked_by, diagram
from harness.locks.rwsem_policy import POLICIES

from .scenarios import SCENARIOS, scenario

NOISY_RUNS = 20    # runs with noise for a cell in which forcing the race found nothing
SEED = 2017


@dataclass
class Cell:
    """One scenario on one kernel."""

    scenario: str
    kernel: str
    fix: str | None
    policy: str
    forced: Verdict | None     # what forcing the race came to; None for a control
    result: Result

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON output."""
        return {**self.result.as_dict(), "scenario": self.scenario, "kernel": self.kernel,
                "fix": self.fix}


def compare(names: Sequence[str], kernel: str, fixes: Sequence[str], *, timeout: float,
            policy: str) -> list[Cell]:
    """Fill the table: *names* of scenarios by the plain tree and each of *fixes*."""
    return [_judge(name, kernel, fix, timeout, policy)
            for name in names for fix in (None, *fixes)]


def _judge(name: str, kernel: str, fix: str | None, timeout: float, policy: str) -> Cell:
    """Return what runs show for one cell, the graver of a forced race and of noise."""
    factory = scenario(name, kernel, [fix] if fix else [], policy)
    forced = force(factory, timeout=timeout) if SCENARIOS[name].has_meeting else None
    if forced is not None and forced.verdict.exit_status == 1:
        return Cell(name, kernel, fix, policy, forced.verdict, forced)
    noisy = stress(factory, runs=NOISY_RUNS, seed=SEED, timeout=timeout)
    if forced is None:
        return Cell(name, kernel, fix, policy, None, noisy)
    if noisy.verdict.graveness > forced.verdict.graveness:
        return Cell(name, kernel, fix, policy, forced.verdict, noisy)
    forced.coverage["runs_with_noise"] = NOISY_RUNS
    return Cell(name, kernel, fix, policy, forced.verdict, forced)


def render(cells: Sequence[Cell]) -> str:
    """Return the table, the diagram of the first deadlock, and why each fix that left one did."""
    parts = [_table(cells)]
    first = next((cell for cell in cells if cell.result.verdict is Verdict.DEADLOCK), None)
    if first is not None:
        result = first.result
        picture = diagram(result.outcome, result.names, result.titles)
        parts.append(f"{first.scenario} on {_column(first)}:\n\n{picture}")
    parts.append(_what_fixes_leave(cells))
    parts.append(_what_policies_change(cells))
    parts.append(_legend(cells))
    return "\n\n".join(filter(None, parts))


def _column(cell: Cell) -> str:
    return f"{cell.kernel} {cell.fix}" if cell.fix else cell.kernel


def _table(cells: Sequence[Cell]) -> str:
    columns = list(dict.fromkeys(cell.fix for cell in cells))
    heads = [fix or cells[0].kernel for fix in columns]
    names = list(dict.fromkeys(cell.scenario for cell in cells))
    first = max(map(len, names)) + 2
    widths = [max(len(head), len("inconclusive")) + 2 for head in heads]
    lines = [" " * first + "".join(map(str.ljust, heads, widths)).rstrip(),
             "-" * (first + sum(widths))]
    for name in names:
        words = [_word(cell) for cell in cells if cell.scenario == name]
        lines.append(name.ljust(first) + "".join(map(str.ljust, words, widths)).rstrip())
    return "\n".join(lines)


def _word(cell: Cell) -> str:
    on_the_way = ON_THE_WAY in cell.result.outcome.notes
    return f"{cell.result.verdict}{' *' if on_the_way else ''}"


def _what_fixes_leave(cells: Sequence[Cell]) -> str:
    """Say which fixes leave something in which scenario, and why; the same reason is told once."""
    where: dict[tuple[str, ...], list[str]] = {}
    for cell in cells:
        if cell.fix is not None and cell.result.verdict.exit_status == 1:
            where.setdefault(_why(cell.result), []).append(f"{cell.scenario} with {cell.fix}")
    lines = []
    for legs, names in where.items():
        lines += [f"  {name}:" for name in names]
        lines += [f"    {leg}" for leg in legs]
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
                    f"{blocked_by(state, finding.roles)}")
        legs.append(f"  and holds {held}")
    return tuple(legs)


def _what_policies_change(cells: Sequence[Cell]) -> str:
    """Say which forced races end otherwise where pci_bus_sem prefers others."""
    used = cells[0].policy
    lines = []
    for policy in POLICIES:
        for cell in cells:
            if policy != used and cell.forced is not None:
                fixes = [cell.fix] if cell.fix else []
                other = force(scenario(cell.scenario, cell.kernel, fixes, policy)).verdict
                if other is not cell.forced:
                    lines.append(f"  {policy}: {cell.scenario} on {_column(cell)}: {other}, "
                                 f"not {cell.forced}")
    return "\n".join([f"What another policy of &pci_bus_sem than {used} changes:",
                      *(lines or ["  nothing"])])


def _legend(cells: Sequence[Cell]) -> str:
    words = {str(cell.result.verdict) for cell in cells}
    noise = f"{NOISY_RUNS} noisy runs on random machines found nothing"
    said = {
        "deadlock": "deadlock     a cycle of threads that wait for each other, on real threads",
        "not-reached": f"not-reached  the race cannot be set up here; {noise}",
        "clean": f"clean        {noise} (no proof)",
    }
    lines = [text for word, text in said.items() if word in words]
    if any("*" in _word(cell) for cell in cells):
        lines.append("*            another one than the scenario is about, met on the way there")
    return "\n".join(lines)
