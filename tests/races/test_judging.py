"""How a cell is judged: what is asked on which machine, and which of the answers counts."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from harness import Verdict
from harness.report.result import Result
from harness.runtime.verdict import Finding, Outcome
from pcimodel.lab import compare
from pcimodel.lab.compare import SCHEDULES, Cell, Question, judge
from pcimodel.lab.scenarios import scenario
from pcimodel.lab.table import render

MACHINES = ["first", "second", "third"]


def came_to(verdict, stuck=False):
    """Return the result of runs that came to *verdict*."""
    verdict = Verdict(verdict)
    found = [Finding(verdict, "observed", "x")] if verdict.exit_status == 1 else []
    return Result("x", verdict, "observed", {"runs": 1, "schedules": SCHEDULES},
                  Outcome(found, [], stuck=["role"] if stuck else []), 0.0)


def judged(scenario, answers, stuck=()):
    """Judge a cell whose runs come to *answers*, by (method, machine) or else "clean"; return it
    and what was asked.
    """
    asked = []

    def ask(method, machine):
        asked.append((method, machine))
        return came_to(answers.get((method, machine), "clean"), (method, machine) in stuck)

    return judge(SimpleNamespace(scenario=scenario, ask=ask), MACHINES), asked


def test_race_is_forced_and_schedules_are_drawn_on_each_machine_while_nothing_is_found():
    cell, asked = judged("probe-vs-aer", {})
    assert {key: cell.result.coverage[key] for key in ("drawn_schedules", "machines", "seed")} == {
        "drawn_schedules": 3 * SCHEDULES, "machines": 3, "seed": compare.SEED}
    assert asked == [(method, machine) for machine in MACHINES for method in ("force", "explore")]


def test_control_has_nothing_to_force():
    cell, asked = judged("vf-driver-load", {})
    assert asked == [("explore", machine) for machine in MACHINES]
    assert (cell.forced, cell.method, cell.machine) == (None, "compare", "first")
    assert cell.result.coverage["runs"] == SCHEDULES * len(MACHINES)


def test_after_a_finding_no_more_is_drawn_and_after_a_deadlock_no_more_is_tried():
    _, asked = judged("probe-vs-aer", {("explore", "first"): "violation"})
    assert asked[2:] == [("force", "second"), ("force", "third")]
    _, asked = judged("probe-vs-aer", {("force", "second"): "deadlock"})
    assert asked[-1] == ("force", "second")


@pytest.mark.parametrize("second, third, shown", [
    ("violation", "violation", "second"), ("error", "violation", "third"),
    ("violation", "error", "second"), ("clean", "error", "third")])
def test_gravest_counts_and_of_equals_the_first(second, third, shown):
    cell, _ = judged("probe-vs-aer", {("force", "second"): second, ("force", "third"): third})
    assert (cell.machine, cell.method, cell.elsewhere, cell.forced) == (
        shown, "force", True, Verdict.CLEAN)


def test_drawn_runs_that_left_a_role_stuck_were_cut_short_though_all_were_made():
    answers = {("explore", "second"): "inconclusive"}
    cell, _ = judged("vf-driver-load", answers)
    assert cell.result.verdict is Verdict.CLEAN
    cell, _ = judged("vf-driver-load", answers, [("explore", "second")])
    assert (cell.result.verdict, cell.machine) == (Verdict.INCONCLUSIVE, "second")


@pytest.mark.parametrize("method", ["force", "explore"])
def test_question_is_asked_of_its_kernel_with_its_fix_its_policy_and_the_machine(
        method, monkeypatch):
    asked = []
    monkeypatch.setattr(compare, "scenario", lambda *given: asked.append(given))
    monkeypatch.setattr(compare, method, lambda factory, **options: options["timeout"])
    question = Question("probe-vs-aer", "v4.14", "a-fix", "reader", 7)
    assert [question.ask(method, machine) for machine in ("two-ports", "switch")] == [7, 7]
    assert asked == [("probe-vs-aer", "v4.14", ["a-fix"], "reader", None),
                     ("probe-vs-aer", "v4.14", ["a-fix"], "reader", "switch")]


@pytest.mark.parametrize("given, said", [
    ({"name": "probe"}, "unknown name of a scenario: 'probe'"),
    ({"kernel": "v9"}, "unknown kernel 'v9'"), ({"policy": "nonsense"}, "'nonsense'"),
    ({"policy": 5}, "policy is 5"), ({"machine": "x86"}, "unknown machine 'x86'"),
    ({"machine": 5}, "machine is 5"), ({"fixes": "prayer"}, "fixes is 'prayer'"),
    ({"fixes": ["prayer"]}, "unknown fix 'prayer'"),
    ({"fixes": ["defer-vf-add"] * 2}, "fix 'defer-vf-add' is given twice")])
def test_scenario_is_refused_before_any_world_is_built(given, said):
    with pytest.raises(ValueError, match=f"^[^\n]*{re.escape(said)}[^\n]*$"):
        scenario(**{"name": "probe-vs-aer", **given})


def test_other_policies_are_told_of_every_column(monkeypatch):
    monkeypatch.setattr(Question, "ask", lambda self, method, machine: came_to(
        "clean" if self.policy == "reader" else "violation"))
    cells = [Cell(Question("nested-walk", "v4.14", fix, "writer", 5), MACHINES, Verdict.VIOLATION,
                  came_to("violation"), "force", "first") for fix in (None, "a-fix")]
    assert ("What another policy of &pci_bus_sem than writer changes:\n"
            "  reader: nested-walk on v4.14: clean, not violation\n"
            "  reader: nested-walk on v4.14 a-fix: clean, not violation\n\n") in render(cells)
