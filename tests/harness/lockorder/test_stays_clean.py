"""Programs that cannot hang, each with the reason why, and small changes of them that can.

A false alarm ranks with a miss: prediction may list a cycle that cannot happen, if it says so
(guarded, one-role), but must end clean. Where what the roles do is a fixed list of operations on
mutexes, semaphores and waits, the engine says the same of it: that it is safe, or that it hangs.

The kernel's selftests have no such case for mutexes and semaphores.
"""

import itertools
import threading
from contextlib import ExitStack

import pytest

from harness import Completion, Mutex, RWSemaphore, Scenario, Verdict
from harness.runtime.workers import Workers
from harness.checker.search import search
from harness.runtime.observer import Observer
from harness.locks.node import LockClass
from harness.methods.predict import predict
from harness.checker.program import Op, Program
from harness.meetings.one_by_one import OneByOne
from harness.runtime.free_run import FreeRun
from harness.runtime.building import build

SAFE, HANGING = {}, {}


def safe(*statuses):
    """Register a program that cannot hang, with the statuses of its findings, in order of name."""
    def add(factory):
        SAFE[factory.__name__] = factory, sorted(statuses)
        return factory
    return add


def hangs(*statuses):
    """Register a program that can hang, with the statuses of its findings."""
    def add(factory):
        HANGING[factory.__name__] = factory, sorted(statuses)
        return factory
    return add


def mutexes(names):
    return [Mutex(name) for name in names]


def nested(*locks):
    """Return a role that takes *locks* one inside the other: mutexes, or what calling takes."""
    def role():
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock() if callable(lock) else lock)
    return role


def both(*roles):
    """Return a role that does *roles* one after the other."""
    def role():
        for each in roles:
            each()
    return role


# -- consistent orders -----------------------------------------------------------------------------


@safe()
def same_order():
    """Everybody takes a before b: the holder of b waits for nobody."""
    a, b = mutexes("ab")
    return {"one": nested(a, b), "two": nested(a, b)}


@hangs("forced")
def opposite_order():
    """The second takes b first."""
    a, b = mutexes("ab")
    return {"one": nested(a, b), "two": nested(b, a)}


@safe()
def parts_of_one_order():
    """Each takes some of a, b, c, d, always in the order of the alphabet."""
    a, b, c, d = mutexes("abcd")
    return {"one": nested(a, c), "two": nested(b, d), "three": nested(a, b, d),
            "four": nested(c, d)}


@hangs("forced")
def parts_that_close_a_ring():
    """The last takes d before a, and no two of them have an opposite order."""
    a, b, c, d = mutexes("abcd")
    return {"one": nested(a, b), "two": nested(b, c), "three": nested(c, d), "four": nested(d, a)}


@safe()
def one_after_the_other():
    """Opposite orders, but each lock is given back before the next is asked for."""
    a, b = mutexes("ab")
    return {"one": both(nested(a), nested(b)), "two": both(nested(b), nested(a))}


@safe()
def philosopher_who_is_left_handed():
    """The last takes the lower fork first: who holds a fork asks for a higher one only."""
    forks = mutexes("012")
    return {"A": nested(forks[0], forks[1]), "B": nested(forks[1], forks[2]),
            "C": nested(forks[0], forks[2])}


@hangs("forced")
def philosophers_alike():
    """All take the left fork first."""
    forks = mutexes("012")
    return {"A": nested(forks[0], forks[1]), "B": nested(forks[1], forks[2]),
            "C": nested(forks[2], forks[0])}


@safe()
def unlocked_in_another_order():
    """What is released first does not matter, only what is asked for while something is held."""
    a, b = mutexes("ab")

    def role():
        a.acquire()
        b.acquire()
        a.release()
        b.release()

    return {"one": role, "two": role}


@safe()
def held_lock_released_before_the_opposite_request():
    """The second gives b back before it asks for a, and then for b again, in order."""
    a, b = mutexes("ab")

    def second():
        b.acquire()
        b.release()
        with a, b:
            pass

    return {"one": nested(a, b), "two": second}


