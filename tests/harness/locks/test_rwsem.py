"""RWSemaphore: the kernel's names over a package's lock, by policy; what the package gets wrong is
put right.
"""

import signal
import threading
import types
from collections import Counter

import pytest

from harness import Completion, Observer, RWSemaphore, ScenarioError, Verdict, run
from harness.locks import rwsem, rwsem_inner
from harness.locks.errors import ForeignRelease, ReleaseWithoutHold
from harness.runtime.free_run import FreeRun
from harness.runtime.workers import Workers
from harness.runtime.scenario import Scenario
from harness.locks.parking import enter, leave, park, unpark
from harness.locks.task import EXCLUSIVE, SHARED, current

POLICIES = ("writer", "fair", "reader")
every_policy = pytest.mark.parametrize("policy", POLICIES)


class Conductor(Observer):
    """Tell the roles what to do, one operation at a time: each when nobody can go on by himself.

    A *score* is a list of (role, operation): a method of the semaphore, or ``up``. `story` keeps,
    for each, who holds the semaphore after it and who waits.
    """

    def __init__(self, sem, score):
        self.sem, self.score = sem, list(score)
        self.story = []
        self.here = {}         # roles that wait for their next operation
        self.todo = {}
        self.acting = None

    def next_operation(self, task):
        """Wait to be told; called by the role."""
        enter()
        self.here[task.name] = task
        task.paused = True
        park(task)
        task.paused = False
        leave()
        return self.todo.pop(task.name)

    def idle(self):
        if len(self.here) == 0:
            return False
        self.look()
        while self.score:
            name, operation = self.score.pop(0)
            if name in self.here:
                self.before(self.here[name], operation)
                self.tell(name, operation)
                return True
        self.tell(min(self.here), "leave")   # the end: let go of everything, one by one
        return True

    def tell(self, name, operation):
        self.acting = name, operation
        self.todo[name] = operation
        unpark(self.here.pop(name))

    def before(self, task, operation):
        """See the world just before *operation*."""

    def look(self):
        """See the world just after the last operation."""
        if self.acting and self.acting[1] != "leave":
            name, operation = self.acting
            waits = sorted(task.name for task, _ in self.sem.queue)
            holds = sorted(task.name for task, _ in self.sem.holders())
            self.story.append((f"{name} {operation}", f"hold: {' '.join(holds) or 'nobody'}",
                               f"wait: {' '.join(waits) or 'nobody'}"))
        self.acting = None


UP = {"down_read": "up_read", "down_write": "up_write"}


def player(conductor):
    """Return a role that does what the conductor tells it, and lets go at the end."""
    def play():
        task, sem, held = current(), conductor.sem, []
        while (operation := conductor.next_operation(task)) != "leave":
            if operation == "up":
                getattr(sem, UP[held.pop()])()
            else:
                getattr(sem, operation)()
                held.append(operation)
        while held:
            getattr(sem, UP[held.pop()])()
    return play


def play(conductor, workers, roles="ABC"):
    """Run *conductor* with the roles; return the outcome."""
    scenario = Scenario({name: player(conductor) for name in roles})
    return FreeRun(scenario, [conductor], "block", 60).play(workers)


def tell(policy, *score):
    """Play *score* ("A down_read", ...) and return the last line of the story, and the verdict."""
    conductor = Conductor(RWSemaphore("sem", policy=policy), [tuple(s.split()) for s in score])
    with Workers() as workers:
        outcome = play(conductor, workers)
    return conductor.story[-1][1:], str(outcome.verdict)


# -- the semantics, policy by policy ---------------------------------------------------------------


@every_policy
def test_readers_share_and_a_writer_waits_for_all_of_them(policy):
    assert tell(policy, "A down_read", "B down_read", "C down_write") \
        == (("hold: A B", "wait: C"), "clean")
    assert tell(policy, "A down_read", "B down_read", "C down_write", "A up") \
        == (("hold: B", "wait: C"), "clean")
    assert tell(policy, "A down_read", "B down_read", "C down_write", "A up", "B up") \
        == (("hold: C", "wait: nobody"), "clean")


@every_policy
def test_a_writer_keeps_everybody_out(policy):
    assert tell(policy, "A down_write", "B down_read", "C down_write") \
        == (("hold: A", "wait: B C"), "clean")


