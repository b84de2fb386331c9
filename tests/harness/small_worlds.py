"""Small programs with locks that the tests run, force, stress and replay, by reference as well.

The four of the project's claim come with a declared meeting and, as `..._bare`, without one.
"""

import sys
import threading

from harness import At, Completion, Meet, Mutex, RWSemaphore, Scenario


def abba():
    """Two mutexes in opposite order."""
    a, b = Mutex("a"), Mutex("b")

    def left():
        with a:
            with b:
                pass

    def right():
        with b:
            with a:
                pass

    return Scenario({"left": left, "right": right},
                    meet=Meet(At("left", b, holding=a), At("right", a, holding=b)))


def philosophers():
    """Three who take the left fork first."""
    forks = [Mutex(f"fork {i}", "fork") for i in range(3)]

    def philosopher(i):
        def dine():
            with forks[i]:
                with forks[(i + 1) % 3]:
                    pass
        return dine

    return Scenario({f"philosopher {i}": philosopher(i) for i in range(3)},
                    meet=Meet(*(At(f"philosopher {i}", "fork", holding="fork") for i in range(3))))


def nested_read(policy="writer"):
    """A reader reads again behind a queued writer."""
    sem = RWSemaphore("sem", policy=policy)

    def reader():
        with sem.down_read():
            with sem.down_read():
                pass

    def writer():
        with sem.down_write():
            pass

    return Scenario({"reader": reader, "writer": writer},
                    meet=Meet(At("writer", sem, "exclusive"), At("reader", sem, "shared", sem)))


def handoff():
    """Reader 1 enters, reader 2 joins, reader 1 leaves; reader 2 and a writer lock crosswise.

    Whoever takes the reader that came first for the owner blames one that left.
    """
    sem, lock = RWSemaphore("sem"), Mutex("lock")
    entered, joined, left = Completion("entered"), Completion("joined"), Completion("left")

    def reader1():
        with sem.down_read():
            entered.complete()
            joined.wait(by="reader2")
        left.complete_all()

    def reader2():
        entered.wait(by="reader1")
        with sem.down_read():
            joined.complete()
            left.wait(by="reader1")
            with lock:
                pass

    def writer():
        left.wait(by="reader1")
        with lock:
            with sem.down_write():
                pass

    return Scenario({"reader1": reader1, "reader2": reader2, "writer": writer},
                    meet=Meet(At("writer", sem, holding=lock), At("reader2", lock, holding=sem)))


def _bare(world):
    def bare():
        return world().roles
    bare.__name__ = bare.__qualname__ = f"{world.__name__}_bare"
    return bare


abba_bare, philosophers_bare = _bare(abba), _bare(philosophers)
nested_read_bare, handoff_bare = _bare(nested_read), _bare(handoff)


def in_order():
    """Two mutexes, both roles in the same order: nothing to find."""
    a, b = Mutex("a"), Mutex("b")

    def role():
        with a:
            with b:
                pass

    return {"first": role, "second": role}


def waits_for_nobody():
    """A completion that nobody completes."""
    done = Completion("done")

    def waiter():
        done.wait()

    return {"waiter": waiter}


def raises():
    """A role that fails."""
    def clumsy():
        raise KeyError("spoon")

    return {"clumsy": clumsy}


def forgets():
    """A role that ends holding a lock."""
    lock = Mutex("lock")

    def forgetful():
        lock.acquire()

    return {"forgetful": forgetful}


def no_roles():
    """No scenario."""
    return None


NOT_CALLABLE = {"role": "not callable"}


def dead_roles():
    """Roles that cannot be called."""
    return {"role": 7}


def wants_more(argument):
    """A factory that cannot be called without arguments."""
    return {"role": lambda: argument}


def no_meeting():
    """A scenario whose meeting is none."""
    return Scenario({"role": lambda: None}, meet="at noon")


def waits_outside():
    """Two roles that want what a thread outside the run holds for ever; it says so once both are
    queued.
    """
    import os
    lock, taken = Mutex("lock"), threading.Event()

    def outsider():
        lock.acquire()
        taken.set()
        while len(lock._waiters) < 2:
            pass
        # Not print: with the lock of a buffered stream in a daemon thread the interpreter aborts.
        os.write(sys.stderr.fileno(), b"both are queued\n")
        threading.Event().wait()

    threading.Thread(target=outsider, daemon=True).start()
    taken.wait()

    def role():
        with lock:
            pass

    return {"one": role, "other": role}


def helper_twice():
    """A helper that took one lock and returned, and one more, before the role waits in it."""
    a, b = Mutex("a"), Mutex("b")

    def take(lock):
        lock.acquire()

    def opens():
        take(a)

    def goes_on():
        take(b)

    def closes():
        goes_on()
        take(a)

    def work():
        opens()
        closes()

    return {"role": work}


def eight_deep():
    """A recursion that takes a lock at each level, and waits below for the first."""
    locks = [Mutex(f"lock {n}") for n in range(8)]

    def descend(n):
        with locks[n]:
            descend(n - 1) if n else ascend(5)

    def ascend(n):
        if n < 7:
            ascend(n + 1)
        else:
            locks[n].acquire()

    return {"role": lambda: descend(7)}
