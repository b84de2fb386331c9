"""Code of a scenario that raises, wherever it is called from, is an error with its place: never
clean, never a silence, never a traceback of ours.
"""

import copy
import os
import pickle
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from harness import (Completion, LockClass, Mutex, Observer, RWSemaphore, Scenario, ScenarioError,
                     explore, force, predict, replay, run, step, stress)
from harness.exploration.token import encode
from harness.programs.for_tokens import from_token
from harness.runtime.function_names import FunctionNames


class Unspeakable(Exception):
    """Whose text cannot be had."""

    def __str__(self):
        raise ValueError("no")

    __repr__ = __str__


class Veiled(Exception):
    """Of which everything that one may ask for raises."""

    @property
    def __traceback__(self):
        raise ValueError("no")

    headline = told = __cause__ = __notes__ = __traceback__


class Shut(BaseException):
    """Which raises whatever one asks it for, what it is above all."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


class Base(BaseException):
    """What no `except Exception` sees."""


class Deaf(SystemExit):
    """Whose code cannot be shown."""

    def __repr__(self):
        raise KeyError("no")


def deep():
    return deep()


def raising(exc):
    def raises():
        raise exc
    return raises


def grouped():
    try:
        raise KeyError("first")
    except KeyError as exc:
        raise ExceptionGroup("several", [ValueError("a"), exc]) from exc


# What a user may write, and what is to be read of it. What ends the process does so with no 0: else
# a tool that lets it would end this session without a word.
RAISES = {
    "an ordinary one": (raising(OSError("fork")), "raised OSError: fork, at "),
    "without a text": (raising(OSError()), "raised OSError, at "),
    "of several lines": (raising(OSError("fork\nknife")), "raised OSError: fork, at "),
    "without a text to be had": (raising(Unspeakable()), "raised Unspeakable: (its text"),
    "of which nothing is to be had": (raising(Veiled("x")), "raised Veiled: x, at "),
    "which may not even be asked what it is": (raising(Shut("x")), "raised Shut: x, at "),
    "the end of the program": (lambda: sys.exit(0), "raised SystemExit(0), at "),
    "the end of it without a status": (raising(SystemExit()), "raised SystemExit(), at "),
    "the end of it, deaf": (raising(Deaf(Deaf(0))), "raised Deaf(<Deaf, whose repr raised"),
    "Ctrl-C of its own": (raising(KeyboardInterrupt()), "raised KeyboardInterrupt, at "),
    "GeneratorExit": (raising(GeneratorExit()), "raised GeneratorExit, at "),
    "StopIteration": (raising(StopIteration(1)), "raised StopIteration: 1, at "),
    "no Exception": (raising(Base("x")), "raised Base: x, at "),
    "too deep": (deep, "raised RecursionError: "),
    "no memory": (raising(MemoryError()), "raised MemoryError, at "),
    "a group": (grouped, "raised ExceptionGroup: several (2 sub-exceptions), at "),
    "the end of the process": (lambda: os._exit(9), "called os._exit(9), at "),
    "another program": (lambda: os.execv("/bin/false", ["false"]),
                        "called os.execv('/bin/false'), "),
}
FEW = ["of which nothing is to be had", "which may not even be asked what it is",
       "without a text to be had", "the end of the program", "Ctrl-C of its own",
       "the end of the process"]
each = pytest.mark.parametrize("raises, said", RAISES.values(), ids=RAISES)
some = pytest.mark.parametrize("raises, said", [RAISES[name] for name in FEW], ids=FEW)
TOOLS = [run, force, predict, explore, stress]


def taking(lock):
    def takes():
        with lock:
            pass
    return takes


def one_error(result):
    """Return the text of the one thing that was found: an error, with a place in this file."""
    assert [str(found.verdict) for found in result.outcome.findings] == ["error"], str(result)
    assert "test_raising.py:" in result.finding.text
    assert result.finding.text in str(result).replace("\n  ", " ")
    return result.finding.text


@each
def test_what_a_role_raises_is_an_error_of_that_role(raises, said):
    assert f"role {said}" in one_error(run(lambda: {"role": raises}))


@some
@pytest.mark.parametrize("tool", TOOLS[1:])
def test_so_it_is_whoever_runs_it(tool, raises, said):
    def world():
        return {"role": raises, "other": taking(Mutex("a"))}

    result = tool(world, **{"runs": 2} if tool is stress else {})
    assert f"role {said}" in result.finding.text
    assert (str(result.verdict), "test_raising.py:" in result.finding.text) == ("error", True)


@some
@pytest.mark.parametrize("tool", [run, explore])
def test_what_the_check_raises_is_an_error(tool, raises, said):
    result = tool(lambda: Scenario({"role": taking(Mutex("a"))}, check=raises))
    assert f"the check at the end {said}" in one_error(result)


@some
@pytest.mark.parametrize("tool", [run, explore])
def test_what_an_invariant_raises_is_an_error(tool, raises, said):
    result = tool(lambda: Scenario({"role": taking(Mutex("a"))}, invariants={"same": raises}))
    assert f"invariant 'same' {said}" in one_error(result)


@some
@pytest.mark.parametrize("tool", TOOLS)
def test_what_the_factory_raises_refuses_the_scenario_in_one_line(tool, raises, said):
    def world():
        raises()

    with pytest.raises(ScenarioError) as refused:
        tool(world)
    text = str(refused.value)
    assert f"could not build its world: it {said}" in text and "\n" not in text
    assert "test_raising.py:" in text


@some
@pytest.mark.parametrize("tool", [run, explore])
def test_what_by_raises_is_an_error(tool, raises, said):
    """Two wait for what nobody completes; whom for is asked as they are judged."""
    def world():
        ready = Completion("ready")
        return {"one": lambda: ready.wait(by=raises), "two": lambda: ready.wait()}

    result = tool(world, timeout=0.5)
    assert any(f"asking who is to end that {said}" in found.text and str(found.verdict) == "error"
               for found in result.outcome.findings), str(result)


@some
def test_what_an_order_of_locks_raises_is_an_error(raises, said):
    """The role swallows everything: it is not left to it."""
    def world():
        a, b = Mutex("a", "kind"), Mutex("b", "kind")

        def role():
            try:
                with a, b:
                    pass
            except BaseException:
                pass

        return Scenario({"role": role}, lock_classes=[
            LockClass("kind", order=lambda a, b: raises(), why="it is so")])

    result = predict(world)
    assert f"the order of lock class kind {said}" in result.finding.text
    assert str(result.verdict) == "error"


HOOKS = ["hold_back", "lock_acquire", "lock_contended", "lock_acquired", "lock_release",
         "thread_start", "role_start", "role_end", "idle"]


@some
@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_hook_of_an_observer_raises_is_an_error(hook, raises, said):
    """Whether its role swallows everything or not; the other role waits, so that all are called."""
    observer = type("Nosy", (Observer,), {hook: lambda self, *args: raises()})

    def world():
        a, held, asked = Mutex("a"), Completion("held"), Completion("asked")

        def holds():
            thread = threading.Thread(target=lambda: None)
            try:
                thread.start()
                with a:
                    held.complete()
                    asked.wait()
            except BaseException:
                pass

        def waits():
            held.wait()
            asked.complete()
            taking(a)()

        return {"holds": holds, "waits": waits}

    def nobody():
        Completion("never").wait()

    result = run((lambda: {"nobody": nobody}) if hook == "idle" else world,
                 observers=lambda: [observer()])
    if hook != "lock_contended" or result.outcome.findings:    # it may have found the lock free
        assert f"{hook} of observer Nosy {said}" in one_error(result)


@some
def test_what_attach_of_an_observer_raises_refuses_the_call(raises, said):
    observer = type("Nosy", (Observer,), {"attach": lambda self, run: raises()})
    with pytest.raises(ScenarioError, match="attach of observer Nosy "):
        run(lambda: {"role": lambda: None}, observers=lambda: [observer()])
    with pytest.raises(ScenarioError, match="observers "):
        run(lambda: {"role": lambda: None}, observers=lambda: raises())


@some
@pytest.mark.parametrize("part", ["__str__", "name", "lock_class"])
def test_what_a_lock_raises_when_asked_for_its_name_is_an_error(part, raises, said):
    """Two roles wait for each other: the guard of the account is held as they are named."""
    method = (lambda self: raises()) if part == "__str__" else property(lambda self: raises())
    Odd = type("Odd", (Mutex,), {part: method})

    def world():
        a, b = Odd("a"), Odd("b")

        def role(first, second):
            with first, second:
                pass

        return {"one": lambda: role(a, b), "two": lambda: role(b, a)}

    result = force(world)
    texts = [found.text for found in result.outcome.findings if str(found.verdict) == "error"]
    assert any(f"{part} of Odd {said}" in text for text in texts), str(result)


@some
def test_what_function_name_raises_is_an_error(raises, said):
    result = run(lambda: Scenario({"role": taking(Mutex("a"))},
                                  function_name=lambda code: raises()))
    assert f"function_name of the scenario {said}" in one_error(result)


def test_what_a_role_raises_in_earnest_and_swallows_later_was_seen_when_it_ends_the_process():
    def role():
        with suppress(BaseException):
            os._exit(9)

    assert "role called os._exit(9), at test_raising.py:" in one_error(run(lambda: {"role": role}))


def test_the_end_of_the_process_is_refused_by_whatever_name_a_module_has_for_it(tmp_path,
                                                                                monkeypatch):
    (tmp_path / "leaves.py").write_text(
        "from os import _exit as bye\nimport posix\n"
        "def first():\n    return {'role': lambda: bye(9)}\n"
        "def second():\n    return {'role': lambda: posix._exit(9)}\n")
    monkeypatch.syspath_prepend(tmp_path)
    import leaves
    plain = os._exit, leaves.bye
    for world in (leaves.first, leaves.second):
        assert "called os._exit(9), at" in run(world).finding.text
    assert (os._exit, leaves.bye) == plain and plain[0] is plain[1]


def test_a_child_that_a_role_forks_may_end_as_it_likes():
    lock = Mutex("lock")

    def role():
        child = os.fork()
        if not child:
            os._exit(7)
        with lock:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    assert str(run(lambda: {"role": role}).verdict) == "clean"


@pytest.mark.parametrize("tool", [run, explore])
def test_a_release_of_its_own_that_raises_is_an_error_of_its_role(tool):
    class Own(Mutex):
        def release(self):
            raise ValueError("kept")

    def world():
        a = Own("a")
        return {"role": lambda: a.acquire() and a.release()}

    result = tool(world)
    assert "role raised ValueError: kept, at test_raising.py:" in result.finding.text
    assert str(result.verdict) == "error"


# -- what is no string, no thread, no name ---------------------------------------------------------


class Name(str):
    """A name that can be neither printed nor compared."""

    __hash__ = str.__hash__

    def __str__(self):
        raise ValueError("no")

    def __eq__(self, other):
        raise ValueError("no")

    __repr__ = __format__ = __eq__


def test_names_that_only_look_like_strings_are_taken_for_what_they_are():
    def world():
        a, b = Mutex(Name("a")), Mutex(Name("b"), Name("kind"))

        def role(first, second):
            with first, second:
                pass

        return Scenario({Name("one"): lambda: role(a, b), Name("two"): lambda: role(b, a)},
                        title={Name("one"): "the first"}, invariants={Name("same"): lambda: True})

    result = explore(world)
    assert str(result.verdict) == "deadlock"
    assert {member["role"] for member in result.cycle} == {"one", "two"}
    assert {member["wants"] for member in result.cycle} == {"a", "kind (b)"}


@pytest.mark.parametrize("make", [Mutex, RWSemaphore, Completion])
@pytest.mark.parametrize("given", [5, b"a", object(), Unspeakable()])
def test_a_name_that_is_no_string_is_refused(make, given):
    with pytest.raises(TypeError, match="the name of a lock is"):
        make(given)
    with pytest.raises(TypeError, match="lock_class, the class of a lock, is"):
        make("a", given)


@pytest.mark.parametrize("method", ["__eq__", "__hash__"])
def test_a_lock_that_compares_in_its_own_way_is_refused(method):
    """Explored, two of them would be one: clean in one schedule, where two roles deadlock."""
    Odd = type("Odd", (Mutex,), {method: lambda self, *other: True, "__hash__": lambda self: 1})
    with pytest.raises(TypeError, match="Odd defines __"):
        Odd("a")


def test_a_lock_that_reads_its_attributes_in_its_own_way_is_refused():
    """Where its name is read the guard may be held."""
    Odd = type("Odd", (Mutex,), {"__getattribute__": lambda self, name: 1 / 0})
    with pytest.raises(TypeError, match="Odd defines __getattribute__"):
        Odd("a")


@pytest.mark.parametrize("tool", TOOLS)
def test_the_truth_value_of_a_lock_is_not_asked_for(tool):
    """A class of locks may have a length; where the guard is held, what that raises is a hang."""
    asked = []

    class Odd(Mutex):
        def __len__(self):
            return len(asked.append(self) or "")

    def both(first, second):
        with first, second:
            pass

    def world():
        a, b = Odd("a"), Odd("b")
        return {"one": lambda: both(a, b), "two": lambda: both(b, a)}

    result = tool(world)
    str(result)
    assert (str(result.verdict), asked) == ("deadlock", [])


@pytest.mark.parametrize("turned, said", [(True, "DEADLOCK: 2 threads"),
                                          (False, "CLEAN (all 2 schedules")])
def test_a_class_of_locks_may_be_made_in_each_world_anew(turned, said):
    """Its locks are the same in each schedule: no worlds differ."""
    def world():
        class Own(Mutex):
            pass

        a, b = Own("a"), Own("b")
        return {"one": lambda: both(a, b), "two": lambda: both(*[b, a] if turned else [a, b])}

    def both(first, second):
        with first, second:
            pass

    assert str(explore(world, engine=False)).startswith(said)


def test_by_that_names_nobody_is_an_error():
    def world():
        ready = Completion("ready")
        return {"one": lambda: ready.wait(by=5)}

    result = run(world)
    assert any("by is 5, expected the name of a role or a thread" in found.text
               for found in result.outcome.findings)


def test_lock_classes_that_are_none_refuse_the_scenario():
    for given in ([5], 5):
        with pytest.raises(ScenarioError, match="lock_classes"):
            predict(lambda given=given: Scenario({"role": print}, lock_classes=given))


@from_token(a=lambda value: "")
def made(**arguments):
    sys.exit(0)


def test_a_token_whose_scenario_cannot_be_made_is_refused_in_one_line(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    with pytest.raises(ScenarioError, match=r"as this token asks: it raised SystemExit\(0\), at "):
        replay(encode((f"{__name__}:made", {"a": 1}), "1/0", ["role"]))


@pytest.mark.parametrize("given", [{"runs": "x"}, {"seconds": "x"}, {"timeout": Unspeakable()}])
def test_an_argument_of_another_type_is_refused_in_one_line(given):
    with pytest.raises(ScenarioError, match="expected a .*number"):
        run(lambda: {"role": lambda: None}, **given)


# -- locks where no lock is to be taken ------------------------------------------------------------


def uses(a, semaphore, ready):
    """What one may do to locks, and what is to be read of it."""
    return {
        "takes": (taking(a), "took lock a at"), "tries": (lambda: a.acquire(False), "took lock a"),
        "reads": (semaphore.down_read, "took lock s at"),
        "writes": (lambda: semaphore.down_write_trylock(), "took lock s at"),
        "waits": (lambda: ready.wait(0), "waited for ready at"),
        "completes": (ready.complete, "let others pass ready at"),
        "steps": (lambda: step("x"), "called harness.step at"),
        "starts": (threading.Thread(target=print, name="t").start, "started thread t at"),
        "releases": (a.release, "ReleaseWithoutHold: a is released")}


@pytest.mark.parametrize("use", uses(Mutex("a"), RWSemaphore("s"), Completion("ready")))
@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("tool", [run, explore])
def test_an_invariant_that_uses_a_lock_is_told_so(tool, use, swallows):
    def world():
        a, semaphore, ready = Mutex("a"), RWSemaphore("s"), Completion("ready")
        does = uses(a, semaphore, ready)[use][0]

        def invariant():
            try:
                does()
            except BaseException:
                if not swallows:
                    raise

        return Scenario({"one": taking(Mutex("own")), "two": taking(Mutex("other"))},
                        invariants={"same": invariant})

    said = uses(Mutex("a"), RWSemaphore("s"), Completion("ready"))[use][1]
    result = tool(world)
    if use == "releases" and swallows:
        assert str(result.verdict) in ("clean", "violation")    # nothing came of it
        return
    assert f"invariant 'same' {said if use != 'releases' else 'raised ' + said}" \
        in one_error(result)


@pytest.mark.parametrize("tool", [run, explore])
def test_an_invariant_may_look_at_locks(tool):
    def world():
        a, ready = Mutex("a"), Completion("ready")
        return Scenario({"one": taking(a), "two": taking(a)},
                        invariants={"same": lambda: a.locked() in (True, False)
                                    and not ready.done()})

    assert str(tool(world).verdict) == "clean"


@pytest.mark.parametrize("hook", ["lock_acquire", "lock_acquired", "lock_release", "role_start",
                                  "role_end"])
def test_a_hook_that_takes_a_lock_is_told_so(hook):
    own = Mutex("own")
    observer = type("Nosy", (Observer,), {hook: lambda self, *args: taking(own)()})
    text = one_error(run(lambda: {"role": taking(Mutex("a"))}, observers=lambda: [observer()]))
    assert f"{hook} of observer Nosy took lock own at test_raising.py:" in text


def test_by_that_takes_a_lock_is_told_so():
    def world():
        a, ready = Mutex("a"), Completion("ready")
        return {"one": lambda: ready.wait(by=taking(a))}

    result = run(world)
    assert any("took lock a at test_raising.py" in found.text for found in result.outcome.findings)


def test_a_check_may_take_locks_and_start_threads():
    def world():
        a, semaphore, ready = Mutex("a"), RWSemaphore("s"), Completion("ready")

        def check():
            with a, semaphore.down_read():
                thread = threading.Thread(target=taking(Mutex("b")))
                thread.start()
                thread.join()
            assert not ready.wait(0)
            ready.complete()
            assert ready.wait()

        return Scenario({"role": taking(a)}, check=check)

    assert [str(tool(world).verdict) for tool in (run, explore)] == ["clean", "clean"]


@pytest.mark.parametrize("tool", [run, explore])
def test_a_check_that_waits_for_what_nobody_does_any_more_is_told_so(tool):
    """It would wait for ever: every role has ended."""
    def world(wait):
        return lambda: Scenario({"role": taking(Mutex("a"))}, check=wait)

    ready, semaphore = Completion("ready"), RWSemaphore("s")

    def twice():
        with semaphore.down_write():
            semaphore.down_write()

    for wait, lock in ((ready.wait, "ready"), (twice, "s")):
        text = one_error(tool(world(wait)))
        assert f"the check at the end waits for {lock} at test_raising.py:" in text


@pytest.mark.parametrize("tool", [run, explore])
@pytest.mark.parametrize("make, take", [(Mutex, "acquire"), (RWSemaphore, "down_write")],
                         ids=["mutex", "semaphore"])
def test_a_check_that_waits_for_a_thread_that_has_ended_is_told_so(tool, make, take):
    """A thread of its own took the lock, and kept it."""
    def world():
        a = make("a")

        def check():
            thread = threading.Thread(target=getattr(a, take))
            thread.start()
            thread.join()
            getattr(a, take)()

        return Scenario({"role": taking(Mutex("b"))}, check=check)

    assert "the check at the end waits for a at test_raising.py:" in one_error(tool(world))


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("lock", [Mutex("a"), RWSemaphore("a"), Completion("a")])
def test_a_lock_is_not_copied(make, lock):
    with pytest.raises(TypeError, match=f"cannot copy or pickle a {type(lock).__name__}: "):
        make(lock)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_role_that_copies_a_lock_is_an_error_of_that_role(tool):
    def world():
        a = Mutex("a")

        def role():
            with copy.copy(a):
                pass

        return {"role": role, "other": taking(a)}

    assert "role raised TypeError: cannot copy or pickle a Mutex" in str(tool(world))


def test_a_class_of_locks_may_say_how_it_is_copied():
    class Own(Mutex):
        """A lock of its own for each copy."""

        def __copy__(self):
            return type(self)(self.name)

    assert copy.copy(Own("a")).name == "a"


def test_a_scenario_is_copied_but_not_the_locks_of_its_roles():
    class Role:
        def __init__(self):
            self.lock = Mutex("a")

        def __call__(self):
            taking(self.lock)()

    scenario = Scenario({"role": Role()})
    assert copy.copy(scenario) == scenario
    with pytest.raises(TypeError, match="cannot copy or pickle a Mutex"):
        copy.deepcopy(scenario)


# -- through the other doors -----------------------------------------------------------------------


MODULE = """
import os, sys
from harness import Mutex, Scenario
class Unspeakable(Exception):
    def __str__(self): raise ValueError("no")
