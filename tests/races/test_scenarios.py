"""The scenarios of the laboratory: the plain kernel deadlocks as reported, each fix does what its
proposal claims.
"""

from __future__ import annotations

import os
import random
import sys
from functools import partial

import pytest

from harness import Verdict, force, replay, stress
from pcimodel.__main__ import main
from pcimodel.fixes import FIXES, apply
from pcimodel.lab.compare import SCHEDULES
from pcimodel.lab.machines import MACHINES
from pcimodel.lab.scenarios import SCENARIOS, scenario
from pcimodel.lab.worlds import World
from pcimodel.trees import TREES

PF = "&dev->mutex (0000:01:00.0)"
SEM = "&pci_bus_sem"
WORK = "(work_completion)(&iov->add_work)"
RACES = [name for name, entry in SCENARIOS.items() if entry.has_meeting]
CONTROLS = [name for name, entry in SCENARIOS.items() if not entry.has_meeting]


def legs(result):
    """Return {role: (the lock it wants, how)} of the deadlock."""
    return {leg["role"]: (leg["wants"], leg["mode"]) for leg in result.cycle}


TWO = {"CPU0": (SEM, "exclusive"), "CPU1": (PF, "exclusive")}
DEADLOCKS = {
    # (scenario, fix or None): who waits for what; from the reports of real kernels if there are any
    ("probe-vs-aer", None): TWO,
    ("sysfs-enable-vs-aer", None): TWO,
    ("sysfs-enable-vs-aer-resume", None): TWO,
    ("disable-vs-aer", None): TWO,
    ("unbind-vs-aer", None): TWO,
    ("enable-unbind-vs-aer", None): TWO,
    ("reader-behind-writer", None): {"CPU0": (SEM, "shared"), "CPU1": (PF, "exclusive"),
                                     "CPU2": (SEM, "exclusive")},
    ("nested-walk", None): {"CPU0": (SEM, "exclusive"), "CPU1": (SEM, "shared")},
    ("disable-vs-aer", "defer-vf-add"): TWO,
    ("unbind-vs-aer", "defer-vf-add"): TWO,
    ("nested-walk", "defer-vf-add"): {"CPU0": (SEM, "exclusive"), "CPU1": (SEM, "shared")},
    ("reader-behind-writer", "defer-vf-add"): {"CPU0": (SEM, "shared"), "CPU1": (PF, "exclusive"),
                                               "CPU2": (SEM, "exclusive")},
    ("enable-unbind-vs-aer", "defer-vf-add"): {
        "CPU0": (WORK, "wait"), "CPU1": (PF, "exclusive"), "kworker/0:0": (SEM, "exclusive")},
    ("unbind-vs-vf-add", "defer-vf-add-notify"): {
        "CPU0": (WORK, "wait"), "kworker/0:0": (PF, "exclusive")},
}
NOTIFY_INHERITS = {(name, "defer-vf-add-notify"): cycle
                   for (name, fix), cycle in DEADLOCKS.items() if fix == "defer-vf-add"}
EXPECTED = DEADLOCKS | NOTIFY_INHERITS


@pytest.mark.parametrize("fix", [None, *FIXES])
@pytest.mark.parametrize("name", RACES)
def test_a_forced_race_deadlocks_in_the_expected_cells_and_in_no_other(name, fix, comparison):
    cell = comparison.cells[name, fix]    # what is forced is its result, if that is a deadlock
    if (name, fix) in EXPECTED:
        assert (cell.forced, legs(cell.result)) == (Verdict.DEADLOCK, EXPECTED[name, fix])
    else:
        assert cell.forced is Verdict.NOT_REACHED, cell.result


ALONE = [name for name, fix in EXPECTED if fix is None]


@pytest.fixture(scope="module")
def timed_out(at_once):
    """The futures of what forcing comes to by the timeout: all wait for it together."""
    calls = [partial(force, scenario(name), detect="timeout", timeout=0.4) for name in ALONE]
    return dict(zip(ALONE, at_once(*calls), strict=True))


@pytest.mark.parametrize("name", ALONE)
def test_both_ways_to_detect_agree(name, timed_out):
    blocked, hung = force(scenario(name)), timed_out[name].result()
    assert (hung.how, blocked.how) == ("timed out", "observed")
    assert (hung.verdict, hung.cycle) == (blocked.verdict, blocked.cycle)


@pytest.mark.parametrize("fix", [None, *FIXES])
@pytest.mark.parametrize("name", CONTROLS)
def test_controls_are_clean(name, fix, comparison):
    result = comparison.cells[name, fix].result
    runs = SCHEDULES * len(MACHINES)
    assert (result.verdict, result.coverage["runs"]) == (Verdict.CLEAN, runs), result


