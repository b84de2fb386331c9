"""Programs whose locks are made without a name, most of them by roles, one for each key."""

import functools
import threading
from collections import defaultdict

from harness import Completion, Mutex, Scenario

TWO = ("xy", "yz")               # of two roles, in the order of the keys
SORTED = ("xy", "yz", "xz")
OPPOSITE = ("xy", "yx")


def takes(get, orders):
    """Roles each of which takes the locks of two keys, one in the other."""
    def role(first, second):
        def body():
            with get(first):
                with get(second):
                    pass
        return body

    return {f"{order} role": role(*order) for order in orders}


def guarded_table(orders=TWO):
    """A lock for each key, made when it is asked for first, in a dict that a lock guards."""
    locks, registry = {}, Mutex()

    def get(key):
        with registry:
            if key not in locks:
                locks[key] = Mutex()
            return locks[key]

    return takes(get, orders)


def defaults(orders=SORTED):
    """The same by a defaultdict."""
    locks = defaultdict(Mutex)
    return takes(lambda key: locks[key], orders)


def hidden_table(orders=SORTED):
    """The same in a table that nobody can look into: that two locks are the same is not known."""
    return takes(functools.cache(lambda key: Mutex()), orders)


def numbered_table(orders=SORTED):
    """The same in a list: which is the second depends on who came first."""
    keys, locks, registry = [], [], Mutex()

    def get(key):
        with registry:
            if key not in keys:
                keys.append(key)
                locks.append(Mutex())
            return locks[keys.index(key)]

    return takes(get, orders)


class Table:
    """The same in an object whose methods are the roles."""

    def __init__(self):
        self.guard = Mutex()
        self.locks = {}

    def get(self, key):
        with self.guard:
            if key not in self.locks:
                self.locks[key] = Mutex()
            return self.locks[key]

    def up(self):
        takes(self.get, ["xy"])["xy role"]()

    def further_up(self):
        takes(self.get, ["yz"])["yz role"]()

    def down(self):
        takes(self.get, ["yx"])["yx role"]()


def methods(first="up", second="further_up"):
    table = Table()
    return {first: getattr(table, first), second: getattr(table, second)}


def alike(orders=TWO):
    """The locks of all keys are given one name: in which run which is called so is not known."""
    locks = {}
    registry = Mutex("registry")

    def get(key):
        with registry:
            if key not in locks:
                locks[key] = Mutex("item", f"class of {key}")
            return locks[key]

    return takes(get, orders)


def own_pairs():
    """Each role has two locks of its own, which nobody else ever asks for."""
    def role(turned):
        def body():
            first, second = Mutex(), Mutex()
            if turned:
                first, second = second, first
            with first:
                with second:
                    pass
        return body

    return {"straight": role(False), "turned": role(True)}


def own_of_one_name():
    """Each role has a lock of its own, of the name that the other's has."""
    def role():
        with Mutex("own"):
            pass

    return {"one": role, "two": role}


def handed_on(child_first="second"):
    """A role makes two locks and takes them beside a thread of its own."""
    def parent():
        first, second = Mutex(), Mutex()
        order = [first, second] if child_first == "first" else [second, first]

        def child():
            with order[0]:
                with order[1]:
                    pass

        thread = threading.Thread(target=child, name="child")
        thread.start()
        with first:
            with second:
                pass
        thread.join()

    return {"parent": parent}


def guarded_beside_own():
    """Three roles take two locks in opposite orders, guarded; each has a completion of its own."""
    a, b, guard = Mutex(), Mutex(), Mutex()

    def role(first, second):
        def body():
            done = Completion()
            done.complete()
            with guard:
                with first:
                    with second:
                        pass
            done.wait()
        return body

    return {"one": role(a, b), "two": role(b, a), "three": role(a, b)}


def branching():
    """Who comes first makes the lock that both use, each at another place: one lock, two runs."""
    kept = []

    def left():
        if not kept:
            kept.append(Mutex())
        with kept[0]:
            pass

    def right():
        if not kept:
            kept.append(Mutex())
        with kept[0]:
            pass

    return Scenario({"left": left, "right": right})


def kept_too_late():
    """A lock is taken before it hangs where others find it."""
    locks, a = {}, Mutex()

    def maker():
        lock = Mutex()
        with lock:
            locks["x"] = lock
            with a:
                pass

    def user():
        with a:
            if "x" in locks:
                with locks["x"]:
                    pass

    return {"maker": maker, "user": user}


def turned_by_another():
    """A parent and its thread go opposite ways if another role was there before."""
    came, guard = [], Mutex()

    def other():
        with guard:
            came.append("other")

    def parent():
        with guard:
            turned = bool(came)
        first, second = Mutex(), Mutex()

        def child():
            with second if turned else first:
                with first if turned else second:
                    pass

        thread = threading.Thread(target=child, name="child")
        thread.start()
        with first:
            with second:
                pass
        thread.join()

    return {"parent": parent, "other": other}


def made_by_another():
    """Opposite orders only if a third role made one of the locks: then a role's first is another.
    """
    locks, came, registry = {}, [], Mutex("registry")

    def get(key, role):
        with registry:
            came.append(role)
            if key not in locks:
                locks[key] = Mutex()
            return locks[key]

    def up():
        with get("x", "up"):
            with get("y", "up"):
                pass

    def down():
        with registry:
            first, second = "yx" if came[:1] == ["third"] else "xy"
        with get(first, "down"):
            with get(second, "down"):
                pass

    return {"up": up, "down": down, "third": lambda: get("x", "third")}


def kept_too_late_by_a_third():
    """Two roles take, in opposite orders, what a third took before it hung where they find it."""
    locks, a = {}, Mutex()

    def third():
        lock = Mutex()
        with lock:
            locks["x"] = lock

    def left():
        with a:
            if "x" in locks:
                with locks["x"]:
                    pass

    def right():
        if "x" in locks:
            with locks["x"]:
                with a:
                    pass

    return {"third": third, "left": left, "right": right}


def twice_and_of_one_name():
    """Who meets the parent comes after it did the same before; another lock is called the same."""
    kept, ready, outer = [], Completion("ready"), Mutex("outer")

    def other():
        with Mutex("own"):
            pass

    def parent():
        own = Mutex("own")
        with own:
            with outer:
                pass
        kept.append(own)
        ready.complete()
        with own:
            with outer:
                pass

    def user():
        ready.wait(by="parent")
        with outer:
            with kept[0]:
                pass

    return {"other": other, "parent": parent, "user": user}
