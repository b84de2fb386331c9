"""Cases of a lock validator on real threads: what a policy, a new beginning and a subclass mean."""

import pytest

from harness import Verdict, predict, run
from harness.programs.format import ValidatorCase
from harness.programs.interpreter import Interpreter
from harness.programs.locks import ProgramMutex
from harness.runtime.building import build
from harness.runtime.scenario import reference_of


def case(text, **types):
    """Return the case of *text*; all its locks are of class C."""
    operations = [tuple(int(part) if part.isdigit() else part for part in op.split())
                  for op in text.split("; ")]
    locks = {name: (types.get(name, "mutex"), "C") for _, name, *_ in operations}
    return ValidatorCase("v", "v.json", locks, operations, "clean", None, [1] * len(operations))


@pytest.mark.parametrize("text, verdict", [
    ("W X; W Y; U Y; U X", Verdict.PREDICTED),
    ("SUBCLASS Y 1; W X; W Y; U Y; U X", Verdict.CLEAN),
    ("SUBCLASS Y 1; I Y; W X; W Y; U Y; U X", Verdict.PREDICTED),
    ("SUBCLASS Y 1; I X; W X; W Y; U Y; U X", Verdict.CLEAN),
    ("I Y; SUBCLASS Y 1; W X; W Y; U Y; U X", Verdict.CLEAN)])
def test_lock_that_is_initialised_again_has_no_subclass(text, verdict):
    assert predict(case(text).scenario()).verdict is verdict


@pytest.mark.parametrize("policy, expected", [
    (None, "writer"), ("writer", "writer"), ("fair", "fair"), ("reader", "reader")])
def test_policy_that_is_asked_for_is_that_of_the_semaphores_and_stands_in_tokens(policy, expected):
    factory = case("R X; U X", X="rwsem").scenario(policy=policy)
    assert reference_of(factory)[1]["policy"] == expected
    semaphore = build(factory, "v").roles["task"].args[1][0].args[0]
    assert semaphore.policy == expected


def test_what_a_thread_got_while_it_was_cancelled_it_never_had():
    """The lock is free again, and the thread ends with nothing in hand."""
    lock = ProgramMutex("lock")

    def world():
        thread = Interpreter("role", ["lock", "lock"], syncs=1)

        def gets_it_and_is_cancelled():
            lock.acquire()
            thread.cancelled = True

        return {"role": lambda: thread._unless_cancelled(gets_it_and_is_cancelled)}

    assert run(world, runs=1).verdict is Verdict.CLEAN
    assert not lock.locked()
