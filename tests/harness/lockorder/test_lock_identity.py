"""Which locks of several runs prediction takes for the same, and which of one kind."""

from functools import partial

import made_in_roles as programs
import pytest

from harness import LockClass, Mutex, Scenario, Verdict, predict
from harness.lockorder.finding import FORCED, GUARDED


@pytest.mark.parametrize("program", [
    programs.guarded_table, partial(programs.guarded_table, programs.SORTED), programs.defaults,
    programs.hidden_table, programs.numbered_table, programs.methods, programs.alike],
    ids=lambda program: getattr(program, "__name__", "three keys"))
def test_a_program_that_takes_the_locks_of_keys_in_order_is_not_accused(program):
    result = predict(program)
    assert (result.verdict, result.predictions) == (Verdict.CLEAN, [])
    assert "excused" not in result.coverage    # nobody had to say that it is legal


OPPOSITE = {
    "table": (partial(programs.guarded_table, programs.OPPOSITE), "locks['x']", "locks['y']"),
    "defaults": (partial(programs.defaults, programs.OPPOSITE), "locks['x']", "locks['y']"),
    "methods": (partial(programs.methods, "up", "down"), "Table.locks['x']", "Table.locks['y']"),
    "numbered": (partial(programs.numbered_table, programs.OPPOSITE), "locks[0]", "locks[1]"),
    "handed on": (programs.handed_on, "parent.first", "parent.second")}


@pytest.mark.parametrize("name", OPPOSITE)
def test_opposite_orders_are_found_and_the_locks_have_the_names_of_a_reader(name):
    program, *locks = OPPOSITE[name]
    result = predict(program)
    assert result.verdict is Verdict.DEADLOCK
    assert sorted(member["wants"] for member in result.as_dict()["cycle"]) == locks
    [prediction] = result.predictions
    assert prediction.status == FORCED and "circular" in prediction.headline
    assert all(lock in str(result) for lock in locks)


def test_locks_that_were_given_one_name_are_found_in_opposite_orders():
    result = predict(partial(programs.alike, programs.OPPOSITE))
    assert result.verdict is Verdict.DEADLOCK
    assert [prediction.key for prediction in result.predictions] == [
        "class of x -> class of y -> class of x"]


def test_opposite_orders_in_a_table_nobody_can_look_into_are_found_too():
    result = predict(partial(programs.hidden_table, programs.OPPOSITE))
    assert result.verdict is Verdict.DEADLOCK
    assert [prediction.status for prediction in result.predictions] == [FORCED]


def test_locks_of_roles_own_in_opposite_orders_are_no_finding():
    # One expression made the first of each, so they are of one class; nobody said that they are.
    result = predict(programs.own_pairs)
    assert (result.verdict, result.predictions) == (Verdict.CLEAN, [])
    assert result.coverage["locks"] == 4    # of two runs that are the same but for them


def test_a_thread_that_takes_its_parent_s_locks_in_its_order_is_no_finding():
    assert predict(partial(programs.handed_on, "first")).verdict is Verdict.CLEAN


def test_runs_that_differ_in_roles_own_locks_alone_count_once_and_a_guard_is_seen():
    # Three roles, six runs. Were each run's completions other ways to act, there would be 6 x 6 x 6
    # ways to combine them, too many to say that the guard holds in all.
    result = predict(programs.guarded_beside_own)
    assert result.verdict is Verdict.CLEAN
    assert [(prediction.key, prediction.status, prediction.reason)
            for prediction in result.predictions] == [("a -> b -> a", GUARDED, "guard")]


def two_on_one_line(nested):
    a, b = Mutex(), Mutex()

    def left():
        with a:
            with b:
                pass

    def right():
        with nested(a, b)[0]:
            with nested(a, b)[1]:
                pass

    return {"left": left, "right": right}


def test_two_locks_made_on_one_line_are_two_classes():
    same = predict(lambda: two_on_one_line(lambda a, b: (a, b)))
    assert (same.verdict, same.predictions) == (Verdict.CLEAN, [])
    opposite = predict(lambda: two_on_one_line(lambda a, b: (b, a)))
    [finding] = opposite.predictions
    assert finding.headline == "possible circular locking dependency detected"
    assert len(finding.classes) == 2
    assert "recursive" not in str(opposite)


def dining(orders):
    forks = [Mutex() for _ in range(3)]

    def philosopher(first, second):
        def dine():
            with forks[first]:
                with forks[second]:
                    pass
        return dine

    return {f"philosopher {i}": philosopher(*order) for i, order in enumerate(orders)}


def in_a_circle():
    return dining([(0, 1), (1, 2), (2, 0)])