@pytest.mark.parametrize("policy", ["writer", "fair", "reader"])
def test_the_deadlock_of_the_mail_needs_no_writer_preference(policy):
    result = force(scenario("probe-vs-aer", policy=policy))
    assert (result.verdict, legs(result)) == (Verdict.DEADLOCK, TWO)


@pytest.mark.parametrize("name", ["nested-walk", "reader-behind-writer"])
def test_a_reader_hangs_only_where_a_queued_writer_keeps_readers_out(name):
    verdicts = {policy: force(scenario(name, policy=policy)).verdict
                for policy in ("writer", "fair", "reader")}
    assert verdicts == {"writer": Verdict.DEADLOCK, "fair": Verdict.DEADLOCK,
                        "reader": Verdict.CLEAN}


def test_the_forced_report_is_the_mails_picture_every_time():
    result = force(scenario("probe-vs-aer"), runs=50)
    assert result.coverage == {"runs": 50, "verdicts": {"deadlock": 50}, "distinct_reports": 1}
    report = str(result)
    mail = ["__driver_attach()", "device_lock(0000:01:00.0)", "do_recovery()",
            "broadcast_error_message()", "pci_walk_bus()", "down_read(&pci_bus_sem)",
            "driver_probe_device()", "pci_enable_sriov()", "sriov_enable()", "pci_iov_add_virtfn()",
            "pci_device_add()", "down_write(&pci_bus_sem)  <-- waits, CPU1 holds it for read",
            "report_error_detected()", "device_lock(0000:01:00.0)  <-- waits, CPU0 holds it"]
    places = []
    for text in mail:
        places.append(report.index(text, places[-1] + 1 if places else 0))
    assert places == sorted(places)
    assert max(map(len, report.splitlines())) <= 100


@pytest.mark.parametrize("name", ["probe-vs-aer", "disable-vs-aer", "sysfs-enable-vs-aer-resume"])
def test_a_deadlock_found_by_stress_in_a_random_world_replays(name):
    result = stress(scenario(name), runs=20, seed=7)
    assert result.verdict is Verdict.DEADLOCK
    again = [replay(result.replay) for _ in range(3)]
    assert [(each.verdict, each.cycle) for each in again] == [(result.verdict, result.cycle)] * 3


@pytest.mark.parametrize("name", list(SCENARIOS))
@pytest.mark.parametrize("fixes", [["collect-then-lock", "defer-vf-add"],
                                   ["collect-then-lock", "defer-vf-add-notify"]])
def test_fixes_combine(name, fixes):
    assert apply(TREES["v4.14"], fixes).name == "v4.14"
    allowed = {Verdict.NOT_REACHED, Verdict.CLEAN}
    if (name, fixes[1]) in EXPECTED and WORK in str(EXPECTED[name, fixes[1]]) and "CPU1" not in \
            EXPECTED[name, fixes[1]]:
        # The flush trap needs no recovery: no fix of recovery cures it.
        allowed = {Verdict.DEADLOCK}
    assert force(scenario(name, fixes=fixes)).verdict in allowed


def test_random_worlds_are_of_many_shapes():
    def shape(seed):
        world = World(TREES["v4.14"], "writer", random.Random(seed))
        names = sorted(dev.name for dev in world.kernel.for_each_pci_dev())
        return (*names, world.pf.sriov.offset, world.number_of_vfs())

    assert len({shape(seed) for seed in range(100)}) >= 12


def test_the_comparison_agrees_with_what_reasoning_expects(comparison):
    # KERNEL.md 8.2, rows S1 S2 S4 S5 S6, columns a (plain), b (collect) and c (defer): where it
    # says DEADLOCK.
    expected = {"probe-vs-aer": "a", "sysfs-enable-vs-aer": "a", "reader-behind-writer": "ac",
                "nested-walk": "ac", "disable-vs-aer": "ac", "unbind-vs-aer": "ac"}
    kernels = {"a": None, "b": "collect-then-lock", "c": "defer-vf-add"}
    found = {name: "".join(column for column, fix in kernels.items()
                           if comparison.cells[name, fix].forced is Verdict.DEADLOCK)
             for name in expected}
    assert found == expected


@pytest.mark.parametrize("ends", [lambda *args: sys.exit(0), lambda *args: os._exit(9)])
def test_a_driver_that_ends_the_program_is_an_error_through_the_command(monkeypatch, capsys, ends):
    monkeypatch.setattr(TREES["v4.14"], "pci_enable_sriov", ends)
    assert main(["run", "probe-vs-aer"]) == 1
    assert "test_scenarios.py:" in capsys.readouterr().out.partition("\n")[0]
