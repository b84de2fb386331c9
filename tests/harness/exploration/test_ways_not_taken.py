"""Each way that a traced schedule may not take, alone in its function: what it writes is looked at.
"""

import pytest

from harness import Mutex, Verdict, explore


def branch(flag, seen):
    if seen:
        flag["up"] = 1


def jump(flag, seen):
    if not seen:
        return
    flag["up"] = 1


def function(flag, seen):
    if seen:
        _bump(flag)


def _bump(where):
    where["up"] += 1


def loop(flag, seen):
    for _ in range(seen):
        flag.update(up=1)


def handler(flag, seen):
    try:
        1 / (not seen)
    except ZeroDivisionError:
        flag["up"] = 1


def end_of_handling(flag, seen):
    try:
        1 / (not seen)
    except ZeroDivisionError:
        pass
    else:
        return
    flag["up"] = 1


@pytest.mark.parametrize("way", [branch, jump, function, loop, handler, end_of_handling])
def test_what_is_written_only_on_a_way_that_was_not_taken_is_shared_all_the_same(way):
    """The teller goes that way only if the third was first, which it is not when it is traced; the
    reader looks before its first operation, and then locks otherwise.
    """
    def world():
        flag, told, a, b, m = {"up": 0}, [], Mutex("a"), Mutex("b"), Mutex("m")

        def reader():
            first, second = (b, a) if flag["up"] else (a, b)
            with first, second:
                pass

        def teller():
            with m:
                seen = bool(told)
            way(flag, seen)
            with a, b:
                pass

        def third():
            with m:
                told.append(1)

        return {"reader": reader, "teller": teller, "third": third}

    assert explore(world).verdict is Verdict.DEADLOCK
