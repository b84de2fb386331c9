"""What a schedule knows of threads outside the run."""

from types import SimpleNamespace

from harness.exploration.again import Again


def test_that_a_thread_outside_has_acted_is_not_forgotten():
    run = SimpleNamespace(names=SimpleNamespace(every=False), steps=[], tasks=[])
    again = Again(run, SimpleNamespace(every=False, own_rule=False, watches=False))
    seen = []
    for value in (("a",), ("b",), ("b",)):
        again._now = lambda value=value: SimpleNamespace(value=value)
        seen.append((again.changed(), again.others_acted))
    assert seen == [(False, False), (True, True), (False, True)]
