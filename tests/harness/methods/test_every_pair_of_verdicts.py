"""Every verdict against every other: who is graver, wherever two of them are joined.

The order is written down here once more, by hand. Where a call can come to both, small worlds make
it; elsewhere each place is asked for all pairs.
"""

import json
from itertools import combinations, product
from types import SimpleNamespace

import pytest

from harness import (At, Completion, Meet, Mutex, Result, Scenario, Verdict, explore, force,
                     predict, run, stress)
from harness.cli import cases, output
from harness.methods.tally import Tally, gravest_of
from harness.pytest_support import fixture
from harness.runtime.verdict import Finding, Outcome
from pcimodel import __main__ as pcimodel

# The gravest first, each with the exit status of a command.
STATUS = {"deadlock": 1, "hang": 1, "violation": 1, "error": 1, "predicted": 1, "not-reached": 3,
          "inconclusive": 3, "clean": 0}
PAIRS = [*combinations(STATUS, 2)]    # (graver, other)
pairs = pytest.mark.parametrize("graver, other", PAIRS)


def both_ways(graver, other):
    """Yield the two in either order, with words of their own."""
    yield (graver, "first"), (other, "second")
    yield (other, "first"), (graver, "second")


def outcome(verdict, text="x"):
    return Outcome([] if verdict == "clean" else [Finding(Verdict(verdict), "observed", text)], [])


def result(verdict):
    return Result("it", Verdict(verdict), "observed",
                  {"runs": 1, "schedules": 1, "complete": True}, outcome(verdict), 0.0)


def says(verdict):
    """Return a tool that comes to *verdict* whatever it is given."""
    return lambda *_, **__: result(verdict)


def test_each_verdict_has_its_place_and_status():
    assert {str(verdict): verdict.exit_status for verdict in Verdict} == STATUS


@pairs
def test_findings_of_one_run(graver, other):
    for two in both_ways(graver, other):
        joined = Outcome([found for each in two for found in outcome(*each).findings], [])
        assert str(joined.verdict) == graver
        assert joined.gravest is next(found for found in joined.findings
                                      if found.verdict is Verdict(graver))


@pairs
def test_runs_of_one_call(graver, other):
    for two in both_ways(graver, other):
        tally = Tally("it")
        kept = [tally.add(outcome(*each), None) for each in two]
        assert tally.kept is kept[0 if two[0][0] == graver else 1]
        joined = tally.result()
        assert (str(joined.verdict), joined.coverage["verdicts"]) == (
            graver, {graver: 1, other: 1})


@pairs
def test_a_run_that_did_not_begin_beside_one_that_did(graver, other):
    for (one, _), (then, _) in both_ways(graver, other):
        tally = Tally("it")
        tally.add(outcome(one), None)
        tally.add_unfinished(outcome(then))
        assert str(tally.result().verdict) == graver


@pairs
def test_what_was_seen_and_what_was_predicted(graver, other):
    for (one, _), (then, _) in both_ways(graver, other):
        told = [SimpleNamespace(verdict=Verdict(then))]
        assert str(gravest_of(result(one), told)) == graver
        assert str(gravest_of(result(one), [], Verdict(then))) == graver


# -- calls that come to both -----------------------------------------------------------------------


def act(verdict):
    """Do what a role does that comes to *verdict* for sure."""
    if verdict == "deadlock":
        lock = Mutex("own")
        lock.acquire()
        lock.acquire()
    elif verdict == "hang":
        Completion("never").wait()
    elif verdict == "violation":
        Mutex("own").release()
    elif verdict == "error":
        raise KeyError("spoon")


ACTS = ("deadlock", "hang", "violation", "error", "clean")
ACTED = [*combinations(ACTS, 2)]


def in_turn(*verdicts):
    """Return a scenario that comes to one of *verdicts* after the other; with a meeting."""
    left = iter(verdicts)

    def world():
        verdict, m, n = next(left), Mutex("m"), Mutex("n")

        def takes(lock):
            def role():
                with lock:
                    pass
            return role

        holding = [n] if verdict == "not-reached" else []
        return Scenario({"one": takes(m), "two": takes(n), "x": lambda: act(verdict)},
                        meet=Meet(At("one", m, holding=holding), At("two", n)))
    return world


@pytest.mark.parametrize("tool, graver, other", [
    *((tool, *pair) for tool in (run, stress, force) for pair in ACTED),
    (force, "deadlock", "not-reached"), (force, "hang", "not-reached"),
    (force, "violation", "not-reached"), (force, "error", "not-reached"),
    (force, "not-reached", "clean")])
def test_worlds_of_one_call(tool, graver, other):
    for order in ((graver, other), (other, graver)):
        # A meeting that is missed is tried in each of 3! orders of start, each in a fresh world,
        # and one more is made before it is given up.
        worlds = [word for verdict in order
                  for word in [verdict] * (7 if verdict == "not-reached" else 1)]
        joined = tool(in_turn(*worlds), runs=2)
        assert (str(joined.verdict), joined.coverage["verdicts"]) == (
            graver, {graver: 1, other: 1}), str(joined)
        if graver != "clean":
            assert str(joined.finding.verdict) == graver


