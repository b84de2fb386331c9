"""Every kind of finding is printed through every door: the command, with what the kernel would say
besides, the fixture, and --predict of a test by itself.

The kinds are those of the code: a status or a verdict without a world here fails.
"""

import textwrap

import pytest

from harness import Verdict
from harness.cli import main
from harness.lockorder.finding import STATUSES

WORLDS = textwrap.dedent('''
    from harness import Completion, Mutex, RWSemaphore

    def nested(*locks):
        def role():
            if locks:
                with locks[0]() if callable(locks[0]) else locks[0]:
                    nested(*locks[1:])()
        return role

    def crossed():
        a, b = Mutex("a"), Mutex("b")
        return {"one": nested(a, b), "two": nested(b, a)}

    def readers():
        a, b = RWSemaphore("a"), RWSemaphore("b")
        return {"one": nested(a.down_read, b.down_read), "two": nested(b.down_read, a.down_read)}

    def gate():
        g, a, b = Mutex("g"), Mutex("a"), Mutex("b")
        return {"one": nested(g, a, b), "two": nested(g, b, a)}

    def gate_of_classes():
        g, names = Mutex("g"), ("a1", "b1", "a2", "b2")
        a1, b1, a2, b2 = [Mutex(name, name[0]) for name in names]
        return {"one": nested(g, a1, b1), "two": nested(g, b2, a2)}

    def by_class():
        a1, b1, a2, b2 = [Mutex(name, name[0]) for name in ("a1", "b1", "a2", "b2")]
        return {"one": nested(a1, b1), "two": nested(b2, a2)}

    def of_one_class():
        first, second = Mutex("first", "a"), Mutex("second", "a")
        return {"one": nested(first, second), "two": nested(first, second)}

    def one_role():
        a, b = Mutex("a"), Mutex("b")
        return {"one": lambda: (nested(a, b)(), nested(b, a)())}

    def told():
        """The second looks before it goes; the others make the schedules too many."""
        a, b, mind, done = Mutex("a"), Mutex("b"), Mutex("mind"), Completion("done")
        def first():
            nested(a, b)()
            done.complete_all()
        def second():
            if done.wait(0):
                nested(b, a)()
        def other():
            for _ in range(5):
                nested(mind)()
        return {"one": first, "two": second, "x": other, "y": other, "z": other}

    def deadlocks():
        a, b, first, second = Mutex("a"), Mutex("b"), Completion("first"), Completion("second")
        def one():
            with a:
                first.complete_all(), second.wait()
                nested(b)()
        def two():
            with b:
                second.complete_all(), first.wait()
                nested(a)()
        return {"one": one, "two": two}

    def nested_read():
        """A thread reads again behind a writer that is queued: it looks until one is."""
        s, reads = RWSemaphore("s"), Completion("reads")
        def reader():
            with s.down_read():
                reads.complete_all()
                while not s.queue:
                    pass
                nested(s.down_read)()
        def writer():
            reads.wait()
            nested(s.down_write)()
        return {"one": reader, "two": writer}

    def hangs():
        return {"one": Completion("never").wait}

    def violates():
        return {"one": Mutex("a").release}

    def raises():
        def one():
            nested(Mutex("a"))()
            raise LookupError("nothing there")
        return {"one": one}
''')
KNOWN = "a -> b -> a"
# (status, whether locks or their classes alone close the cycle) -> the world, and what it is called
# by --predict of a test by itself, which forces nothing: a status, or that it passes
KINDS = {
    ("forced", "instance"): ("crossed", "unconfirmed"),
    ("needs-writer", "instance"): ("readers", "needs-writer"),
    ("unconfirmed", "instance"): ("told", "unconfirmed"),
    ("unconfirmed", "class"): ("by_class", "unconfirmed"),
    ("guarded", "instance"): ("gate", ""),
    ("guarded", "class"): ("gate_of_classes", ""),
    ("one-role", "class"): ("one_role", ""),
    ("known", "instance"): ("crossed", ""),
    ("known", "class"): ("by_class", "")}
ONE_LOCK = ("unconfirmed", "class"), "of_one_class"    # a cycle of one class
# No such finding: the legs of a cycle by instance are of several roles, classes are not forced.
NEVER = {("forced", "class"), ("needs-writer", "class"), ("one-role", "instance")}
VERDICTS = {
    "deadlock": "deadlocks", "hang": "hangs", "violation": "violates", "error": "raises",
    "predicted": "by_class", "clean": "gate"}
# What has no world: nothing is asked for that could be missed; a bound is met by time alone.
WITHOUT = {"not-reached", "inconclusive"}

CASES = [(status, world) for (status, _), (world, _) in KINDS.items()]
CASES.append((ONE_LOCK[0][0], ONE_LOCK[1]))


