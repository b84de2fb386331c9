"""predict where something outlives a world: what only the first world of a process does is not
called impossible for that later ones do not do it, nor clean.
"""

import importlib.util
import sys

import pytest
import warm_worlds

from harness import predict


@pytest.fixture
def unworn(monkeypatch):
    """`warm_worlds` as a process has it that has built no world."""
    spec = importlib.util.spec_from_file_location("warm_worlds", warm_worlds.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "warm_worlds", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["module_dict", "lru_cache", "class_attribute",
                                  "cached_property"])
def test_what_only_a_first_world_does_is_not_ruled_out_by_later_ones(unworn, kind):
    """Two goes first in one of the recorded runs at most before all is kept."""
    result = predict(getattr(unworn, kind))
    assert result.verdict.value in ("deadlock", "predicted", "inconclusive")
    assert "cannot happen" not in str(result) and "a proof" not in str(result)
    assert "two did not do in a later world" in str(result).replace("\n  ", " ")


@pytest.mark.parametrize("kind", ["correct", "correct_logs"])
def test_worlds_that_differ_leave_no_clean(unworn, kind):
    result = predict(getattr(unworn, kind))
    assert result.verdict.value == "inconclusive"
    assert "nothing found, but worlds differ: " in str(result)


def test_worlds_that_are_alike_are_clean():
    assert predict(lambda: warm_worlds.crosswise(lambda a: None)).verdict.value == "clean"