def decided_by_the_first(first, then):
    """Return a scenario that comes to *first* if x has the lock before y, else to *then*."""
    def world():
        m, order = Mutex("m"), []

        def x():
            with m:
                order.append("x")
            act(first if order[0] == "x" else then)

        def y():
            with m:
                order.append("y")

        return {"x": x, "y": y}
    return world


@pytest.mark.parametrize("graver, other", ACTED)
def test_schedules_of_one_exploration(graver, other):
    for both in ((graver, other), (other, graver)):
        joined = explore(decided_by_the_first(*both), all=True, engine=False)
        assert (str(joined.verdict), {*joined.coverage["verdicts"]}) == (graver, {graver, other})
        assert str(joined.finding.verdict) == graver


@pytest.mark.parametrize("graver, other", ACTED)
def test_runs_of_one_prediction(graver, other):
    """Another role begins in each of two."""
    for both in ((graver, other), (other, graver)):
        joined = predict(decided_by_the_first(*both), runs=2)
        assert str(joined.verdict) == str(joined.finding.verdict) == graver


@pytest.mark.parametrize("seen", ACTS)
def test_what_a_role_does_beside_what_the_lock_order_allows(seen):
    """Two pairs of classes in opposite orders, on locks that never meet: predicted."""
    def world():
        a1, b1, a2, b2 = (Mutex(name, name[0]) for name in ("a1", "b1", "a2", "b2"))

        def nests(first, second):
            def role():
                with first, second:
                    pass
            return role

        return {"one": nests(a1, b1), "two": nests(b2, a2), "x": lambda: act(seen)}

    joined = predict(world)
    assert "predicted" in [str(each.verdict) for each in joined.predictions]
    assert str(joined.verdict) == ("predicted" if seen == "clean" else seen)


# -- commands, cases, tests ------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", STATUS)
def test_a_command_ends_with_the_status(verdict, capsys):
    assert output.show(result(verdict), output.Writer(None)) == STATUS[verdict]
    assert capsys.readouterr().out.startswith(verdict.upper().replace("-", " "))


@pairs
def test_a_command_on_all_scenarios_ends_with_the_gravest(graver, other, monkeypatch, capsys):
    for (one, _), (then, _) in both_ways(graver, other):
        left = {"one": result(one), "two": result(then)}
        monkeypatch.setattr(pcimodel, "SCENARIOS", left)
        monkeypatch.setattr(pcimodel, "_result", lambda args, name, of, left=left: left[name])
        assert pcimodel.main(["stress", "all", "--json", "-"]) == STATUS[graver]
        data = json.loads(capsys.readouterr().out)
        assert (data["verdict"], [each["verdict"] for each in data["results"]]) == (
            graver, [one, then])


# What real threads say of a case, by verdict: how it fails; "?" is no answer.
SAY = {"deadlock": "deadlock", "hang": "hang", "violation": "violation", "error": "?",
       "predicted": "ok", "not-reached": "?", "inconclusive": "?", "clean": "ok"}


@pytest.mark.parametrize("engine, expected", [
    ("deadlock", "deadlock"), ("hang", "hang"), ("violation", "violation"), ("clean", "ok")])
def test_a_case_is_right_if_all_three_judges_say_what_is_expected(engine, expected, monkeypatch):
    """An exploration that met its bound has no say; a prediction always has."""
    version = SimpleNamespace(program=None, name="before",
                              expected="ok" if expected == "ok" else "deadlock")
    case = SimpleNamespace(name="it", scenario=lambda name: None)
    monkeypatch.setattr(cases, "search", lambda program, keep=False: SimpleNamespace(
        verdict="hang" if keep else engine, misuse=(), complete=True, states=1))
    right = {}
    for explored, predicted in product(STATUS, repeat=2):
        monkeypatch.setattr(cases, "explore", says(explored))
        monkeypatch.setattr(cases, "predict", says(predicted))
        right[explored, predicted] = cases.judge_version(case, version)["ok"]
    assert {both for both, ok in right.items() if ok} == {
        (explored, predicted) for explored, predicted in right
        if SAY[predicted] == expected and explored in (
            "inconclusive", *(verdict for verdict, says in SAY.items() if says == expected))}


@pytest.mark.parametrize("came_to", STATUS)
def test_a_test_passes_with_the_verdict_it_expects_and_no_other(came_to, request, monkeypatch):
    monkeypatch.setitem(fixture._TOOLS, "run", (says(came_to), {"runs": None}))
    item = SimpleNamespace(nodeid=request.node.nodeid, user_properties=[],
                           config=request.config, path=request.node.path)
    tools, passes = fixture.LockHarness(item, {}), []
    for expected in STATUS:
        try:
            tools.run(lambda: {}, expect=expected)
        except pytest.fail.Exception:
            continue
        passes.append(expected)
    assert passes == [came_to]
    assert tools.run(lambda: {}, expect=[*STATUS]).verdict is Verdict(came_to)