@pytest.mark.parametrize("policy, holds", [("writer", "A"), ("fair", "A"), ("reader", "A C")])
def test_a_queued_writer_keeps_a_new_reader_out_unless_readers_are_preferred(policy, holds):
    story, verdict = tell(policy, "A down_read", "B down_write", "C down_read")
    assert (story[0], verdict) == (f"hold: {holds}", "clean")


@pytest.mark.parametrize("policy, verdict",
                         [("writer", "deadlock"), ("fair", "deadlock"), ("reader", "clean")])
def test_a_nested_read_behind_a_queued_writer_is_a_deadlock(policy, verdict):
    assert tell(policy, "A down_read", "B down_write", "A down_read")[1] == verdict


@every_policy
def test_a_nested_read_without_a_writer_passes_and_needs_two_releases(policy):
    assert tell(policy, "A down_read", "A down_read", "A up", "B down_write") \
        == (("hold: A", "wait: B"), "clean")
    assert tell(policy, "A down_read", "A down_read", "A up", "A up", "B down_write") \
        == (("hold: B", "wait: nobody"), "clean")


@every_policy
@pytest.mark.parametrize("first, second", [("down_read", "down_write"), ("down_write", "down_read"),
                                           ("down_write", "down_write")])
def test_upgrade_and_reentry_are_a_deadlock_of_one(policy, first, second):
    assert tell(policy, f"A {first}", f"A {second}")[1] == "deadlock"


@pytest.mark.parametrize("policy, next_one", [("writer", "C"), ("fair", "B"), ("reader", "B")])
def test_the_policy_says_who_comes_after_a_writer(policy, next_one):
    story, verdict = tell(policy, "A down_write", "B down_read", "C down_write", "A up")
    assert (story[0], verdict) == (f"hold: {next_one}", "clean")


def test_an_unknown_policy_is_refused():
    with pytest.raises(ScenarioError, match="policy is 'kernel', expected one of writer, fair"):
        RWSemaphore("sem", policy="kernel")


# -- the account against the real lock -------------------------------------------------------------


class Historian(Conductor):
    """Check what the account says against what the lock does. After the score, go on with the first
    operation that could follow, up to *bound* operations, and note the histories by the others.
    """

    def __init__(self, sem, score, bound):
        super().__init__(sem, score)
        self.bound = bound
        self.played = []
        self.wrong = []
        self.others = []

    def before(self, task, operation):
        self.played.append((task.name, operation))
        self.asked = None
        self.queue = [(waiter, mode, set(self.sem.blockers(waiter, mode)))
                      for waiter, mode in self.sem.queue]
        if operation != "up":
            mode = SHARED if operation == "down_read" else EXCLUSIVE
            self.asked = task, mode, bool(self.sem.blockers(task, mode))

    def look(self):
        if self.acting is None or self.acting[1] == "leave":
            return
        history = f"after {len(self.played)} operations"
        if self.asked is not None:
            task, mode, blocked = self.asked
            if blocked != (task.waits_on is self.sem):
                self.wrong.append(f"{history}: account says {blocked}, the lock {not blocked}")
        else:
            self.after_release(history)
        if not self.score and len(self.played) < self.bound:
            first, *others = self.following()
            self.score.append(first)
            self.others += [(*self.played, other) for other in others]
        self.acting = None

    def after_release(self, history):
        """Check that exactly those got through whose blockers are gone."""
        still = {waiter for waiter, _ in self.sem.queue}
        for waiter, mode, before in self.queue:
            through = waiter not in still
            if not through and not self.sem.blockers(waiter, mode):
                self.wrong.append(f"{history}: {waiter.name} is left behind")
            if through and any(blocker in still for blocker in before):
                self.wrong.append(f"{history}: {waiter.name} overtook whom it was to wait for")

    def following(self):
        """Return what could follow. Who is who does not matter: A is first, then B."""
        used = {role for role, _ in self.played}
        return [(role, way) for role, task in self.here.items()
                for way in ["down_read", "down_write", *(["up"] if task.held else [])]
                if role in used or role == "ABC"[len(used)]]


