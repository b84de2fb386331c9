"""The table of operations: what is derived from it fits together, and those who perform operations
know each of them.
"""

import brute
import pytest

from harness.checker.program import LOCK_OPS, OPS
from harness.locks.operations import OPERATIONS, RECORDED, RELEASING, TAKEN, TAKING, names
from harness.locks.rwsem import RWSemaphore
from harness.programs.interpreter import Interpreter
from harness.programs.locks import ActiveReferences, Flag, ProgramMutex


@pytest.mark.parametrize("name", sorted(TAKING))
def test_what_takes_a_lock_is_ended_by_a_release_of_the_same_kind_and_mode(name):
    take, release = OPERATIONS[name], OPERATIONS[OPERATIONS[name].counterpart]
    assert release.name in RELEASING
    assert (release.of, release.mode) == (take.of, take.mode)


def test_each_request_for_a_mutex_or_semaphore_has_a_recorded_form():
    assert set(TAKEN) == {name for name in TAKING if OPERATIONS[name].of in ("mutex", "rwsem")}
    queued = names(busy="queues", does="take")
    assert {TAKEN[name] for name in queued} == {"take_read", "take_write"}
    assert TAKEN["trylock"] == TAKEN["lock"] == "take"
    assert set(TAKEN.values()) == set(RECORDED)


def test_every_operation_of_a_program_is_performed_by_real_threads_and_by_the_second_opinion():
    """`brute` takes nothing from the table, so an operation that is missing there is seen here."""
    target = {"mutex": ProgramMutex, "rwsem": RWSemaphore, "kernfs": ActiveReferences,
              "srcu": ActiveReferences, "flag": Flag, "thread": Interpreter}
    performed = {name for name in OPS
                 if hasattr(Interpreter, name) or hasattr(target[OPERATIONS[name].of], name)}
    assert performed == OPS
    assert {name.removeprefix("do_") for name in vars(brute.World) if name.startswith("do_")} == OPS


def test_a_completion_is_of_recordings_only_since_a_program_has_flags():
    assert set(OPERATIONS) - OPS == {"complete"}
    assert set(LOCK_OPS) < OPS
