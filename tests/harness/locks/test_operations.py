"""The table of operations: what is derived from it fits together, and those who perform operations
know each of them.
"""

import brute
import pytest

from harness.checker.program import COUNTING, LOCK_OPS, OPS, unknown_operation
from harness.locks.operations import (ONLY_RECORDED, OPERATIONS, RECORDED, RELEASING, TAKEN, TAKING,
                                      names)
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
    assert {*TAKEN.values(), "pass"} == set(RECORDED)    # a wait with a limit that passed


def test_every_operation_of_a_program_is_performed_by_real_threads_and_by_the_second_opinion():
    """`brute` takes nothing from the table, so an operation that is missing there is seen here.

    What counts is of recordings only: of it the permits of real threads are the second opinion.
    """
    written = OPS - COUNTING
    target = {"mutex": ProgramMutex, "rwsem": RWSemaphore, "kernfs": ActiveReferences,
              "srcu": ActiveReferences, "flag": Flag, "thread": Interpreter}
    performed = {name for name in written
                 if hasattr(Interpreter, name) or hasattr(target[OPERATIONS[name].of], name)}
    assert performed == written
    assert {name.removeprefix("do_")
            for name in vars(brute.World) if name.startswith("do_")} == written


def test_what_is_of_recordings_only_cannot_be_written_down():
    assert set(OPERATIONS) == OPS and set(LOCK_OPS) < OPS
    assert set(ONLY_RECORDED) == COUNTING | set(RECORDED) and {"complete", "pass"} == COUNTING
    text = str(unknown_operation("here", "complete"))
    assert text.count("complete") == 1 and "one of begin, clear, down_read" in text
