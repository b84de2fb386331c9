"""A call in which no operation of ours was seen says nothing, and says so."""

import functools
import queue
import threading

import pytest

from harness import (Completion, Mutex, RWSemaphore, Scenario, Verdict, explore, force, predict,
                     replay, run, step, stress)
from harness.checker.program import Op, Program
from harness.programs.threads import scenario_of

CALLS = {"run": run, "force": force, "predict": predict, "explore": explore,
         "stress": functools.partial(stress, runs=3),
         "dfs": functools.partial(explore, strategy="dfs", engine=False)}


@pytest.fixture(params=CALLS)
def call(request):
    """Return one way to run a scenario."""
    return CALLS[request.param]


def text_of(result):
    return " ".join(str(result).split())


# -- nothing of ours ------------------------------------------------------------------------------


def plain_locks():
    first, second = threading.Lock(), threading.RLock()

    def one():
        with first:
            with second:
                pass

    def other():
        second.acquire()
        second.release()

    return {"one": one, "other": other}


class Shop:
    """Ordinary threaded code: a condition as an attribute, a queue, threads of its own."""

    def __init__(self):
        self.changed, self.orders = threading.Condition(), queue.Queue()

    def sells(self):
        with self.changed:
            self.changed.notify_all()
        self.orders.put(1)

    def runs_it(self):
        clerk = threading.Thread(target=self.sells)
        clerk.start()
        clerk.join()


def shop():
    return {"boss": Shop().runs_it, "idle": lambda: None}


def nothing_at_all():
    return {"a": lambda: None, "b": lambda: None}


@pytest.mark.parametrize("factory, used", [
    (plain_locks, ["(2 locks of `threading` were:", "`first` (threading.Lock, one, ",
                   "`second` (threading.RLock, one, "]),
    (shop, ["(2 locks of `threading` were:", "`self.changed` (threading.Condition, Shop.sells, ",
            "`self.orders` (queue.Queue, Shop.sells, "]),
    (nothing_at_all, ["(0 locks of `threading` were)"])])
def test_a_call_that_saw_no_operation_of_ours_is_inconclusive(call, factory, used):
    result = call(factory)
    assert (result.verdict, result.verdict.exit_status) == (Verdict.INCONCLUSIVE, 3)
    text = text_of(result)
    assert text.startswith("INCONCLUSIVE: no lock of harness was used ")
    assert [each for each in used if each not in text] == []


def test_a_start_that_is_a_step_is_no_operation_of_ours():
    """Roles that share data and take no lock at all: their starts are tried in every order."""
    def world():
        box = []
        return {"a": lambda: box.append(1), "b": lambda: box.append(2)}

    result = explore(world, engine=False)
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.INCONCLUSIVE, 2)


def test_such_an_exploration_is_not_complete():
    assert explore(plain_locks).coverage["complete"] is False


@pytest.mark.parametrize("role", [
    lambda: Mutex("a").locked(), lambda: Mutex("a").acquire(False), lambda: step("x"),
    lambda: Completion("c").complete(), lambda: Completion("c").done(),
    lambda: RWSemaphore("s").down_read_trylock()],
    ids=["look", "trylock", "step", "complete", "done", "semaphore"])
def test_each_operation_of_ours_is_one(call, role):
    """In one run of one role; those that take a lock for good are a violation, as ever."""
    text = text_of(call(lambda: {"a": role, "b": lambda: None}))
    assert "no lock of harness" not in text


def test_an_operation_in_one_run_of_many_is_enough():
    """Only the second world takes a lock."""
    worlds = []

    def world():
        worlds.append(1)
        return {"a": Mutex("a").locked if len(worlds) == 2 else lambda: None}

    assert run(world, runs=3).verdict is Verdict.CLEAN


def test_a_finding_is_graver_than_having_seen_nothing(call):
    def raises():
        raise KeyError("spoon")

    def check():
        raise AssertionError("wrong")

    assert call(lambda: {"a": raises}).verdict is Verdict.ERROR
    assert call(lambda: Scenario({"a": lambda: None}, check=check)).verdict is Verdict.VIOLATION