@hangs("forced")
def held_lock_not_released_before_the_opposite_request():
    """The second asks for a while it still holds b."""
    a, b = mutexes("ab")

    def second():
        b.acquire()
        with a:
            b.release()
            with b:
                pass

    return {"one": nested(a, b), "two": second}


@safe("one-role")
def unlocked_from_the_middle_before_the_opposite_request():
    """The second holds b and c, and gives b back before it asks for a: nobody else wants c."""
    a, b, c = mutexes("abc")

    def second():
        b.acquire()
        c.acquire()
        b.release()
        with a:
            c.release()

    return {"one": nested(a, b), "two": second}


# -- requests that give up -------------------------------------------------------------------------


@safe()
def trylock_against_the_order():
    """The second only tries a while it holds b: it never waits there."""
    a, b = mutexes("ab")

    def second():
        with b:
            if a.acquire(False):
                a.release()

    return {"one": nested(a, b), "two": second}


@safe()
def timed_request_against_the_order():
    """The second gives up after a while: a cycle through it ends by itself."""
    a, b = mutexes("ab")

    def second():
        with b:
            if a.acquire(timeout=0.001):
                a.release()

    return {"one": nested(a, b), "two": second}


@safe()
def semaphore_tried_and_timed_against_the_order():
    """The second only tries, or gives up, in both modes."""
    a, sem = Mutex("a"), RWSemaphore("sem")

    def second():
        with a:
            if sem.down_read_trylock():
                sem.up_read()
            if sem.down_write_trylock():
                sem.up_write()
            if sem.down_read_timeout(0.001):
                sem.up_read()
            if sem.down_write_timeout(0.001):
                sem.up_write()

    return {"one": nested(sem.down_write, a), "two": second}


@hangs("forced")
def trylock_that_got_it_and_then_waits():
    """To hold by a trylock is to hold: the other waits for it."""
    a, b = mutexes("ab")

    def second():
        if b.acquire(False):
            with a:
                b.release()

    return {"one": nested(a, b), "two": second}


@safe()
def both_only_try():
    """Neither waits for the second lock."""
    a, b = mutexes("ab")

    def tries(outer, inner):
        def role():
            with outer:
                if inner.acquire(False):
                    inner.release()
        return role

    return {"one": tries(a, b), "two": tries(b, a)}


@safe()
def back_off_and_retry():
    """The second tries, and on failure gives everything back and starts from the other end."""
    a, b = mutexes("ab")

    def second():
        with b:
            if a.acquire(False):
                a.release()
                return
        with a, b:
            pass

    return {"one": nested(a, b), "two": second}


# -- two locks of one class ------------------------------------------------------------------------


def by_number(held, wanted):
    return int(held.name.rpartition(" ")[2]) < int(wanted.name.rpartition(" ")[2])


def numbered(n):
    ordered = LockClass("dev", order=by_number, why="parents have the lower number")
    return [Mutex(f"dev {i}", ordered) for i in range(n)]


@safe()
def parent_before_child():
    """Device locks are one class, always taken from the root down, and the class says so."""
    root, port, end = numbered(3)
    return {"one": nested(root, port, end), "two": nested(root, end), "three": nested(port, end)}


@hangs("forced")
def child_before_parent():
    """The second goes up from the end device."""
    root, port, end = numbered(3)
    return {"one": nested(root, port, end), "two": nested(end, root)}


@safe()
def siblings_by_address():
    """Two accounts are locked in the order of their numbers, whichever way the money goes."""
    accounts = numbered(3)

    def transfer(source, target):
        first, second = sorted((accounts[source], accounts[target]), key=lambda lock: lock.name)
        return nested(first, second)

    return {"one": transfer(0, 1), "two": transfer(1, 0), "three": transfer(2, 0)}


@hangs("forced")
def siblings_as_they_come():
    """The source is locked first."""
    accounts = numbered(2)
    return {"one": nested(accounts[0], accounts[1]), "two": nested(accounts[1], accounts[0])}


