"""The comparison, and the command line of pcimodel."""

from __future__ import annotations

import json

import pytest

from harness.cli.commands import COMMANDS
from harness import stress
from pcimodel.__main__ import main
from pcimodel.fixes import FIXES
from pcimodel.lab import compare as table_of_cells
from pcimodel.lab.machines import MACHINES
from pcimodel.lab.scenarios import SCENARIOS
from pcimodel.trees import TREES


def run_main(capsys, *words):
    """Return exit status, standard output and standard error of a command."""
    try:
        status = main(words)
    except SystemExit as exc:
        status = exc.code
    out, err = capsys.readouterr()
    return status, out, err


def test_the_table_has_a_cell_for_every_scenario_and_fix(comparison):
    assert (comparison.status, comparison.err) == (0, "")
    assert set(comparison.cells) == {(name, fix) for name in SCENARIOS for fix in (None, *FIXES)}
    looked_at = ("probe-vs-aer", "unbind-vs-aer", "vf-driver-load")
    assert {key: str(cell.result.verdict) for key, cell in comparison.cells.items()
            if key[0] in looked_at} == {
        ("probe-vs-aer", None): "deadlock", ("probe-vs-aer", "collect-then-lock"): "not-reached",
        ("probe-vs-aer", "defer-vf-add"): "not-reached",
        ("probe-vs-aer", "defer-vf-add-notify"): "not-reached",
        ("unbind-vs-aer", None): "deadlock", ("unbind-vs-aer", "collect-then-lock"): "not-reached",
        ("unbind-vs-aer", "defer-vf-add"): "deadlock",
        ("unbind-vs-aer", "defer-vf-add-notify"): "deadlock",
        ("vf-driver-load", None): "clean", ("vf-driver-load", "collect-then-lock"): "clean",
        ("vf-driver-load", "defer-vf-add"): "clean",
        ("vf-driver-load", "defer-vf-add-notify"): "clean"}


def test_json_has_the_cells_asked_for_and_nothing_else_is_printed(capsys):
    status, out, err = run_main(capsys, "--json", "-", "--scenario", "unbind-vs-aer", "--scenario",
                                "vf-driver-load", "--fix", "collect-then-lock")
    cells = {(cell["scenario"], cell["fix"]): cell["verdict"] for cell in json.loads(out)["cells"]}
    assert (status, err) == (0, "")
    assert cells == {
        ("unbind-vs-aer", None): "deadlock", ("unbind-vs-aer", "collect-then-lock"): "not-reached",
        ("vf-driver-load", None): "clean", ("vf-driver-load", "collect-then-lock"): "clean"}


def test_the_comparison_explains_each_fix_that_leaves_a_deadlock(capsys):
    status, out, _ = run_main(
        capsys, "compare", "--scenario", "disable-vs-aer", "--fix", "defer-vf-add")
    assert status == 0
    assert "disable-vs-aer on v4.14:" in out
    assert ("disable-vs-aer with defer-vf-add:\n"
            "    CPU0 waits in pci_destroy_dev() for &pci_bus_sem") in out
    assert max(map(len, out.splitlines())) <= 100


def test_list_names_every_scenario_kernel_and_fix(capsys):
    status, out, _ = run_main(capsys, "list")
    assert status == 0
    assert all(f"  {name} " in out for name in [*SCENARIOS, *FIXES, *MACHINES, "v4.14"])


def test_list_is_one_json_object_where_that_is_wanted(capsys):
    status, out, _ = run_main(capsys, "list", "--json", "-")
    listed = json.loads(out)
    assert (status, {key: list(value) for key, value in listed.items()}) == (
        0, {"scenarios": list(SCENARIOS), "kernels": list(TREES), "fixes": list(FIXES),
            "machines": list(MACHINES)})
    assert listed["scenarios"]["vf-driver-load"] == SCENARIOS["vf-driver-load"].summary


