"""A class that would do nothing as a fix, or break its callers, is refused: did you mean ...?"""

from __future__ import annotations

import functools
from contextlib import contextmanager

import pytest

from pcimodel.err import Err
from pcimodel.fixes import FIXES, apply
from pcimodel.fixes.collect_then_lock import CollectThenLock
from pcimodel.kernel import Kernel
from pcimodel.trees.v4_14 import V4_14


def fix(**members):
    """Return a class with these members."""
    return type("Fix", (), members)


def broadcast(self, dev, state, error_mesg, cb):
    return 5


def helper(self):
    return 0


def refusal(cls):
    """Return why *cls* is refused, or "" if it is not."""
    try:
        patched = apply(V4_14, {"mine": cls})
    except ValueError as exc:
        assert "\n" not in str(exc) and str(exc).startswith("fix 'mine' is refused: ")
        return str(exc)
    assert issubclass(patched, cls) and patched.name == "v4.14"
    return ""


class Mangled:
    def __driver_attach(self, dev, drv):
        return 0


class WhoseNameIsMuchLongerThanTheFunctionsItself:
    def __driver_attach(self, dev, drv):
        return 0


class Misspelt(CollectThenLock):
    def aer_pci_walk_buss(self, top, cb, data):
        return None


class TwoThatCallEachOther(Err):
    def broadcast_error_message(self, dev, state, error_mesg, cb):
        return 5

    def report_resumed(self, dev, data):
        return self.report_slot_resetted(dev, data)

    def report_slot_resetted(self, dev, data):
        return self.report_resumed(dev, data)


class CallsItselfOnly:
    def broadcast_error_message(self, dev, state, error_mesg, cb):
        return 5

    def do_recover(self, dev, severity):
        return self.do_recover(dev, severity)


class OfAnotherTree:
    def broadcast_error_message(self, dev, state, error_mesg, cb):
        return 5

    def walk_bridge_with_all_locks(self, bridge, cb, userdata):
        return None


def a_generator(self, dev, state, error_mesg, cb):
    yield 5


async def a_coroutine(self, dev, state, error_mesg, cb):
    return 5


@pytest.mark.parametrize("cls, said", [
    (fix(broadcast_eror_message=broadcast), "did you mean broadcast_error_message?"),
    (fix(sriov_ad_vfs=helper), "no function sriov_ad_vfs(), and nothing in the fix calls it; did "
                               "you mean sriov_add_vfs?"),
    (Mangled, "no function __driver_attach(), and nothing in the fix calls it; did you mean "
              "_driver_attach?"),
    (WhoseNameIsMuchLongerThanTheFunctionsItself, "did you mean _driver_attach?"),
    (Misspelt, "no function aer_pci_walk_buss()"),
    (TwoThatCallEachOther, "no function report_resumed(), and nothing in the fix calls it; did you "
                           "mean report_resume?"),
    (CallsItselfOnly, "no function do_recover(), and nothing in the fix calls it; did you mean "
                      "do_recovery?"),
    (OfAnotherTree, "no function walk_bridge_with_all_locks(), and nothing in the fix calls it"),
    (fix(), "overrides no function of v4.14"),
    (fix(name="mine"), "overrides no function of v4.14"),
    (fix(probe_on_worker=True), "overrides no function of v4.14"),
    (fix(zzzzqqqq=helper), "overrides no function of v4.14"),
], ids=str)
def test_a_function_that_nobody_would_call_is_refused(cls, said):
    assert said in refusal(cls)


@pytest.mark.parametrize("member, said", [
    (lambda self, dev, state: 5, "broadcast_error_message(self, dev, state) has another signature "
                                 "than in v4.14: broadcast_error_message(self, dev, state, "
                                 "error_mesg, cb)"),
    (lambda self, dev, state, error_mesg, cb, more: 5, "has another signature"),
    (lambda self, dev, state, cb, error_mesg: 5, "has another signature"),
    (lambda self, dev, state, error_mesg, *, cb: 5, "has another signature"),
    (lambda dev, state, error_mesg, cb: 5, "has another signature"),
    (staticmethod(broadcast), "is a staticmethod, and in v4.14 it is a function"),
    (classmethod(broadcast), "is a classmethod"),
    (property(broadcast), "is a property"),
    (a_generator, "is a generator, and in v4.14 it is a function"),
    (a_coroutine, "is a coroutine"),
    (contextmanager(a_generator), "is a generator under a decorator"),
    (None, "is None, and in v4.14 it is a function"),
    (5, "is 5, and"),
    (type("Inner", (), {}), "is a class"),
], ids=lambda value: str(value).partition(" at ")[0])
def test_a_function_that_cannot_be_called_as_the_kernels_is_refused(member, said):
    assert said in refusal(fix(broadcast_error_message=member))


def test_an_optional_parameter_stays_optional():
    def takes_reset(self, dev, vf_id, reset):
        return 0

    def takes_more(self, dev, vf_id, reset=0, more=1, *, other=2):
        return 0
    assert "has another signature" in refusal(fix(pci_iov_add_virtfn=takes_reset))
    assert refusal(fix(pci_iov_add_virtfn=takes_more)) == ""


def module_level(kernel):
    return kernel.through_a_function()


class WithHelpers:
    word = "by_its_name"

    def broadcast_error_message(self, dev, state, error_mesg, cb):
        name = "through_getattr"
        getattr(self, name)()
        return [self.directly() for _ in range(1)] and module_level(self)

    def directly(self):
        return self.indirectly

    def indirectly(self):
        return 0

    def through_getattr(self):
        return 0

    def through_a_function(self):
        return 0


class OverridesACaller(CollectThenLock):
    """What it inherits is not called any more: that is no mistake of its own."""

    def broadcast_error_message(self, dev, state, error_mesg, cb):
        return 5


class FromTheStart:
    def __init__(self, *args, **more):
        self.make_ready()
        super().__init__(*args, **more)

    def make_ready(self):
        self.ready = True

    def do_recovery(self, dev, severity):
        return None


@functools.wraps(broadcast)
def decorated(*args):
    return broadcast(*args)


@contextmanager
def locked(self):
    yield


@pytest.mark.parametrize("cls", [
    WithHelpers, OverridesACaller, FromTheStart, CollectThenLock,
    fix(broadcast_error_message=broadcast), fix(broadcast_error_message=decorated),
    fix(broadcast_error_message=lambda self, *args: 5),
    fix(broadcast_error_message=lambda kernel, pdev, channel, message, callback: 5),
    fix(broadcast_error_message=functools.partialmethod(broadcast)),
    fix(pci_lock_rescan_remove=locked), fix(broadcast_error_message=broadcast, data=1)], ids=str)
def test_helpers_and_other_names_of_parameters_are_legal(cls):
    assert refusal(cls) == ""


@pytest.mark.parametrize("cls, said", [
    (5, "it is 5, not a class"), (broadcast, "not a class"),
    (Kernel, "a fix inherits from none"), (type("Tree", (V4_14,), {}), "a fix inherits from none")])
def test_what_is_no_class_or_a_whole_kernel_is_refused(cls, said):
    with pytest.raises(ValueError, match=said):
        apply(V4_14, {"mine": cls})


def test_the_fixes_that_there_are_fit():
    assert [name for name in FIXES if apply(V4_14, [name]) is V4_14] == []