@safe()
def subclass_for_the_child():
    """Everybody who takes two locks of the class says that the inner one is the child."""
    parent, child = Mutex("dev p", "dev"), Mutex("dev c", "dev")

    def role():
        with parent, child.nested(1, "child inside its parent"):
            pass

    return {"one": role, "two": role, "child alone": nested(child)}


@hangs("forced")
def subclass_that_lies():
    """Both call the inner one the child, but not the same one: naming it does not make it so."""
    one, two = Mutex("dev 1", "dev"), Mutex("dev 2", "dev")

    def role(outer, inner):
        def take():
            with outer, inner.nested(1, "child inside its parent"):
                pass
        return take

    return {"one": role(one, two), "two": role(two, one)}


@safe()
def semaphores_of_one_class_with_a_subclass():
    """A directory before what is in it, both semaphores, the inner one as a subclass."""
    outer, inner = RWSemaphore("dir 1", "dir"), RWSemaphore("dir 2", "dir")

    def role():
        with outer.down_read(), inner.down_write(nested=1, why="what is in it"):
            pass

    return {"one": role, "two": role}


@safe()
def hand_over_hand():
    """A list is walked with two locks held at most, from its head on; nobody goes back."""
    links = numbered(4)

    def walk():
        links[0].acquire()
        for before, link in zip(links, links[1:]):
            link.acquire()
            before.release()
        links[-1].release()

    return {"one": walk, "two": walk}


@hangs("forced", "forced", "forced")
def hand_over_hand_both_ways():
    """One of them walks back to the head."""
    links = [Mutex(f"link {i}") for i in range(4)]

    def walk(way):
        def role():
            way[0].acquire()
            for before, link in zip(way, way[1:]):
                link.acquire()
                before.release()
            way[-1].release()
        return role

    return {"there": walk(links), "back": walk(links[::-1])}


@safe()
def exempt_class():
    """It is said of the class, with a reason, that it is not to be looked at. (These two take it in
    one order.)
    """
    a, quiet = Mutex("a"), Mutex("q", LockClass("q", exempt="taken by the debugger alone"))
    return {"one": nested(a, quiet), "two": nested(a, quiet)}


# -- gate locks ------------------------------------------------------------------------------------


@safe("guarded")
def gate():
    """Whoever takes both holds the gate: the orders never meet."""
    gate, a, b = mutexes("gab")
    return {"one": nested(gate, a, b), "two": nested(gate, b, a)}


@hangs("forced")
def gate_that_one_goes_around():
    """The third does not take the gate."""
    gate, a, b = mutexes("gab")
    return {"one": nested(gate, a, b), "two": nested(gate, b, a), "three": nested(b, a)}


@safe("guarded")
def gate_with_other_locks_in_between():
    """The gate is not the lock held last, nor the first."""
    outer, gate, inner, a, b = mutexes("ogiab")
    return {"one": nested(outer, gate, inner, a, b), "two": nested(gate, b, a)}


@safe("guarded")
def gate_that_writers_hold():
    """Both hold the semaphore for writing."""
    gate, a, b = RWSemaphore("g"), *mutexes("ab")
    return {"one": nested(gate.down_write, a, b), "two": nested(gate.down_write, b, a)}


@safe("guarded")
def gate_that_one_reads_and_one_writes():
    """A reader and a writer keep each other out as well."""
    gate, a, b = RWSemaphore("g"), *mutexes("ab")
    return {"one": nested(gate.down_read, a, b), "two": nested(gate.down_write, b, a)}


@hangs("forced")
def gate_that_both_read():
    """Readers let each other in: that is no gate."""
    gate, a, b = RWSemaphore("g"), *mutexes("ab")
    return {"one": nested(gate.down_read, a, b), "two": nested(gate.down_read, b, a)}


@safe("guarded")
def gate_of_a_ring():
    """Three forks, and a waiter who lets one philosopher eat at a time."""
    waiter, *forks = mutexes("w012")
    return {"A": nested(waiter, forks[0], forks[1]), "B": nested(waiter, forks[1], forks[2]),
            "C": nested(waiter, forks[2], forks[0])}


