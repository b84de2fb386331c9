"""What a result says where a test asks it in the obvious ways, and where an assertion shows it.

A test that passes whatever comes out is worse than none. The cheap cure, a comparison by value
alone, passes for ever again when the word is misspelt.
"""

import copy
import dataclasses
import enum
import json
import pickle
from types import SimpleNamespace

import pytest
import small_worlds
from crossing import nested

from harness import At, Meet, Mutex, Scenario, Verdict, explore, force, predict, replay, run, stress
from harness.checker.program import Op, Program
from harness.exploration.token import encode
from harness.programs.threads import scenario_of
from harness.report.proof import blocked_by
from harness.report.result import Result
from harness.runtime.recorder import Hold, RoleState
from harness.runtime.verdict import Finding, Outcome

WORDS = ["deadlock", "hang", "violation", "error", "predicted", "not-reached", "inconclusive",
         "clean"]
FOUND, OPEN = WORDS[:5], WORDS[5:7]


@pytest.mark.parametrize("word", WORDS)
def test_a_verdict_equals_its_word_and_no_other_from_either_side(word):
    verdict = Verdict(word)
    assert [verdict == other for other in WORDS] == [other == verdict for other in WORDS] \
        == [other == word for other in WORDS] == [not verdict.__ne__(other) for other in WORDS]
    assert [other for other in Verdict if other == verdict] == [verdict]


@pytest.mark.parametrize("word", WORDS)
def test_a_verdict_is_found_where_its_word_is(word):
    verdict = Verdict(word)
    for words in ([word], (word,), {word}, frozenset([word]), {word: 1}):
        assert verdict in words
    for others in ([], {}, *([[*kind] for kind in (FOUND, OPEN) if word not in kind])):
        assert verdict not in others and verdict not in set(others)
    assert {verdict: "by verdict"}[word] == {word: "by verdict"}[verdict] == "by verdict"
    assert (f"{verdict}", str(verdict), json.dumps(str(verdict))) == (word, word, f'"{word}"')
    assert pickle.loads(pickle.dumps(verdict)) is copy.deepcopy(verdict) is verdict


@pytest.mark.parametrize("word, nearest", [
    ("dead-lock", "deadlock"), ("DEADLOCK", "deadlock"), ("Clean", "clean"), ("cleen", "clean"),
    ("not_reached", "not-reached"), ("Verdict.CLEAN", ""), ("", ""), ("passed", ""), ("CLEAN: ",
                                                                                     "clean")])
def test_a_comparison_with_a_word_that_is_no_verdict_is_refused_with_the_nearest(word, nearest):
    for compare in (lambda verdict: verdict == word, lambda verdict: verdict != word,
                    lambda verdict: word == verdict, lambda verdict: word != verdict,
                    lambda verdict: verdict in [word], lambda verdict: verdict not in (word,),
                    lambda verdict: Verdict(word)):
        with pytest.raises(ValueError) as refused:
            compare(Verdict.HANG)
        said = str(refused.value)
        assert said.startswith(f"there is no verdict {word!r}") and ", ".join(WORDS) in said
        assert (f"did you mean {nearest!r}?" if nearest else "did you mean") in said \
            or not nearest and "did you mean" not in said


# Every way in which one would write that nothing may be found, and that something must be.
MUST_BE_CLEAN = [
    "result", "bool(result)", "result.verdict", "not not result", "result.verdict == 'clean'",
    "'clean' == result.verdict", "result.verdict != 'deadlock'", "'deadlock' != result.verdict",
    "result.verdict is Verdict.CLEAN", "result.verdict in ['clean']", "result.verdict in {'clean'}",
    "result.verdict not in ('deadlock', 'hang')", "str(result.verdict) == 'clean'",
    "f'{result.verdict}' == 'clean'", "not result.findings", "result.verdict.exit_status == 0"]
MUST_BE_FOUND = [
    "not result", "not result.verdict", "result.verdict == 'deadlock'", "result.findings",
    "'deadlock' == result.verdict", "result.verdict != 'clean'", "result.verdict in ('deadlock',)"]
