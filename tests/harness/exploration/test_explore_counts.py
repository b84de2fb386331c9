"""Schedules counted by hand: the plain search finds each of them, the reduced one of each class.

In the lists a capital takes a lock and its small letter gives it back; q stands for queueing on a
semaphore. A schedule that ends in a deadlock is marked !. Schedules of one class stand in one line.
"""

import brute
import pytest
from explored import as_steps, explored, meaning

from harness import Completion, Mutex, RWSemaphore, Verdict
from harness.methods.explore import explore
from harness.programs.threads import scenario_of
from harness.locks.task import step
from harness.checker.program import Program
from harness.exploration.dpor import Reduced
from harness.exploration.strategies import DepthFirst


def crosswise():
    """Role 1: A B b a. Role 2: B A a b, written C D d c.

    Until both hold their first lock nothing is decided. If role 1 takes both first, role 2 waits
    for its C until b: then C comes before or after a, and D after it.
        A B b a C D d c,  A B b C a D d c
        C D d c A B b a,  C D d A c B b a
        A C !,  C A !
    """
    a, b = Mutex("a"), Mutex("b")

    def left():
        with a, b:
            pass

    def right():
        with b, a:
            pass

    return {"left": left, "right": right}


def the_mail():
    """CPU0: D W w d on the device and, writing, the bus. CPU1: R E e r, reading the bus first.

    CPU0 first: once it has the bus, CPU1 can queue for it (q), before w; it then reads after w.
        D W w d R E e r,  D W w R d E e r
        D W q w d R E e r,  D W q w R d E e r
    CPU1 first: R E e, and CPU0 can take D after e. It asks for W while R is held, and queues (Q),
    or after r, and has it.
        R E e r D W w d,  R E e D r W w d
        R E e D Q r W w d
    Both have their first lock: CPU0 queues, and nothing goes on.
        D R Q !,  R D Q !
    """
    device, bus = Mutex("device"), RWSemaphore("bus")

    def cpu0():
        with device, bus.down_write():
            pass

    def cpu1():
        with bus.down_read(), device:
            pass

    return {"CPU0": cpu0, "CPU1": cpu1}


def collected():
    """CPU0: D W w d as before. CPU1: R r, then E e: the list is collected, then the device locked.

    The readers' part before, in between or after CPU0's writing part decides:
        R r before W, the device first by CPU0:
            R r D W w d E e,  R D r W w d E e,  D R r W w d E e
        the same, but the device by CPU1 first:
            R r E e D W w d
        R held when CPU0 asks, which queues (Q):
            R D Q r W w d E e,  D R Q r W w d E e
        R asked while W is held, CPU1 queues (q):
            D W q w R r d E e,  D W q w R d r E e,  D W q w d R r E e
        R after w, without queueing:
            D W w R r d E e,  D W w R d r E e,  D W w d R r E e
    """
    device, bus = Mutex("device"), RWSemaphore("bus")

    def cpu0():
        with device, bus.down_write():
            pass

    def cpu1():
        with bus.down_read():
            pass
        with device:
            pass

    return {"CPU0": cpu0, "CPU1": cpu1}


def nested_read():
    """The reader: R S s r, twice the same semaphore. The writer: W w. All are classes of their own.

        W w R S s r
        W q w R S s r      the reader queues while the writer has it
        R Q q !            the writer queues, then the reader does, behind it
        R S Q s r W w
        R S s Q r W w
        R S s r W w
    """
    semaphore = RWSemaphore("semaphore")

    def reader():
        with semaphore.down_read(), semaphore.down_read():
            pass

    def writer():
        with semaphore.down_write():
            pass

    return {"reader": reader, "writer": writer}


def two_readers():
    """R r and S s: six orders of one class. R r S s, R S r s, R S s r, and the same from S on."""
    semaphore = RWSemaphore("semaphore")

    def reader():
        with semaphore.down_read():
            pass

    return {"one": reader, "other": reader}


def trylock():
    """One: L l. The other tries the same mutex: T t, or it is busy (B).

        T t L l
        L B l
        L l T t
    """
    lock = Mutex("lock")

    def holder():
        with lock:
            pass

    def tries():
        if lock.acquire(False):
            lock.release()

    return {"holder": holder, "tries": tries}


def timed():
    """As `trylock`, with a time limit: while the lock is taken the request may give up (G), or
    wait.

        T t L l
        L G l
        L l T t
    """
    lock = Mutex("lock")

    def holder():
        with lock:
            pass

    def waits():
        if lock.acquire(timeout=1):
            lock.release()

    return {"holder": holder, "waits": waits}


def timed_writer():
    """The reader: R r. The writer with a time limit: W w; it queues (Q), or gives up (G) at once or
    from the queue.

        W w R r
        W q w R r          the reader queues
        R G r
        R Q G r
        R Q r W w
        R r W w
    """
    semaphore = RWSemaphore("semaphore")

    def reader():
        with semaphore.down_read():
            pass

    def writer():
        if semaphore.down_write_timeout(1):
            semaphore.up_write()

    return {"reader": reader, "writer": writer}


def completion():
    """One completes (C). The other waits, and goes on once that is done (P), then takes a mutex
    that the first takes too: L l and M m.

        C P L l M m,  C L P l M m,  C L l P M m
        C P M m L l
    """
    done, lock = Completion("done"), Mutex("lock")

    def completes():
        done.complete()
        with lock:
            pass

    def waits():
        done.wait()
        with lock:
            pass

    return {"completes": completes, "waits": waits}


