"""LockOrder: which edges a run leaves, what is kept of each role, and that memory does not grow.

Roles run one after the other, in their own order, so that every record is the same.
"""

import threading

import pytest

from harness import Completion, Mutex, RWSemaphore, Scenario, ScenarioError, Verdict
from harness.runtime.workers import Workers
from harness.locks.node import LockClass
from harness.locks.parking import Task
from harness.lockorder.graph import LockOrder
from harness.meetings.one_by_one import OneByOne
from harness.runtime.free_run import FreeRun
from harness.runtime.building import build
from harness.runtime.recorder import function

X, S, W = "exclusive", "shared", "wait"


def record(roles, verdict=Verdict.CLEAN, **more):
    """Let *roles* run one after the other; return what was recorded."""
    made = build(lambda: Scenario(roles, **more), "a scenario")
    order = LockOrder()
    with Workers() as workers:
        outcome = FreeRun(made, [OneByOne(range(len(made.roles))), order]).play(workers)
    assert outcome.verdict is verdict, outcome.findings
    return order


def edges(order):
    """Return the edges as (role, held, mode, wanted, mode), in order."""
    return [(edge.role, edge.held.name, edge.held.mode, edge.wanted.name, edge.wanted.mode)
            for edge in order.edges.values()]


def operations(order, role):
    """Return what *role* did, as text."""
    return "; ".join(map(str, order.operations[role]))


def nodes(stack):
    """Return how many stacks of held locks are kept on top of *stack*."""
    return sum(1 + nodes(more) for more in stack.above.values())


# -- edges -----------------------------------------------------------------------------------------


def test_there_is_an_edge_from_every_held_lock_with_modes_role_and_gates():
    a, b, c = Mutex("a"), RWSemaphore("b"), RWSemaphore("c")

    def role():
        with a, b.down_read(), c.down_write():
            pass

    order = record({"role": role})
    assert edges(order) == [("role", "a", X, "b", S), ("role", "b", S, "c", X),
                            ("role", "a", X, "c", X)]
    assert [edge.gates for edge in order.edges.values()] == [(), (("a", X),), (("b", S),)]


def test_edge_knows_both_places():
    a, b = Mutex("a"), Mutex("b")

    def outer():
        with a:
            inner()

    def inner():
        with b:
            pass

    [edge] = record({"role": outer}).edges.values()
    assert [function(place.chain).rpartition(".")[2] for place in (edge.held, edge.wanted)] == [
        "outer", "inner"]


def test_edge_of_each_role_is_one_of_its_own():
    a, b = Mutex("a"), Mutex("b")

    def both():
        with a, b:
            pass

    assert edges(record({"one": both, "two": both})) == [("one", "a", X, "b", X),
                                                         ("two", "a", X, "b", X)]


def test_edge_knows_that_no_queued_writer_keeps_the_reader_out():
    a = Mutex("a")
    sems = [RWSemaphore(policy, policy=policy) for policy in ("writer", "fair", "reader")]

    def role():
        for sem in sems:
            with a, sem.down_read():
                pass
            with a, sem.down_write():
                pass

    found = {(edge.wanted.name, edge.wanted.mode): edge.recursive
             for edge in record({"role": role}).edges.values()}
    assert found == {("writer", S): False, ("writer", X): False, ("fair", S): False,
                     ("fair", X): False, ("reader", S): True, ("reader", X): False}


def lock_of(kind):
    return Mutex(kind) if kind == "mutex" else RWSemaphore(kind)


# kind -> ways to ask without waiting for ever, with the operation recorded.
IMPATIENT = [
    ("mutex", lambda lock: lock.acquire(False), lambda lock: lock.release(),
     "take mutex; unlock mutex"),
    ("mutex", lambda lock: lock.acquire(timeout=9), lambda lock: lock.release(),
     "take mutex; unlock mutex"),
    ("sem", lambda lock: lock.down_read_trylock(), lambda lock: lock.up_read(),
     "take_read sem; up_read sem"),
    ("sem", lambda lock: lock.down_write_trylock(), lambda lock: lock.up_write(),
     "take_write sem; up_write sem"),
    ("sem", lambda lock: lock.down_read_timeout(9), lambda lock: lock.up_read(),
     "take_read sem; up_read sem"),
    ("sem", lambda lock: lock.down_write_timeout(9), lambda lock: lock.up_write(),
     "take_write sem; up_write sem")]