def test_every_kind_there_is_has_a_world():
    every = {(status, closed) for status in STATUSES for closed in ("instance", "class")}
    assert {*KINDS} == every - NEVER
    assert {*VERDICTS} == {str(verdict) for verdict in Verdict} - WITHOUT


@pytest.fixture
def worlds(tmp_path, monkeypatch):
    """Return the folder with the worlds, which is the current one, and a baseline."""
    (tmp_path / "worlds_of_kinds.py").write_text(WORLDS)
    (tmp_path / "known.txt").write_text(f"{KNOWN}  # a ticket\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("lockdep", [[], ["--lockdep"]], ids=["plain", "lockdep"])
@pytest.mark.parametrize("status, world", CASES)
def test_command_prints_each_status(status, world, lockdep, worlds, capsys):
    baseline = ["--baseline", "known.txt"] if status == "known" else []
    exit_status = main(["predict", f"worlds_of_kinds:{world}", *baseline, *lockdep])
    report, error = capsys.readouterr()
    assert error == "" and exit_status == (status in ("forced", "needs-writer", "unconfirmed"))
    assert f"{status}: " in report.lower() and " -> " in report
    assert ("What the kernel's validator would have said" in report) == bool(lockdep)


@pytest.mark.parametrize("lockdep", [[], ["--lockdep"]], ids=["plain", "lockdep"])
@pytest.mark.parametrize("verdict, world", [*VERDICTS.items()])
def test_command_prints_each_verdict(verdict, world, lockdep, worlds, capsys):
    exit_status = main(["predict", f"worlds_of_kinds:{world}", *lockdep])
    report, error = capsys.readouterr()
    assert (error, exit_status) == ("", int(verdict != "clean"))
    assert report.startswith(verdict.upper())


TEST = f"""
import worlds_of_kinds as worlds

@pytest.mark.parametrize("status, world", {CASES!r})
def test_status(lock_harness, status, world):
    known = {{{KNOWN!r}: "a ticket"}} if status == "known" else None
    result = lock_harness.predict(getattr(worlds, world), expect=list(Verdict), baseline=known)
    assert {{finding.status for finding in result.predictions}} == {{status}}
    assert f"{{status}}: " in str(result).lower()

@pytest.mark.parametrize("verdict, world", {[*VERDICTS.items()]!r})
def test_verdict(lock_harness, verdict, world):
    result = lock_harness.predict(getattr(worlds, world), expect=verdict)
    assert str(result).startswith(verdict.upper())
"""


def test_fixture_prints_each_kind(inner, pytester):
    pytester.makepyfile(worlds_of_kinds=WORLDS)
    inner(TEST).assert_outcomes(passed=len(CASES) + len(VERDICTS))


BY_ITSELF = """
import worlds_of_kinds as worlds

def at_once(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

@pytest.mark.parametrize("world", WORLDS_IN_TURN)
def test_in_turn(world):
    roles = getattr(worlds, world)()    # they follow each other, by what no lock of ours tells
    turns = [threading.Event() for _ in range(len(roles) + 1)]
    turns[0].set()
    def after(number, role):
        turns[number].wait()
        role()
        turns[number + 1].set()
    at_once([threading.Thread(target=after, args=(number, role), name=name)
             for number, (name, role) in enumerate(roles.items())])

@pytest.mark.parametrize("world", ["deadlocks", "nested_read"])
def test_at_once(world):
    roles = getattr(worlds, world)()
    at_once([threading.Thread(target=role, name=name) for name, role in roles.items()])
"""


def test_predict_of_a_test_by_itself_prints_each_kind(inner, pytester):
    pytester.makepyfile(worlds_of_kinds=WORLDS)
    said = {world: offline for (status, _), (world, offline) in KINDS.items() if status != "known"}
    said["of_one_class"] = "unconfirmed"
    result = inner(BY_ITSELF.replace("WORLDS_IN_TURN", repr([*said])), "--predict")
    failing = {world: status for world, status in said.items() if status}
    result.assert_outcomes(passed=len(said) - len(failing), failed=len(failing) + 2)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.no_fnmatch_line("*TypeError*")
    for status in set(failing.values()):
        assert result.stdout.str().count(f"Status: {status}: ") == [*failing.values()].count(status)
    for world in ("deadlocks", "nested_read"):
        result.stdout.fnmatch_lines([f"test_it.py::test_at_once[[]{world}]: deadlock"])


def test_known_finding_of_a_test_by_itself_passes(inner, pytester):
    pytester.makepyfile(worlds_of_kinds=WORLDS)
    pytester.maketxtfile(known=f"{KNOWN}  # a ticket")
    worlds = [world for (status, _), (world, _) in KINDS.items() if status == "known"]
    test = BY_ITSELF.replace("WORLDS_IN_TURN", repr(worlds))
    result = inner(test, "--predict", "--harness-baseline", "known.txt", "-k", "test_in_turn")
    result.assert_outcomes(passed=len(worlds), deselected=2)