@safe("guarded")
def gates_of_a_ring_in_pairs():
    """No lock guards all three, but two share one: they never both hold their first fork."""
    gate, *forks = mutexes("g012")
    return {"A": nested(gate, forks[0], forks[1]), "B": nested(gate, forks[1], forks[2]),
            "C": nested(forks[2], forks[0])}


@safe("guarded")
def different_gates_for_different_pairs():
    """One and two meet at g, one and three at h."""
    g, h, a, b = mutexes("ghab")
    return {"one": nested(g, h, a, b), "two": nested(g, b, a), "three": nested(h, b, a)}


@hangs("forced")
def different_gates():
    """Each has a gate, but not the same."""
    g, h, a, b = mutexes("ghab")
    return {"one": nested(g, a, b), "two": nested(h, b, a)}


@safe("guarded")
def gate_that_was_only_tried():
    """To hold the gate by a trylock is to hold it."""
    gate, a, b = mutexes("gab")

    def second():
        if gate.acquire(False):
            with b, a:
                pass
            gate.release()

    return {"one": nested(gate, a, b), "two": second}


@safe("guarded")
def gate_of_classes():
    """The orders are opposite by class only, and under one gate besides."""
    gate, locks = Mutex("g"), {name: Mutex(name, name[0]) for name in ("a1", "b1", "a2", "b2")}
    return {"one": nested(gate, locks["a1"], locks["b1"]),
            "two": nested(gate, locks["b2"], locks["a2"])}


@safe("guarded")
def readers_behind_a_gate():
    """No queued writer makes readers wait for each other that are never there together."""
    gate, a, b = Mutex("g"), RWSemaphore("a"), RWSemaphore("b")
    return {"one": nested(gate, a.down_read, b.down_read),
            "two": nested(gate, b.down_read, a.down_read)}


@safe("guarded")
def gate_held_by_those_who_start_and_join():
    """Neither child holds the gate, but each runs only while its parent does."""
    gate, a, b = mutexes("gab")

    def parent(name, role):
        def start_and_join():
            with gate:
                child = child_of(role, name)
                child.start()
                child.join()
        return start_and_join

    return {"one": parent("child 1", nested(a, b)), "two": parent("child 2", nested(b, a))}


@safe("guarded")
def gate_held_by_those_who_wait_for_the_work():
    """work_on_cpu(): who holds the gate is not who works under it."""
    gate, a, b = mutexes("gab")
    calls = {name: (Completion(f"call {name}"), Completion(f"return {name}")) for name in "12"}

    def caller(name):
        def call():
            with gate:
                calls[name][0].complete()
                calls[name][1].wait(by=f"worker {name}")
        return call

    def worker(name, role):
        def work():
            calls[name][0].wait(by=f"caller {name}")
            role()
            calls[name][1].complete()
        return work

    return {"caller 1": caller("1"), "worker 1": worker("1", nested(a, b)),
            "caller 2": caller("2"), "worker 2": worker("2", nested(b, a))}


@hangs("forced")
def work_that_is_not_waited_for():
    """The callers give the gate up while their children still run."""
    gate, a, b = mutexes("gab")

    def parent(name, role):
        def start():
            with gate:
                child_of(role, name).start()
        return start

    return {"one": parent("child 1", nested(a, b)), "two": parent("child 2", nested(b, a))}


@hangs("forced")
def gate_given_back_too_early():
    """The second gives the gate back when it has b, before it asks for a."""
    gate, a, b = mutexes("gab")

    def second():
        gate.acquire()
        b.acquire()
        gate.release()
        with a:
            b.release()

    return {"one": nested(gate, a, b), "two": second}


@safe("guarded")
def hand_over_at_the_gate():
    """The gate is given back by both only after both inner locks are held."""
    gate, a, b = mutexes("gab")

    def role(first, second):
        def take():
            gate.acquire()
            first.acquire()
            second.acquire()
            gate.release()
            second.release()
            first.release()
        return take

    return {"one": role(a, b), "two": role(b, a)}


