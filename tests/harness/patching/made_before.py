"""A module that was there before: whatever refers to a lock, or makes one, and in what place."""

import collections
import dataclasses
import functools
import threading
from threading import Condition as C
from threading import Lock, RLock

MUTEX = threading.Lock()
RECURSIVE = RLock()
CONDITION = threading.Condition()
OVER_MUTEX = C(MUTEX)
EVENT, UNSET = threading.Event(), threading.Event()
EVENT.set()
PERMITS = threading.BoundedSemaphore(3)
PERMITS.acquire()
BARRIER = threading.Barrier(2)
IN_LIST = [threading.Lock()]
IN_DICT = {"a": threading.Lock()}
IN_DEQUE = collections.deque([threading.Lock()])
KEPT = threading.Lock()
METHOD = KEPT.acquire


class Owner:
    of_class = threading.Lock()
    makes = threading.Lock
    condition_cls = C

    def __init__(self):
        self.lock = threading.Lock()


class Slots:
    __slots__ = ("lock",)

    def __init__(self):
        self.lock = RLock()


@dataclasses.dataclass(frozen=True)
class Frozen:
    lock: object = dataclasses.field(default_factory=threading.Lock)


OWNER, SLOTS, FROZEN = Owner(), Slots(), Frozen()


def closed():
    lock = threading.Lock()

    def inside():
        return lock
    return inside


CLOSED = closed()


def default(lock=threading.Lock(), make=C, *, other=threading.Lock()):    # noqa: B008
    return lock, make(), other


BY_KEY = collections.defaultdict(threading.Lock)

# What cannot be replaced.
IN_TUPLE = (threading.Lock(),)
IN_SET = {threading.Lock()}
IN_PARTIAL = functools.partial(print, threading.Lock())
IN_GENERATOR = (lambda lock: (lock for _ in "a"))(threading.Lock())
IN_TUPLE_TOO = [threading.Lock()]
IN_TUPLE_ALSO = (IN_TUPLE_TOO[0],)
OVER_ONE_IN_TUPLE = threading.Condition(IN_TUPLE[0])
HELD = threading.RLock()


def replaced():
    """Return everything that can be replaced, by name."""
    lock, condition, other = default()
    return {
        "a global": MUTEX, "an RLock": RECURSIVE, "a condition": CONDITION,
        "a condition over a lock": OVER_MUTEX, "an event": EVENT, "an event that is not set": UNSET,
        "a semaphore": PERMITS, "the condition of a barrier": BARRIER._cond,
        "in a list": IN_LIST[0], "in a dict": IN_DICT["a"], "in a deque": IN_DEQUE[0],
        "of a class": Owner.of_class, "an attribute": OWNER.lock, "in a slot": SLOTS.lock,
        "of a frozen object": FROZEN.lock, "in a closure": CLOSED(), "a default": lock,
        "a default by keyword": other, "made by a default": condition,
        "of a bound method": METHOD.__self__, "made by a default factory": BY_KEY[len(BY_KEY)],
        "made by a class": Owner.makes(), "made by another name": C(), "made by a field":
        Frozen().lock, "made by its attribute": OWNER.condition_cls(), "made by its name": Lock()}


def left():
    """Return what cannot be replaced, by name."""
    return {"in a tuple": IN_TUPLE[0], "in a set": next(iter(IN_SET)),
            "in a partial": IN_PARTIAL.args[0], "in a generator": IN_GENERATOR.gi_frame and
            IN_GENERATOR.gi_frame.f_back, "elsewhere in a tuple": IN_TUPLE_TOO[0],
            "over one in a tuple": OVER_ONE_IN_TUPLE, "held": HELD}