def raises():
    {raises}
def role():
    def world():
        return {{"role": raises}}
    return world()
def factory():
    raises()
def check():
    return Scenario({{"role": lambda: None}}, check=raises)
if {at_import}:
    raises()
"""
DOORS = ["raise Unspeakable", "sys.exit(0)", "os._exit(0)", "os.execv('/bin/true', ['true'])",
         "raise KeyboardInterrupt"]


@pytest.fixture(scope="module")
def through_the_command(in_another_process, tmp_path_factory):
    """Return what became of a command on a module that raises: status, output, and errors."""
    def call(raises, name, command="run", at_import=False):
        folder = tmp_path_factory.mktemp("module")
        (folder / "mine.py").write_text(MODULE.format(raises=raises, at_import=at_import))
        done = in_another_process("-m", "harness", command, f"mine:{name}", cwd=folder)
        return done.returncode, done.stdout, done.stderr
    return call


@pytest.mark.parametrize("raises", DOORS)
def test_the_command_ends_with_1_for_an_error_and_2_for_what_cannot_be_used(through_the_command,
                                                                           raises):
    """Two of them from everywhere; the others, from a check and a factory, are above."""
    everywhere = raises in ("os._exit(0)", "raise KeyboardInterrupt")
    for name in ("role", "check")[:1 + everywhere]:
        status, out, err = through_the_command(raises, name)
        assert (status, out.startswith("ERROR: "), "mine.py:7" in out, err) == (1, True, True, "")
    for name, at_import in (("role", True), ("factory", False))[:1 + everywhere]:
        status, out, err = through_the_command(raises, name, "explore", at_import)
        assert (status, out, err.count("\n"), "mine.py:7" in err) == (2, "", 1, True), err


OUTSIDE = """
import os, threading
from harness import Completion
def world():
    begun, never = threading.Event(), Completion("never")
    def leaves():
        begun.wait()
        os._exit({status})
    threading.Thread(target=leaves, daemon=True).start()
    def role():
        begun.set()
        never.wait()
    return {{"role": role}}
"""


@pytest.mark.parametrize("status, ends_with, said", [
    (0, 1, "os._exit(0) at mine.py:8"), (7, 7, "")])
def test_a_thread_outside_ends_the_process_but_not_with_0(in_another_process, tmp_path, status,
                                                          ends_with, said):
    """pytest-timeout does so, with 1: that is no affair of ours."""
    (tmp_path / "mine.py").write_text(OUTSIDE.format(status=status))
    done = in_another_process("-m", "harness", "run", "mine:world", cwd=tmp_path)
    assert (done.returncode, said in done.stderr, bool(done.stderr)) \
        == (ends_with, True, bool(said))


def test_of_what_function_name_raises_the_first_is_told_and_each_function_asked_for_once():
    asked, codes = [], [deep.__code__, raising.__code__, deep.__code__]

    def name(code):
        asked.append(code.co_name)
        raise ValueError(code.co_name)

    names = FunctionNames(name)
    assert [names(code) for code in codes] == ["deep", "raising", "deep"]
    assert (asked, str(names.failed)) == (["deep", "raising"], "deep")