def histories(policy, bound):
    """Play every history of up to *bound* operations, each of which is the beginning of one that
    goes to the end; return how many, by length, and what was wrong.
    """
    count, wrong, todo = Counter(), [], [(("A", "down_read"),), (("A", "down_write"),)]
    with Workers() as workers:
        while todo:
            score = todo.pop()
            historian = Historian(RWSemaphore("sem", policy=policy), score, bound)
            outcome = play(historian, workers)
            done = f"{policy} {historian.played}"
            wrong += [f"{done}: {text}" for text in historian.wrong]
            if outcome.verdict is Verdict.DEADLOCK:
                if not historian.asked[2]:   # the last operation waits for itself
                    wrong.append(f"{done}: a deadlock out of nothing")
            elif outcome.findings:
                wrong.append(f"{done}: {outcome.findings[0].text}")
            count.update(range(len(score), len(historian.played) + 1))
            todo += historian.others
    return [count[length] for length in range(1, bound + 1)], wrong


# The default policy one operation further: that costs as much as all the rest.
COUNTS = {"writer": [2, 10, 36, 155, 659, 3053], "fair": [2, 10, 36, 155, 659],
          "reader": [2, 10, 36, 163, 718]}


@every_policy
def test_the_account_answers_as_the_lock_does_over_all_small_histories(policy):
    """Three roles, every operation that each can do, A before B before C; a deadlock is an end.

    By hand: A reads or writes (2). After each, A may read, write, release, and B read or write
    (10). After A read: A read again 5, A wrote (stuck) 0, A released 4, B read 8, B wrote 5; after
    A wrote: stuck 0, stuck 0, A released 4, B read 5, B wrote 5: 36.
    """
    counts, wrong = histories(policy, len(COUNTS[policy]))
    assert (counts, wrong) == (COUNTS[policy], [])


class WhoBlocks(Conductor):
    """Note, at the end of the score, who blocks each role that waits."""

    def look(self):
        super().look()
        if not self.score and not hasattr(self, "blocked"):
            self.blocked = {
                waiter.name: [blocker.name for blocker in self.sem.blockers(waiter, mode)]
                for waiter, mode in self.sem.queue}


@pytest.mark.parametrize("policy, blocked", [
    ("writer", {"B": ["A"], "C": ["A"], "D": ["B", "C"]}),
    ("fair", {"B": ["A"], "C": ["A", "B"], "D": ["B", "C"]}),
    ("reader", {"B": ["A", "D"], "C": ["A", "D"]})])
def test_the_account_names_whom_each_waits_for(policy, blocked):
    """A reads, B and C queue to write, D wants to read (and may, if readers are preferred)."""
    score = [("A", "down_read"), ("B", "down_write"), ("C", "down_write"), ("D", "down_read")]
    conductor = WhoBlocks(RWSemaphore("sem", policy=policy), score)
    with Workers() as workers:
        play(conductor, workers, roles="ABCD")
    assert conductor.blocked == blocked


# -- misuse ----------------------------------------------------------------------------------------


def in_thread(function):
    """Call *function* in another thread; return what it returned or raised."""
    got = []

    def body():
        try:
            got.append(function())
        except BaseException as exc:
            got.append(exc)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return got[0]


@every_policy
@pytest.mark.parametrize("down, up", [("down_read", "up_read"), ("down_write", "up_write")])
def test_giving_up_what_another_thread_holds_is_refused_by_name(policy, down, up):
    sem = RWSemaphore("&pci_bus_sem", policy=policy)
    with getattr(sem, down)():
        error = in_thread(getattr(sem, up))
        assert (type(error), "&pci_bus_sem" in str(error)) == (ForeignRelease, True)
    assert in_thread(sem.down_write_trylock) is True


@every_policy
def test_giving_up_what_nobody_holds_so_is_refused_by_name(policy):
    sem = RWSemaphore("&pci_bus_sem", policy=policy)
    for held, wrong in ((sem.down_read, sem.up_write), (sem.down_write, sem.up_read)):
        with held():
            with pytest.raises(ReleaseWithoutHold, match="&pci_bus_sem"):
                wrong()
    with pytest.raises(ReleaseWithoutHold, match="up_read"):
        sem.up_read()
    with pytest.raises(ReleaseWithoutHold, match="up_write"):
        sem.up_write()


