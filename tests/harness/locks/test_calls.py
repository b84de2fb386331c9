"""The calls that led to a place, as they are taken down, against a plain walk over the stack."""

import asyncio
import contextlib
import random
import sys
import weakref

import pytest
import small_worlds
from golden import compare

from harness import Mutex, Verdict, run
from harness.locks.calls import Callers, calls_of, capture
from harness.locks.task import current


def walked():
    """Return the calls that led to the caller, by a walk to the end of the stack."""
    frame, calls = sys._getframe(1), []
    while frame is not None:
        calls.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return calls


def taken():
    """Return the same by `capture`, through the two calls that an operation has of its own."""
    def operation():
        return capture(sys._getframe())
    return calls_of(operation())[2:]


def differing():
    """Return what differs between the two: nothing."""
    ours, plain = taken(), walked()
    # The innermost call is the one in here, at another instruction each.
    return ours[1:] == plain[1:] and ours[0][0] is plain[0][0] or (ours, plain)


def check():
    assert differing() is True


def twice():
    check()
    check()


def test_a_function_that_is_called_again_from_another_line_has_other_callers():
    check()
    twice()
    for _ in range(3):
        twice()
        check(); twice()    # noqa: E702


def test_the_frame_of_a_call_that_returned_is_not_taken_for_that_of_the_next():
    def take():
        return taken()

    def first():
        return take()

    def second():
        return take()

    callers = [[code.co_name for code, _ in calls_made()[:2]]
               for calls_made in (first, second, first)]
    assert [names[1] for names in callers] == ["first", "second", "first"]


def resumed():
    while True:
        check()
        twice()
        yield


def test_a_generator_that_others_go_on_with_has_their_calls():
    going = resumed()

    def one():
        next(going)

    def other():
        one()
        next(going)

    next(going)
    one()
    other()
    for _ in range(2):
        other()
        next(going)


def test_a_coroutine_that_is_awaited_has_the_calls_of_who_awaits():
    async def asked():
        twice()
        await asyncio.sleep(0)
        twice()

    async def asking():
        await asyncio.gather(asked(), asked())
        await asked()

    asyncio.run(asking())


def test_a_context_manager_of_a_generator_has_the_calls_of_each_of_its_halves():
    @contextlib.contextmanager
    def managed():
        twice()
        yield
        twice()

    def block(deeper):
        with managed():
            twice()
            if deeper:
                block(deeper - 1)
        check()

    block(3)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_calls_and_returns_has_the_calls_of_a_plain_walk(seed):
    draw, left = random.Random(seed), [150]
    going = []

    def generates(depth):
        while True:
            acts(depth)
            yield

    def acts(depth):
        while left[0] > 0 and draw.random() < 0.7:
            left[0] -= 1
            act = draw.randrange(6)
            if act == 0:
                check()
            elif act == 1 and depth < 40:
                acts(depth + 1)
            elif act == 2 and depth < 40:
                twice(); acts(depth + 1)    # noqa: E702
            elif act == 3:
                going.append(generates(depth + 1))
            elif going and act == 4:
                with contextlib.suppress(ValueError, StopIteration):    # it is under way
                    next(draw.choice(going))
            else:
                twice()

    while left[0] > 0:
        acts(0)


def test_what_led_to_a_function_is_taken_down_once():
    chains = []

    def role():
        locks = [Mutex(str(n)) for n in range(50)]
        for lock in locks:
            lock.acquire()
        chains.extend(chain for _, _, chain in current().held)
        for lock in locks:
            lock.release()

    assert run(lambda: {"role": role}, runs=1).verdict is Verdict.CLEAN
    in_role = {chain[2] and id(chain[2]) for chain in chains}
    assert len(chains) == 50 and len(in_role) == 1


class Local:
    pass


def test_what_a_function_had_is_gone_when_it_returns_though_the_lock_it_took_is_held():
    kept = []

    def role():
        lock = Mutex("lock")

        def take():
            local = Local()
            kept.append(weakref.ref(local))
            lock.acquire()

        take()
        kept.append(kept[0]() is None)
        lock.release()

    assert run(lambda: {"role": role}, runs=1).verdict is Verdict.CLEAN
    assert kept[1]


def test_the_tracer_of_a_thread_keeps_its_frames():
    lines = []

    def tracer(frame, event, arg):
        if frame.f_code is not traced.__code__:
            return None
        lines.append((event, frame.f_lineno - traced.__code__.co_firstlineno))
        return tracer

    def traced():
        twice()
        check()

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        traced()
    finally:
        sys.settrace(before)
    assert lines == [("call", 0), ("line", 1), ("line", 2), ("return", 2)]


def test_a_tracer_may_come_when_calls_were_taken_down():
    seen = []

    def tracer(frame, event, arg):
        seen.append(frame.f_code.co_name)
        return None

    def begins():
        check()
        assert isinstance(sys._getframe().f_trace, Callers) or sys.gettrace() is not None
        sys.settrace(tracer)
        twice()
        sys.settrace(before)
        check()

    before = sys.gettrace()
    try:
        begins()
    finally:
        sys.settrace(before)
    assert seen[:2] == ["twice", "check"]
    check()


# -- as reports print them -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["helper_twice", "eight_deep"])
def test_each_lock_has_the_callers_that_led_to_it(name):
    compare(name, run(getattr(small_worlds, name), runs=1))
