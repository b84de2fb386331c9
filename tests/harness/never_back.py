"""Code that a scenario has the harness call with the guard held, and that does not come back.

As a program it goes through all of one kind, and prints what each call came to, a line of JSON
each. What did not come back does so when its call has ended: it finds that nobody waits for it.
"""

import json
import sys
import threading
import time
from functools import partial

from harness import Completion, Mutex, Scenario, explore, force, predict, replay, run, stress
from harness.locks import away, parking
from harness.runtime.observer import Observer

SOON = 0.1    # seconds: the timeout of a call
HOOKS = ("role_end", "lock_contended", "thread_start", "hold_back", "idle", "standstill")
COMMANDS = {"run": run, "force": force, "predict": predict, "explore": explore, "stress": stress}


class Waits:
    """Waits outside our locks until it may go on."""

    def __init__(self):
        self._lock = threading.Lock()
        self._lock.acquire()

    def __call__(self, *args):
        with self._lock:
            pass

    def go_on(self):
        if self._lock.locked():
            self._lock.release()


class Computes:
    """Computes until it may go on."""

    def __init__(self):
        self._on = True

    def __call__(self, *args):
        while self._on:
            pass

    def go_on(self):
        self._on = False


def crosswise():
    """A deadlock, for a token."""
    a, b = Mutex("a"), Mutex("b")

    def one():
        with a, b:
            pass

    def two():
        with b, a:
            pass
    return {"one": one, "two": two}


def ordinary():
    """Two roles that take two locks in one order."""
    a, b = Mutex("a"), Mutex("b")

    def role():
        with a, b:
            pass
    return {"one": role, "two": role}


# -- what does not come back, in roles -------------------------------------------------------------


def by(end):
    """By whom a wait is ended that nobody ends."""
    done, free = Completion("done"), Mutex("free")

    def other():
        with free:
            pass
    return {"one": lambda: done.wait(by=end), "two": other}


def text_of_an_exception(end):
    """What `by` raises is asked for its text."""
    class Odd(Exception):
        def __str__(self):
            return end()

    def raises():
        raise Odd
    return by(raises)


def of_a_lock(text, end):
    """Locks are asked for *text*: when the run is judged, or for the report."""
    class Named(Mutex):
        pass
    setattr(Named, text, end if text == "__str__" else property(end))
    lock, done = Named("lock"), Completion("done")

    def role():
        with lock:
            done.wait()
    return {"one": role, "two": role}


# -- while no role runs ----------------------------------------------------------------------------


def building(end):
    Completion("built").wait(by=end)
    return ordinary()


def checking(end):
    return Scenario(ordinary(), check=lambda: Completion("right").wait(by=end))


def dropped(end):
    """A world that leaves something to a finalizer when it is dropped."""
    class Left:
        def __del__(self):
            end()
    left, lock = Left(), Mutex("lock")

    def role():
        with lock:
            return left is None
    return {"one": role, "two": lambda: lock.locked() and left is None}


def function_name(end):
    """What functions are called, of a world in which something is to be told."""
    return Scenario(crosswise(), function_name=end)


WORLDS = {"by": by, "text_of_an_exception": text_of_an_exception,
          **{text: partial(of_a_lock, text) for text in ("name", "lock_class", "__str__")},
          "building": building, "checking": checking, "function_name": function_name,
          "dropped": dropped}


# -- hooks -----------------------------------------------------------------------------------------


def busy():
    """Every hook of an observer is called, but for two."""
    lock, done = Mutex("lock"), Completion("done")

    def starts():
        thread = threading.Thread(target=done.complete)
        thread.start()
        thread.join()
        with lock:
            pass

    def waits():
        done.wait()
        with lock:
            pass
    return {"one": starts, "two": waits}


def idle():
    """Nobody can go on, and nobody is known to let one."""
    done = Completion("done")
    return {"one": done.wait, "two": done.wait}


def standstill(never):
    """Nothing moves, and a role is outside our locks."""
    return {"one": never, "two": Mutex("free").locked}


def seen(hook, end):
    """Observers with a *hook* that does not come back."""
    return lambda: [type("Seen", (Observer,), {hook: lambda self, *args: end()})()]


# -- all of it -------------------------------------------------------------------------------------


def calls(kind, new):
    """Yield each call of one kind: what it is, how it is made, and what does not come back."""
    if kind in HOOKS:
        for detect in ("block", "timeout"):
            end, never = new(), Waits()
            world = {"idle": idle, "standstill": partial(standstill, never)}.get(kind, busy)
            yield detect, partial(run, world, timeout=SOON, detect=detect,
                                  observers=seen(kind, end)), (end, never)
        return
    some = ("run", "explore") if new is Computes else COMMANDS    # that is what costs
    for name in some:
        command = COMMANDS[name]
        end = new()
        yield name, partial(command, partial(WORLDS[kind], end), timeout=SOON), (end,)
    if new is Computes or kind == "dropped":    # the one world of a replay outlives it
        return
    end, token = new(), explore(crosswise).replay
    yield "replay", partial(replay, token, partial(WORLDS[kind], end), timeout=SOON), (end,)


def all_back(before):
    """Wait until each thread that was not there *before* has come back, and ended or found that
    nobody waits for it any more.
    """
    waits = away.Call._come_back.__code__
    for thread in set(threading.enumerate()) - before:
        while thread.is_alive():
            frame = sys._current_frames().get(thread.ident)
            if frame is not None and frame.f_code is waits:
                break
            time.sleep(0.001)


def main(kind, new):
    for name, call, ends in calls(kind, new):
        before = set(threading.enumerate())
        report = str(result := call())
        for end in ends:
            end.go_on()
        all_back(before)
        again = str(run(ordinary, runs=3).verdict)
        guard = [parking._guard.locked(), parking._owner, parking._depth, len(parking._woken),
                 len(away._under_way)]
        print(json.dumps({"call": name, "verdict": str(result.verdict), "report": report,
                          "again": again, "guard": guard}), flush=True)


def beside(new):
    """Print what becomes of a run beside one in which something does not come back."""
    asked, end = threading.Event(), new()

    def asks():
        asked.set()
        end()
    results = []
    thread = threading.Thread(target=lambda: results.append(run(partial(by, asks), timeout=0.5)))
    thread.start()
    asked.wait()
    print(run(ordinary, runs=100, timeout=SOON / 2).verdict)
    thread.join()
    print(results[0].verdict)


if __name__ == "__main__":
    kind, new = sys.argv[1], {"waits": Waits, "computes": Computes}[sys.argv[2]]
    if kind == "beside":
        beside(new)
    else:
        main(kind, new)
    sys.exit(3)
