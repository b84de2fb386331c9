"""A schedule of which nobody knows how it ends: what the others come to is no proof."""

from harness import Mutex, Verdict, explore
from harness.exploration import rounds


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
