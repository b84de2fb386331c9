"""The stretch before a first operation, and after the start of a thread, where it is shared."""

import random
import sys
import threading
from functools import partial

import pytest
from explored import explored

from harness import Completion, Mutex, RWSemaphore, Scenario, Verdict, explore, replay, step
from harness.exploration import tracing
from harness.exploration.dpor import Reduced
from harness.exploration.start_points import StartPoints, TracedRun
from harness.exploration.token import decode

STRATEGIES = ["dpor", "dfs", "bounded", "random", "pct"]


def branches(late, a, b, before=None):
    """Take a; if *late*, take them crosswise to what `in_order` does."""
    with before or a:
        pass
    if late:
        with b, a:
            pass


def in_order(a, b):
    with a, b:
        pass


# -- programs that are clean in the order of the mapping -------------------------------------------


def late_flag():
    """Today's order lets `first` look before anybody has set the flag."""
    flag, a, b = [], Mutex("a"), Mutex("b")

    def second():
        flag.append(1)
        in_order(a, b)

    return {"first": lambda: branches(bool(flag), a, b), "second": second}


def with_a_lock_first():
    """The flag is set after a lock operation: starts that depend on starts alone miss it."""
    flag, a, b, c = [], Mutex("a"), Mutex("b"), Mutex("c")

    def second():
        with c:
            pass
        flag.append(1)
        in_order(a, b)

    return {"first": lambda: branches(bool(flag), a, b), "second": second}


def flag_in_a_window():
    """The flag is up between two of the operations of `second` only."""
    flag, a, b, c = [], Mutex("a"), Mutex("b"), Mutex("c")

    def second():
        with c:
            pass
        flag.append(1)
        with c:
            pass
        flag.clear()
        in_order(a, b)

    return {"first": lambda: branches(bool(flag), a, b, Mutex("d")), "second": second}


class Door:
    """Something with an attribute, a slot and a class attribute that roles share."""

    __slots__ = ("a", "b", "open")
    opened = 0

    def __init__(self):
        self.a, self.b, self.open = Mutex("a"), Mutex("b"), False

    def passer(self):
        branches(self.open, self.a, self.b)

    def opener(self):
        self.open = True
        in_order(self.a, self.b)


def attribute():
    door = Door()
    return {"passer": door.passer, "opener": door.opener}


def class_attribute():
    Door.opened = 0
    door = Door()

    def opener():
        Door.opened += 1
        in_order(door.a, door.b)

    return {"passer": lambda: branches(door.opened, door.a, door.b), "opener": opener}


def nonlocal_name():
    raised, a, b = False, Mutex("a"), Mutex("b")

    def raises():
        nonlocal raised
        raised = True
        in_order(a, b)

    return {"looks": lambda: branches(raised, a, b), "raises": raises}


LIGHT = False


def global_name():
    global LIGHT
    LIGHT, a, b = False, Mutex("a"), Mutex("b")

    def switches():
        global LIGHT
        LIGHT = True
        in_order(a, b)

    return {"looks": lambda: branches(LIGHT, a, b), "switches": switches}


def item_by_a_helper():
    box, a, b = {"up": 0}, Mutex("a"), Mutex("b")

    def bump(where, key):
        where[key] += 1

    def bumps():
        bump(box, "up")
        in_order(a, b)

    return {"looks": lambda: branches(sum(box.values()), a, b), "bumps": bumps}


def event_of_the_library():
    """One clears an event, the other sets it: who was last is seen after a lock."""
    event, m = threading.Event(), Mutex("m")

    def clears():
        event.clear()
        with m:
            pass
        assert event.is_set(), "it would wait for ever"

    def sets():
        event.set()
        with m:
            pass

    return {"clears": clears, "sets": sets}


NAME = "open"


def setattr_by_name():
    door = Door()

    def opener():
        setattr(door, NAME, True)
        in_order(door.a, door.b)

    return {"passer": lambda: branches(getattr(door, NAME), door.a, door.b), "opener": opener}


def under_a_lock_of_the_library():
    """That a plain lock guards the flag does not order who comes first."""
    guard, flag, a, b = threading.Lock(), [0], Mutex("a"), Mutex("b")

    def look():
        with guard:
            return flag[0]

    def raises():
        with guard:
            flag[0] = 1
        in_order(a, b)

    return {"looks": lambda: branches(look(), a, b), "raises": raises}