def test_a_program_as_data_without_an_operation_is_what_it_was(call):
    program = Program({}, {"p": (), "q": (Op("lock", "A"), Op("unlock", "A"))})
    empty = Program({}, {"p": (), "q": ()})
    for each in (program, empty):
        assert "no lock of harness" not in text_of(call(scenario_of(each)))


def test_replay_of_a_run_that_saw_nothing_is_no_clean():
    """A token of a failing check, whose scenario was mended since."""
    good = []

    def check():
        assert good, "wrong"

    def world():
        return Scenario({"a": lambda: None}, check=check)

    token = explore(world).replay
    good.append(1)
    assert replay(token, world).verdict in (Verdict.NOT_REACHED, Verdict.INCONCLUSIVE)


# -- both kinds ------------------------------------------------------------------------------------


class Cache:
    """Takes one lock of ours and one that is not, which another object has."""

    def __init__(self):
        self.ours, self.parts = Mutex("ours"), [Part()]

    def use(self):
        with self.ours, self.parts[0].gate:
            pass


class Part:
    __slots__ = ("gate",)

    def __init__(self):
        self.gate = threading.Lock()


def cache():
    shared = Cache()
    return {"a": shared.use, "b": shared.use}


def closure_and_partial():
    ours, gate, box = Mutex("ours"), threading.Semaphore(), {"k": threading.Event()}

    def role(things):
        with ours:
            gate.acquire()
            gate.release()
            things["k"].set()

    return {"a": functools.partial(role, box), "b": ours.locked}


@pytest.mark.parametrize("factory, names", [
    (cache, ["gate` (threading.Lock, "]),
    (closure_and_partial, ["`gate` (threading.Semaphore, ", "(threading.Event, "])])
def test_where_roles_use_both_kinds_the_report_names_what_was_outside(call, factory, names):
    text = text_of(call(factory))
    assert "Outside our locks, and not seen: " in text
    assert [name for name in names if name not in text] == []
    assert "test_nothing_seen.py:" in text


def test_used_is_said_of_what_was_used_and_in_reach_of_the_rest():
    """One lock is never taken: a traced schedule does not call it used."""
    ours, idle, taken = Mutex("ours"), threading.Lock(), threading.Lock()

    def role():
        with ours:
            if not ours.locked():
                idle.acquire()
        with taken:
            pass

    explored, ran = (text_of(each(lambda: {"a": role})) for each in (explore, run))
    assert ("the roles used" in explored, "`taken`" in explored, "`idle`" in explored) \
        == (True, True, False)
    assert ("in reach of the roles" in ran, "`taken`" in ran, "`idle`" in ran) == (True, True, True)


def test_locks_of_ours_alone_say_nothing_of_others(call):
    ours = Mutex("ours")
    assert "Outside our locks" not in text_of(call(lambda: {"a": ours.locked, "b": ours.locked}))


# -- work that nobody does -------------------------------------------------------------------------


async def coroutine():
    """Work that needs a loop."""


def generator():
    yield 1


async def async_generator():
    yield 1


class Callable:
    async def __call__(self):
        """Work that needs a loop."""


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make, what", [
    (lambda: lambda: coroutine(), "a coroutine"), (lambda: functools.partial(generator),
                                                   "a generator"),
    (lambda: Callable(), "a coroutine"), (lambda: lambda: async_generator(), "an async generator"),
    (lambda: wrapped(coroutine), "a coroutine")],
    ids=["lambda", "partial", "object", "async generator", "wrapper"])
def test_a_role_that_returns_work_that_nobody_ran_is_an_error(call, make, what):
    """Though another role takes a lock, so that something was seen."""
    result = call(lambda: {"a": make(), "b": Mutex("m").locked})
    assert result.verdict is Verdict.ERROR
    assert f"a returned {what} that nobody ran: " in result.finding.text
    assert "test_nothing_seen.py:" in result.finding.text


def test_a_generator_that_was_begun_or_is_a_plain_value_is_none(call):
    def begun():
        with Mutex("m"):
            work = generator()
            next(work)
        return work

    assert call(lambda: {"a": begun, "b": lambda: [1]}).verdict.exit_status in (0, 3)
    assert "nobody ran" not in text_of(call(lambda: {"a": begun}))