@pytest.mark.parametrize("words, said", [
    (["force", "no-such-race"], "unknown scenario 'no-such-race'"),
    (["force", "probe-vs-aer", "--kernel", "v9.9"], "unknown kernel 'v9.9'"),
    (["force", "probe-vs-aer", "--fix", "prayer"], "unknown fix 'prayer'"),
    (["force", "probe-vs-aer", "--fix", "defer-vf-add", "--fix", "defer-vf-add-notify"],
     "cannot be combined: both change"),
    (["force", "probe-vs-aer", "--timeout", "soon"], "'soon' is not a number of seconds"),
    (["force", "probe-vs-aer", "--runs", "0"], "0 is below 1"),
    (["force", "probe-vs-aer", "--json", "/no/such/folder/f"], "cannot write /no/such/folder/f"),
    (["--scenario", "no-such-race"], "unknown scenario 'no-such-race'"),
    (["--fix", "prayer"], "unknown fix 'prayer'"),
    (["--fix", "colect-then-lock"], "unknown fix 'colect-then-lock'; did you mean 'collect-"),
    (["--machine", "swich"], "unknown machine 'swich'; did you mean 'switch'?"),
    (["force", "probe-vs-aer", "--machine", "x86"], "unknown machine 'x86'; there are two-ports, "),
    (["force", "prob-vs-aer"], "did you mean 'probe-vs-aer'?"),
    (["frobnicate"], "unknown command 'frobnicate'"),
    (["force"], "required: SCENARIO"),
])
def test_bad_input_is_one_line_and_status_2(words, said, capsys):
    status, out, err = run_main(capsys, *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert said in err and "Traceback" not in err


@pytest.mark.parametrize("words, status", [
    (["force", "probe-vs-aer"], 1), (["force", "probe-vs-aer", "--fix", "collect-then-lock"], 3),
    (["run", "vf-driver-load"], 0), (["stress", "probe-vs-aer", "--runs", "20", "--seed", "1"], 1)])
def test_the_exit_status_is_the_verdicts(words, status, capsys, tmp_path):
    file = tmp_path / "result.json"
    assert run_main(capsys, *words, "--json", str(file))[0] == status
    data = json.loads(file.read_text())
    assert {"scenario", "verdict", "how", "coverage", "cycle", "findings", "trace", "replay",
            "seconds"} <= set(data)


def test_stress_all_reports_every_scenario(capsys):
    status, out, _ = run_main(capsys, "stress", "all", "--runs", "2", "--seed", "4")
    assert status in (0, 1)
    assert all(f"{name}: 2 runs" in out for name in SCENARIOS)


def test_a_file_that_stands_is_kept_when_the_input_is_bad(tmp_path, capsys):
    file = tmp_path / "result.json"
    file.write_text("precious")
    assert run_main(capsys, "force", "no-such-race", "--json", str(file))[0] == 2
    assert file.read_text() == "precious"


def test_an_interrupt_keeps_the_scenarios_that_were_done(capsys, monkeypatch):
    done = []

    def stress_two(factory, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(factory.scenario_name)
        return stress(factory, runs=1, seed=1)

    monkeypatch.setitem(COMMANDS, "stress", COMMANDS["stress"]._replace(function=stress_two))
    status, out, _ = run_main(capsys, "stress", "all")
    assert (status, [name in out for name in done]) == (130, [True, True])


def interrupted_after(number, plain):
    """Return *plain*, which Ctrl-C breaks into when it is called once more."""
    calls = []

    def called(*given, **more):
        calls.append(given)
        if len(calls) > number:
            raise KeyboardInterrupt
        return plain(*given, **more)

    return called


def test_an_interrupt_keeps_the_cells_and_scenarios_that_were_filled_in_the_file_too(
        capsys, monkeypatch, tmp_path):
    file = tmp_path / "x.json"
    two = ("--scenario", "vf-driver-load", "--scenario", "unbind-vs-aer")
    monkeypatch.setattr(table_of_cells, "judge", interrupted_after(2, table_of_cells.judge))
    status, out, err = run_main(capsys, *two, "--fix", "defer-vf-add", "--fix",
                                "collect-then-lock", "--json", str(file))
    data = json.loads(file.read_text())
    assert (status, err, [cell["fix"] for cell in data["cells"]], data["interrupted"]) == (
        130, "\ninterrupted\n", [None, "defer-vf-add"], True)
    assert out.splitlines()[2].split() == ["vf-driver-load", "clean", "clean"]
    assert "What another policy" not in out
    monkeypatch.setattr(table_of_cells, "judge", interrupted_after(0, None))
    assert run_main(capsys, *two)[:2] == (130, "")    # no cell, no table
    monkeypatch.setitem(COMMANDS, "stress", COMMANDS["stress"]._replace(
        function=interrupted_after(2, lambda factory, **_: stress(factory, runs=1, seed=1))))
    status, out, _ = run_main(capsys, "stress", "all", "--json", str(file))
    data = json.loads(file.read_text())
    assert (status, len(data["results"]), data["interrupted"]) == (130, 2, True)


@pytest.mark.parametrize("policy, changed", [
    ("writer", "  reader: nested-walk on v4.14: clean, not deadlock"),
    ("reader", "  writer: nested-walk on v4.14: deadlock, not clean")])
def test_the_comparison_says_what_another_policy_changes(policy, changed, capsys):
    _, out, _ = run_main(capsys, "--policy", policy, "--scenario", "nested-walk", "--fix",
                         "collect-then-lock")
    assert f"What another policy of &pci_bus_sem than {policy} changes:" in out
    assert changed in out.splitlines()