@pytest.mark.parametrize("held", [None, "down_read", "down_write"])
@pytest.mark.parametrize("up", ["up_read", "up_write"])
def test_misuse_in_a_run_is_a_violation_and_the_semaphore_is_free_after_it(held, up):
    sem = RWSemaphore("sem")

    def culprit():
        if held:
            getattr(sem, held)()
        getattr(sem, up)()

    result = run(lambda: {"culprit": culprit})
    right = held is not None and held[4:] == up[2:]
    assert (result.verdict is Verdict.CLEAN, sem.holders()) == (right, [])
    if not right:
        assert result.finding.text == (
            f"culprit broke a rule of locks: ReleaseWithoutHold: sem: {up} by culprit, but nobody "
            f"holds it so, at test_rwsem.py:{culprit.__code__.co_firstlineno + 3}")


@pytest.mark.parametrize("down, times", [("down_read", 1), ("down_read", 3), ("down_write", 1)])
def test_ending_with_the_semaphore_held_is_a_violation_and_frees_every_hold(down, times):
    sem = RWSemaphore("sem")

    def culprit():
        for _ in range(times):
            getattr(sem, down)()

    result = run(lambda: {"culprit": culprit})
    at = f"sem (taken at test_rwsem.py:{culprit.__code__.co_firstlineno + 2})"
    assert (result.verdict, result.finding.text, sem.holders(), in_thread(sem.down_write_trylock)) \
        == (Verdict.VIOLATION, "culprit broke a rule of locks: HeldAtEnd: it ended holding "
            + " and ".join([at] * times), [], True)


# -- trylocks and time limits ----------------------------------------------------------------------


@every_policy
@pytest.mark.parametrize("try_it", ["down_read_trylock", "down_write_trylock"])
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
def test_a_trylock_does_not_refuse_because_a_thread_is_inside_the_package(
        policy, try_it, inside, monkeypatch):
    """A thread stopped inside the package holds one of its inner locks: each of them in turn."""
    def refuse_to_wait(*args):
        raise AssertionError("a trylock waited")

    def go_on(seconds):
        stopped_in._raw.release()   # the thread inside goes on, and leaves the package

    monkeypatch.setattr(rwsem.InnerLock, "_wait_outside", refuse_to_wait)
    monkeypatch.setattr(rwsem, "time", types.SimpleNamespace(sleep=go_on))
    for number in range(len(RWSemaphore(policy=policy)._inner)):
        sem = RWSemaphore("sem", policy=policy)
        stopped_in, answers = sem._inner[number], []
        stopped_in._raw.acquire()

        def ask(sem=sem, answers=answers):
            answers.append(getattr(sem, try_it)())
            (sem.up_read if try_it == "down_read_trylock" else sem.up_write)()

        if not uses(try_it, policy, number):
            continue
        if inside:
            result = run(lambda: {"asker": ask}, runs=1)
            assert result.verdict is Verdict.CLEAN, str(result)
        else:
            ask()
        assert answers == [True]


def uses(try_it, policy, number):
    """Say whether the package, asked so, takes its inner lock *number* on an idle semaphore."""
    sem = RWSemaphore(policy=policy)
    sem._inner[number]._raw.acquire()
    hold = sem._rw.gen_rlock() if try_it == "down_read_trylock" else sem._rw.gen_wlock()
    try:
        return not hold.acquire(True, 0)
    except RuntimeError:
        return True


@every_policy
def test_a_trylock_answers_as_the_account_says(policy):
    def tries(sem):
        return [bool(sem.down_read_trylock() and [sem.up_read()]),
                bool(sem.down_write_trylock() and [sem.up_write()])]

    sem = RWSemaphore("sem", policy=policy)
    free = in_thread(lambda: tries(sem))
    with sem.down_read():
        read = in_thread(lambda: tries(sem))
    with sem.down_write():
        written = in_thread(lambda: tries(sem))
    assert (free, read, written) == ([True, True], [True, False], [False, False])


@pytest.mark.parametrize("policy, answer", [("writer", False), ("fair", False), ("reader", True)])
def test_a_writer_queued_outside_a_run_keeps_readers_out_by_policy(policy, answer):
    sem = RWSemaphore("sem", policy=policy)

    def writer():
        with sem.down_write():
            pass

    thread = threading.Thread(target=writer)
    with sem.down_read():
        thread.start()
        while not sem.queue:
            pass
        got = in_thread(lambda: sem.down_read_trylock() and (sem.up_read() or True))
    thread.join()
    assert (got, sem.holders(), sem.queue) == (answer, [], [])


class Gates(Observer):
    """Open a gate once a role is queued for a lock: {role: completion}."""

    def __init__(self, lock, gates):
        self.lock, self.gates = lock, gates

    def lock_contended(self, task, lock, mode):
        if lock is self.lock and task.name in self.gates:
            self.gates[task.name].finish()