# -- one role --------------------------------------------------------------------------------------


@safe("one-role")
def both_orders_in_one_role():
    """A thread does not run beside itself."""
    a, b = mutexes("ab")
    return {"one": both(nested(a, b), nested(b, a)), "two": both(nested(a), nested(b))}


@hangs("forced")
def both_orders_in_two_roles():
    """The same role twice."""
    a, b = mutexes("ab")
    role = both(nested(a, b), nested(b, a))
    return {"one": role, "two": role}


@safe("one-role")
def both_orders_by_class_in_one_role():
    """Opposite orders of the classes, on different locks, by one thread."""
    locks = {name: Mutex(name, name[0]) for name in ("a1", "b1", "a2", "b2")}
    return {"one": both(nested(locks["a1"], locks["b1"]), nested(locks["b2"], locks["a2"]))}


@safe("one-role")
def two_legs_of_three_in_one_role():
    """Of a ring of three, two legs are one thread's."""
    a, b, c = mutexes("abc")
    return {"one": both(nested(a, b), nested(b, c)), "two": nested(c, a)}


# -- start, join, completions ----------------------------------------------------------------------


def child_of(role, name="child"):
    """Return a thread that does *role*."""
    return threading.Thread(target=role, name=name)


@safe("guarded")
def joined_before_the_other_order():
    """The parent takes the opposite order when its child has ended."""
    a, b = mutexes("ab")

    def parent():
        child = child_of(nested(a, b))
        child.start()
        child.join()
        nested(b, a)()

    return {"parent": parent}


@hangs("forced")
def joined_after_the_other_order():
    """The child may still run then."""
    a, b = mutexes("ab")

    def parent():
        child = child_of(nested(a, b))
        child.start()
        nested(b, a)()
        child.join()

    return {"parent": parent}


@safe("guarded")
def done_before_the_start():
    """The parent takes the opposite order before there is a child."""
    a, b = mutexes("ab")

    def parent():
        nested(b, a)()
        child_of(nested(a, b)).start()

    return {"parent": parent}


@safe("guarded")
def one_child_after_another():
    """The second child is started when the first has ended."""
    a, b = mutexes("ab")

    def parent():
        for name, role in (("first", nested(a, b)), ("second", nested(b, a))):
            child = child_of(role, name)
            child.start()
            child.join()

    return {"parent": parent}


@hangs("forced")
def one_child_beside_another():
    """Both run at the same time."""
    a, b = mutexes("ab")

    def parent():
        children = [child_of(nested(a, b), "first"), child_of(nested(b, a), "second")]
        for child in children:
            child.start()
        for child in children:
            child.join()

    return {"parent": parent}


@safe("guarded")
def second_waits_for_the_first():
    """The second begins when the first says that it is done."""
    a, b, done = *mutexes("ab"), Completion("done")

    def first():
        nested(a, b)()
        done.complete()

    def second():
        done.wait(by="first")
        nested(b, a)()

    return {"first": first, "second": second}


@hangs("forced")
def second_waits_for_the_first_too_early():
    """The first says so before it begins."""
    a, b, done = *mutexes("ab"), Completion("done")

    def first():
        done.complete()
        nested(a, b)()

    def second():
        done.wait(by="first")
        nested(b, a)()

    return {"first": first, "second": second}


@safe("guarded")
def order_handed_on_by_a_third():
    """First before third before second: no two of a chain of completions run together."""
    a, b, done, go = *mutexes("ab"), Completion("done"), Completion("go")

    def first():
        nested(a, b)()
        done.complete()

    def third():
        done.wait(by="first")
        go.complete()

    def second():
        go.wait(by="third")
        nested(b, a)()

    return {"first": first, "second": second, "third": third}


@safe("guarded")
def second_completion_of_one_counts():
    """A completion lets one wait pass each time: the second one is for what follows a and b."""
    a, b, step = *mutexes("ab"), Completion("step")

    def first():
        step.complete()
        nested(a, b)()
        step.complete()

    def second():
        step.wait(by="first")
        step.wait(by="first")
        nested(b, a)()

    return {"first": first, "second": second}


