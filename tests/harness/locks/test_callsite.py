"""Which functions are verbs of the locking vocabulary."""

from harness import Mutex, run, vocabulary


@vocabulary
def take(mutex):
    mutex.acquire()


def take_it_plainly(mutex):
    mutex.acquire()


def acquisition(take_it):
    """Return the row of the trace of a run in which a role takes a mutex through *take_it*."""
    def scenario():
        mutex = Mutex("m")

        def role():
            take_it(mutex)
            mutex.release()

        return {"role": role}

    return next(row for row in run(scenario).as_dict()["trace"] if row["event"] == "lock_acquire")


def test_a_declared_function_is_a_verb_and_its_caller_the_place():
    row = acquisition(take)
    assert (row["verb"], row["function"].rpartition(".")[2]) == ("take", "role")


def test_other_functions_of_the_same_file_are_places():
    row = acquisition(take_it_plainly)
    assert (row["verb"], row["function"]) == ("acquire", "take_it_plainly")
