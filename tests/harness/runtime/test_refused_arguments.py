"""What would be ignored without a word is refused in one line, or said."""

import threading

import pytest

from harness import (Completion, LockClass, Mutex, Scenario, ScenarioError, explore, force, predict,
                     run)
from harness.cli import main
from harness.exploration.ways import STRATEGIES
from harness.locks.errors import unknown_name
from pcimodel.__main__ import main as model


def two():
    lock = Mutex("lock")

    def role():
        with lock:
            pass

    return {"alice": role, "bob": role}


ONLY_OF = [({"depth": 4}, {"pct"}), ({"preemptions": 1}, {"bounded"}), ({"depth": 3}, {"pct"}),
           ({"preemptions": 2}, {"bounded"}), ({"trust_locks": True}, {"dpor"})]


@pytest.mark.parametrize("argument, strategies", ONLY_OF, ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_explore_refuses_what_its_strategy_would_ignore_even_if_it_is_the_default(
        strategy, argument, strategies):
    if strategy in strategies:
        assert explore(two, strategy=strategy, max_schedules=1, **argument).coverage["schedules"]
        return
    with pytest.raises(ScenarioError) as refusal:
        explore(two, strategy=strategy, **argument)
    name, = argument
    assert str(refusal.value) == f"{name} is of strategy {' and '.join(strategies)}: " \
                                 f"{strategy} would ignore it"


@pytest.mark.parametrize("words, line", [
    (["--depth", "3"], "depth is of strategy pct: dpor would ignore it"),
    (["--preemptions", "2"], "preemptions is of strategy bounded: dpor would ignore it"),
    (["--preemptions", "2", "--strategy", "pct"],
     "preemptions is of strategy bounded: pct would ignore it"),
    (["--seed", "1"], "seed is of strategy random and pct: dpor would ignore it"),
    (["--seed", "0", "--strategy", "dfs"],
     "seed is of strategy random and pct: dfs would ignore it"),
    (["--trust-locks", "--strategy", "dfs"],
     "trust_locks is of strategy dpor: dfs would ignore it"),
    (["--full", "--json", "-"], "--full is of the report, and --json - prints none")])
def test_the_commands_refuse_it_in_one_line(capsys, words, line):
    assert main(["explore", "test_refused_arguments:two", *words]) == 2
    assert capsys.readouterr() == ("", f"harness: {line}\n")
    assert model(["explore", "probe-vs-aer", *words]) == 2
    assert capsys.readouterr() == ("", f"pcimodel: {line}\n")


@pytest.mark.parametrize("more, message", [
    ({"title": {"alcie": "a word"}}, "title: there is no role 'alcie'; did you mean 'alice'?"),
    ({"title": {"x": "a word"}}, "title: there is no role 'x'; there are alice, bob"),
    ({"title": "a word"}, "title is 'a word', expected a mapping from roles"),
    ({"invariants": [print]},
     f"invariants is {[print]!r}, expected a mapping from names to callables"),
    ({"check": {"sum": print}},
     f"the check at the end is {({'sum': print})!r}, expected a callable"),
    ({"function_name": "name"}, "function_name is 'name', expected a callable"),
    ({"lock_classes": ["&dev->mutex"]}, "lock_classes has '&dev->mutex', expected a LockClass")])
@pytest.mark.parametrize("call", [run, force, explore])
def test_a_scenario_that_says_what_makes_no_sense_is_refused_before_it_runs(call, more, message):
    begun = []

    def world():
        return Scenario({"alice": lambda: begun.append(1), "bob": lambda: None}, **more)

    world.scenario_name = "w"
    with pytest.raises(ScenarioError) as refusal:
        call(world)
    assert str(refusal.value) == f"scenario w: {message}" and begun == []


def waits(by):
    def world():
        done = Completion("done")
        return {"alice": lambda: done.wait(by=by), "bob": lambda: None}
    return world


@pytest.mark.parametrize("call", [run, lambda world: explore(world, engine=False)])
@pytest.mark.parametrize("by, said", [
    ("bobb", "alice waits for done by 'bobb', and no role or thread is called so (did you mean "
             "'bob'?)."),
    ("nobody", "alice waits for done by 'nobody', and no role or thread is called so.")])
def test_a_wait_that_names_nobody_says_so_when_it_hangs(call, by, said):
    result = call(waits(by))
    assert result.verdict.value == "hang" and said in result.outcome.notes


@pytest.mark.parametrize("by", [None, "bob", lambda: "bob"])
def test_of_a_wait_that_names_somebody_or_nobody_at_all_nothing_is_said(by):
    result = explore(waits(by), engine=False)
    assert result.verdict.value == "hang" and result.outcome.notes == []


def test_a_wait_for_a_thread_outside_the_run_that_never_comes_is_judged_by_the_timeout():
    result = explore(waits(threading.Thread(name="bobb")), engine=False, timeout=0.1)
    assert (result.verdict.value, result.how, result.outcome.notes) == ("hang", "timed out", [])
    assert result.finding.text == ("nothing moved for 0.1 s and no cycle explains it; a thread "
                                   "outside the run may still act")
    assert result.outcome.stuck == ()


def test_predict_names_declared_classes_that_no_lock_had():
    def world():
        return Scenario(two(), lock_classes=[LockClass("lock", exempt="a test"),
                                             LockClass("lokc", exempt="misspelt")])

    assert predict(world).coverage["declared_classes_of_no_lock"] == "lokc"
    assert "declared_classes_of_no_lock" not in predict(two).coverage


@pytest.mark.parametrize("name, known, meant", [
    ("expect", ["expect_before", "expects_all", "except"], "'expect_before'"),
    ("run", ["runs", "running"], "'runs'"),
    ("at", ["at_most", "at_least"], "'at_most' or 'at_least'")])
def test_a_name_that_begins_one_word_for_word_is_nearer_than_its_letters_say(name, known, meant):
    assert str(unknown_name("no", name, known)).endswith(f"did you mean {meant}?")
