"""The comparison: every scenario on a tree and on the tree with each fix, side by side.

What a cell says is what runs showed: the race is forced, and, unless that ends in a deadlock, also
run under drawn schedules, on one machine after another. All of it is bounded by counts and drawn
from one seed, so that a cell is the same each time. Nothing is looked up.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import Result, Verdict, explore, force
from harness.locks.rwsem_policy import POLICIES
from harness.methods.force import ON_THE_WAY
from harness.report.diagram import WIDTH, blocked_by, diagram
from harness.runtime.verdict import Outcome, counted

from .machines import DEFAULT, MACHINES
from .scenarios import SCENARIOS, scenario

SCHEDULES = 2    # drawn for a cell on each machine
SEED = 2017
REFUSED = "refused"    # what stands in the column of a fix that does not fit


@dataclass
class Question:
    """What a cell answers: how does a scenario end on a kernel? And how is it asked for."""

    scenario: str
    kernel: str
    fix: str | None
    policy: str
    timeout: float
    options: str = ""    # --timeout, where it was given

    def ask(self, method: str, machine: str) -> Result:
        """Force the race on *machine*, or explore it under drawn schedules."""
        factory = scenario(self.scenario, self.kernel, [self.fix] if self.fix else [], self.policy,
                           None if machine == DEFAULT else machine)
        if method == "force":
            return force(factory, timeout=self.timeout)
        return explore(factory, strategy="pct", seed=SEED, max_schedules=SCHEDULES,
                       timeout=self.timeout)

    def again(self, method: str, machine: str) -> str:
        """Return the command that shows again what *method* came to on *machine*."""
        scenario = "--scenario " if method == "compare" else ""
        bounds = f" --strategy pct --seed {SEED} --max-schedules {SCHEDULES}" \
            if method == "explore" else ""
        return f"python -m pcimodel {method} {scenario}{self.scenario}{self._words(machine)}" \
               f"{bounds}{self.options}"

    def _words(self, machine: str) -> str:
        options = {"kernel": self.kernel if self.kernel != "v4.14" else "", "fix": self.fix,
                   "policy": self.policy if self.policy != "writer" else "",
                   "machine": machine if machine != DEFAULT else ""}
        return "".join(f" --{name} {shlex.quote(value)}" for name, value in options.items()
                       if value)


@dataclass
class Cell:
    """One scenario on one kernel.

    Attributes:
        machines: those it was tried on, in their order.
        forced: what forcing the race on the first of them came to; None for a control.
        result: the gravest of all that was tried.
        method: the command that came to it: force or explore; compare where there is no race to
            force and nothing was found.
        machine: where it was found; the first, if nothing was.
    """

    question: Question
    machines: Sequence[str]
    forced: Verdict | None
    result: Result
    method: str
    machine: str

    @property
    def scenario(self) -> str:
        """The scenario's name."""
        return self.question.scenario

    @property
    def fix(self) -> str | None:
        """The fix, as it was named; None on the plain tree."""
        return self.question.fix

    @property
    def again(self) -> str:
        """The command that shows it again."""
        return self.question.again(self.method, self.machine)

    @property
    def elsewhere(self) -> bool:
        """Whether it was found otherwise than by forcing the race on the first machine."""
        return _found(self.result) and \
            (self.method, self.machine) != ("force", self.machines[0])

    @property
    def on_the_way(self) -> bool:
        """Whether it is another deadlock than the one that the scenario is about."""
        return self.result.verdict is Verdict.DEADLOCK \
            and ON_THE_WAY in self.result.outcome.notes

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON output."""
        return {**self.result.as_dict(), "scenario": self.scenario, "kernel": self.question.kernel,
                "fix": self.fix, "method": self.method, "machine": self.machine,
                "again": self.again}


def compare(names: Sequence[str], kernel: str, fixes: Sequence[str], *, timeout: float,
            policy: str, machine: str | None = None, options: str = "") -> list[Cell]:
    """Fill the table: *names* of scenarios by the plain tree and each of *fixes*.

    Args:
        machine: the only one; None: all of them.
        options: those of the command line that belong into the commands that show a cell again.
    """
    machines = [machine] if machine else list(MACHINES)
    return [_judge(Question(name, kernel, fix, policy, timeout, options), machines)
            for name in names for fix in (None, *fixes)]


def _judge(question: Question, machines: Sequence[str]) -> Cell:
    """Return the gravest of what runs show for one cell, the first of several.

    The race is forced on each machine, unless there is none; schedules are drawn until something
    was found.
    """
    first = machines[0]
    forced: Verdict | None = None
    best: tuple[Result, str, str] | None = None
    cut: tuple[Result, str, str] | None = None    # the first that did not come to an end
    for machine in machines:
        for method in ("force", "explore"):
            if method == "force" and not SCENARIOS[question.scenario].has_meeting or \
                    method == "explore" and best is not None and _found(best[0]):
                continue
            result = question.ask(method, machine)
            if _cut_short(method, result):
                cut = cut or (result, method, machine)
            if (method, machine) == ("force", first):
                forced, best = result.verdict, (result, method, machine)
            elif _found(result) and (best is None or
                                     result.verdict.graveness > best[0].verdict.graveness):
                best = result, method, machine
        if best is not None and (best[0].verdict is Verdict.DEADLOCK or best[0].outcome.stuck):
            break    # nothing is graver; or each further run would leave a thread behind
    runs = SCHEDULES * len(machines)
    if cut is not None and (best is None or not _found(best[0])):
        return Cell(question, machines, forced, *cut)
    if best is None:
        best = Result(question.scenario, Verdict.CLEAN, "observed", {"runs": runs},
                      Outcome([], []), 0.0), "compare", first
    if not _found(best[0]):
        best[0].coverage |= {"drawn_schedules": runs, "machines": len(machines), "seed": SEED}
    return Cell(question, machines, forced, *best)


def _cut_short(method: str, result: Result) -> bool:
    """Say whether fewer runs came to their end than were asked for, though nothing was found."""
    return result.verdict is Verdict.INCONCLUSIVE and (
        method == "force" or result.coverage["schedules"] < SCHEDULES or bool(result.outcome.stuck))


def _found(result: Result) -> bool:
    return result.verdict.exit_status == 1


def render(cells: Sequence[Cell], refused: Mapping[str, str] | None = None) -> str:
    """Return the table, the diagram of the first deadlock, and why each fix that left one did.

    Args:
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
    rows = [[_word(cell, elsewhere) for cell in cells if cell.scenario == name]
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
    for number, cell in enumerate((cell for cell in cells if cell.elsewhere), 1):
        how = "forced" if cell.method == "force" else "under a drawn schedule"
        lines += [f"[{number}] {cell.scenario} on {_column(cell)}: {how}, on machine "
                  f"{cell.machine}", f"    Again: {cell.again}"]
    return "\n".join(lines)


def _what_fixes_leave(cells: Sequence[Cell]) -> str:
    """Say which fixes leave something in which scenario, and why; the same reason is told once."""
    where: dict[tuple[str, ...], list[str]] = {}
    for cell in cells:
        if cell.fix is not None and _found(cell.result):
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
                    f"{blocked_by(state, finding.roles)}")
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
        "error": "error        the kernel oopsed, or a role failed otherwise",
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