@safe("guarded")
def completion_made_new_again():
    """After reinit() the wait is for the second completion."""
    a, b, ready, step = *mutexes("ab"), Completion("ready"), Completion("step")

    def first():
        step.complete_all()
        step.reinit()
        ready.complete()
        nested(a, b)()
        step.complete_all()

    def second():
        ready.wait(by="first")
        step.wait(by="first")
        nested(b, a)()

    return {"first": first, "second": second}


@hangs("forced")
def completion_for_all_stays():
    """complete_all() lets every wait pass, so that the second is none."""
    a, b, step = *mutexes("ab"), Completion("step")

    def first():
        step.complete_all()
        nested(a, b)()
        step.complete_all()

    def second():
        step.wait(by="first")
        step.wait(by="first")
        nested(b, a)()

    return {"first": first, "second": second}


@safe()
def waits_with_nothing_in_hand():
    """Whoever waits holds nothing that its bringer needs."""
    a, done = Mutex("a"), Completion("done")

    def waits():
        with a:
            pass
        done.wait(by="brings")

    def brings():
        with a:
            pass
        done.complete()

    return {"waits": waits, "brings": brings}


@hangs("forced")
def waits_with_the_lock_in_hand():
    """The bringer needs the lock first."""
    a, done = Mutex("a"), Completion("done")

    def waits():
        with a:
            done.wait(by="brings")

    def brings():
        with a:
            pass
        done.complete()

    return {"waits": waits, "brings": brings}


@safe()
def waits_with_the_lock_in_hand_for_one_that_needs_it_later():
    """The bringer takes the lock after it has ended the wait."""
    a, done = Mutex("a"), Completion("done")

    def waits():
        with a:
            done.wait(by="brings")

    def brings():
        done.complete()
        with a:
            pass

    return {"waits": waits, "brings": brings}


@safe()
def waits_with_the_lock_in_hand_for_one_that_only_tries_it():
    """The bringer does not wait for the lock."""
    a, done = Mutex("a"), Completion("done")

    def waits():
        with a:
            done.wait(by="brings")

    def brings():
        if a.acquire(False):
            a.release()
        done.complete()

    return {"waits": waits, "brings": brings}


@safe()
def join_with_an_unrelated_lock_in_hand():
    """The child takes another lock."""
    a, b = mutexes("ab")

    def parent():
        child = child_of(nested(b))
        child.start()
        with a:
            child.join()

    return {"parent": parent}


@hangs("forced")
def join_with_the_childs_lock_in_hand():
    """flush_work under the lock that the work takes."""
    a = Mutex("a")

    def parent():
        child = child_of(nested(a))
        child.start()
        with a:
            child.join()

    return {"parent": parent}


@safe()
def timed_wait_with_the_lock_in_hand():
    """It gives up after a while."""
    a, done = Mutex("a"), Completion("done")

    def waits():
        with a:
            done.wait(0.001, by="brings")

    def brings():
        with a:
            pass
        done.complete()

    return {"waits": waits, "brings": brings}


# -- readers and writers ---------------------------------------------------------------------------


@safe()
def reads_and_writes_in_one_order():
    """Bus before device, whatever the mode."""
    bus, dev = RWSemaphore("bus"), Mutex("dev")
    return {"walker": nested(bus.down_read, dev), "adder": nested(bus.down_write, dev),
            "user": nested(dev)}


@hangs("forced")
def reads_and_writes_in_opposite_orders():
    """The deadlock of the mail."""
    bus, dev = RWSemaphore("bus"), Mutex("dev")
    return {"walker": nested(bus.down_read, dev), "prober": nested(dev, bus.down_write)}


@safe()
def collect_then_lock():
    """The walker notes the devices under the semaphore, and locks them once that is given back."""
    bus, devs = RWSemaphore("bus"), [Mutex("dev 0"), Mutex("dev 1")]

    def walker():
        with bus.down_read():
            found = list(devs)
        for dev in found:
            with dev:
                pass

    return {"walker": walker, "prober": nested(devs[0], bus.down_write)}


