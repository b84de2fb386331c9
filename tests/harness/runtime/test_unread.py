"""A number that is counted and never asked for makes no two states; one that anybody reads does."""

import copy

import pytest

from harness import Verdict, explore
from harness.exploration import scheduled_run
from harness.runtime.state import State
from harness.runtime.unread import is_counter, read_by, unread
from harness.threading import Event, Lock


class Poller:
    """Waits for its end with a limit, again and again, and counts how often."""

    def __init__(self):
        self.lock, self.other, self.done = Lock(), Lock(), Event()
        self.ticks = 0

    def poll(self):
        here = 0.0
        while not self.done.wait(0.1):
            with self.lock:
                self.ticks += 1
                here += 0.5

    def stop(self):
        with self.lock:
            self.done.set()


def roles(poller):
    return {"poll": poller.poll, "stop": poller.stop}


def test_what_is_only_counted_makes_no_round_another_state():
    """The limit runs out before the lock is taken, between its take and release in the other role,
    or not at all: four ways, of which each round is the same.
    """
    result = explore(lambda: roles(Poller()))
    assert result.verdict is Verdict.CLEAN and result.coverage["complete"], str(result)
    assert result.coverage["strategy"] == "dpor"


def by_pattern(poller):
    match poller:
        case Poller(ticks=3):
            return True
    return False


FORMAT = "{.ticks}"
READERS = {
    "its name": lambda poller: poller.ticks == 3,
    "a format": lambda poller: FORMAT.format(poller) == "3",
    "an f-string": lambda poller: f"{poller.ticks}" == "3",
    "getattr": lambda poller: getattr(poller, "tic" + "ks") == 3,
    "its dict": lambda poller: poller.__dict__["tic" + "ks"] == 3,
    "vars": lambda poller: vars(poller)["tic" + "ks"] == 3,
    "a copy": lambda poller: next(reversed([*copy.copy(poller).__reduce_ex__(2)[2].values()])) == 3,
    "a pattern": by_pattern}


def value_of(poller, *also):
    return State((), (poller, *also)).value


@pytest.mark.parametrize("reads", READERS.values(), ids=READERS)
def test_what_anybody_may_read_is_part_of_the_state(reads):
    """The check of a scenario, say, or another role."""
    poller = Poller()
    before, alone = value_of(poller, reads), value_of(poller)
    poller.ticks += 1
    assert value_of(poller) == alone != value_of(Poller(), reads)
    assert value_of(poller, reads) != before


def test_what_a_role_reads_that_has_ended_here_but_not_elsewhere_is_part_of_the_state(monkeypatch):
    """After three rounds the other goes the other way round. Where it has ended nobody reads the
    number any more; the reduction compares with schedules in which it has yet to begin.
    """
    def world():
        poller = Poller()

        def poll():
            while not poller.done.wait(0.1):
                poller.ticks += 1
                with poller.lock, poller.other:
                    pass

        def cross():
            if poller.ticks == 3:
                with poller.other, poller.lock:
                    pass

        return {"poll": poll, "cross": cross, "stop": poller.done.set}

    monkeypatch.setattr(scheduled_run, "MOST_STEPS", 200)
    assert explore(world, max_schedules=30).verdict is not Verdict.CLEAN


def test_retries_that_end_are_no_counters():
    """Three times, then the other way round: by a variable, and by an attribute."""
    def world():
        poller = Poller()

        def hurried():
            tries = 0
            while tries < 3:
                if poller.done.wait(0.1):
                    return
                tries += 1
            with poller.other, poller.lock:
                pass

        def patient():
            with poller.lock, poller.other:
                poller.done.set()

        return {"hurried": hurried, "patient": patient}

    assert explore(world, engine=False).verdict is Verdict.DEADLOCK


# -- what code reads -------------------------------------------------------------------------------


def count(self):
    self.n += 1
    self.f -= 0.5


def more(self):
    self.n += self.m
    self.f = self.f + 1


def shown(self):
    return FORMAT.format(self)


@pytest.mark.parametrize("codes, expected", [
    ([count], {"n", "f"}), ([more], set()), ([count, more], set()), ([shown], set()),
    ([], {"n", "f"}),
    ([lambda self: setattr(self, "k", 1)], {"n", "f"}), ([lambda self: self.n], {"f"}),
    ([lambda self: vars(self)], set()), ([lambda self: self._n], {"n", "f"})])
def test_a_name_is_unread_if_no_code_does_more_than_count_it(codes, expected):
    assert unread({"n", "f", "_n"}, [code.__code__ for code in codes]) == expected


def test_the_variable_of_a_loop_is_a_counter_if_nothing_else_asks_for_it():
    def one(stop):
        n = 0
        while not stop():
            n += 1

    def other(stop):
        n = 0
        while not stop(n):
            n += 1

    assert is_counter(one.__code__, "n") and not is_counter(other.__code__, "n")
    assert not is_counter(one.__code__, "stop")


def test_code_that_imports_what_is_not_there_yet_may_read_all():
    def later():
        import not_loaded_yet    # noqa: F401

    assert read_by(later.__code__).all


def test_a_class_that_sees_what_is_set_reads_it():
    class Sees:
        def __setattr__(self, name, value):
            seen.append(value)

    seen = []
    assert read_by(Sees.__setattr__.__code__).all


def test_what_the_library_may_ask_of_a_number_is_read():
    assert unread({"real", "imag", "numerator", "denominator", "n"}, []) == {"n"}