@pytest.mark.parametrize("kind, ask, give, told", IMPATIENT)
def test_trylock_and_timed_request_make_no_edge_in_but_edges_out(kind, ask, give, told):
    outer, lock, inner = Mutex("outer"), lock_of(kind), Mutex("inner")

    def role():
        with outer:
            assert ask(lock)
            with inner:
                pass
            give(lock)

    order = record({"role": role})
    assert [(held, wanted) for _, held, _, wanted, _ in edges(order)] == [
        (kind, "inner"), ("outer", "inner")]
    take, release = told.split("; ")
    assert operations(order, "role") == \
        f"lock outer; {take}; lock inner; unlock inner; {release}; unlock outer"


def test_trylock_that_failed_leaves_nothing():
    a, b = Mutex("a"), Mutex("b")

    def keeper():
        with a:
            thread = threading.Thread(target=tries, name="tries")
            thread.start()
            thread.join()

    def tries():
        with b:
            assert not a.acquire(False)

    order = record({"keeper": keeper})
    assert operations(order, "tries") == "wait start of tries; lock b; unlock b"
    assert edges(order) == [("keeper", "a", X, "thread (tries)", W)]


def test_later_request_that_waits_makes_the_edges_that_a_trylock_did_not():
    a, b = Mutex("a"), Mutex("b")

    def role():
        with a:
            assert b.acquire(False)
            b.release()
            with b:
                pass

    assert edges(record({"role": role})) == [("role", "a", X, "b", X)]


def test_request_that_was_never_granted_is_recorded():
    """Both wait when they are let go: each record ends with a request."""
    a, b, ready = Mutex("a"), Mutex("b"), Completion("ready")

    def left():
        with a:
            ready.wait(by="right")
            with b:
                pass

    def right():
        with b:
            ready.complete()
            with a:
                pass

    order = record({"left": left, "right": right}, Verdict.DEADLOCK)
    assert sorted(edges(order)) == [("left", "a", X, "b", X), ("left", "a", X, "ready", W),
                                    ("right", "b", X, "a", X)]
    assert operations(order, "left") == "lock a; wait ready; lock b"
    assert operations(order, "right") == "lock b; complete ready; lock a"


def test_lock_released_from_the_middle_is_not_held():
    a, b, c = Mutex("a"), Mutex("b"), Mutex("c")

    def role():
        a.acquire()
        b.acquire()
        a.release()
        with c:
            pass
        b.release()

    order = record({"role": role})
    assert edges(order) == [("role", "a", X, "b", X), ("role", "b", X, "c", X)]
    assert operations(order, "role") == "lock a; lock b; unlock a; lock c; unlock c; unlock b"


def test_hand_over_hand_leaves_an_edge_a_link_and_no_longer_ones():
    links = [Mutex(f"link {i}") for i in range(5)]

    def walk():
        links[0].acquire()
        for before, link in zip(links, links[1:]):
            link.acquire()
            before.release()
        links[-1].release()

    order = record({"walk": walk})
    assert [(held, wanted) for _, held, _, wanted, _ in edges(order)] == [
        (f"link {i}", f"link {i + 1}") for i in range(4)]


def test_locks_of_one_name_are_told_apart():
    first, second = Mutex("twin", "c1"), Mutex("twin", "c2")

    def role():
        with first, second:
            pass

    order = record({"role": role})
    names = [(edge.held.name, edge.wanted.name) for edge in order.edges.values()]
    assert len({name for pair in names for name in pair}) == 2
    assert set(order.classes.values()) == {"c1", "c2"}


# -- waits and threads -----------------------------------------------------------------------------


def test_wait_is_an_edge_and_an_operation_and_ending_it_is_one():
    a, done = Mutex("a"), Completion("done")

    def waits():
        with a:
            done.wait(by="brings")

    def brings():
        done.complete()

    order = record({"brings": brings, "waits": waits})
    assert edges(order) == [("waits", "a", X, "done", W)]
    assert operations(order, "waits") == "lock a; wait done; unlock a"
    assert operations(order, "brings") == "complete done"


@pytest.mark.parametrize("act, told", [("complete", "complete"), ("complete_all", "set"),
                                       ("reinit", "clear")])
def test_completion_inside_a_section_stands_in_its_place(act, told):
    a, done = Mutex("a"), Completion("done")

    def brings():
        with a:
            getattr(done, act)()

    assert operations(record({"brings": brings}), "brings") == f"lock a; {told} done; unlock a"


def test_start_and_join_of_a_thread_are_recorded_on_both_sides():
    a, b = Mutex("a"), Mutex("b")

    def child():
        with b:
            pass

    def parent():
        thread = threading.Thread(target=child, name="child")
        thread.start()
        with a:
            thread.join()

    order = record({"parent": parent})
    assert operations(order, "parent") == "set start of child; lock a; join child; unlock a"
    assert operations(order, "child") == "wait start of child; lock b; unlock b"
    assert list(order.joins.values()) == ["child"]
    assert edges(order) == [("parent", "a", X, "thread (child)", W)]


