"""Every outcome that the plain search sees, the reduced one sees too: with each kind of operation.

What a role appends while it has a lock is in order; what several append without one is compared as
what each of them saw.
"""

import threading

import pytest
from explored import explored

from harness import Completion, Mutex, RWSemaphore, Scenario, explore
from harness.exploration.dependency import (ASK_READ, ASK_TRY_READ, ASK_TRY_WRITE, ASK_WAIT,
                                            ASK_WRITE, NAMES, outcome_after)
from harness.exploration.strategies import DepthFirst

POLICIES = ("writer", "fair", "reader")


def outcomes(make, strategy):
    seen = set()

    def world():
        story = []
        roles, final = make(story)
        return Scenario(roles, check=lambda: seen.add((tuple(story), final())))

    result = explore(world, strategy=strategy, engine=False, all=True)
    return seen, result.verdict, result.coverage["complete"]


def nothing():
    return None


def readers_again(policy):
    """A reader comes twice while writers come and go: a fair queue is left and entered again."""
    def make(story):
        sem = RWSemaphore("sem", policy=policy)

        def reader():
            for time in (1, 2):
                with sem.down_read():
                    story.append(f"r{time}")

        def writer():
            with sem.down_write():
                story.append("w")

        return {"reader": reader, "w1": writer, "w2": writer}, nothing
    return make


def started_thread(story):
    a = Mutex("a")

    def child():
        with a:
            story.append("child")

    def parent():
        with a:
            story.append("parent")
        thread = threading.Thread(target=child)
        thread.start()
        with a:
            story.append("parent again")
        thread.join()

    def other():
        with a:
            story.append("other")

    return {"parent": parent, "other": other}, nothing


def reinit(story):
    done = Completion("done")

    def one():
        done.complete_all()
        done.reinit()
        done.complete()

    return {"one": one, **{name: waits(done, name, story) for name in ("two", "three")}}, \
        lambda: done.passes


def counted(story):
    done = Completion("done")

    def one():
        done.complete()
        done.complete()

    return {"one": one, **{name: waits(done, name, story) for name in "xy"}}, lambda: done.passes


def waits(done, name, story):
    return lambda: story.append((name, done.wait(timeout=1)))


def timed(story):
    """Two take two locks crosswise, each with a limit for the second; a third has them in turn."""
    a, b = Mutex("a"), Mutex("b")

    def takes(name, first, second):
        def role():
            with first:
                got = second.acquire(timeout=1)
                story.append((name, got))
                if got:
                    second.release()
        return role

    def three():
        with a:
            story.append("three")
        with b:
            story.append("three b")

    return {"one": takes("one", a, b), "two": takes("two", b, a), "three": three}, nothing


def timed_three(story):
    a = Mutex("a")

    def takes(name):
        def role():
            got = a.acquire(timeout=1)
            story.append((name, got))
            if got:
                a.release()
        return role

    return {name: takes(name) for name in "xyz"}, nothing


def timed_and_tried(policy):
    """A writer beside one who leaves the queue again, and one who tries."""
    def make(story):
        sem = RWSemaphore("sem", policy=policy)

        def gives_up():
            if sem.down_write_timeout(1):
                sem.up_write()

        def tries():
            if sem.down_read_trylock():
                sem.up_read()
            with sem.down_read():
                pass

        def writer():
            with sem.down_write():
                pass

        return {"gives up": gives_up, "tries": tries, "writer": writer}, nothing
    return make


IN_ORDER = [*map(readers_again, POLICIES), started_thread]
WORDS = [f"readers_again-{policy}" for policy in POLICIES] + ["started_thread"]
BY_ROLE = [reinit, counted, timed, timed_three]


@pytest.mark.parametrize("make", IN_ORDER, ids=WORDS)
def test_reduced_search_sees_each_order_of_what_is_told_under_locks(make):
    plain = outcomes(make, "dfs")
    assert outcomes(make, "dpor") == plain and plain[2]
    assert len(plain[0]) > 1


@pytest.mark.parametrize("make", BY_ROLE, ids=lambda make: make.__name__)
def test_reduced_search_sees_what_each_role_may_see(make):
    plain, reduced = outcomes(make, "dfs"), outcomes(make, "dpor")
    assert plain[1:] == reduced[1:] and plain[2]
    told = [{(tuple(sorted(map(str, story))), final) for story, final in seen}
            for seen in (plain[0], reduced[0])]
    assert told[0] == told[1] and len(told[0]) > 1


class Accounted(DepthFirst):
    """The plain search, and what does not agree with what was done before it on the same lock."""

    def __init__(self):
        super().__init__()
        self.wrong, self.kinds = [], set()

    def advance(self, run):
        for number, step in enumerate(run.steps):
            if step.ask in (ASK_READ, ASK_WRITE, ASK_TRY_READ, ASK_TRY_WRITE, ASK_WAIT):
                before = [(other.label >> 1, other.kind) for other in run.steps[:number]
                          if other.lock == step.lock]
                kinds = outcome_after(before, run.names.policies[step.lock],
                                      run.names.done[step.lock], step.label >> 1, step.ask,
                                      step.timed)
                self.kinds.add(NAMES[step.kind])
                if kinds[step.label & 1] != step.kind:
                    self.wrong.append((before, step, kinds))
        return super().advance(run)


QUEUED = {"read", "write", "queue to read", "queue to write"}
READERS = {"writer": QUEUED, "fair": QUEUED, "reader": QUEUED}
TRIED = QUEUED | {"busy (read)", "leave the queue", "give up"}
PASSED = {"pass", "give up"}


@pytest.mark.parametrize("make, kinds", [
    *((readers_again(policy), READERS[policy]) for policy in POLICIES),
    *((timed_and_tried(policy), TRIED) for policy in POLICIES),
    (reinit, PASSED), (counted, PASSED)],
    ids=[*WORDS[:3], *(f"timed_and_tried-{policy}" for policy in POLICIES), "reinit", "counted"])
def test_what_a_request_comes_to_follows_from_the_steps_before_it_on_its_lock(make, kinds):
    """So it is asked in the reduced search of places where the request was not made. All that a
    request of these worlds can come to must have been seen.
    """
    search = Accounted()
    explored(lambda: make([])[0], search)
    assert (search.wrong, search.kinds) == ([], kinds)
