"""Scenarios that leave something which would keep a Python process, or disturb its end. Each is
clean or an error of its own; run as commands, in processes of their own.
"""

import atexit
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from harness import Mutex
from harness.cli import process

process.LIMIT = 0.2    # what hangs in an exit handler is not waited for
NEVER = threading.Event()


def one_lock(also=lambda: None):
    lock = Mutex("lock")

    def role():
        also()
        with lock:
            pass

    return {"Grüße": role}


def fine():
    return one_lock()


def fails():
    def role():
        raise ValueError("Grüße, 世界")
    return {"role": role}


def prints():
    return one_lock(lambda: print("x" * 100_000))


def writes_to_descriptors():
    def writes():
        for fd in range(3):
            with suppress(OSError):
                os.write(fd, b"x" * 100)
    return one_lock(writes)


def handler_hangs():
    atexit.register(NEVER.wait)
    atexit.register(print, "first handler")
    return one_lock()


def pool_hangs():
    ThreadPoolExecutor(1).submit(NEVER.wait)
    return one_lock()


def thread_hangs():
    threading.Thread(target=NEVER.wait).start()
    return one_lock()


def thread_works():
    """It begins when the main thread has come to its end."""
    def works():
        threading.main_thread().join()
        with open(os.environ["LEFT"] + " by a thread", "w") as file:
            file.write("whole")
    process.LIMIT = 30
    threading.Thread(target=works).start()
    return one_lock()


def thread_prints():
    def noise():
        while True:
            sys.stderr.write("x" * 1_000)
            sys.stdout.flush()
    threading.Thread(target=noise, daemon=True).start()
    return one_lock()


def child_hangs():
    import multiprocessing

    def waits():
        os.closerange(1, 3)    # who reads what the command prints does not wait for this
        time.sleep(20)
    multiprocessing.get_context("fork").Process(target=waits).start()
    return one_lock()


def finalizer_hangs():
    class Hangs:
        def __del__(self):
            NEVER.wait()
    fine.kept = Hangs()
    return one_lock()


def file_left_open():
    fine.file = open(os.environ["LEFT"], "w")    # noqa: SIM115
    fine.file.write("whole")
    return one_lock()


def stdout_replaced():
    sys.stdout = open(os.devnull, "w")    # noqa: SIM115
    return one_lock()


def stdout_closed():
    sys.stdout.close()
    return one_lock()


class Broken:
    """A stream of somebody's own, which nobody can write to."""

    def write(self, text):
        raise RuntimeError("no more paper")

    flush = fileno = write


def stdout_broken():
    sys.stdout = Broken()
    return fails()


def waits_beside_a_pool():
    threading._register_atexit(NEVER.wait)    # as pools do

    def waits():
        print("waits", file=sys.stderr, flush=True)
        NEVER.wait()
    return {"waits": waits, "other": Mutex("lock").locked}


def ends_its_process():
    return one_lock(lambda: os.kill(os.getpid(), signal.SIGTERM))


def blocks_in_a_child():
    lock = Mutex("lock")

    def role():
        print(os.getppid(), os.getpid(), file=sys.stderr, flush=True)
        time.sleep(30)
    return {"role": role, "other": lock.locked}