@safe()
def readers_under_the_reader_policy():
    """Readers of this semaphore enter while readers hold, so that a reader never waits for one."""
    bus, dev = RWSemaphore("bus", policy="reader"), Mutex("dev")
    return {"one": nested(bus.down_read, dev), "two": nested(dev, bus.down_read)}


@hangs("forced")
def readers_and_a_writer_under_the_reader_policy():
    """The writer does keep readers out, once it holds."""
    bus, dev = RWSemaphore("bus", policy="reader"), Mutex("dev")
    return {"one": nested(bus.down_write, dev), "two": nested(dev, bus.down_read)}


@safe()
def nested_read_under_the_reader_policy():
    """A queued writer does not keep the reader out the second time."""
    sem = RWSemaphore("sem", policy="reader")
    return {"reader": nested(sem.down_read, sem.down_read), "writer": nested(sem.down_write)}


@hangs("forced")
def nested_read_with_a_writer():
    """The default policy: the writer in between keeps the second read out."""
    sem = RWSemaphore("sem")
    return {"reader": nested(sem.down_read, sem.down_read), "writer": nested(sem.down_write)}


@safe()
def two_semaphores_in_one_order():
    """Readers and writers of both, a always first."""
    a, b = RWSemaphore("a"), RWSemaphore("b")
    return {"one": nested(a.down_read, b.down_read), "two": nested(a.down_write, b.down_read),
            "three": nested(a.down_read, b.down_write)}


@safe()
def write_then_read_after_release():
    """Opposite orders of a semaphore and a mutex, but the semaphore is given back in between."""
    sem, a = RWSemaphore("sem"), Mutex("a")
    return {"one": both(nested(sem.down_write), nested(a, sem.down_read)), "two": nested(a)}


@safe()
def downgrade_by_hand():
    """Write, release, read, mutex: no lock is held from one to the next."""
    sem, a = RWSemaphore("sem"), Mutex("a")
    return {"one": both(nested(sem.down_write), nested(sem.down_read, a)),
            "two": nested(sem.down_write, a)}


# -- repetition and many ---------------------------------------------------------------------------


@safe()
def one_order_many_times():
    """Repeating what is safe is safe."""
    a, b = mutexes("ab")
    return {f"role {i}": both(*[nested(a, b)] * 20) for i in range(2)}


@safe("guarded")
def gate_many_times():
    """Repeating what is guarded is guarded."""
    gate, a, b = mutexes("gab")
    return {"one": both(*[nested(gate, a, b)] * 5), "two": both(*[nested(gate, b, a)] * 5)}


@safe("guarded")
def phases():
    """What was done before a meeting point of both is over when they do the opposite after it."""
    a, b, here, there = *mutexes("ab"), Completion("here"), Completion("there")

    def one():
        nested(a, b)()
        here.complete()
        there.wait(by="two")
        nested(b, a)()

    def two():
        nested(a, b)()
        there.complete()
        here.wait(by="one")
        nested(b, a)()

    return {"one": one, "two": two}


@hangs("forced")
def phases_with_one_way_out():
    """The second does not wait for the first: it may be a phase ahead."""
    a, b, there = *mutexes("ab"), Completion("there")

    def one():
        nested(a, b)()
        there.wait(by="two")
        nested(b, a)()

    def two():
        nested(a, b)()
        there.complete()
        nested(b, a)()

    return {"one": one, "two": two}


# -- the tests -------------------------------------------------------------------------------------


