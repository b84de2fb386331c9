"""Putting fixes on a tree (pcimodel/fixes)."""

from __future__ import annotations

import pytest

from pcimodel.bus import Bus
from pcimodel.fixes import FIXES, apply, functions_of
from pcimodel.trees.v4_14 import V4_14


def test_no_fix_is_the_tree_itself():
    assert apply(V4_14, []) is V4_14


@pytest.mark.parametrize("name", FIXES)
def test_fix_comes_before_the_tree_and_keeps_its_name(name):
    patched = apply(V4_14, [name])
    assert patched.__mro__.index(FIXES[name]) < patched.__mro__.index(V4_14)
    assert (patched.__name__, patched.name) == (f"v4.14+{name}", "v4.14")


@pytest.mark.parametrize("name", FIXES)
def test_fix_changes_one_to_three_functions_of_the_tree(name):
    changed = {function for function in functions_of(FIXES[name]) if hasattr(V4_14, function)}
    assert 1 <= len(changed) <= 3


@pytest.mark.parametrize("name", FIXES)
def test_fix_says_whose_it_is_and_what_it_costs(name):
    text = FIXES[name].__doc__
    assert "'s " in text.split("\n")[0] and "costs" in text


def test_two_fixes_of_different_functions_combine():
    patched = apply(V4_14, ["collect-then-lock", "defer-vf-add"])
    assert patched.sriov_add_vfs is FIXES["defer-vf-add"].sriov_add_vfs
    assert patched.broadcast_error_message is FIXES["collect-then-lock"].broadcast_error_message


@pytest.mark.parametrize("names", [
    ["defer-vf-add", "defer-vf-add-notify"], ["collect-then-lock", "collect-then-lock"]])
def test_two_fixes_of_the_same_function_are_refused_with_one_line(names):
    with pytest.raises(ValueError, match="both change [a-z_]+\\(\\)$") as refusal:
        apply(V4_14, names)
    assert "\n" not in str(refusal.value)


class Walks(Bus):
    def pci_walk_bus(self, top, cb, userdata):
        super().pci_walk_bus(top, cb, userdata)


class WalksAndGets(Walks):
    def pci_bus_get(self, bus):
        return super().pci_bus_get(bus)


class WalksToo(Bus):
    def pci_walk_bus(self, top, cb, userdata):
        super().pci_walk_bus(top, cb, userdata)


@pytest.mark.parametrize("names", ["inherits other", "other inherits"])
def test_function_that_a_fix_inherits_from_another_class_of_its_author_counts_as_its_own(names):
    fixes = {"inherits": WalksAndGets, "other": WalksToo}
    with pytest.raises(ValueError, match="cannot be combined: both change pci_walk_bus"):
        apply(V4_14, {name: fixes[name] for name in names.split()})


def test_unknown_fix_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="^unknown fix 'xyz'; known are: collect-then-lock, "):
        apply(V4_14, ["xyz"])
