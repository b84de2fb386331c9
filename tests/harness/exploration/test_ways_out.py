"""Whether there is a way out of a state, and what is known of others then: against small graphs."""

import random
from types import SimpleNamespace

import pytest

from harness.exploration.rounds import Ways, way_out

ENDS = ()    # the moves of a state in which all have ended


def random_graph(seed):
    """Return state -> move -> state, of a few states; some are an end."""
    draw = random.Random(seed)
    states = range(draw.randint(2, 7))
    return {state: ENDS if draw.random() < 0.15 else {
        2 * role: draw.choice(states) for role in range(draw.randint(1, 2))} for state in states}


def leads_out(graph, state):
    """Say whether an end can be reached."""
    seen, todo = set(), [state]
    while todo:
        at = todo.pop()
        if not graph[at]:
            return True
        if at not in seen:
            seen.add(at)
            todo += graph[at].values()
    return False


def played(graph, start):
    """Return what plays a schedule in *graph*, after a first step that leads to *start*."""
    def play(ways):
        at = None
        run = SimpleNamespace(steps=[], cut=False, late=False, goes_round=False,
                              again=SimpleNamespace(state=lambda: at))
        while moves := {0: start} if at is None else graph[at]:
            label = ways.choose(run, list(moves))
            if label < 0:
                run.cut = True
                break
            at = moves[label]
            run.steps.append(SimpleNamespace(label=label))
        return ways, run
    return play


@pytest.mark.parametrize("seeds", [range(400)], ids=str)
def test_what_is_known_of_a_state_is_true_whatever_was_asked_before(seeds):
    trapped = 0
    for seed in seeds:
        graph, known = random_graph(seed), {}
        for start in graph:
            found, known = way_out(played(graph, start), Ways([0], known), None)
            assert found is leads_out(graph, start), (seed, start)
            assert known == {state: leads_out(graph, state) for state in known}, (seed, start)
            trapped += not found
    assert trapped > len(seeds) / 2