MISTAKEN = ["result == 'deadlock'", "result != 'deadlock'", "'deadlock' != result",
            "result != Verdict.DEADLOCK", "Verdict.CLEAN != result", "result in ['clean']",
            "result.verdict != 'dead lock'", "'deadlock' in result", "result.verdict > 'clean'",
            "'dead' not in result.verdict", "len(result)", "result.verdict < Verdict.CLEAN",
            *(f"{thing} {same} {truth}" for thing in ("result", "result.verdict")
              for same in ("==", "!=") for truth in (True, False)), "False != result.verdict"]


def outcome_of(claim, result):
    """Return what a test that asserts *claim* would come to."""
    try:
        return "passes" if eval(claim, {"result": result, "Verdict": Verdict}) else "fails"
    except (TypeError, ValueError) as exc:
        assert "\n" not in str(exc)
        return "refused"


@pytest.fixture(scope="module")
def results():
    """A result that is clean, two in which something was found, two that leave it open."""
    return {"clean": explore(small_worlds.in_order), "broken": explore(small_worlds.abba),
            "predicted": predict(small_worlds.nested_read_bare, runs=1),
            "not reached": force(small_worlds.in_order),
            "inconclusive": explore(small_worlds.in_order, max_schedules=1, engine=False)}


@pytest.mark.parametrize("claim", MUST_BE_CLEAN)
def test_a_test_that_nothing_is_found_passes_when_clean_and_fails_on_a_deadlock(claim, results):
    assert (outcome_of(claim, results["clean"]), outcome_of(claim, results["broken"])) == (
        "passes", "fails")


@pytest.mark.parametrize("claim", MUST_BE_FOUND)
def test_a_test_that_something_is_found_passes_on_a_deadlock_and_fails_when_clean(claim, results):
    assert (outcome_of(claim, results["clean"]), outcome_of(claim, results["broken"])) == (
        "fails", "passes")


@pytest.mark.parametrize("claim", ["result", "not result", "result.verdict", "not result.verdict"])
def test_what_leaves_the_question_open_is_neither_true_nor_false(claim, results):
    for name in ("not reached", "inconclusive"):
        assert outcome_of(claim, results[name]) == "refused"


@pytest.mark.parametrize("claim", MISTAKEN)
def test_a_claim_that_could_not_come_out_otherwise_is_refused(claim, results):
    for result in results.values():
        assert outcome_of(claim, result) == "refused"


def test_each_verdict_is_true_false_or_refused():
    def truth(verdict):
        return outcome_of("result.verdict", dataclasses.replace(run(small_worlds.in_order, runs=1),
                                                               verdict=verdict))

    assert [truth(Verdict(word)) for word in WORDS] == ["fails"] * 5 + ["refused"] * 2 + ["passes"]


def test_a_result_equals_itself_alone_and_can_be_kept_in_a_set(results):
    clean, broken = results["clean"], results["broken"]
    assert clean == clean and clean != broken and clean != dataclasses.replace(clean)
    assert len({clean, broken, clean}) == 2 and (clean is None, clean == 1) == (False, False)


# -- in one line --------------------------------------------------------------------------------


def hanging_on(thing, seen):
    """Yield whatever of ours hangs on *thing*: fields, items, and what properties return."""
    if id(thing) in seen or isinstance(thing, (str, enum.Enum)):
        return
    seen[id(thing)] = thing
    if isinstance(thing, (list, tuple, set)) or hasattr(thing, "values"):
        for item in (thing.values() if hasattr(thing, "values") else thing):
            yield from hanging_on(item, seen)
    if type(thing).__module__.partition(".")[0] != "harness":
        return
    yield thing
    names = [*getattr(thing, "__dataclass_fields__", ()), *getattr(thing, "_fields", ()),
             *(name for name, value in vars(type(thing)).items() if isinstance(value, property))]
    for name in names:
        yield from hanging_on(getattr(thing, name), seen)


