"""What is found of `harness.threading` with the one changed import."""

import pytest

from harness import explore, force, predict, run, threading

THREE = threading.Lock, threading.RLock, threading.Condition


def crosswise(make, second="with"):
    """Two take two locks in opposite orders."""
    def world():
        locks = make(), make()

        def takes(first, then):
            with first, then:
                pass

        return {"one": lambda: takes(*locks), "two": lambda: takes(*locks[::-1])}
    return world


@pytest.mark.parametrize("make", [*THREE, threading.Semaphore, threading.BoundedSemaphore])
@pytest.mark.parametrize("tool", [explore, run, predict, force])
def test_opposite_orders_are_a_deadlock(tool, make):
    assert str(tool(crosswise(make)).verdict) == "deadlock"


def box(word):
    """One item is put; one role takes it as soon as it is told, another may have taken it before.

    Whoever looks again waits for ever then; whoever does not takes from an empty box.
    """
    def world():
        items, ready = [], threading.Condition()

        def getter():
            with ready:
                while not items:
                    ready.wait()
                    if word == "if":
                        break
                items.pop()

        def putter():
            with ready:
                items.append(1)
                ready.notify()

        def thief():
            with ready:
                if items:
                    items.pop()

        return {"getter": getter, "putter": putter, "thief": thief}
    return world


@pytest.mark.parametrize("word, verdicts", [("if", {"error", "hang"}), ("while", {"hang"})])
def test_an_if_where_a_while_is_needed_is_found(word, verdicts):
    """The thief before the putter: all end. Between notify and the woken getter: the `if` raises,
    the `while` waits for ever; so it does if he takes the item before the getter has come.
    """
    found = explore(box(word), all=True).coverage["verdicts"]
    assert set(found) - {"clean"} == verdicts