def reader_of_a_semaphore():
    """Its first operation is on a semaphore; the writer's flag depends on its own first lock."""
    flag, a, b, s = set(), Mutex("a"), Mutex("b"), RWSemaphore("s")

    def second():
        with s.down_write():
            pass
        flag.add(1)
        in_order(a, b)

    def first():
        late = 1 in flag
        with s.down_read():
            pass
        branches(late, a, b)

    return {"first": first, "second": second}


def parent_writes():
    """What a parent writes after the start is seen by its child, which today sees it always."""
    up, a, b = [], Mutex("a"), Mutex("b")

    def child():
        with a:
            pass
        if not up:
            with b, a:
                pass

    def parent():
        thread = threading.Thread(target=child)
        thread.start()
        up.append(1)
        in_order(a, b)
        thread.join()

    return {"parent": parent}


def parents_own_variable():
    """The same in a variable of the parent itself, and the child looks first."""
    a, b = Mutex("a"), Mutex("b")

    def parent():
        up = False

        def child():
            if up:
                with b, a:
                    pass

        thread = threading.Thread(target=child)
        thread.start()
        up = True
        in_order(a, b)
        thread.join()

    return {"parent": parent}


def held_by_another():
    """A plain lock is held across an operation, and tried before one: who holds it is shared."""
    plain, a, b, c = threading.Lock(), Mutex("a"), Mutex("b"), Mutex("c")

    def tries():
        late = not plain.acquire(False)
        if not late:
            plain.release()
        branches(late, a, b)

    def holds():
        with c:
            pass
        with plain:
            in_order(a, b)

    return {"tries": tries, "holds": holds}


SHARED = [late_flag, with_a_lock_first, flag_in_a_window, attribute, class_attribute,
          nonlocal_name, global_name, item_by_a_helper, event_of_the_library, setattr_by_name,
          under_a_lock_of_the_library, held_by_another, reader_of_a_semaphore, parent_writes,
          parents_own_variable]


def turned(factory):
    """Return *factory* with its roles in the opposite order."""
    return lambda: dict(reversed(factory().items()))


@pytest.fixture(autouse=True)
def the_tracer_is_without_fault(monkeypatch):
    """Fail if a tracer met a fault of its own, which it keeps to itself."""
    made = []

    class Noted(tracing.Tracer):
        def __init__(self):
            super().__init__()
            made.append(self)

    monkeypatch.setattr(tracing, "Tracer", Noted)
    yield made
    assert [tracer.errors for tracer in made if tracer.errors] == []


@pytest.mark.parametrize("order", [lambda factory: factory, turned], ids=["mapping", "turned"])
@pytest.mark.parametrize("factory", SHARED)
def test_what_a_stretch_before_a_first_operation_shares_is_turned_round(factory, order):
    """By the reduced search and by the plain one, which come to the same verdicts."""
    found = {}
    for strategy in ("dpor", "dfs"):
        result = explore(order(factory), strategy=strategy, engine=False, all=True)
        found[strategy] = result.verdict, set(result.coverage["verdicts"])
        assert result.coverage["complete"]
    assert found["dpor"] == found["dfs"]
    assert found["dfs"][0] is (Verdict.VIOLATION if factory is event_of_the_library
                               else Verdict.DEADLOCK) or found["dfs"][0] is Verdict.ERROR


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("factory", [with_a_lock_first, parent_writes])
def test_every_strategy_finds_it_and_its_token_shows_it_again(factory, strategy):
    result = explore(factory, strategy=strategy, seed=1)
    assert (result.verdict, result.coverage["replayed"]) == (Verdict.DEADLOCK, "10 of 10")
    again = replay(result.replay, factory)
    assert (again.verdict, again.cycle) == (Verdict.DEADLOCK, result.cycle)


def test_a_token_says_which_starts_are_steps():
    _, _, moves = decode(explore(with_a_lock_first).replay)
    assert moves.points == ("start of first",)
    _, _, moves = decode(explore(parent_writes).replay)
    assert moves.points == ("after the start of parent/1",)


