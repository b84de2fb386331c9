"""What a try or a limit that fails leads to is part of the order of locks, and limits end with
their request.
"""

import pytest
from crossing import nested

from harness import Mutex, RWSemaphore, Verdict, predict


@pytest.mark.parametrize("how", [{"timeout": 5}, {"blocking": False}, {"timeout": 0}],
                         ids=["limit", "try", "limit of nothing"])
def test_what_a_refusal_leads_to_is_predicted(how):
    def world():
        a, b, c = Mutex("a"), Mutex("b"), Mutex("c")

        def one():
            if c.acquire(**how):
                c.release()
            else:
                nested(a, b)()

        return {"one": one, "two": nested(b, a)}

    assert len(predict(world).predictions) == 1


def test_each_try_is_refused_by_itself():
    """The first refused and the second not: what both refused, or none, would not show."""
    def world():
        a, b, c, d = (Mutex(name) for name in "abcd")

        def one():
            got, also = c.acquire(False), d.acquire(False)
            if also and not got:
                nested(a, b)()
            if also:
                d.release()
            if got:
                c.release()

        return {"one": one, "two": nested(b, a)}

    assert len(predict(world).predictions) == 1


def test_a_limit_of_nothing_closes_no_cycle():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def tries(first, second):
            def role():
                with first:
                    if second.acquire(timeout=0):
                        second.release()
            return role

        return {"one": tries(a, b), "two": tries(b, a)}

    result = predict(world)
    assert (result.verdict, result.predictions) == (Verdict.CLEAN, [])


def test_a_limit_is_of_one_request():
    def world():
        s, t = RWSemaphore("s"), RWSemaphore("t")

        def one():
            s.down_write_timeout(1)
            s.up_write()
            nested(s.down_write(), t.down_write())()

        return {"one": one, "two": lambda: nested(t.down_write(), s.down_write())()}

    assert predict(world).verdict is Verdict.DEADLOCK


def test_a_gate_that_both_read_is_none():
    def world():
        gate = RWSemaphore("gate")
        a1, b1, a2, b2 = (Mutex(name, lock_class=name[0]) for name in ("a1", "b1", "a2", "b2"))

        def reads(first, second):
            def role():
                with gate.down_read():
                    nested(first, second)()
            return role

        return {"one": reads(a1, b1), "two": reads(b2, a2)}

    assert [each.status for each in predict(world).predictions] == ["unconfirmed"]
