"""Schedules of which nobody knows how they end: what the others come to is no proof."""

from harness import Mutex, Verdict, explore
from harness.exploration import dpor, rounds


def test_roles_that_may_go_on_for_ever_after_one_order_leave_no_proof(monkeypatch):
    """Who polls first never looks again; nobody looks for a way out of that."""
    monkeypatch.setattr(rounds, "MOST_WAYS", 0)

    def world():
        lock, done, late = Mutex("lock"), [], []

        def polls():
            while True:
                with lock:
                    if done and not late:
                        return
                    late[:] = [True]

        def sets():
            with lock:
                done.append(True)

        return {"sets": sets, "polls": polls}

    result = explore(world, engine=False)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.INCONCLUSIVE, False)
    assert result.coverage["schedules"] > 0 and "was not found out" in result.finding.text


def test_plans_that_could_not_be_followed_leave_no_proof(monkeypatch):
    """The second comes to the lock that both take after another one: a plan of several steps."""
    def world():
        lock, before = Mutex("lock"), Mutex("before")

        def second():
            with before:
                pass
            with lock:
                pass

        return {"first": lambda: lock.acquire() and lock.release(), "second": second}

    assert explore(world, engine=False).coverage["complete"]
    monkeypatch.setattr(dpor, "_same_step", lambda would, planned: False)
    result = explore(world, engine=False)
    assert (result.verdict, result.coverage["complete"]) == (Verdict.INCONCLUSIVE, False)
    assert "1 planned schedule could not be followed" in result.finding.text