@every_policy
def test_a_writer_that_gives_up_lets_the_readers_behind_it_in(policy):
    sem, story = RWSemaphore("sem", policy=policy), []
    held, queued, gave_up, done = map(Completion, ("held", "queued", "gave up", "done"))

    def holder():
        with sem.down_read():
            held.complete()
            gave_up.wait(by="writer")
            done.wait(by="reader")

    def writer():
        held.wait(by="holder")
        story.append(sem.down_write_timeout(0.05))
        gave_up.complete()

    def reader():
        queued.wait(by="writer")
        with sem.down_read():
            done.complete()

    result = run(lambda: {"holder": holder, "writer": writer, "reader": reader},
                 observers=lambda: [Gates(sem, {"writer": queued})], runs=1)
    assert (result.verdict, story, sem.holders(), sem.queue) == (Verdict.CLEAN, [False], [], [])


def test_a_writer_that_gives_up_leaves_the_preference_of_another_alone():
    sem = RWSemaphore("sem")
    held, first_queued, second_queued = (Completion(n) for n in ("held", "first", "second"))
    gave_up, story = Completion("gave up"), []

    def holder():
        with sem.down_read():
            held.complete()
            gave_up.wait(by="first")

    def first():
        held.wait(by="holder")
        story.append(sem.down_write_timeout(0.05))
        second_queued.wait(by="second")
        story.append(sem.down_read_trylock())
        gave_up.complete()

    def second():
        first_queued.wait(by="first")
        with sem.down_write():
            pass

    result = run(lambda: {"holder": holder, "first": first, "second": second},
                 observers=lambda: [Gates(sem, {"first": first_queued, "second": second_queued})],
                 runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, [False, False])


@every_policy
def test_a_timed_request_outside_a_run_expires_and_leaves_the_semaphore_whole(policy):
    sem = RWSemaphore("sem", policy=policy)
    with sem.down_write():
        assert in_thread(lambda: (sem.down_read_timeout(0.01), sem.down_write_timeout(0.01))) \
            == (False, False)
    with sem.down_read():
        assert in_thread(lambda: sem.down_write_timeout(0.01)) is False
        assert in_thread(lambda: sem.down_read_timeout(5) and (sem.up_read() or True)) is True
    assert (in_thread(sem.down_write_trylock), sem.queue) == (True, [])


# -- an exception in a waiting main thread ---------------------------------------------------------


class Alarm(BaseException):
    """What a signal handler raises."""


class WatchedLock:
    """A raw lock that says when the main thread is about to wait in it."""

    reached = None

    def __init__(self):
        self.lock = threading.Lock()
        self.release = self.lock.release

    def acquire(self, blocking=True, timeout=-1):
        if blocking and timeout and threading.current_thread() is threading.main_thread():
            WatchedLock.reached.set()
        return self.lock.acquire(blocking, timeout)


@pytest.fixture
def alarm(monkeypatch):
    """Return a function that calls another and raises `Alarm` in it as soon as it waits in the
    semaphore.
    """
    if not hasattr(signal, "pthread_kill"):
        pytest.skip("no signals to single threads here")
    delivered = threading.Event()

    def handler(number, frame):
        if not delivered.is_set():
            delivered.set()
            raise Alarm

    def call(function, afterwards):
        WatchedLock.reached, waited = threading.Event(), []
        delivered.clear()

        def poke():
            WatchedLock.reached.wait()
            if not waited:
                waited.append(True)
                # CPython overlooks a signal that comes just before the wait begins: say it again.
                while not delivered.wait(0.01):
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            afterwards()

        thread = threading.Thread(target=poke)
        thread.start()
        try:
            function()
            return False
        except Alarm:
            return True
        finally:
            waited.append(True)
            WatchedLock.reached.set()
            thread.join()

    monkeypatch.setattr(rwsem_inner, "raw", types.SimpleNamespace(Lock=WatchedLock))
    before = signal.signal(signal.SIGUSR1, handler)
    yield call
    signal.signal(signal.SIGUSR1, before)


def usable(sem):
    """Say whether another thread can read and write, and nobody is in the account."""
    def both():
        answers = [sem.down_read_timeout(2)]
        if answers[0]:
            sem.up_read()
        answers.append(sem.down_write_timeout(2))
        if answers[1]:
            sem.up_write()
        return answers
    return in_thread(both) == [True, True] and (sem.holders(), sem.queue) == ([], [])