# -- one section once ------------------------------------------------------------------------------


def test_repeated_section_adds_nothing():
    a, b = Mutex("a"), RWSemaphore("b")

    def role():
        for _ in range(50):
            with a, b.down_read():
                pass
            with b.down_write():
                pass

    order = record({"role": role})
    assert operations(order, "role") == \
        "lock a; down_read b; up_read b; unlock a; down_write b; up_write b"
    assert len(order.edges) == 1


def test_what_is_kept_does_not_grow_with_the_events():
    """40 times as many events leave as many edges, stacks, sections and operations."""
    def kept(times):
        locks = [Mutex(f"lock {i}") for i in range(4)]

        def role():
            for _ in range(times):
                for i, lock in enumerate(locks):
                    with lock:
                        for inner in locks[i + 1:]:
                            with inner:
                                pass

        order = record({"role": role})
        [role] = order._roles.values()
        return len(order.edges), nodes(role.root), len(role.seen), len(order.operations["role"])

    assert kept(5) == kept(200) == (6, 4 + 6, 4, 2 * (4 + 6))


def test_section_after_a_wait_or_before_an_end_of_one_is_kept():
    """It may be the second time that is dangerous: what was done before is another matter then."""
    a, go = Mutex("a"), Completion("go")

    def role():
        with a:
            pass
        go.complete()
        with a:
            pass

    assert operations(record({"role": role}), "role") == \
        "lock a; unlock a; complete go; lock a; unlock a"


def test_section_repeated_after_a_wait_is_kept():
    """Though it is plain itself, and another one lies in between."""
    a, b, go = Mutex("a"), Mutex("b"), Completion("go")

    def role():
        with a:
            pass
        go.complete()
        for lock in (b, a, a):
            with lock:
                pass

    assert operations(record({"role": role}), "role") == \
        "lock a; unlock a; complete go; lock b; unlock b; lock a; unlock a"


def test_sections_beyond_the_limit_are_cut_and_that_is_said(monkeypatch):
    """Ten sections of three operations are kept, each with a completion and so never the same."""
    monkeypatch.setattr("harness.lockorder.held_stacks.MOST_OPERATIONS", 30)
    a, go = Mutex("a"), Completion("go")

    def role():
        for _ in range(40):
            with a:
                go.complete()

    order = record({"role": role})
    assert order.cut == ["role"]
    assert operations(order, "role") == "; ".join(["lock a; complete go; unlock a"] * 10)


def test_section_beyond_the_limit_does_not_grow_and_is_left_out(monkeypatch):
    monkeypatch.setattr("harness.lockorder.held_stacks.MOST_OPERATIONS", 30)
    a, b, go = Mutex("a"), Mutex("b"), Completion("go")

    def role():
        with a:
            pass
        with a:
            for _ in range(300):
                with b:
                    go.complete()

    order = record({"role": role})
    assert (order.cut, operations(order, "role")) == (["role"], "lock a; unlock a")
    assert edges(order) == [("role", "a", X, "b", X)]
    [kept] = order._roles.values()
    assert len(kept.acts) <= 2 * 30 + 3


def test_threads_of_one_name_stand_each_at_their_own_locks():
    order, one, two = LockOrder(), Task("a worker"), Task("a worker")
    a, b = Mutex("a"), Mutex("b")
    order.role_start(one)
    order.role_start(two)
    for hook in (order.lock_acquire, order.lock_acquired):
        hook(one, a, X)
        hook(two, b, X)
    assert edges(order) == []
    order.lock_acquire(two, a, X)
    assert edges(order) == [("a worker", "b", X, "a", X)]


def test_nothing_is_kept_of_a_thread_that_has_ended():
    a = Mutex("a")

    def role():
        with a:
            pass

    assert record({"role": role})._positions == {}


def test_what_is_asked_for_again_after_a_release_out_of_order_has_its_edges():
    a, b, c = Mutex("a"), Mutex("b"), Mutex("c")

    def role():
        a.acquire()
        b.acquire()
        c.acquire()
        a.release()
        c.release()
        c.acquire()
        c.release()
        b.release()

    edges = record({"role": role}).edges.values()
    assert [edge.gates for edge in edges if (edge.held.name, edge.wanted.name) == ("b", "c")] == [
        (("a", X),), ()]


# -- annotations -----------------------------------------------------------------------------------


def nestings(order):
    return [(leg.held.name, leg.wanted.name, order.refused.get(order.classes[leg.held.name], ""))
            for leg in order.nestings.values()]


