"""Wrong fixes (wrong_fixes.py) are told apart from the mail's patch, right ones are not accused."""

from __future__ import annotations

import pytest

from benchmarks import laboratory
from pcimodel.lab.compare import Question, judge
from pcimodel.lab.machines import DEFAULT
from tests.races import wrong_fixes

FILE = wrong_fixes.__file__
CLASSES = {name for name, value in vars(wrong_fixes).items()
           if isinstance(value, type) and value.__module__ == wrong_fixes.__name__}
RIGHT = ["Collects", "SnapshotOnce", "RecoversLater", "GivesUpWhenBusy", "SaysNothing"]
# The wrong fix, a cell that tells, what it says there, and a word of why.
TOLD = [
    ("DoesNothing", "probe-vs-aer", "deadlock", "wait for each other"),
    ("CallsNobody", "sysfs-enable-vs-aer", "violation", "got no call"),
    ("WalksNothing", "disable-vs-aer", "violation", "got no call"),
    ("RecoversNothing", "aer-on-another-port", "violation", "got no call"),
    ("FindsNobody", "nested-walk", "violation", "got no call"),
    ("IgnoresTheInterrupt", "vf-driver-load", "violation", "got no call"),
    ("AlwaysGivesUp", "aer-on-another-port", "violation", "got no call"),
    ("FirstDeviceOnly", "aer-with-vfs", "violation", "10.0 was bound all the time and got no call"),
    ("LastDeviceOnly", "aer-with-vfs", "violation", "00.0 was bound all the time and got no call"),
    ("NoVirtualFunctions", "aer-with-vfs", "violation", "10.0 was bound all the time and got no"),
    ("TellsTwice", "aer-on-another-port", "violation", "error_detected was called twice"),
    ("NoResume", "aer-on-another-port", "violation", "got error_detected, mmio_enabled in"),
    ("NoSlotReset", "aer-with-vfs", "violation", "got error_detected, resume in"),
    ("NoMmioEnabled", "aer-beside-the-pf", "violation", "got error_detected, resume in"),
    ("ResumesAtOnce", "aer-on-another-port", "violation", "got error_detected, resume in"),
    ("GivesUp", "aer-on-another-port", "violation", "got error_detected in"),
    ("AlwaysResets", "aer-on-another-port", "violation", "got error_detected, slot_reset, resume"),
    ("DeviceByDevice", "aer-with-vfs", "violation", "resume was called before the last error_det"),
    ("LinkIsNotReset", "sysfs-enable-vs-aer-resume", "violation", "the link was not reset"),
    ("NeverFrozen", "sysfs-enable-vs-aer-resume", "violation", "was told of channel state 1"),
    ("WithoutTheDeviceLock", "aer-on-another-port", "violation", "without its device lock"),
    ("StaleHandlers", "disable-vs-aer", "violation", "which had no driver any more"),
    ("NoReferences", "disable-vs-aer", "error", "use after free"),
    ("OneReferenceTooFew", "aer-on-another-port", "error", "use after free"),
    ("OneReferenceTooMany", "aer-on-another-port", "violation", "has 5 references"),
    ("AddsWithoutTheSemaphore", "probe-vs-aer", "violation",
     "pci_device_add() changed a list of bus 0000:01 and did not hold &pci_bus_sem for writing"),
    ("RemovesUnderTheSemaphoreForReaders", "disable-vs-aer", "violation",
     "pci_destroy_dev() changed a list of bus 0000:01 and did not hold &pci_bus_sem for writing"),
    ("EnablesNothing", "sysfs-enable-vs-aer", "violation", "2 VFs were enabled, and 0 exist"),
    ("RefusesToEnable", "probe-vs-aer", "violation", "pci_enable_sriov(2) returned -16"),
    ("AddsNoVfs", "probe-vs-aer", "violation", "0 VFs exist"),
    ("AddsOneVfTooFew", "probe-vs-aer", "violation", "1 VFs exist"),
    ("RefusesTheWrite", "disable-vs-aer", "violation", "sriov_numvfs returned -11"),
    ("IgnoresTheWrite", "sysfs-enable-vs-aer", "violation", "never asked to enable VFs"),
    ("DisablesNothing", "disable-vs-aer", "violation", "VFs are left"),
    ("LeavesVfs", "unbind-vs-aer", "violation", "2 VFs exist"),
    ("BindsNoVfs", "sysfs-enable-vs-aer", "violation", "is not bound to its driver"),
    ("UnbindsNothing", "unbind-vs-aer", "violation", "is still bound"),
    ("ProbesNothing", "probe-vs-aer", "violation", "was probed 0 times"),
    ("RescansNothing", "nested-walk", "violation", "is there 0 times after the rescan"),
]


def cell_of(name, fix):
    """Return the cell of *fix* in the row of scenario *name*, on the first machine."""
    return judge(Question(name, "v4.14", fix, "writer", 5), [DEFAULT])


def test_every_wrong_fix_is_told_by_one_cell():
    assert [name for name, *_ in TOLD] == [name for name in vars(wrong_fixes)
                                           if name in CLASSES - {*RIGHT}]


@pytest.mark.parametrize("fix, name, verdict, why", TOLD, ids=[row[0] for row in TOLD])
def test_a_wrong_fix_differs_from_the_patch_of_the_mail_in_a_cell(fix, name, verdict, why,
                                                                  comparison):
    cell = cell_of(name, f"{FILE}:{fix}")
    assert (str(cell.result.verdict), why in cell.result.finding.text) == (verdict, True), \
        cell.result
    assert cell.result.verdict is not comparison.cells[name, "collect-then-lock"].result.verdict


def test_the_same_schedules_are_drawn_each_time(monkeypatch):
    monkeypatch.setattr("pcimodel.lab.compare.SCHEDULES", 4)
    question = Question("enable-unbind-vs-aer", "v4.14", f"{FILE}:StaleHandlers", "writer", 5)

    def asked():
        results = [question.ask("explore", machine) for machine in (DEFAULT, "far-vfs")]
        return [(str(result.verdict), result.coverage["schedules"], result.replay,
                 result.coverage["longest"]) for result in results]
    first = asked()
    assert len({verdict for verdict, *_ in first}) > 1
    assert asked() == first


@pytest.mark.parametrize("fix", RIGHT)
@pytest.mark.parametrize("name", ["sysfs-enable-vs-aer", "vf-driver-load", "aer-with-vfs"])
def test_a_right_fix_in_other_words_has_the_column_of_the_patch(name, fix, comparison):
    patch = comparison.cells[name, "collect-then-lock"].result.verdict
    assert cell_of(name, f"{FILE}:{fix}").result.verdict is patch


@pytest.mark.parametrize("name, fix", laboratory.WHOLE[-2:])
def test_what_must_have_been_done_is_done_in_every_schedule(name, fix):
    """All of them, and more schedules below: python -m benchmarks --check races."""
    assert laboratory.whole(name, fix) == ""


@pytest.mark.parametrize("name, fix", laboratory.BEGUN)
def test_in_the_first_schedules_a_fix_is_accused_of_deadlocks_alone(name, fix):
    assert laboratory.begun(name, fix, 8) == ""
