"""What a check or an invariant may answer, and what is made of each answer, by every tool.

The world is one of a lost update: two roles read a balance and write it back, in two critical
sections. Of its orders some keep the sum and some do not; a check that says so by its value alone,
as a lambda must, is to be heard.
"""

import functools
import re
import threading

import pytest

from harness import (At, Meet, Mutex, Scenario, ScenarioError, explore, force, predict, replay, run,
                     step, stress)
from harness.cli import main
from harness.methods import noise

TOOLS = [explore, run, functools.partial(stress, runs=3), predict]


def asked(**more):
    """Return a scenario of one role, and what is asked of it."""
    return lambda: Scenario({"role": lambda: step()}, **more)


def ways(function):
    """Yield (what a report calls it, scenario) for *function* as a check and as an invariant."""
    yield "the check at the end", asked(check=function)
    yield "invariant 'sound'", asked(invariants={"fine": lambda: True, "sound": function})


def deposits():
    """Two deposits, each read and written in a section of its own; the check is a lambda."""
    lock, balance = Mutex("lock"), [0]

    def deposit():
        with lock:
            read = balance[0]
        with lock:
            balance[0] = read + 1

    return Scenario({"one": deposit, "two": deposit}, check=lambda: balance[0] == 2)


def test_a_lambda_that_returns_false_in_some_schedule_is_a_violation_with_its_place_and_source():
    result = explore(deposits, engine=False)
    line = deposits.__code__.co_firstlineno + 10
    assert (result.verdict.value, result.finding.text) == ("violation", (
        f"the check at the end failed: it returned False: lambda at test_asking.py:{line}: "
        f"balance[0] == 2"))
    assert replay(result.replay, deposits).verdict.value == "violation"
    # By hand: of the 6 orders of R1 W1 R2 W2 that keep each role's own, all but R1 W1 R2 W2 and
    # R2 W2 R1 W1 lose a deposit. Sections on one lock do not commute, so none is left out.
    assert explore(deposits, all=True).coverage["verdicts"] == {"clean": 2, "violation": 4}


@pytest.mark.parametrize("command, status", [
    ("explore", 1), ("run", 1), ("predict", 1), ("force", 3)])
def test_the_commands_hear_it_too(command, status, monkeypatch, capsys):
    """Whoever gives way lets the other do the same: both read before either writes."""
    together = threading.Barrier(2)
    monkeypatch.setattr(noise.time, "sleep", lambda seconds: together.wait(120))
    assert main([command, "test_asking:deposits"]) == status
    assert ("it returned False: lambda at " in capsys.readouterr().out) == (status == 1)


def test_of_several_lambdas_in_a_line_the_one_that_says_no_is_quoted():
    def world():
        return Scenario({"one": step}, invariants={"so": lambda: 2 > 1, "no": lambda: 1 > 2})

    assert run(world).finding.text.endswith(": 1 > 2")


def test_a_lambda_is_quoted_if_it_is_short_and_stands_in_one_line():
    balance = [0]
    for check, quoted in [
            (lambda: balance[0] == 7, r": balance\[0\] == 7"),
            (lambda: balance[0] == 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1, ""),
            (lambda: balance[0]
             == 7, "")]:
        said = run(asked(check=check)).finding.text.removeprefix(
            "the check at the end failed: it returned False: ")
        assert re.fullmatch(rf"lambda at test_asking\.py:\d+{quoted}", said)


class Ledger:
    """What answers as it is told, in the ways in which one may write it."""

    def __init__(self, answer):
        self.answer = answer

    def says(self):
        return self.answer

    __call__ = says

    async def later(self):
        return self.answer

    def one_by_one(self):
        yield self.answer


SHAPES = {"method": lambda ledger: ledger.says, "instance": lambda ledger: ledger,
          "partial": lambda ledger: functools.partial(Ledger.says, ledger),
          "lambda": lambda ledger: lambda: ledger.answer}


@pytest.mark.parametrize("tool", TOOLS, ids=["explore", "run", "stress", "predict"])
@pytest.mark.parametrize("shape", SHAPES)
def test_false_is_no_and_none_and_true_are_yes(tool, shape):
    for answer, verdict in ((False, "violation"), (True, "clean"), (None, "clean")):
        for what, scenario in ways(SHAPES[shape](Ledger(answer))):
            result = tool(scenario)
            assert result.verdict.value == verdict
            if answer is False:
                assert result.finding.text.startswith(f"{what} ")
                assert "it returned False: " in str(result) and "test_asking.py:" in str(result)


@pytest.mark.parametrize("answer", [0, 1, "", "wrong", [], [3], {}, 0.0, object()],
                         ids=lambda answer: repr(answer).partition(" at ")[0])
def test_any_other_answer_is_an_error_that_names_it_and_its_place(answer):
    def answers():
        return answer

    for tool in TOOLS:
        for what, scenario in ways(answers):
            result = tool(scenario)
            assert result.verdict.value == "error"
            assert result.finding.text.startswith(f"{what} gave no answer: it returned ")
            assert result.finding.text.endswith(
                f"answers at test_asking.py:{answers.__code__.co_firstlineno}")


