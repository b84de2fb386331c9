"""Programs that leave somebody stuck and come to their end: each prints what it came to, and more
where something must still happen as the interpreter ends.
"""

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness import Completion, Mutex, explore, run

never = threading.Event()
SOON = 0.2    # seconds: the timeout of a call


def told(result):
    """Print the verdict, and who is stuck."""
    named = "and left running: " in str(result)
    print(result.verdict, "named" if named else "nobody", flush=True)


def worker_of_a_pool():
    told(run(lambda: {"role": lambda: Mutex("a").locked() or ThreadPoolExecutor(1).submit(
        never.wait)}, runs=1, timeout=SOON))


def worker_of_a_loop():
    async def main():
        asyncio.get_running_loop().run_in_executor(None, never.wait)
        Mutex("a").locked()

    def role():
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()

    told(run(lambda: {"role": role}, runs=1, timeout=SOON))


def thread_that_a_role_started():
    def role():
        Mutex("a").locked()
        threading.Thread(target=never.wait, daemon=False).start()

    told(run(lambda: {"role": role}, runs=1, timeout=SOON))


def thread_that_a_schedule_started():
    def role():
        with Mutex("a"):
            threading.Thread(target=never.wait, daemon=False).start()

    told(explore(lambda: {"role": role}, timeout=SOON, max_schedules=3))


def crosswise(world=lambda: None, on_the_way_out=lambda: None):
    """Return the roles of a deadlock; *on_the_way_out* is called as each is unwound."""
    a, b = Mutex("a"), Mutex("b")
    first, second = Completion("first"), Completion("second")

    def take(one, other, mine, its):
        try:
            with one:
                mine.complete_all()
                its.wait()
                with other:
                    pass
        finally:
            on_the_way_out()

    world()
    return {"one": lambda: take(a, b, first, second), "two": lambda: take(b, a, second, first)}


def thread_that_a_role_starts_as_it_is_unwound():
    def start():
        threading.Thread(target=never.wait, daemon=False).start()

    told(run(lambda: crosswise(on_the_way_out=start), runs=1))


def pool_that_a_role_uses_as_it_is_unwound():
    pool = ThreadPoolExecutor(2)
    told(run(lambda: crosswise(on_the_way_out=lambda: pool.submit(never.wait)), runs=1))


def thread_of_a_world_that_came_to_a_deadlock():
    told(run(lambda: crosswise(threading.Thread(target=never.wait, name="of the world").start),
             runs=1))


def pool_of_a_world_that_came_to_a_deadlock():
    told(run(lambda: crosswise(lambda: ThreadPoolExecutor(1).submit(never.wait)), runs=1))


def threads_of_the_users_are_waited_for():
    """Neither is of the run, though both are there while somebody is stuck in one."""
    begun, go = threading.Event(), threading.Event()

    def last():
        begun.set()
        go.wait()
        time.sleep(0.1)    # the interpreter is at its end by now
        print("thread", flush=True)

    threading.Thread(target=last).start()
    pool = ThreadPoolExecutor(1)
    pool.submit(begun.wait).result()
    worker_of_a_pool()
    pool.submit(lambda: go.wait() and time.sleep(0.1) or print("pool", flush=True))
    go.set()


CASES = {name: case for name, case in list(globals().items())
         if callable(case) and getattr(case, "__module__", "") == __name__
         and name not in ("told", "crosswise")}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
    sys.exit(3)