@every_policy
@pytest.mark.parametrize("held, wanted", [("write", "read"), ("read", "write"), ("write", "write")])
@pytest.mark.parametrize("observed", [False, True], ids=["never in a run", "used in a run"])
def test_an_exception_in_a_waiting_main_thread_leaves_the_semaphore_usable(
        policy, held, wanted, observed, alarm):
    sem = RWSemaphore("sem", policy=policy)
    if observed:
        run(lambda: {"role": lambda: sem.down_read().__exit__(None, None, None)})
    has_it, may_end = threading.Event(), threading.Event()

    def holder():
        with getattr(sem, f"down_{held}")():
            has_it.set()
            may_end.wait()

    thread = threading.Thread(target=holder)
    thread.start()
    has_it.wait()
    raised = alarm(getattr(sem, f"down_{wanted}"), afterwards=may_end.set)
    thread.join()
    assert (raised, usable(sem)) == (True, True)


@every_policy
@pytest.mark.parametrize("mode", ["read", "write"])
def test_an_exception_in_a_releasing_main_thread_leaves_the_semaphore_usable(policy, mode, alarm):
    """Another thread is inside the package, so the release has to wait a moment: there Ctrl-C
    comes.
    """
    looked_at = []
    for number in range(len(RWSemaphore(policy=policy)._inner)):
        sem = RWSemaphore("sem", policy=policy)
        getattr(sem, f"down_{mode}")()
        inner = sem._inner[number]
        if not inner._raw.lock.acquire(False):
            continue   # the holder has it
        try:
            looked_at.append(alarm(getattr(sem, f"up_{mode}"),
                                   afterwards=inner._raw.lock.release))
        except RuntimeError as exc:
            pytest.fail(f"inner lock {number}: {exc}")
        assert usable(sem), f"inner lock {number}"
    # Of a writer's release these two policies ask for no lock that another can have just then.
    assert looked_at and any(looked_at) == (mode == "read" or policy == "writer")


# -- inside and outside of a run -------------------------------------------------------------------


@every_policy
@pytest.mark.parametrize("outside, inside",
                         [("read", "write"), ("write", "read"), ("write", "write")])
def test_a_role_waits_for_a_thread_outside_and_gets_the_semaphore(policy, outside, inside):
    sem, story = RWSemaphore("sem", policy=policy), []
    has_it, queued = threading.Event(), threading.Event()

    class Tell(Observer):
        def lock_contended(self, task, lock, mode):
            queued.set()

    def outsider():
        with getattr(sem, f"down_{outside}")():
            has_it.set()
            queued.wait()

    def role():
        with getattr(sem, f"down_{inside}")():
            story.append("in")

    thread = threading.Thread(target=outsider)
    thread.start()
    has_it.wait()
    result = run(lambda: {"role": role}, observers=lambda: [Tell()], runs=1)
    thread.join()
    assert (result.verdict, story, sem.holders()) == (Verdict.CLEAN, ["in"], [])


def test_the_lock_is_named_and_shows_who_holds_it():
    sem = RWSemaphore("&pci_bus_sem")
    with sem.down_read():
        assert (str(sem), repr(sem)) == (
            "&pci_bus_sem", "<RWSemaphore '&pci_bus_sem' MainThread (shared)>")
    assert repr(sem) == "<RWSemaphore '&pci_bus_sem' free>"


@pytest.mark.parametrize("acquires", [True, False], ids=["acquires", "rolls back or releases"])
def test_the_package_is_told_of_an_interrupt_only_where_it_heeds_it(acquires):
    """While it rolls back, or releases, it takes an answer of no for a yes: then it waits again."""
    class Interrupted:
        answers = [KeyError("of a handler"), True]

        def acquire(self, *how):
            answer = self.answers.pop(0)
            if answer is not True:
                raise answer
            return True

    inner, task = rwsem_inner.InnerLock(), current()
    inner._raw, inner._try = Interrupted(), lambda blocking: False
    task.acquiring = acquires
    try:
        assert inner.acquire() is not acquires
        assert type(task.interrupt) is KeyError and not task.acquiring
    finally:
        task.interrupt, task.acquiring, Interrupted.answers = None, False, []