def test_what_is_shared_is_named_under_the_verdict():
    text = " ".join(str(explore(with_a_lock_first)).split())
    line = with_a_lock_first.__code__.co_firstlineno + 10
    assert f"Outside locks, first and second share `flag` (<lambda>, test_start_points.py:{line})" \
           f", which first uses before its first operation." in text


# -- counted by hand -------------------------------------------------------------------------------


def one_start():
    """looks: s A a. sets: B b, and then the flag, so that s depends on b, and on nothing else: two
    classes. All orders of three steps and two: 5! / 3! 2! = 10.
    """
    flag, a, b = [], Mutex("a"), Mutex("b")

    def looks():
        len(flag)
        with a:
            pass

    def sets():
        with b:
            pass
        flag.append(1)

    return {"looks": looks, "sets": sets}


def two_starts():
    """one: s A a. other: t B b. s and t depend on each other, all else is apart: two classes. All
    orders of three steps and three: 20.
    """
    story, a, b = [], Mutex("a"), Mutex("b")

    def tells(lock):
        story.append(1)
        with lock:
            pass

    return {"one": partial(tells, a), "other": partial(tells, b)}


def in_the_middle():
    """looks: s, and a wait that passes. sets: B C c b, and the flag behind B and behind b: s comes
    before B, between B and b, or after b: three classes. Orders of two steps and four: 15.
    """
    flag, a, b, c = [], Completion("a"), Mutex("b"), Mutex("c")
    a.complete()

    def looks():
        len(flag)
        a.wait()

    def sets():
        with b:
            flag.append(1)
            with c:
                pass
        flag.append(2)

    return {"looks": looks, "sets": sets}


def with_one_apart():
    """As one_start, and a third role, C c, that shares nothing: its start is no step. Two classes
    still; the orders of three, two and two steps: 7! / 3! 2! 2! = 210.
    """
    c = Mutex("c")

    def apart():
        with c:
            pass

    return {**one_start(), "apart": apart}


def a_parent():
    """parent: p, j: what it does after the start, and the join. child: A a e, e is its end.

    p depends on a, after which the child looks; j comes last, since it waits for e and comes after
    p. p comes first, second, third or fourth, before or after a: four orders, two classes.
    """
    up, a = [], Mutex("a")

    def child():
        with a:
            pass
        len(up)

    def parent():
        thread = threading.Thread(target=child)
        thread.start()
        up.append(1)
        thread.join()

    return {"parent": parent}


@pytest.mark.parametrize(("factory", "classes", "orders"), [
    (one_start, 2, 10), (two_starts, 2, 20), (in_the_middle, 3, 15), (with_one_apart, 2, 210),
    (a_parent, 2, 4)])
def test_starts_as_steps_are_counted_by_hand(factory, classes, orders):
    for strategy, count in (("dpor", classes), ("dfs", orders)):
        result = explore(factory, strategy=strategy, engine=False)
        assert (result.verdict, result.coverage["schedules"]) == (Verdict.CLEAN, count)


# -- drawn at random -------------------------------------------------------------------------------


def drawn(seed, endings):
    """Return a scenario of two roles that look at flags and change some before their first lock,
    and set flags between later ones; what they saw decides which locks they take. None reads a flag
    behind a lock, so its order with all locks decides all. *endings* gets how each schedule ended.
    """
    rng = random.Random(seed)

    def part():
        return [(rng.random() < .4 and rng.randrange(2), rng.sample(range(2), rng.choice([1, 2])))
                for _ in range(rng.choice([1, 1, 2]))]

    plans = [([flag for flag in range(2) if rng.random() < .5],
              [flag for flag in range(2) if rng.random() < .3], part(), part(),
              rng.random() < .2) for _ in range(2)]

    def world():
        locks, flags, seen = [Mutex("a"), Mutex("b")], [0, 0], {}

        def does(work):
            for flag, wanted in work:
                if flag is not False:
                    flags[flag] += 1
                for lock in wanted:
                    locks[lock].acquire()
                for lock in wanted:
                    locks[lock].release()

        def role(name, looks, changes, one, other, starts):
            seen[name] = [flags[flag] for flag in looks]
            for flag in changes:
                flags[flag] = 1 - flags[flag]
            work = other if any(seen[name]) else one
            if starts:
                thread = threading.Thread(target=does, args=(work,))
                thread.start()
                flags[0] = 5
                locks[0].locked()
                thread.join()
            else:
                does(work)

        return Scenario({name: partial(role, name, *plan) for name, plan in zip("pq", plans)},
                        check=lambda: endings.add(repr((flags, sorted(seen.items())))))

    return world


