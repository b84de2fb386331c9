"""Every outcome that the plain search sees, the reduced one sees too: with each kind of operation.

What a role appends while it has a lock is in order; what several append without one is compared as
what each of them saw.
"""

import threading

import pytest

from harness import Completion, Mutex, RWSemaphore, Scenario, explore

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


IN_ORDER = [*map(readers_again, POLICIES), started_thread]
NAMES = [f"readers_again-{policy}" for policy in POLICIES] + ["started_thread"]
BY_ROLE = [reinit, counted, timed, timed_three]


@pytest.mark.parametrize("make", IN_ORDER, ids=NAMES)
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