def test_a_circle_of_locks_made_by_one_expression_is_one_finding_that_names_each():
    result = predict(in_a_circle)
    [finding] = result.predictions
    assert (finding.status, finding.key) == (FORCED, "dining.forks[*] -> dining.forks[*]")
    assert finding.headline == "possible circular locking dependency detected"
    assert [leg.held.name for leg in finding.legs] == ["forks[0]", "forks[1]", "forks[2]"]
    assert "  lock(forks[0]);" in str(result)


def test_two_circles_of_one_class_are_one_finding_with_a_count():
    def world():
        return dining([(0, 1), (1, 0), (1, 2), (2, 1)])

    [finding] = predict(world).predictions
    assert (finding.status, finding.count) == (FORCED, 2)


def test_a_lock_that_is_taken_twice_is_recursive_whatever_it_is_called():
    def world():
        lock = Mutex()

        def role():
            with lock:
                with lock:
                    pass

        return {"role": role}

    [finding] = predict(world).predictions
    assert (finding.key, finding.headline) == ("lock -> lock",
                                               "possible recursive locking detected")


def test_what_a_scenario_says_of_a_class_that_no_lock_was_given_holds_for_it():
    def in_order(classes):
        world = dining([(0, 1), (1, 2)])
        return Scenario(world, lock_classes=classes)

    assert predict(lambda: in_order([])).verdict is Verdict.CLEAN
    declared = predict(lambda: in_order([LockClass("dining.forks[*]")]))
    assert declared.verdict is Verdict.PREDICTED    # now somebody said that they are of one kind
    ordered = LockClass("dining.forks[*]", order=lambda held, wanted: held.name < wanted.name,
                        why="by name")
    assert predict(lambda: in_order([ordered])).verdict is Verdict.CLEAN


def test_what_outlives_worlds_keeps_its_name_whoever_asks_first():
    legal = LockClass("lock", order=lambda held, wanted: held is one, why="one first")
    one, two = Mutex("lock", legal), Mutex("lock", legal)

    def taker(first, second):
        def body():
            with first:
                with second:
                    pass
        return body

    def same_order():
        return {"A": taker(one, two), "B": taker(one, two)}

    def starts_alone():
        def alone():
            with two:
                pass
        return {"A": taker(one, two), "B": alone}

    for world in (same_order, starts_alone):    # with B first, `two` is asked for first
        result = predict(world)
        assert (result.verdict, result.predictions) == (Verdict.CLEAN, [])
        assert result.coverage["locks"] == 2


def test_a_finding_of_classes_nobody_gave_has_a_key_of_the_variables():
    keys = [prediction.key for program in (programs.guarded_table, programs.defaults)
            for prediction in predict(partial(program, programs.OPPOSITE)).predictions]
    assert keys == ["locks[*] -> locks[*]"] * 2


def test_locks_of_one_name_that_roles_make_are_looked_at_run_by_run():
    legal = LockClass("item", order=lambda held, wanted: True, why="by key")

    def world():
        locks, registry = {}, Mutex()

        def get(key):
            with registry:
                if key not in locks:
                    locks[key] = Mutex("item", legal)
                return locks[key]

        return programs.takes(get, programs.SORTED)

    result = predict(world)
    assert (result.verdict, result.predictions) == (Verdict.CLEAN, [])
    assert result.coverage["locks"] == 4    # the six runs are the same but for them


@pytest.mark.parametrize("program, met", [
    (programs.kept_too_late, True), (programs.kept_too_late_by_a_third, True),
    (programs.turned_by_another, True), (programs.twice_and_of_one_name, False)])
def test_a_finding_with_locks_of_one_run_is_made_to_happen_in_another(program, met):
    result = predict(program)
    assert result.verdict is Verdict.DEADLOCK
    [prediction] = result.predictions
    assert (prediction.status, prediction.met) == (FORCED, met)    # else it follows the engine


def test_what_one_of_two_locks_of_a_name_is_tried_for_is_refused_too():
    def world():
        a, b = Mutex(), Mutex()

        def takes():
            with Mutex("own"):
                pass
            with a:
                with b:
                    pass

        def tries():
            own = Mutex("own")
            if own.acquire(False):
                own.release()
            else:
                with b:
                    with a:
                        pass

        return {"takes": takes, "tries": tries}

    assert [prediction.key for prediction in predict(world).predictions] == ["a -> b -> a"]


def test_a_lock_is_called_by_where_it_hung_when_the_world_began():
    def world():
        made = [Mutex() for _ in range(2)]
        free, outer = made, Mutex()

        def takes():
            lock = free.pop()
            with lock:
                with outer:
                    pass

        def waits(lock=made[1]):
            with outer:
                with lock:
                    pass

        return {"takes": takes, "waits": waits}

    assert "lock(free[1]);" in str(predict(world))