@pytest.mark.parametrize("seed", range(12))
def test_the_reduced_search_comes_to_the_endings_of_the_plain_one(seed):
    found = []
    for strategy in ("dfs", "dpor"):
        endings = set()
        result = explore(drawn(seed, endings), strategy=strategy, engine=False, all=True,
                         max_schedules=500)
        if strategy == "dfs" and not result.coverage["complete"]:
            return    # too many to go through here
        found.append((result.verdict, endings))
    assert found[0] == found[1]


def test_a_start_that_sleeps_is_woken_by_what_it_depends_on():
    """The start s of `looks` sleeps where the race for m is turned round; what would come before it
    there, and what it depends on, is on no lock of its own.

    s depends on b of `one` (B b M m) and on M of `other`. If `one` has m first, its b comes before
    that M: s before both, between them or after them, three classes. If `other` has it first the
    two are apart: s before or after each, four.
    """
    def world(endings):
        b, m, c, flags, seen = Mutex("b"), Mutex("m"), Mutex("c"), [0, 0], []

        def looks():
            seen.append(tuple(flags))
            with c:
                pass

        def one():
            with b:
                pass
            flags[0] += 1
            with m:
                pass

        def other():
            with m:
                flags[1] += 1

        return Scenario({"looks": looks, "one": one, "other": other},
                        check=lambda: endings.add(str(seen)))

    plain, reduced = set(), set()
    explore(partial(world, plain), strategy="dfs")
    classes = explore(partial(world, reduced), engine=False).coverage["schedules"]
    assert (plain, classes) == (reduced, 7)
    assert plain == {"[(0, 0)]", "[(0, 1)]", "[(1, 0)]", "[(1, 1)]"}


# -- branches that the traced schedule did not take -----------------------------------------------


def told_under_a_lock(how):
    """`teller` raises the flag only if `third` was first, which it is not when it is traced."""
    flag, told, a, b, m = {"up": 0}, [], Mutex("a"), Mutex("b"), Mutex("m")

    def bump(where):
        where["up"] += 1

    def teller():
        with m:
            seen = bool(told)
        if how == "branch":
            if seen:
                flag["up"] = 1
        elif how == "function" and seen:
            bump(flag)
        elif how == "loop":
            for _ in range(seen):
                flag.update(up=1)
        elif how == "handler":
            try:
                1 / (not seen)
            except ZeroDivisionError:
                flag["up"] = 1
        in_order(a, b)

    def third():
        with m:
            told.append(1)

    return {"reader": lambda: branches(flag["up"], a, b), "teller": teller, "third": third}


def looks_on_if_told():
    """A branch before the first operation looks at something else."""
    flag, other, a, b, c = [], [], Mutex("a"), Mutex("b"), Mutex("c")

    def reader():
        late = False
        if flag:
            late = bool(other)
        branches(late, a, b)

    def sets():
        with c:
            pass
        flag.append(1)

    def sets_other():
        other.append(1)
        in_order(a, b)

    return {"reader": reader, "sets": sets, "sets_other": sets_other}


@pytest.mark.parametrize("factory", [
    *(partial(told_under_a_lock, how) for how in ("branch", "function", "loop", "handler")),
    looks_on_if_told], ids=["branch", "function", "loop", "handler", "early"])
def test_a_branch_that_was_not_taken_is_looked_at_too(factory):
    assert explore(factory, engine=False).verdict is Verdict.DEADLOCK


# -- where nothing is shared the counts stay -------------------------------------------------------


def joined():
    """A parent reads after the join what its child wrote: that is in order."""
    box, a = [], Mutex("a")

    def child():
        box.append(1)
        with a:
            pass

    def parent():
        thread = threading.Thread(target=child)
        thread.start()
        with a:
            pass
        thread.join()
        assert box

    return {"parent": parent}


