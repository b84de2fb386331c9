"""Prediction on deadlocks of pci-deadlocks.json, and on programs of other shapes, against the
engine's answer from all states. That it says of each version of that file what is expected is
tested with the command `cases`, one of whose judges it is: tests/harness/cli/test_cases.py.
"""

from pathlib import Path

import pytest
from lock_programs import (HANGS, NEEDS_WRITER, SAFE, bare, predict_program, predicted, program,
                           statuses, truth)

from harness import Verdict
from harness.programs.format import File
from harness.methods.predict import predict

CORPUS = File(str(Path(__file__).parents[2] / "data" / "pci-deadlocks.json"))
VERSIONS = [(case, name) for case in CORPUS.cases() for name in case.versions]


def test_corpus_is_whole():
    expected = [case.versions[name].expected for case, name in VERSIONS]
    assert (len(CORPUS.names), len(VERSIONS), expected.count("deadlock")) == (18, 53, 26)



def test_igate_triangle_needs_a_writer_and_says_where():
    result = predict(CORPUS.case("vfio-igate-triangle").scenario("three-threads-only"))
    [needs] = [each for each in result.predictions if each.status == "needs-writer"]
    assert (result.verdict, needs.writers, "pci_bus_sem" in needs.reason) == (
        Verdict.PREDICTED, ("pci_bus_sem",), True)


def test_mail_is_forced_by_its_two_roles_and_fixed_by_the_fix_of_the_mail():
    case = CORPUS.case("aer-walk-vs-sriov-probe")
    [forced] = predict(case.scenario()).predictions
    assert (forced.status, {leg.role for leg in forced.legs}) == (
        "forced", set(case.versions["before"].program.threads))
    assert predict(case.scenario("after")).verdict is Verdict.CLEAN


# -- programs of other shapes ----------------------------------------------------------------------

