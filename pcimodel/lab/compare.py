"""The comparison: every scenario on a tree and on the tree with each fix, side by side.

What a cell says is what runs showed: the race is forced, and, unless that ends in a deadlock, also
run under drawn schedules, on one machine after another. All of it is bounded by counts and drawn
from one seed, so that a cell is the same each time. Nothing is looked up.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import Result, Verdict, explore, force
from harness.locks.errors import ScenarioError
from harness.methods.force import ON_THE_WAY
from harness.runtime.verdict import Finding, Outcome

from .machines import DEFAULT, MACHINES
from .scenarios import SCENARIOS, scenario

SCHEDULES = 2    # drawn for a cell on each machine
SEED = 2017


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
            force and nothing was found, or where the kernel got not as far as the scenario.
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
    def found(self) -> bool:
        """Whether anything was found."""
        return found(self.result)

    @property
    def elsewhere(self) -> bool:
        """Whether it was found otherwise than by forcing the race on the first machine."""
        return self.found and (self.method == "explore" or self.machine != self.machines[0])

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
            policy: str, machine: str | None = None, options: str = "",
            cells: list[Cell] | None = None) -> list[Cell]:
    """Fill the table: *names* of scenarios by the plain tree and each of *fixes*.

    Args:
        cells: gets each as it is filled, for when this is interrupted; it is returned.
        machine: the only one; None: all of them.
        options: those of the command line that belong into the commands that show a cell again.
    """
    machines = [machine] if machine else list(MACHINES)
    cells = [] if cells is None else cells
    for name in names:
        for fix in (None, *fixes):
            cells.append(judge(Question(name, kernel, fix, policy, timeout, options), machines))
    return cells


def judge(question: Question, machines: Sequence[str]) -> Cell:
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
                    method == "explore" and best is not None and found(best[0]):
                continue
            try:
                result = question.ask(method, machine)
            except ScenarioError as exc:    # there is no world to run in
                result, method = _unbuilt(question, exc), "compare"
            if _cut_short(method, result):
                cut = cut or (result, method, machine)
            if (method, machine) == ("force", first):
                forced, best = result.verdict, (result, method, machine)
            elif found(result) and (best is None or
                                     result.verdict.graveness > best[0].verdict.graveness):
                best = result, method, machine
        if best is not None and (best[0].verdict is Verdict.DEADLOCK or best[0].outcome.stuck
                                 or best[0].verdict is Verdict.HANG and not began(best[0])):
            break    # nothing is graver; or each further run would leave a thread, or wait as long
    runs = SCHEDULES * len(machines)
    if cut is not None and (best is None or not found(best[0])):
        return Cell(question, machines, forced, *cut)
    if best is None:
        best = Result(question.scenario, Verdict.CLEAN, "observed", {"runs": runs},
                      Outcome([], []), 0.0), "compare", first
    if not found(best[0]):
        best[0].coverage |= {"drawn_schedules": runs, "machines": len(machines), "seed": SEED}
    return Cell(question, machines, forced, *best)


def _unbuilt(question: Question, exc: ScenarioError) -> Result:
    """Return what a kernel comes to that does not get as far as the scenario: an error."""
    finding = Finding(Verdict.ERROR, "observed", str(exc))
    return Result(question.scenario, Verdict.ERROR, "observed", {"runs": 0},
                  Outcome([finding], []), 0.0)


def _cut_short(method: str, result: Result) -> bool:
    """Say whether fewer runs came to their end than were asked for, though nothing was found."""
    return result.verdict is Verdict.INCONCLUSIVE and (
        method == "force" or result.coverage["schedules"] < SCHEDULES or bool(result.outcome.stuck))


def began(result: Result) -> bool:
    """Say whether *result* is of a world that could be built."""
    return bool(result.coverage.get("runs") or result.coverage.get("schedules"))


def found(result: Result) -> bool:
    """Say whether *result* is a finding."""
    return result.verdict.exit_status == 1