def own_things():
    """Each role has its own list, item, attribute and local closure; the table is read by both."""
    table, box, a, b = {"x": 1}, {}, Mutex("a"), Mutex("b")

    def does(name, lock):
        mine, count = [table["x"]], 0

        def bump():
            nonlocal count
            count += 1

        bump()
        mine.append(count)
        box[name] = [each + 1 for each in mine if each in mine]
        with lock:
            pass

    return {"one": lambda: does("one", a), "other": lambda: does("other", b)}


def plain_guard():
    """A lock of the library that is given back at once orders nothing by itself."""
    guard, a, b = threading.Lock(), Mutex("a"), Mutex("b")

    def does(lock):
        with guard:
            pass
        guard.acquire()
        guard.release()
        with lock:
            pass

    return {"one": partial(does, a), "other": partial(does, b)}


@pytest.mark.parametrize(("factory", "orders"), [(own_things, 6), (plain_guard, 6)])
def test_a_start_that_shares_nothing_is_no_step(factory, orders):
    """Two roles of two steps each, on different locks: one class, 4! / 2! 2! = 6 orders."""
    assert explored(factory, Reduced()).tried == 1
    assert explore(factory, engine=False).coverage["schedules"] == 1
    assert explore(factory, strategy="dfs").coverage["schedules"] == orders


def test_what_is_joined_is_in_order():
    """The child's start is no step: it writes the box before its parent, which joins it, reads."""
    result = explore(joined, engine=False)
    assert (result.verdict, result.coverage["schedules"], result.outcome.notes) \
        == (Verdict.CLEAN, 2, [])


def test_a_program_as_data_has_no_starts_to_be_tried(monkeypatch):
    from harness.checker.program import Op, Program
    from harness.programs.threads import scenario_of
    program = Program({}, {"p": (Op("lock", "A"), Op("unlock", "A")),
                           "q": (Op("lock", "B"), Op("unlock", "B"))})
    result = explore(scenario_of(program), strategy="dfs")
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.CLEAN, 6)


# -- the tracer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, value", [("KNOWN_PYTHON", False), ("MOST_EVENTS", 3)])
def test_where_roles_cannot_be_traced_each_start_is_a_step(name, value, monkeypatch):
    """On a Python that nobody knows, or where a role does very much: nothing is taken for apart."""
    monkeypatch.setattr(tracing, name, value)
    assert explore(with_a_lock_first, engine=False).verdict is Verdict.DEADLOCK
    assert explore(plain_guard, engine=False).coverage["schedules"] > 1


def test_a_fault_of_the_tracer_is_none_of_the_role(monkeypatch, the_tracer_is_without_fault):
    monkeypatch.setattr(tracing.Shadow, "step", None)
    assert explore(with_a_lock_first, engine=False).verdict is Verdict.DEADLOCK
    assert [type(error) for error in the_tracer_is_without_fault.pop().errors] == [TypeError] * 2


def test_who_traced_the_threads_before_traces_the_other_schedules():
    """A coverage tool or a debugger: only the one schedule that is traced goes by it."""
    seen, a = [], Mutex("a")

    def role():
        seen.append(sys.gettrace())
        with a:
            pass

    def theirs(frame, event, arg):
        return None

    threading.settrace(theirs)
    try:
        explore(lambda: {"one": role, "other": role}, strategy="dfs")
    finally:
        threading.settrace(None)
    assert (theirs in seen[:2], set(seen[2:])) == (False, {theirs})


def test_frames_of_generators_exceptions_and_calls_back_are_followed():
    """The flag is raised where the shadow of the stack was lost, found again and lost."""
    flag, a, b = [], Mutex("a"), Mutex("b")

    def each():
        for number in range(2):
            try:
                yield 1 // number
            except ZeroDivisionError:
                yield 0

    def second():
        sorted(each(), key=lambda number: flag.append(number) or number)
        in_order(a, b)

    result = explore(lambda: {"first": lambda: branches(bool(flag), a, b), "second": second},
                     engine=False)
    flag.clear()
    assert result.verdict is Verdict.DEADLOCK


def test_a_step_of_the_users_own_before_the_start_is_none():
    """`step` is a stop: what comes after it is no longer before the first operation."""
    a = Mutex("a")

    def role():
        step("x")
        with a:
            pass

    result = explore(lambda: Scenario({"one": role, "other": role}), engine=False)
    assert result.outcome.notes == [] and result.verdict is Verdict.CLEAN