def locked(outer, inner, **more):
    def role():
        outer.acquire()
        inner.acquire(**more)
        inner.release()
        outer.release()
    return {"role": role}


def test_two_locks_of_one_class_inside_each_other_are_a_nesting():
    order = record(locked(Mutex("c1", "c"), Mutex("c2", "c")))
    assert nestings(order) == [("c1", "c2", "")]
    assert nestings(record(locked(Mutex("c1", "c"), Mutex("d1", "d")))) == []


def test_subclass_with_a_reason_makes_it_legal_and_is_a_class_of_its_own():
    order = record(locked(Mutex("c1", "c"), Mutex("c2", "c"), nested=1, why="child of c1"))
    assert nestings(order) == []
    [edge] = order.edges.values()
    assert (edge.held.lock_class, edge.wanted.lock_class) == ("c", "c/1")
    assert order.excused == {"child of c1": 1}


def test_subclass_inside_the_same_subclass_is_a_nesting():
    top, one, two = (Mutex(name, "c") for name in ("c0", "c1", "c2"))

    def role():
        with top:
            with one.nested(1, "child"), two.nested(1, "child"):
                pass

    assert nestings(record({"role": role})) == [("c1", "c2", "")]


def test_hold_of_a_subclass_is_no_plain_one_after_a_lock_below_it_was_released():
    """What is left of the first section is a hold of b as a child; the second holds b plainly."""
    a, b, c = Mutex("a"), Mutex("b", "k"), Mutex("c")

    def role():
        a.acquire()
        with b.nested(1, "child"):
            a.release()
        with b, c:
            pass

    order = record({"role": role})
    assert [(edge.held.lock_class, edge.wanted.lock_class) for edge in order.edges.values()] == [
        ("a", "k/1"), ("k", "c")]


@pytest.mark.parametrize("ask", [
    lambda lock: lock.acquire(nested=1), lambda lock: lock.acquire(nested=8, why="deep"),
    lambda lock: lock.acquire(nested=-1, why="below"), lambda lock: lock.nested(1, "").__enter__()])
def test_subclass_needs_a_number_up_to_7_and_a_reason(ask):
    with pytest.raises(ScenarioError):
        ask(Mutex("lock"))
    with pytest.raises(ScenarioError):
        RWSemaphore("sem").down_read(nested=1)
    with pytest.raises(ScenarioError):
        RWSemaphore("sem").down_write(nested=9, why="deep")


def by_name(held, wanted):
    return held.name < wanted.name


def test_order_inside_a_class_needs_a_reason():
    with pytest.raises(ScenarioError, match="reason"):
        LockClass("c", order=by_name)


@pytest.mark.parametrize("declared", [False, True], ids=["with the lock", "with the scenario"])
def test_order_inside_a_class_makes_one_direction_legal(declared):
    ordered = LockClass("c", order=by_name, why="alphabetical")
    given, more = ("c", {"lock_classes": [ordered]}) if declared else (ordered, {})
    first, second = Mutex("c1", given), Mutex("c2", given)
    legal = record(locked(first, second), **more)
    assert (nestings(legal), dict(legal.excused)) == ([], {"alphabetical": 1})
    broken = record(locked(second, first), **more)
    assert (nestings(broken), dict(broken.excused)) == ([("c2", "c1", "alphabetical")], {})


def test_order_inside_a_class_does_not_excuse_a_lock_inside_itself():
    anything = LockClass("s", order=lambda held, wanted: True, why="anything goes")
    sem = RWSemaphore("s", anything)

    def role():
        with sem.down_read(), sem.down_read():
            pass

    assert nestings(record({"role": role})) == [("s", "s", "")]


def test_exempt_class_has_no_edges_and_its_reason_is_kept():
    quiet = LockClass("q", exempt="only debugging takes it")
    a, q, b = Mutex("a"), Mutex("q", quiet), Mutex("b")

    def role():
        with a, q, b:
            pass

    order = record({"role": role})
    assert edges(order) == [("role", "a", X, "b", X)]
    assert order.exempt == {"q": "only debugging takes it"}
    assert operations(order, "role") == "lock a; lock q; lock b; unlock b; unlock q; unlock a"


def test_exempt_for_the_kernel_alone_keeps_its_edges():
    dev = LockClass("d", novalidate="lockdep_set_novalidate_class()")
    order = record(locked(Mutex("a"), Mutex("d", dev)))
    assert [(held, wanted) for _, held, _, wanted, _ in edges(order)] == [("a", "d")]
    assert order.novalidate == {"d": "lockdep_set_novalidate_class()"}