class Writing(Observer):
    """Write down what each role does, as operations: without the lock order's own bookkeeping."""

    def __init__(self):
        self.threads, self.kinds = {}, {}
        self.whole = True      # whether another run would do the same
        self.policy = "writer"

    def role_start(self, task):
        self.threads.setdefault(task.name, [])

    def thread_start(self, task, thread):
        self.threads[task.name].append(Op("set", f"start of {thread.name}"))
        self.threads[thread.name] = [Op("wait", f"start of {thread.name}")]

    def lock_acquire(self, task, lock, mode):
        self.whole = self.whole and not (task.trylock or task.timed)

    def lock_acquired(self, task, lock, mode):
        self.threads[task.name].append(self.operation(lock, mode, taken=True))

    def lock_release(self, task, lock, mode):
        self.threads[task.name].append(self.operation(lock, mode, taken=False))

    def operation(self, lock, mode, taken):
        if mode == "wait":
            if lock.lock_class == "thread":
                return Op("join", lock.name)
            return Op("wait" if taken else "set", lock.name)
        if isinstance(lock, Mutex):
            return Op("lock" if taken else "unlock", lock.name)
        self.kinds[lock.name], self.policy = "rwsem", lock.policy
        verb = "down" if taken else "up"
        return Op(f"{verb}_{'read' if mode == 'shared' else 'write'}", lock.name)


def written(factory):
    """Return what the roles do as a program, learned in an order of start in which nothing hangs;
    None if what they do depends on a trylock or on time.
    """
    with Workers() as workers:
        for order in itertools.permutations(range(len(build(factory, "").roles))):
            writing = Writing()
            outcome = FreeRun(build(factory, ""), [OneByOne(order), writing]).play(workers)
            if not writing.whole:
                return None
            if not outcome.findings:
                return Program(writing.kinds, writing.threads, policy=writing.policy)
    raise AssertionError("it hangs in every order of start")


# Completions count, flags of a program do not: the engine is not asked about these either.
COUNTING = {"second_completion_of_one_counts", "completion_made_new_again"}
NOT_A_LIST = {"trylock_against_the_order", "timed_request_against_the_order", "both_only_try",
              "semaphore_tried_and_timed_against_the_order", "back_off_and_retry",
              "gate_that_was_only_tried", "timed_wait_with_the_lock_in_hand",
              "waits_with_the_lock_in_hand_for_one_that_only_tries_it",
              "trylock_that_got_it_and_then_waits"}


def every(programs):
    return pytest.mark.parametrize("factory, statuses", programs.values(), ids=programs)


@every(SAFE)
def test_program_that_cannot_hang_stays_clean(factory, statuses):
    result = predict(factory)
    assert (sorted(each.status for each in result.predictions), result.verdict) == (
        statuses, Verdict.CLEAN), result.predictions


@every(HANGING)
def test_small_change_that_hangs_is_forced(factory, statuses):
    result = predict(factory)
    assert "forced" in statuses
    assert (sorted(each.status for each in result.predictions), result.verdict) == (
        statuses, Verdict.DEADLOCK), result.predictions


@every({name: SAFE[name] for name in SAFE if name not in NOT_A_LIST | COUNTING})
def test_engine_finds_no_order_of_it_that_hangs(factory, statuses):
    answer = search(written(factory))
    assert (answer.verdict, answer.complete) == ("clean", True)


@every({name: HANGING[name] for name in HANGING if name not in NOT_A_LIST})
def test_engine_finds_an_order_of_the_change_that_hangs(factory, statuses):
    assert search(written(factory)).verdict == "deadlock"


def test_only_what_tries_is_no_list_of_operations():
    """They are what the engine is not asked about."""
    assert {name for programs in (SAFE, HANGING) for name, (factory, _) in programs.items()
            if written(factory) is None} == NOT_A_LIST


@every({name: SAFE[name] for name in SAFE if name in NOT_A_LIST})
def test_what_tries_does_not_hang_in_any_order_of_start_either(factory, statuses):
    """Each role is held where it asks with a lock in its hand, in turn, and the others go on."""
    result = predict(factory, runs=6)
    assert result.outcome.findings == []


def test_there_are_at_least_thirty_and_each_says_why():
    assert len(SAFE) >= 30
    assert all(len(factory.__doc__.split()) >= 5 for factory, _ in SAFE.values())
    assert all(isinstance(build(factory, ""), Scenario) for factory, _ in SAFE.values())