def test_a_completion_completed_before_any_lock_needs_no_start():
    """complete, reinit and wait are operations: they are tried in every order without."""
    done = Completion("done")

    def clears():
        done.reinit()
        done.wait()

    result = explore(lambda: {"clears": clears, "sets": done.complete}, engine=False)
    assert (result.verdict, result.outcome.notes) == (Verdict.HANG, [])


@pytest.mark.parametrize("roles", [two_starts, plain_guard])
@pytest.mark.parametrize("alone", [True, False])
def test_a_traced_schedule_that_fails_is_the_finding(alone, roles):
    """A fault of the first world alone is not forgotten when the search begins, or begins anew;
    where the process has another thread, worlds are not compared with those of a fresh one.
    """
    worlds, over = [], threading.Event()
    other = threading.Thread(target=over.wait)

    def world():
        worlds.append(1)
        first = len(worlds) == 1
        return Scenario(roles(), check=lambda: None if not first else 1 / 0)

    if not alone:
        other.start()
    try:
        for arguments in ({}, {"all": True}, {"engine": False}, {"engine": False, "all": True}):
            worlds.clear()
            assert explore(world, **arguments).verdict is Verdict.ERROR
    finally:
        over.set()
        if not alone:
            other.join()


def test_the_first_schedule_is_the_one_that_is_traced():
    """No world more than before where nothing is shared: one for each schedule, and that in which
    the first is run again, to see whether worlds are alike.
    """
    worlds = []

    def world():
        worlds.append(1)
        return plain_guard()

    result = explore(world, strategy="dfs")
    assert (len(worlds), result.coverage["schedules"]) == (7, 6)
    assert issubclass(TracedRun, tracing.Tracing)


@pytest.mark.parametrize("shared", [True, False], ids=["start", "step"])
def test_who_waits_outside_while_another_stands_at_a_step_is_judged(shared):
    """At a step, or a start that is one, there is no lock to ask whether the role could go on."""
    go, threads, box = threading.Event(), [], []

    def waits():
        threads.append(threading.current_thread())
        with Mutex("m"):
            pass
        go.wait(120)

    def stands():
        if shared:
            threads.append(threading.current_thread())
        step("x")

    result = explore(lambda: {"waits": waits, "stands": stands}, timeout=0.2, engine=False)
    go.set()
    for thread in threads:
        thread.join()
    assert (result.verdict, result.how, box) == (Verdict.INCONCLUSIVE, "timed out", [])


def started_in_a_branch():
    """The thread is started only if the other role was first: not in the schedule traced first."""
    flag, early = [], []
    a, b, guard = Mutex("a"), Mutex("b"), Mutex("guard")

    def child():
        late = bool(early)
        with a:
            pass
        if late:
            with b, a:
                pass

    def starts():
        with guard:
            seen = bool(flag)
        if seen:
            thread = threading.Thread(target=child)
            thread.start()
            early.append(1)
            with a, b:
                pass
            thread.join()

    def sets():
        with guard:
            flag.append(1)

    return {"starts": starts, "sets": sets}


@pytest.mark.parametrize("strategy", ["dpor", "dfs"])
def test_a_thread_that_the_traced_schedule_had_not_is_traced_when_it_comes(strategy):
    assert explore(started_in_a_branch, strategy=strategy).verdict is Verdict.DEADLOCK


def test_what_two_schedules_show_is_taken_together():
    """An operation is apart from a start only if no schedule showed that it is not."""
    one = StartPoints(True, {"start a": {"b": frozenset({(1, 2), (3, 4)})}}, ["x"], [], {"a", "b"})
    two = StartPoints(True, {"start a": {"b": frozenset({(1, 2)}), "c": frozenset()},
                             "start c": {"a": frozenset()}}, ["x", "y"], [], {"c"})
    both = one.merged(two)
    assert both.depends == {"start a": {"b": frozenset({(1, 2)}), "c": frozenset()},
                            "start c": {"a": frozenset()}}
    assert (both.shared, both.keys) == (["x", "y"], {"a", "b", "c"})
    assert one.depends["start a"]["b"] == {(1, 2), (3, 4)}