def test_an_answer_whose_text_raises_or_is_endless_is_named_by_its_type_or_cut():
    class Mute:
        def __repr__(self):
            raise SystemExit

    assert "it returned a Mute, expected" in run(asked(check=Mute)).finding.text
    assert len(run(asked(check=lambda: "x" * 10_000)).finding.text) < 250


@pytest.mark.parametrize("what", ["later", "one_by_one"])
def test_a_check_that_does_nothing_when_called_is_refused(what):
    function = getattr(Ledger(False), what)
    for lazy in (function, functools.partial(function)):
        for name, scenario in ways(lazy):
            for tool in TOOLS:
                with pytest.raises(ScenarioError, match=f"{name} is a generator or a coroutine"):
                    tool(scenario)


@pytest.mark.filterwarnings("error")
def test_a_lambda_that_returns_a_coroutine_is_an_error_and_python_has_nothing_to_complain_of():
    for what, scenario in ways(lambda: Ledger(False).later()):
        assert run(scenario).finding.text.startswith(
            f"{what} gave no answer: it returned a coroutine, expected True or None, or False")


@pytest.mark.parametrize("more", [{"check": 7}, {"invariants": {"sound": 7}},
                                  {"invariants": [lambda: True]}, {"invariants": 7}])
def test_what_cannot_be_asked_is_refused_in_one_line(more):
    with pytest.raises(ScenarioError) as refused:
        run(asked(**more))
    assert "expected a " in str(refused.value) and "\n" not in str(refused.value)


def test_an_invariant_that_says_no_while_roles_meet_is_a_violation():
    def world():
        lock, other, inside = Mutex("lock"), Mutex("other"), []

        def enters(mine, theirs):
            with mine:
                inside.append(1)
                with theirs:
                    pass

        return Scenario({"one": lambda: enters(lock, other), "two": lambda: enters(other, lock)},
                        meet=Meet(At("one", other), At("two", lock)),
                        invariants={"one at a time": lambda: len(inside) < 2})

    for tool in force, explore:
        assert tool(world).verdict.value == "violation"
        assert "returned False: lambda at test_asking.py:" in tool(world).finding.text


@pytest.mark.parametrize("tool", [*TOOLS, functools.partial(explore, strategy="dfs"),
                                  functools.partial(explore, trust_locks=True)])
def test_an_invariant_is_asked_at_a_step_though_no_lock_is_used(tool):
    def world():
        books = []

        def half_done():
            books.append("debit")
            step("books")
            books.append("credit")

        return Scenario({"role": half_done},
                        invariants={"even": lambda: len(books) % 2 == 0})

    result = tool(world)
    assert (result.verdict, len(result.outcome.findings)) == ("violation", 1)
    assert "invariant 'even' is broken: it returned False: lambda at" in result.finding.text


def test_an_invariant_at_a_step_sees_what_another_role_left_half_done():
    """By hand: broken where both stand between their two writes, at the second one's step."""
    def world():
        inside = []

        def role():
            step("inside")
            inside.append(1)
            step("inside")
            inside.pop()

        return Scenario({"one": role, "two": role},
                        invariants={"one at a time": lambda: len(inside) < 2})

    result = explore(world)
    assert (result.verdict, result.finding.text.partition(":")[0]) == (
        "violation", "invariant 'one at a time' is broken")
    assert replay(result.replay, world).verdict == "violation"


# -- python -O ----------------------------------------------------------------------------------

OPTIMIZED = '''
from harness import Scenario, explore, predict, run, step, stress

class Auditor:
    def audit(self):
        assert False

class Bank:
    def __init__(self):
        self.auditor = Auditor()

    @property
    def sound(self):
        assert False
        return True

table = {"bank": Auditor().audit}
bank = Bank()
checks = {"direct": Auditor().audit, "of an attribute": lambda: bank.auditor.audit(),
          "property": lambda: bank.sound, "in a table": lambda: table["bank"]()}
for name, check in checks.items():
    for tool, once in (run, {"runs": 1}), (stress, {"runs": 1}), (explore, {}), (predict, {}):
        for more in {"check": check}, {"invariants": {"it": check}}:
            result = tool(lambda: Scenario({"role": step}, **more), **once)
            print(name, result.verdict, str(result).count("leaves out `assert`"), sep="|")
print(*explore(lambda: Scenario({"role": step}, check=lambda: bank.sound,
                                invariants={"it": table["bank"]})).outcome.notes)
print(explore(lambda: Scenario({"role": step}, check=lambda: table is None)))
print(run(lambda: {"role": step}, runs=1))
'''


def test_under_o_it_is_said_that_no_check_can_fail_by_an_assertion(in_another_process, tmp_path):
    (tmp_path / "books.py").write_text(OPTIMIZED)
    done = in_another_process("-O", "books.py", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert {tuple(line.split("|")) for line in lines if "|" in line} == {
        (name, "clean", "1") for name in ("direct", "of an attribute", "property", "in a table")}
    assert "it calls: invariant 'it' (Auditor.audit at books.py:5); the check at the end " \
        "(lambda at books.py:" in done.stdout
    assert "VIOLATION: the check at the end failed: it returned False: " in done.stdout
    assert lines[-1] == "__main__:<lambda>: 1 run"    # nothing is asked, so nothing is said
    plain = in_another_process("books.py", cwd=tmp_path)
    assert "leaves out" not in plain.stdout and "direct|violation|0" in plain.stdout