# name -> (what it comes to, the program, flags set at the start, kinds of locks).
SHAPES = {
    # What a drain, an SRCU grace period or a kill of references waits for.
    "drain under the lock that the user of the reference takes": (
        HANGS, "remove: lock a; kn_drain k; unlock a\nshow: kn_get k; lock a; unlock a; kn_put k"),
    "drain after the lock was given back": (
        SAFE, "remove: lock a; unlock a; kn_drain k\nshow: kn_get k; lock a; unlock a; kn_put k"),
    "drain of one's own reference": (HANGS, "store: kn_get k; kn_drain k; kn_put k"),
    "drain in a ring of three": (
        HANGS, """remove: lock a; kn_drain k; unlock a
        show: kn_get k; lock b; unlock b; kn_put k
        other: lock b; lock a; unlock a; unlock b"""),
    "user of the reference that only tries": (
        SAFE, "remove: lock a; kn_drain k; unlock a\n"
              "show: kn_get k; trylock a 1; unlock a; kn_put k"),
    "grace period under the lock of its readers": (
        HANGS, "update: lock a; srcu_sync s; unlock a\nread: srcu_read s; lock a; unlock a; "
               "srcu_unread s"),
    "grace period with the lock given back": (
        SAFE, "update: lock a; unlock a; srcu_sync s\nread: srcu_read s; lock a; unlock a; "
              "srcu_unread s"),
    "grace period inside a reader of its own": (
        HANGS, "read: srcu_read s; srcu_sync s; srcu_unread s"),
    "frozen queue against its user": (
        HANGS, "use: down_read q; lock a; unlock a; up_read q\n"
               "freeze: lock a; down_write q; up_write q; unlock a", (), {"q": "percpu_ref"}),
    "two who freeze two queues": (
        HANGS, "one: down_write p; down_write q; up_write q; up_write p\n"
               "two: down_write q; down_write p; up_write p; up_write q", (),
        {"p": "percpu_ref", "q": "percpu_ref"}),
    # Threads and work.
    "cancelled work that may not have begun": (
        HANGS, "free: lock a; sync irq; unlock a\nirq: begin -; lock a; unlock a"),
    "cancelled work that takes another lock": (
        SAFE, "free: lock a; sync irq; unlock a\nirq: begin -; lock b; unlock b"),
    "cancelled work that begins under the lock": (
        HANGS, "free: lock a; begin irq; sync irq; unlock a\nirq: lock a; unlock a"),
    "cancelled interrupt that never came": (
        SAFE, "free: lock a; sync irq; unlock a\nirq: wait f; begin -; lock a; unlock a"),
    "cancelled interrupt that may come": (
        HANGS, "free: lock a; sync irq; unlock a\nirq: wait f; begin -; lock a; unlock a\n"
               "device: set f"),
    "join inside a reader that does not wait": (
        SAFE, "one: srcu_read s; join two; srcu_unread s\ntwo: srcu_read s; srcu_unread s"),
    "work that joins work": (
        HANGS, "top: lock a; join middle; unlock a\nmiddle: join bottom\nbottom: lock a; unlock a"),
    "two who join each other": (HANGS, "one: join two\ntwo: join one"),
    "join behind a gate": (
        SAFE, """one: lock g; lock a; lock b; unlock b; unlock a; unlock g
        two: join one; lock b; lock a; unlock a; unlock b"""),
    # Flags.
    "waits that cross": (HANGS, "one: wait f; set g\ntwo: wait g; set f"),
    "waits that cross the right way": (SAFE, "one: set g; wait f\ntwo: wait g; set f"),
    "waits that cross in a ring of three": (
        HANGS, "one: wait f; set g\ntwo: wait g; set h\nthree: wait h; set f"),
    "flag cleared again before it is seen": (
        HANGS, "one: lock a; wait f; unlock a\ntwo: set f; clear f; lock a; unlock a; set f"),
    "flag cleared at the start": (
        HANGS, "one: lock a; wait f; unlock a\ntwo: clear f; lock a; unlock a; set f", ("f",)),
    "flag awaited until it is clear": (
        HANGS, "one: lock a; wait_clear f; unlock a\ntwo: set f; lock a; unlock a; clear f"),
    "flag cleared before the lock": (
        SAFE, "one: lock a; wait_clear f; unlock a\ntwo: set f; clear f; lock a; unlock a"),
    "flag that nobody sets": (HANGS, "one: lock a; wait f; unlock a\ntwo: lock a; unlock a"),
    "flag that two may set, one of them freely": (
        SAFE, "one: lock a; wait f; unlock a\ntwo: lock a; unlock a; set f\nthree: set f"),
    "flag that two may set, both behind the lock": (
        HANGS, "one: lock a; wait f; unlock a\ntwo: lock a; unlock a; set f\n"
               "three: lock a; unlock a; set f"),
    "bit lock made of a flag": (
        HANGS, """one: lock a; wait_clear busy; set busy; clear busy; unlock a
        two: set busy; lock a; unlock a; clear busy"""),
    # Roles that go by what they see.
    "branch that is taken if the other has begun": (
        HANGS, "one: jump_unless f 4; lock a; lock b; unlock b; unlock a\n"
               "two: set f; lock b; lock a; unlock a; unlock b"),
    "branch that is taken when the other is done": (
        SAFE, "one: jump_unless f 4; lock a; lock b; unlock b; unlock a\n"
              "two: lock b; lock a; unlock a; unlock b; set f"),
    "branch that is taken in the middle of the other only": (
        HANGS, "one: set f; set h; clear f; lock b; lock a; unlock a; unlock b\n"
               "two: jump_unless f 4; lock a; lock b; unlock b; unlock a"),
    "try, else wait": (
        HANGS, "one: lock a; trylock b 2; unlock b; jump_unless n 2; lock b; unlock b; unlock a\n"
               "two: lock b; lock a; unlock a; unlock b"),
    "try, else back off": (
        SAFE, "one: lock a; trylock b 1; unlock b; unlock a\n"
              "two: lock b; lock a; unlock a; unlock b"),
    "lock unless told to go": (
        SAFE, """one: lock a; lock_unless b gone:1; unlock b; unlock a
        two: lock b; set gone; lock a; unlock a; unlock b"""),
    "lock unless told to go, told too late": (
        HANGS, """one: lock a; lock_unless b gone:1; unlock b; unlock a
        two: lock b; lock a; set gone; unlock a; unlock b"""),
    "lock unless told to go by a third": (
        SAFE, """one: lock a; lock_unless b gone:1; unlock b; unlock a
        two: lock b; lock a; unlock a; unlock b\nthree: set gone"""),
    "lock unless told to go by one who waits too": (
        HANGS, """one: lock a; lock_unless b gone:1; unlock b; unlock a
        two: lock b; lock a; unlock a; unlock b\nthree: lock a; unlock a; set gone"""),
    # Lead-in sections: no order of start alone sets the meeting up.
    "lead-in of two": (
        HANGS, """one: lock x; unlock x; lock a; lock x; unlock x; unlock a
        two: lock a; unlock a; lock x; lock a; unlock a; unlock x"""),
    "lead-in of three": (
        HANGS, """one: lock b; unlock b; lock a; lock b; unlock b; unlock a
        two: lock c; unlock c; lock b; lock c; unlock c; unlock b
        three: lock a; unlock a; lock c; lock a; unlock a; unlock c"""),
    "lead-in with a semaphore": (
        HANGS, """one: down_write s; up_write s; lock a; down_read s; up_read s; unlock a
        two: lock a; unlock a; down_write s; lock a; unlock a; up_write s"""),
    "second time round, after a flag": (
        HANGS, """one: lock a; lock b; unlock b; unlock a; set f; lock a; lock b; unlock b; unlock a
        two: wait f; lock b; lock a; unlock a; unlock b"""),
    # Rings of three and four, with gates and readers.
    "ring of four with one reader": (
        HANGS, """one: down_read a; lock b; unlock b; up_read a
        two: lock b; lock c; unlock c; unlock b
        three: lock c; lock d; unlock d; unlock c
        four: lock d; down_write a; up_write a; unlock d"""),
    "ring of three, two of them behind one gate": (
        SAFE, """one: lock g; lock a; lock b; unlock b; unlock a; unlock g
        two: lock g; lock b; lock c; unlock c; unlock b; unlock g
        three: lock c; lock a; unlock a; unlock c"""),
    "ring of three whose gate one gives back": (
        HANGS, """one: lock g; lock a; unlock g; lock b; unlock b; unlock a
        two: lock g; lock b; lock c; unlock c; unlock b; unlock g
        three: lock c; lock a; unlock a; unlock c"""),
    "readers crosswise": (
        NEEDS_WRITER, """one: down_read a; down_read b; up_read b; up_read a
        two: down_read b; down_read a; up_read a; up_read b"""),
    "readers crosswise behind a gate": (
        SAFE, """one: lock g; down_read a; down_read b; up_read b; up_read a; unlock g
        two: lock g; down_read b; down_read a; up_read a; up_read b; unlock g"""),
    "reader twice, and the writer behind the same gate": (
        NEEDS_WRITER, """one: lock g; down_read a; down_read a; up_read a; up_read a; unlock g
        two: lock g; down_write a; up_write a; unlock g"""),
    "re-entrant lock taken again inside another": (
        SAFE, """one: lock r; lock a; lock r; unlock r; unlock a; unlock r
        two: lock r; lock a; unlock a; unlock r""", (), {"r": "mutex_re"}),
    "re-entrant lock asked for by one who has the inner one": (
        HANGS, """one: lock r; lock a; lock r; unlock r; unlock a; unlock r
        two: lock a; lock r; unlock r; unlock a""", (), {"r": "mutex_re"}),
    "two deadlocks side by side": (
        HANGS, """one: lock a; lock b; unlock b; unlock a\ntwo: lock b; lock a; unlock a; unlock b
        three: lock c; lock d; unlock d; unlock c\nfour: lock d; lock c; unlock c; unlock d"""),
}


def made(text, flags=(), kinds=None):
    return program(text, flags, **(kinds or {}))


every_shape = pytest.mark.parametrize("expected, shape", [(verdict, shape) for verdict, *shape in
                                                          SHAPES.values()], ids=SHAPES)


@every_shape
def test_what_a_shape_comes_to_is_the_engines_answer(expected, shape):
    assert truth(made(*shape)) == expected


@every_shape
def test_prediction_of_a_program_agrees_with_the_engine(expected, shape):
    assert predicted(predict_program(made(*shape))) == expected


@every_shape
def test_prediction_from_what_real_threads_do_alone_agrees(expected, shape):
    """The same roles, without the program: what clean runs do not show, a way that none took, who
    ends a wait for either of two things, exploring shows.
    """
    assert predicted(predict(bare(made(*shape)), timeout=2)) == expected


def test_two_deadlocks_side_by_side_are_both_forced():
    _, *shape = SHAPES["two deadlocks side by side"]
    found = statuses(predict(bare(made(*shape))))
    assert found == {"a -> b -> a": "forced", "c -> d -> c": "forced"}