def steps():
    """Each reads (1, 3) and writes (2, 4) one variable, and says so: six orders, all different.

    1 2 3 4,  1 3 2 4,  1 3 4 2,  3 1 2 4,  3 1 4 2,  3 4 1 2
    """
    def role():
        step("variable")
        step("variable")

    return {"one": role, "other": role}


def philosophers(n, ordered=False):
    """Return the factory of *n* philosophers, who take the left fork first, or the lower one."""
    def factory():
        forks = [Mutex(f"fork {i}") for i in range(n)]

        def philosopher(i):
            first, second = i, (i + 1) % n
            if ordered:
                first, second = sorted((first, second))

            def dine():
                with forks[first], forks[second]:
                    pass
            return dine

        return {f"philosopher {i}": philosopher(i) for i in range(n)}

    return factory


COUNTED = [(crosswise, 6, 2, 3), (the_mail, 9, 2, 5), (collected, 12, 0, 5), (nested_read, 6, 1, 6),
           (two_readers, 6, 0, 1), (trylock, 3, 0, 3), (timed, 3, 0, 3), (timed_writer, 6, 0, 6),
           (completion, 4, 0, 2), (steps, 6, 0, 6)]


@pytest.mark.parametrize("factory, schedules, deadlocks, classes", COUNTED,
                         ids=[case[0].__name__ for case in COUNTED])
def test_the_searches_find_what_was_counted_by_hand(factory, schedules, deadlocks, classes):
    plain, reduced = explored(factory, DepthFirst()), explored(factory, Reduced())
    assert (plain.tried, plain.stuck, reduced.tried, bool(reduced.stuck), reduced.cut) == (
        schedules, deadlocks, classes, bool(deadlocks), 0)
    assert len(set(plain.orders)) == len(plain.orders) and set(reduced.orders) <= set(plain.orders)


@pytest.mark.parametrize("ordered, schedules, deadlocks, classes",
                         [(False, 168, 6, 7), (True, 142, 0, 6)])
def test_three_philosophers(ordered, schedules, deadlocks, classes):
    """Either neighbour of each fork comes first: 2 ** 3 = 8 ways. Not ordered, two of the ways go
    round in a circle: one is the deadlock, in 3! orders; its mirror image cannot be. Ordered, both
    circles are impossible.
    """
    factory = philosophers(3, ordered)
    plain, reduced = explored(factory, DepthFirst()), explored(factory, Reduced())
    assert (plain.tried, plain.stuck, reduced.tried, reduced.cut) == (
        schedules, deadlocks, classes, 0)


def dining(n, ordered=False):
    """Return the same philosophers as a program."""
    threads = {}
    for i in range(n):
        first, second = i, (i + 1) % n
        if ordered:
            first, second = sorted((first, second))
        threads[f"philosopher {i}"] = [("lock", f"fork {first}"), ("lock", f"fork {second}"),
                                       ("unlock", f"fork {second}"), ("unlock", f"fork {first}")]
    return Program({}, threads)


@pytest.mark.parametrize("n, ordered, classes", [(4, False, 15), (4, True, 14), (5, True, 30)])
def test_philosophers_are_visited_once_a_class(n, ordered, classes):
    """Of the 2 ** n ways round the table: all but one (not ordered), all but two (ordered), as for
    three.
    """
    reduced = explored(philosophers(n, ordered), Reduced())
    program = dining(n, ordered)
    visited = {brute.normal_form(as_steps(program, order)[0]) for order in reduced.orders}
    assert (reduced.tried, len(visited), bool(reduced.stuck)) == (classes, classes, not ordered)
    assert brute.count_classes(program) == classes


def test_the_oracle_counts_the_same_classes():
    three = dining(3)
    plain = explored(philosophers(3), DepthFirst())
    assert meaning(three, plain.orders)[0] == brute.classes(three)


@pytest.mark.parametrize("factory", [collected, philosophers(3, ordered=True)])
def test_a_fix_is_proven_with_less_than_half_of_what_the_best_peer_needs(factory):
    """frontrun needs 16 and 14 schedules."""
    result = explore(factory)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.CLEAN, True)
    assert result.coverage["schedules"] <= 8 and "cut_short" not in result.coverage


def two_devices(collected):
    """Return two who lock a device each, then write the bus; and one who reads the bus and locks
    both devices, meanwhile or after.
    """
    walk = [("lock", "0"), ("unlock", "0"), ("lock", "1"), ("unlock", "1")]
    recovery = [("down_read", "bus"), ("up_read", "bus"), *walk] if collected else \
        [("down_read", "bus"), *walk, ("up_read", "bus")]
    return Program({}, {
        **{f"enable {i}": [("lock", i), ("down_write", "bus"), ("up_write", "bus"), ("unlock", i)]
           for i in "01"}, "recovery": recovery})


@pytest.mark.parametrize("collected", [False, True])
def test_two_devices_against_one_recovery_are_visited_once_a_class(collected):
    program = two_devices(collected)
    reduced = explored(scenario_of(program), Reduced())
    visited = {brute.normal_form(as_steps(program, order)[0]) for order in reduced.orders}
    assert reduced.tried == len(visited) == brute.count_classes(program)
    assert bool(reduced.stuck) != collected and reduced.cut == 0
