"""What a meeting names that is nowhere: a role that is a typing error, a lock that nobody has."""

import threading

import pytest

from harness import At, Meet, Mutex, Scenario, ScenarioError, force, predict
from harness.cli import main


def world(*points):
    def made():
        a, b = Mutex("first lock"), Mutex("second lock")

        def role():
            with a:
                with b:
                    pass

        return Scenario({"alice": role, "bob": role}, meet=Meet(*points))
    return made


@pytest.mark.parametrize("call", [force, predict])
@pytest.mark.parametrize("role, message", [
    ("alcie", "meet: there is no role 'alcie'; did you mean 'alice'?"),
    ("bobb", "meet: there is no role 'bobb'; did you mean 'bob'?")])
def test_a_role_that_is_nearly_one_is_refused_with_that_one(call, role, message):
    with pytest.raises(ScenarioError) as refusal:
        call(world(At(role, "first lock"), At("bob", "first lock")))
    assert str(refusal.value) == message


misspelt = world(At("alcie", "first lock"), At("bob", "first lock"))


def test_the_command_refuses_it_in_one_line(capsys):
    assert main(["force", "test_nowhere:misspelt"]) == 2
    assert capsys.readouterr().err == \
        "harness: meet: there is no role 'alcie'; did you mean 'alice'?\n"


@pytest.mark.parametrize("points, said", [
    ((At("alice", "first lcok"), At("bob", "first lock")),
     "did anybody ask for a lock or class 'first lcok' (did you mean 'first lock'?)"),
    ((At("alice", "nothing like it"), At("bob", "first lock")),
     "did anybody ask for a lock or class 'nothing like it'"),
    ((At("alice", "second lock", holding="frist lock"), At("bob", "first lock")),
     "did anybody ask for a lock or class 'frist lock' (did you mean 'first lock'?)"),
    ((At("kworker/0:0", "first lock"), At("bob", "first lock")),
     "was there a role or a thread 'kworker/0:0', only alice, bob")])
def test_a_lock_or_thread_that_was_nowhere_is_named_where_the_race_was_not_reached(points, said):
    result = force(world(*points))
    assert result.verdict.value == "not-reached"
    assert result.outcome.notes == [f"Of what the meeting names, in no order of start {said}."]
    assert said in predict(world(*points)).coverage["declared_meeting"]


def test_a_further_writer_of_a_semaphore_that_nobody_has_is_named():
    def made():
        made = world(At("alice", "first lock", holding="second lock"), At("bob", "first lock"))()
        made.meet = Meet(*made.meet.points, writers=["sem"])
        return made

    result = force(made)
    assert [note for note in result.outcome.notes if "'sem'" in note]


def test_a_thread_that_is_nearly_a_role_is_none_that_is_misspelt_though_the_race_is_missed():
    def made():
        lock = Mutex("lock")

        def alice():
            thread = threading.Thread(target=lambda: None, name="alice 2")
            thread.start()
            thread.join()
            with lock:
                pass

        return Scenario({"alice": alice}, meet=Meet(At("alice 2", lock), At("alice", lock)))

    assert force(made).verdict.value == "not-reached"


def test_of_a_race_that_is_missed_though_all_is_there_nothing_is_said():
    # Both take the locks in the same order: nobody asks for the first with the second in hand.
    result = force(world(At("alice", "first lock", holding="second lock"),
                         At("bob", "second lock", holding="first lock")))
    assert result.verdict.value == "not-reached" and result.outcome.notes == []


def test_a_thread_is_met_by_its_name_though_it_is_nearly_a_role_and_a_lock_made_in_a_role():
    def made():
        locks = {}

        def child():
            with locks["late"]:
                pass

        def alice():
            locks["late"] = Mutex("made late")
            thread = threading.Thread(target=child, name="alice 2")
            thread.start()
            with locks["late"]:
                pass
            thread.join()

        return Scenario({"alice": alice}, meet=Meet(At("alice 2", "made late"),
                                                    At("alice", "made late")))

    result = force(made)
    assert result.verdict.value == "clean" and "the roles met" in result.outcome.notes[0]