def named_at_length():
    """A deadlock of roles, locks and classes whose names are long, and hold line ends."""
    world = small_worlds.abba()
    world.roles = {f"{name}\n{'x' * 500}": role for name, role in world.roles.items()}
    world.meet = ()
    return world


def program():
    """A scenario that is a lock program."""
    ops = (Op("lock", "a"), Op("unlock", "a"))
    return scenario_of(Program({}, {"one": ops * 9, "two": ops}))()


@pytest.mark.parametrize("tool", [run, force, predict, explore, stress])
@pytest.mark.parametrize("world", [small_worlds.abba, small_worlds.in_order, named_at_length,
                                   small_worlds.raises, small_worlds.forgets,
                                   small_worlds.waits_for_nobody, small_worlds.handoff,
                                   program])
def test_repr_of_a_result_and_of_all_that_hangs_on_it_is_one_short_line(tool, world):
    result = tool(world, **{} if tool is explore else {"runs": 2})
    things = [*hanging_on(result, {}), *hanging_on(world(), {})]
    assert things[0] is result and result.outcome in things
    long = [repr(thing) for thing in things if len(repr(thing)) > 120 or "\n" in repr(thing)]
    assert long == []


@pytest.mark.usefixtures("beside_the_worlds")
def test_repr_of_a_result_says_the_verdict_and_what_was_covered():
    assert repr(explore(small_worlds.in_order)).startswith(
        "<Result clean, small_worlds:in_order: 2 schedules; ")
    token = explore(small_worlds.abba).replay
    assert repr(replay(token)).startswith("<Result deadlock, small_worlds:abba: 1 run; ")


def test_what_was_found_in_a_run_is_listed_the_gravest_first_whatever_came_first():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def thrower():
            raise ValueError("first of all")

        return Scenario({"thrower": thrower, "one": nested(a, b), "two": nested(b, a)},
                        meet=Meet(At("one", b, holding=a), At("two", a, holding=b)))

    result = force(world)
    assert [str(finding.verdict) for finding in result.outcome.findings] == ["error", "deadlock"]
    assert [finding["verdict"] for finding in result.findings] == ["deadlock", "error"]
    assert result.finding is result.outcome.findings[1]


@pytest.mark.usefixtures("beside_the_worlds")
@pytest.mark.parametrize("tool", [run, predict, explore, stress, lambda world: replay(
    encode(("small_worlds:in_order", {}), "0", []), world)])
def test_nothing_is_drawn_of_a_run_in_which_nothing_was_found_unless_it_is_asked_for(tool):
    result = tool(small_worlds.in_order)
    assert result and "---" not in str(result)


@pytest.mark.parametrize("holds, said", [
    (["shared"], "other holds it for read"), (["exclusive"], "other holds it"),
    (["shared", "exclusive"], "other holds it"), ([], "other is queued for it before")])
def test_who_blocks_a_request_is_said_to_do_what_he_does(holds, said):
    role = RoleState("role", "waits", "lock", "exclusive", waits_for=("other",))
    other = RoleState("other", "runs", holds=tuple(Hold("lock", mode, ()) for mode in holds))
    assert blocked_by(role, {"role": role, "other": other}) == said
    # Of a thread outside: it is the owner.
    assert blocked_by(role, {"role": role}) == "other holds it"


def test_what_was_found_in_the_run_that_is_told_of_a_graver_prediction_is_told_too():
    outcome = Outcome([Finding(Verdict.VIOLATION, "observed", "the world is wrong")], [])
    prediction = SimpleNamespace(outcome=None, status="forced", verdict=Verdict.DEADLOCK)
    graver = Result("world", Verdict.DEADLOCK, "observed", {"runs": 1}, outcome, 0.0,
                    predictions=[prediction])
    same = dataclasses.replace(graver, verdict=Verdict.VIOLATION, predictions=[])
    assert "Also: the world is wrong" in str(graver) and "Also:" not in str(same)
    assert str(same).count("the world is wrong") == 1
