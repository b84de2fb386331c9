"""The laboratory's scenarios under prediction and exploration."""

from __future__ import annotations

import pytest

from harness import Verdict, explore, predict, replay
from pcimodel.__main__ import main
from pcimodel.lab.scenarios import SCENARIOS, scenario

FORCED = sorted(name for name, entry in SCENARIOS.items() if entry.has_meeting)
# With a fix: a deadlock that is left, one that the fix brings, and races that it takes away. All of
# them: python -m benchmarks --check races.
FIXED = [("unbind-vs-aer", "defer-vf-add"), ("unbind-vs-vf-add", "defer-vf-add-notify"),
         ("unbind-vs-vf-add", "collect-then-lock"), ("disable-vs-aer", "defer-vf-add-notify"),
         ("reader-behind-writer", "defer-vf-add")]
INVERSION = "&dev->mutex -> &pci_bus_sem -> &dev->mutex"


def test_one_clean_run_of_the_mails_paths_is_enough_to_force_them():
    result = predict(scenario("probe-vs-aer"), runs=1, lockdep=True)
    [found] = result.predictions
    assert (result.verdict, found.key, found.status) == (Verdict.DEADLOCK, INVERSION, "forced")
    assert (result.lockdep[0], "lockdep_set_novalidate_class" in found.lockdep) == ("nothing", True)


@pytest.mark.parametrize("name, fix", [*((name, None) for name in FORCED), *FIXED])
def test_what_the_declared_meeting_ends_in_is_what_prediction_says(name, fix, comparison):
    predicted = predict(scenario(name, fixes=[fix] if fix else []))
    forced = comparison.cells[name, fix].forced
    assert (predicted.verdict is Verdict.DEADLOCK) == (forced is Verdict.DEADLOCK)
    assert "NOT" not in predicted.coverage["declared_meeting"]


@pytest.mark.parametrize("name", ["unbind-vs-vf-add", "unbind-vs-aer", "vf-driver-load"])
def test_collect_then_lock_leaves_nothing_to_predict(name):
    result = predict(scenario(name, fixes=["collect-then-lock"]))
    assert (result.verdict, result.predictions) == (Verdict.CLEAN, [])


def test_orders_between_two_devices_other_than_down_the_tree_are_findings():
    """As in the mail, but the lock of another device: by class it is an inversion all the same."""
    [found] = predict(scenario("aer-on-another-port")).predictions
    assert (found.key, found.status) == (INVERSION, "unconfirmed")


def test_exploration_finds_the_deadlock_of_the_mail_by_real_threads_alone():
    result = explore(scenario("probe-vs-aer"), engine=False)
    assert (result.verdict, result.coverage["schedules"] <= 10) == (Verdict.DEADLOCK, True)
    again = replay(result.replay)    # the token names scenario, kernel and fixes
    assert (again.verdict, again.cycle) == (Verdict.DEADLOCK, result.cycle)


@pytest.mark.parametrize("engine", [True, False])
def test_collect_then_lock_is_proven_for_probe_against_recovery(engine):
    result = explore(scenario("probe-vs-aer", fixes=["collect-then-lock"]), engine=engine)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.CLEAN, True)


def test_prediction_and_its_validator_on_the_command_line(capsys):
    assert main(["predict", "probe-vs-aer", "--lockdep"]) == 1
    report = capsys.readouterr().out
    assert "possible circular locking dependency detected" in report
    assert "What the kernel's validator would have said of the same run:\n  nothing" in report
    assert main(["predict", "probe-vs-aer", "--fix", "collect-then-lock"]) == 0


def test_a_baseline_silences_the_known_deadlock(tmp_path, capsys):
    known = tmp_path / "known"
    known.write_text(f"{INVERSION}  # reported in 2017, no fix merged\n")
    assert main(["predict", "probe-vs-aer", "--baseline", str(known)]) == 0
    assert "reported in 2017, no fix merged" in capsys.readouterr().out
