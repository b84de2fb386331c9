"""What fails on the way, in kernels with a fix: nothing is broken, and the same succeeds later."""

import errno
from functools import cache

import model_operations
import pytest
from model_failures import broken, changes, failing, remembering, state_of
from model_operations import Enable, Recover, RecoverFatal

from pcimodel.err import PCI_ERS_RESULT_DISCONNECT
from pcimodel.fixes import apply
from pcimodel.trees.v4_14 import V4_14

EDOM = -errno.EDOM
DEFERRED = [["defer-vf-add"], ["defer-vf-add-notify"]]


@pytest.fixture
def tree(request, monkeypatch):
    """Boot with the fixes that the test is given."""
    kernel = remembering(apply(V4_14, request.param))
    monkeypatch.setattr(model_operations, "remembering", lambda: kernel)
    return kernel


class Deferred:
    """VFs are enabled, and a worker adds them."""

    undo = Enable.undo

    def build():
        kernel = Enable.build()
        kernel.worker = kernel.create_worker(0)
        return kernel

    def act(kernel):
        answer = Enable.act(kernel)
        kernel.worker.worker_thread()
        return answer


@cache
def without_failure(tree, operation):
    """Return the states before the operation, after it and after it was undone."""
    kernel = operation.build()
    before = told(kernel)
    assert operation.act(kernel) in (0, "Device recovery successful")
    done = told(kernel)
    operation.undo(kernel)
    return before, done, told(kernel)


def told(kernel):
    """Return the state without what a queued work item was given."""
    return {where: value for where, value in state_of(kernel).items() if "add_work" not in where}


@pytest.mark.parametrize("tree", DEFERRED, indirect=True, ids="+".join)
@pytest.mark.parametrize("name, answer, calls", [
    ("pci_iov_add_virtfn", EDOM, 2), ("virtfn_add_bus", None, 2), ("pci_alloc_dev", None, 2),
    ("pci_alloc_bus", None, 1), ("pci_iov_link_virtfn", EDOM, 2), ("sysfs_create_link", EDOM, 5)])
def test_vf_that_could_not_be_added_later_is_a_hole_and_is_there_the_next_time(
        tree, name, answer, calls):
    _, done, undone = without_failure(tree, Deferred)
    for at in range(1 + (calls == 5), calls + 1):    # the first link is dep_link
        kernel = Deferred.build()
        with failing(kernel, name, at, answer) as made:
            assert (at, Deferred.act(kernel), broken(kernel)) == (at, 0, [])
        assert len(made) >= at and sum("but not added" in line for line in kernel.dmesg) == 1
        assert changes(done, told(kernel)) != ""
        Deferred.undo(kernel)
        assert (at, changes(undone, told(kernel)), broken(kernel)) == (at, "", [])
        assert (at, Deferred.act(kernel), changes(done, told(kernel))) == (at, 0, "")


@pytest.mark.parametrize("tree", DEFERRED, indirect=True, ids="+".join)
@pytest.mark.parametrize("name", ["sriov_check", "sriov_add_dep_link", "pcibios_sriov_enable"])
def test_errors_of_enabling_itself_reach_the_driver_and_queue_nothing(tree, name):
    before, done, _ = without_failure(tree, Deferred)
    kernel = Deferred.build()
    with failing(kernel, name, 1, EDOM):
        assert Deferred.act(kernel) == EDOM
    assert (changes(before, told(kernel)), broken(kernel)) == ("", [])
    assert (Deferred.act(kernel), changes(done, told(kernel))) == (0, "")


@pytest.mark.parametrize("tree", [["collect-then-lock"]], indirect=True, ids="+".join)
@pytest.mark.parametrize("operation, name, left", [
    (Recover, "igb.error_detected", ""), (Recover, "igb.mmio_enabled", ""),
    (RecoverFatal, "igb.error_detected", "0000:01:00.0: error_state"),
    (RecoverFatal, "reset_link", "0000:01:00.0: error_state"),
    (RecoverFatal, "igb.slot_reset", "0000:01:00.0: error_state")])
def test_recovery_of_what_was_collected_fails_as_without_the_fix(tree, operation, name, left):
    _, done, _ = without_failure(tree, operation)
    kernel = operation.build()
    with failing(kernel, name, 1, PCI_ERS_RESULT_DISCONNECT):
        assert operation.act(kernel) == "Device recovery failed"
    assert (changes(done, told(kernel)), broken(kernel)) == (left, [])
    assert operation.act(kernel) == "Device recovery successful"
    assert (changes(done, told(kernel)), broken(kernel)) == ("", [])
