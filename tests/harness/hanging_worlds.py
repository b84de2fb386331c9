"""Worlds that cannot be built, each because of something that never ends; by reference, too."""

import queue
import socket
import threading
from contextlib import suppress

from harness import Completion, Mutex, RWSemaphore, Scenario


def _two(lock):
    """Two roles that take *lock*."""
    def role():
        with lock:
            pass
    return {"one": role, "other": role}


def mutex_taken_twice():
    table = Mutex("table")

    def grow():
        with table:
            pass

    with table:
        grow()
    return _two(table)


def upgraded_reader():
    """Reads, and then wants to write."""
    sem = RWSemaphore("sem")

    def probe():
        with sem.down_write():
            pass

    with sem.down_read():
        probe()
    return _two(Mutex("free"))


def forgotten_up_read():
    """The commonest mistake of a fix: one way out does not release."""
    sem = RWSemaphore("sem")

    def boot(early):
        sem.down_read()
        if early:
            return
        sem.up_read()

    boot(early=True)
    return _two(Mutex("free"))


def forgotten_unlocks():
    """Two locks are held when it returns."""
    first, second = Mutex("first"), Mutex("second")
    first.acquire()
    second.acquire()
    return _two(Mutex("free"))


def released_twice():
    lock = Mutex("lock")
    with lock:
        lock.release()
    return _two(lock)


def never_completed():
    Completion("firmware").wait()
    return _two(Mutex("free"))


def bare_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
    return _two(Mutex("free"))


def empty_queue():
    queue.Queue().get()
    return _two(Mutex("free"))


def silent_peer():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)
    return _two(Mutex("free"))


def stubborn():
    """Swallows whatever ends its first waits."""
    lock = threading.Lock()
    lock.acquire()
    for _ in range(3):
        with suppress(BaseException):
            lock.acquire()
    lock.acquire()
    return _two(Mutex("free"))


def crosswise_with_a_thread():
    """A thread that it started holds what it wants, and wants what it holds."""
    a, b, has = Mutex("a"), Mutex("b"), threading.Event()

    def blocking():
        with b:
            has.set()
            with a:
                pass

    with a:
        threading.Thread(target=blocking, name="other", daemon=True).start()
        has.wait()
        with b:
            pass
    return _two(Mutex("free"))


def checked_by_a_bare_wait():
    event = threading.Event()
    return Scenario(_two(Mutex("free")), check=event.wait)


_worlds = 0


def third_world():
    """Only the third world of a process waits."""
    global _worlds
    _worlds += 1
    if _worlds == 3:
        empty_queue()
    return _two(Mutex("free"))
