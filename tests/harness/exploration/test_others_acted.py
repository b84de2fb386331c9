"""What a schedule knows of states: what a check looks at tells them apart, and who else acted."""

from types import SimpleNamespace

import pytest

from harness.exploration.again import Again


def schedule(**scenario):
    """Return what was done in which state in a schedule without roles, and its steps."""
    run = SimpleNamespace(names=SimpleNamespace(every=False), steps=[], tasks=[],
                          scenario=SimpleNamespace(
                              **{"check": None, "invariants": {}, "roles": {}} | scenario))
    return Again(run, SimpleNamespace(every=False, own_rule=False, watches=False)), run.steps


def looks_at(box):
    return lambda: bool(box)


@pytest.mark.parametrize("scenario", [
    lambda box: {"check": looks_at(box)}, lambda box: {"invariants": {"it": looks_at(box)}},
    lambda box: {"invariants": {"other": looks_at([]), "it": looks_at(box)}}],
    ids=["check", "invariant", "second invariant"])
def test_what_the_check_or_an_invariant_looks_at_tells_states_apart(scenario):
    box = []
    again, steps = schedule(**scenario(box))
    states = [again.state()]
    for change in (lambda: None, lambda: box.append(1), box.clear):
        change()
        steps.append(None)
        states.append(again.state())
    first, same, other, back = states
    assert first == same == back != other


def test_that_a_thread_outside_has_acted_is_not_forgotten():
    again, _ = schedule()
    seen = []
    for value in (("a",), ("b",), ("b",)):
        again._now = lambda value=value: SimpleNamespace(value=value)
        seen.append((again.changed(), again.others_acted))
    assert seen == [(False, False), (True, True), (False, True)]
